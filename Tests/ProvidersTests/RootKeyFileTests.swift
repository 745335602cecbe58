internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Providers
internal import Testing

struct RootKeyFileTests {
    private let scratch: Scratch
    private let file: RootKeyFile

    init() throws {
        scratch = try Scratch()
        file = RootKeyFile(path: scratch.root)
    }

    @Test func createsAFileForItsOwnerAloneAndReadsItBack() throws {
        let created = try file.create(at: someTime)
        let read = try file.read()
        #expect(try scratch.mode() == 0o600)
        #expect(try scratch.names == ["root.key"])
        #expect(read.generations.map(\.number) == [1] && read.newest.createdAt == someTime)
        #expect(read.newest.providerKeyID == created.newest.providerKeyID)
        #expect(read.newest.fingerprint.utf8.count == 32)
        #expect(bytes(read.newest) == bytes(created.newest))
    }

    @Test func neverOverwritesWhatIsThere() throws {
        _ = try file.create(at: someTime)
        let before = try scratch.text()
        #expect(refusal { _ = try file.create(at: someTime) } == .providerMisconfigured)
        #expect(try scratch.text() == before && scratch.names == ["root.key"])
    }

    @Test func appendsGenerationsAndChangesNoEarlierLine() throws {
        _ = try file.create(at: someTime)
        let before = try scratch.text()
        let extended = try file.appendGeneration(at: someTime.advanced(by: .seconds(60)))
        #expect(try scratch.text().hasPrefix(before))
        #expect(try scratch.mode() == 0o600)
        let read = try file.read()
        #expect(read.generations.map(\.number) == [1, 2] && extended.newest.number == 2)
        #expect(Set(read.generations.map(\.fingerprint)).count == 2)
        #expect(Set(read.generations.map(bytes)).count == 2)
    }

    @Test func removesWhatACrashedWriterLeft() throws {
        _ = try file.create(at: someTime)
        try scratch.write("half a li", to: "root.key.new")
        #expect(try file.appendGeneration(at: someTime).newest.number == 2)
        #expect(try scratch.names == ["root.key"])
    }

    @Test func leavesAWriterAtWorkAlone() throws {
        _ = try file.create(at: someTime)
        try scratch.write("", to: "root.key.new")
        let other = open(scratch.path("root.key.new"), O_RDWR)
        defer { close(other) }
        #expect(flock(other, LOCK_EX) == 0)
        #expect(refusal { _ = try file.appendGeneration(at: someTime) } == .providerUnavailable)
        #expect(try file.read().generations.count == 1)
    }

