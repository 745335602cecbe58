internal import ControlStore
internal import Foundation
internal import Testing

struct NodeJournalTests {
    private let scratch: ScratchFolder
    private let first = NodeJournal.Entry(node: "n", instance: "i", nonce: "x", epoch: 1)

    init() throws { scratch = try ScratchFolder() }

    private var path: String { scratch.path("journal") }

    @Test func remembersAcrossProcesses() throws {
        var journal = try NodeJournal(creating: path, with: first)
        try journal.update { $0.epoch = 7 }
        try journal.update { $0.destroyed.append("0000000a") }
        let read = try NodeJournal(reading: path).entry
        #expect(read == journal.entry && read.epoch == 7 && read.destroyed == ["0000000a"])
    }

    @Test func isNeverBegunTwice() throws {
        _ = try NodeJournal(creating: path, with: first)
        #expect(throws: ControlStoreError.self) { _ = try NodeJournal(creating: path, with: first) }
        #expect(try NodeJournal(reading: path).entry == first)
    }

    @Test func whatDoesNotChangeIsNotWritten() throws {
        var journal = try NodeJournal(creating: path, with: first)
        let before = try Data(contentsOf: URL(filePath: path))
        try journal.update { $0.epoch = 1 }
        #expect(try Data(contentsOf: URL(filePath: path)) == before)
    }

    @Test(arguments: [1, 5, 20, 60])
    func aTornLastLineHidesNothingBeforeNorAfterIt(torn: Int) throws {
        var journal = try NodeJournal(creating: path, with: first)
        try journal.update { $0.epoch = 2 }
        let whole = try Data(contentsOf: URL(filePath: path))
        try journal.update { $0.epoch = 3 }
        let longer = try Data(contentsOf: URL(filePath: path))
        try longer.prefix(whole.count + torn).write(to: URL(filePath: path))
        var resumed = try NodeJournal(reading: path)
        #expect(resumed.entry.epoch == 2)
        try resumed.update { $0.epoch = 9 }
        #expect(try NodeJournal(reading: path).entry.epoch == 9, "the new line must not be glued to the torn one")
    }

    @Test func aJournalWithoutAWholeLineIsDamaged() throws {
        try Data("{\"node\":".utf8).write(to: URL(filePath: path))
        let error = try #require(throws: ControlStoreError.self) { _ = try NodeJournal(reading: path) }
        #expect(error.code == .storeRecordDamaged)
    }

    @Test func noJournalStandsThereHalfMade() throws {
        _ = try NodeJournal(creating: path, with: first)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path("")) == ["journal"])
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber
        #expect(mode?.intValue == 0o600)
        // What an init that was cut off left behind does not stand in the way.
        try FileManager.default.removeItem(atPath: path)
        try Data("{".utf8).write(to: URL(filePath: path + ".new"))
        #expect(try NodeJournal(creating: path, with: first).entry == first)
    }
}

struct InstanceDirectoryTests {
    private let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    @Test func onlyOneProcessWorksAtATime() throws {
        let directory = InstanceDirectory(path: scratch.path("instance"))
        try directory.make()
        do {
            let held = try InstanceLock(taking: directory)
            let error = try #require(throws: ControlStoreError.self) { _ = try InstanceLock(taking: directory) }
            #expect(error.code == .storeLeaseHeld && error.message.contains("\(getpid())"))
            _ = consume held
        }
        _ = try InstanceLock(taking: directory)
    }

    @Test func aDirectoryThatOthersMayEnterIsRefused() throws {
        let directory = InstanceDirectory(path: scratch.path("instance"))
        try directory.make()
        try directory.make()
        try FileManager.default.setAttributes([.posixPermissions: 0o750], ofItemAtPath: directory.path)
        #expect(throws: ControlStoreError.self) { try directory.make() }
    }

    @Test func whatIsWrittenIsReadBack() throws {
        let directory = InstanceDirectory(path: scratch.path("instance"))
        try directory.make()
        #expect(!directory.exists)
        let missing = try #require(throws: ControlStoreError.self) { _ = try directory.read() }
        #expect(missing.code == .callerNotFound)
        let description = InstanceDirectory.Description(instance: "i", configuration: "/x/keyturn.lua")
        try directory.write(description)
        #expect(try directory.read() == description && directory.exists)
        try Data("not json".utf8).write(to: URL(filePath: directory.path + "/instance.json"))
        let damaged = try #require(throws: ControlStoreError.self) { _ = try directory.read() }
        #expect(damaged.code == .storeRecordDamaged)
    }
}

/// A directory of a test's own that goes with it.
final class ScratchFolder: Sendable {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-control-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String) -> String { folder.appending(path: name).path }
}
