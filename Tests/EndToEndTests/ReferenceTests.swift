import Foundation
import Testing
import ToolTesting

extension EndToEnd {
    /// The pages that are made from the table of calls.
    @Suite struct ReferenceTests {
        @Test func theWrittenReferenceIsUpToDate() async throws {
            let sandbox = try Sandbox()
            _ = try await sandbox.keyturn("reference", "--to", "pages").expecting()
            let written = BuiltProgram.folder("docs/reference")
            let made = URL(filePath: sandbox.path("pages"))
            let names = try FileManager.default.contentsOfDirectory(atPath: made.path)
            #expect(Set(try FileManager.default.contentsOfDirectory(atPath: written.path)) == Set(names))
            for name in names {
                let page = try String(contentsOf: written.appending(path: name), encoding: .utf8)
                let expected = try String(contentsOf: made.appending(path: name), encoding: .utf8)
                #expect(page == expected, "run: keyturn reference --to docs/reference (\(name))")
            }
        }
    }
}
