import ControlStore
import Foundation
import Testing

/// What a crash or another process may leave behind of a node's journal.
struct NodeJournalCrashTests {
    private let path = FileManager.default.temporaryDirectory.appending(path: "keyturn-journal-\(UUID().uuidString)")
        .path
    private let first = NodeJournal.Entry(node: "n", instance: "i", nonce: "x", epoch: 1)

    @Test func aJournalIsNotThereBeforeItIsWhole() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        // What an init leaves that is killed before the journal has its name.
        try Data("{\"epo".utf8).write(to: URL(filePath: path + ".new"))
        _ = try NodeJournal(creating: path, with: first)
        #expect(try NodeJournal(reading: path).entry == first)
        #expect(!FileManager.default.fileExists(atPath: path + ".new"))
    }

    @Test func aJournalIsNeverBegunTwice() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        _ = try NodeJournal(creating: path, with: first)
        #expect(throws: ControlStoreError.self) {
            _ = try NodeJournal(creating: path, with: NodeJournal.Entry(node: "m", instance: "j", nonce: "y", epoch: 9))
        }
        #expect(try NodeJournal(reading: path).entry == first)
    }

    @Test func aTornLineDoesNotSwallowTheNext() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        var journal = try NodeJournal(creating: path, with: first)
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.seekToEnd()
        try file.write(contentsOf: Data("{\"destroyed\":[],\"epo".utf8))
        try file.close()
        try journal.update { $0.epoch = 7 }
        #expect(try NodeJournal(reading: path).entry.epoch == 7)
    }

    @Test func anUpdateKeepsWhatAnotherProcessWrote() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        var journal = try NodeJournal(creating: path, with: first)
        var other = try NodeJournal(reading: path)
        try other.update { $0.destroyed.append("0a0b0c0d") }
        try journal.update { $0.epoch = 2 }
        let entry = try NodeJournal(reading: path).entry
        #expect(entry.epoch == 2 && entry.destroyed == ["0a0b0c0d"])
    }
}
