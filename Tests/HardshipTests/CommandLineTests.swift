import Foundation
import Testing

struct CommandLineTests {
    @Test
    func aWholeLifeEndsClean() throws {
        let ground = try Ground()
        try ground.seal(rows: 20)
        try ground.must("rotate main --yes --quiet")
        try ground.must("verify main")
        let opened = try ground.must("open t.s --key 7 --stored")
        #expect(opened.text == "secret-7\n")
    }
}