    @Test(arguments: [0o640, 0o620, 0o604, 0o602, 0o644, 0o666, 0o610])
    func refusesAFileThatOthersCanReach(mode: Int) throws {
        _ = try file.create(at: someTime)
        try scratch.setMode(mode)
        let error = try #require(failure { _ = try file.read() })
        #expect(error.code == .providerMisconfigured)
        #expect(error.hint?.contains("chmod 600 \(scratch.root)") == true)
        #expect(refusal { _ = try file.appendGeneration(at: someTime) } == .providerMisconfigured)
        #expect(try scratch.names == ["root.key"])
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give files away"))
    func refusesAFileOfAnotherUser() throws {
        _ = try file.create(at: someTime)
        #expect(chown(scratch.root, 12_345, 0) == 0)
        let error = try #require(failure { _ = try file.read() })
        #expect(error.code == .providerMisconfigured && error.message.contains("user 12345"))
    }

    @Test func refusesASymbolicLinkADirectoryAndAPipe() throws {
        let target = RootKeyFile(path: scratch.path("real.key"))
        _ = try target.create(at: someTime)
        #expect(symlink(target.path, scratch.root) == 0)
        #expect(failure { _ = try file.read() }?.message.contains("symbolic link") == true)
        #expect(refusal { _ = try file.create(at: someTime) } == .providerMisconfigured)
        #expect(unlink(scratch.root) == 0 && mkdir(scratch.root, 0o700) == 0)
        #expect(failure { _ = try file.read() }?.message.contains("no regular file") == true)
        #expect(rmdir(scratch.root) == 0 && mkfifo(scratch.root, 0o600) == 0)
        #expect(failure { _ = try file.read() }?.message.contains("no regular file") == true)
    }

    @Test func anAbsentFileOrDirectoryIsNamed() throws {
        #expect(failure { _ = try file.read() }?.message.contains(quoted(scratch.root)) == true)
        let nowhere = RootKeyFile(path: scratch.path("no/root.key"))
        #expect(refusal { _ = try nowhere.create(at: someTime) } == .providerMisconfigured)
    }

    @Test func readsTheKnownFileOfItsFormat() throws {
        try scratch.write(Self.known)
        let read = try file.read()
        #expect(read.generations.map(\.number) == [1, 3])
        #expect(bytes(read.generations[0]) == Array(0..<32))
        #expect(read.generations.map(\.fingerprint) == Self.knownFingerprints)
    }

    @Test(arguments: [
        ("", 1), ("keyturn root key 1", 1), ("keyturn root key 1\n", 2), ("keyturn root key 2\n", 1), ("\n", 1),
        ("Keyturn root key 1\nx\n", 1), ("keyturn root key 1\r\n", 1), ("keyturn root key 1\n\n", 2),
        ("keyturn root key 1\n1 2026-11-21T08:09:10.011Z short 0\n", 2),
    ])
    func refusesATextThatIsNoRootKey(text: String, line: Int) throws {
        try scratch.write(text)
        let error = try #require(failure { _ = try file.read() })
        #expect(error.code == .providerMisconfigured)
        #expect(text.isEmpty || error.message.contains("line \(line)"))
    }

    @Test func refusesLinesOutOfOrderOrTwice() throws {
        let lines = Self.known.split(separator: "\n")
        for order in [[0, 2, 1], [0, 1, 1], [0, 2, 2]] {
            try scratch.write(order.map { lines[$0] + "\n" }.joined())
            #expect(failure { _ = try file.read() }?.message.contains("line 3") == true)
        }
    }

    /// Whatever byte is changed, the file is refused, and no message shows a key.
    @Test func refusesEveryChangedByte() throws {
        let text = Array(Self.known.utf8)
        for index in text.indices {
            var changed = text
            changed[index] ^= 1
            try Data(changed).write(to: URL(filePath: scratch.root))
            try scratch.setMode(0o600)
            let error = try #require(failure { _ = try file.read() }, "byte \(index)")
            let message = error.message + (error.hint ?? "")
            #expect(secrets(in: Self.known).allSatisfy { !message.contains($0.prefix(12)) })
        }
    }

    @Test func refusesEveryShortenedFile() throws {
        let whole = Array(Self.known.utf8)
        let ends = Self.known.split(separator: "\n").reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.utf8.count + 1) }
        for count in 1..<whole.count where count != ends[2] {
            try scratch.write(String(decoding: whole[..<count], as: UTF8.self))
            #expect(refusal { _ = try file.read() } == .providerMisconfigured, "\(count) bytes")
        }
    }

    @Test func refusesAFileThatIsTooLarge() throws {
        try scratch.write(String(repeating: "x", count: 65_537))
        #expect(failure { _ = try file.read() }?.message.contains("65537 bytes") == true)
    }

    /// Made apart from the code: keys 00…1f and 20…3f, HKDF-Expand with Python's `hmac`.
    private static let known = """
        keyturn root key 1
        1 2026-11-21T08:09:10.011Z AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= 0649a6d2accf5e74
        3 2027-01-01T00:00:00.000Z ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8= 79023016035ee0a0

        """
    private static let knownFingerprints = ["02711cc96dbbe2f9c2c609b812c023d7", "7195f106d296385b877c9d303b518e05"]

    private func bytes(_ generation: RootKey.Generation) -> [UInt8] {
        generation.material.withExposedBytes { Array($0) }
    }
}

/// What a call was refused with; nil where it was not.
func failure(_ body: () throws -> Void) -> ProviderError? {
    do {
        try body()
        return nil
    } catch {
        return error as? ProviderError
    }
}

func refusal(_ body: () throws -> Void) -> ProviderError.Code? { failure(body)?.code }
