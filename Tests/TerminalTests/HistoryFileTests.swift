import Foundation
import Testing

@testable import Terminal

struct HistoryFileTests {
    private final class Place {
        let folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-history-\(UUID().uuidString)")
        var path: String { folder.appending(path: "keyturn/history-x").path }

        init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(at: folder) }

        func write(_ text: String) throws {
            try FileManager.default.createDirectory(
                at: folder.appending(path: "keyturn"), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: URL(filePath: path))
        }
    }

    @Test func entriesComeBackAsTheyWere() throws {
        let place = try Place()
        let entries = ["one", "two\nlines\n\tand a tab", #"a \n backslash"#, "漢字 \u{1B}[31m", "\r\n"]
        let file = HistoryFile(path: place.path)
        #expect(file.note == nil)
        for entry in entries { #expect(file.append(entry, time: 1) == nil) }
        #expect(HistoryFile(path: place.path).read() == entries)
        let attributes = try FileManager.default.attributesOfItem(atPath: place.path)
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
    }

    @Test func twoConsolesInterleaveAThousandEntriesEach() async throws {
        let place = try Place()
        let path = place.path
        await withTaskGroup(of: Void.self) { group in
            for console in 0..<2 {
                group.addTask {
                    let file = HistoryFile(path: path)
                    for number in 0..<1000 { _ = file.append("console \(console)\nentry \(number)", time: 1) }
                }
            }
        }
        let entries = HistoryFile(path: path).read()
        #expect(entries.count == 2000)
        for console in 0..<2 {
            let own = entries.filter { $0.hasPrefix("console \(console)\n") }
            #expect(own == (0..<1000).map { "console \(console)\nentry \($0)" })
        }
    }

    @Test func lineThatBrokeOffStaysAlone() throws {
        let place = try Place()
        try place.write("1\tone\n2\ttw")
        let file = HistoryFile(path: place.path)
        #expect(file.read() == ["one"])
        _ = file.append("three", time: 3)
        #expect(HistoryFile(path: place.path).read() == ["one", "tw", "three"])
    }

    @Test func largeFileIsReadFromItsEnd() throws {
        let place = try Place()
        try place.write("1\tfirst\n")
        let handle = try FileHandle(forWritingTo: URL(filePath: place.path))
        try handle.truncate(atOffset: 100 << 20)
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("\n2\tlast\n".utf8))
        try handle.close()
        let file = HistoryFile(path: place.path)
        #expect(file.note?.contains("100 MiB") == true)
        #expect(file.read() == ["last"])
        #expect(file.append("next", time: 3) == nil)
        #expect(HistoryFile(path: place.path).read() == ["last", "next"])
    }

    @Test func fileThatOthersCouldReadIsClosedToThem() throws {
        let place = try Place()
        try place.write("1\tone\n")
        chmod(place.path, 0o644)
        #expect(HistoryFile(path: place.path).note == nil)
        let attributes = try FileManager.default.attributesOfItem(atPath: place.path)
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
    }

    @Test func whatIsNoFileOfOursIsLeftAlone() throws {
        let place = try Place()
        try place.write("")
        try FileManager.default.removeItem(atPath: place.path)
        mkfifo(place.path, 0o600)
        let pipe = HistoryFile(path: place.path)
        #expect(pipe.note?.contains("no regular file") == true)
        #expect(pipe.append("x", time: 1) == nil)
        try FileManager.default.removeItem(atPath: place.path)
        symlink("/etc/passwd", place.path)
        #expect(HistoryFile(path: place.path).note?.contains("symbolic link") == true)
        try FileManager.default.removeItem(atPath: place.path)
        mkdir(place.path, 0o700)
        #expect(HistoryFile(path: place.path).note != nil)
    }

    @Test(.enabled(if: geteuid() == 0, "needs root"))
    func fileOfAnotherUserIsNotUsed() throws {
        let place = try Place()
        try place.write("1\ttheirs\n")
        chown(place.path, 65534, 65534)
        let file = HistoryFile(path: place.path)
        #expect(file.note?.contains("another user") == true)
        #expect(file.read() == [])
        #expect(file.append("mine", time: 1) == nil)
        #expect(try String(contentsOfFile: place.path, encoding: .utf8) == "1\ttheirs\n")
    }

    @Test func fullDiskIsNotedOnce() throws {
        let file = HistoryFile(path: "/dev/full")
        #expect(file.note != nil)
        #expect(file.append("x", time: 1) == nil)
    }

    @Test func placeOfTheFileFollowsTheInstance() {
        let home = ["HOME": "/home/ada"]
        let path = HistoryFile.path(instance: "/srv/prod", environment: home)
        #expect(path?.hasPrefix("/home/ada/.local/state/keyturn/history-prod-") == true)
        #expect(path != HistoryFile.path(instance: "/other/prod", environment: home))
        let state = HistoryFile.path(instance: "/srv/../x y", environment: ["XDG_STATE_HOME": "/state", "HOME": "/h"])
        #expect(state?.hasPrefix("/state/keyturn/history-xy-") == true)
        #expect(HistoryFile.path(instance: "/a", environment: ["XDG_STATE_HOME": "relative"]) == nil)
    }

    @Test func historyPassesOverWhatIsSaidTwice() {
        var history = History()
        let added = ["one", "one", "  ", "two", "one"].map { history.add($0) }
        #expect(added == [true, false, false, true, true])
        #expect(history.entries == ["one", "two", "one"])
    }
}
