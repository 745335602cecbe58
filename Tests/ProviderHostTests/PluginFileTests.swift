internal import Foundation
internal import PluginKit
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// What may be executed, and what not.
struct PluginFileTests {
    @Test
    func aShortagePassesAndWhatStaysDoesNot() {
        for number in [EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT] {
            #expect(PluginFile.failure("/p", number).code == .providerUnavailable, "\(number)")
        }
        for number in [EACCES, ENOENT, ENOEXEC, EPERM] {
            #expect(PluginFile.failure("/p", number).code == .providerMisconfigured, "\(number)")
        }
    }

    private let scratch: HostScratch
    private let file: PluginFile

    init() throws {
        scratch = try HostScratch()
        file = try scratch.program("hostile-plugin")
    }

    @Test
    func itsHashIsWhatTheSystemSays() throws {
        let pipe = Pipe()
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/sha256sum")
        process.arguments = [file.path]
        process.standardOutput = pipe
        try process.run()
        process.waitUntilExit()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let image = try file.load()
        #expect(text.hasPrefix(image.sha256))
        _ = try file.load(expecting: image.sha256)
    }

    @Test
    func aChangedFileIsRefused() throws {
        let before = try file.load().sha256
        let handle = try FileHandle(forWritingTo: URL(filePath: file.path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("\n".utf8))
        try handle.close()
        #expect(throws: ProviderError.self) { try file.load(expecting: before) }
    }

    @Test(arguments: [0o775, 0o757, 0o777])
    func aFileThatOthersCanWriteIsRefused(mode: Int) throws {
        try set(mode, of: file.path)
        try refuses("can be written by others")
    }

    @Test(arguments: [0o770, 0o707, 0o1777])
    func aDirectoryThatOthersCanWriteIsRefused(mode: Int) throws {
        try set(mode, of: scratch.path)
        try refuses("can be written by others")
        try set(0o700, of: scratch.path)
    }

    @Test
    func aFileThatIsNotExecutableIsRefused() throws {
        try set(0o644, of: file.path)
        try refuses("not executable")
    }

    @Test
    func aSymbolicLinkIsRefused() throws {
        try FileManager.default.createSymbolicLink(
            atPath: scratch.file("link"), withDestinationPath: file.path)
        let error = try failure { try PluginFile(path: scratch.file("link")).load() }
        #expect(error.message.contains("symbolic link") && error.code == .providerMisconfigured)
    }

    @Test
    func aDirectoryOrNothingIsRefused() throws {
        _ = try scratch.directory("folder")
        for name in ["folder", "missing", "missing/plugin"] {
            let error = try failure { try PluginFile(path: scratch.file(name)).load() }
            #expect(error.code == .providerMisconfigured)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a file away"))
    func anotherUsersFileIsRefused() throws {
        #expect(chown(file.path, 12345, 0) == 0)
        try refuses("belongs to another user")
    }

    @Test
    func aFileThatIsSwappedAfterItWasLookedAtIsNotExecuted() async throws {
        let expected = try file.load().sha256
        try FileManager.default.removeItem(atPath: file.path)
        _ = try scratch.program("hostile-plugin", as: "other")
        try FileManager.default.copyItem(atPath: "/bin/true", toPath: file.path)
        let supervisor = PluginSupervisor(PluginLaunch(name: try Sample.name, file: file, sha256: expected))
        let error = try await Sample.failure { try await supervisor.start() }
        #expect(error.message.contains("has changed"))
        await supervisor.stop()
    }

    @Test
    func aScriptWithoutItsInterpreterSaysSo() async throws {
        let path = scratch.file("script")
        try "#!/no/such/interpreter\n".write(toFile: path, atomically: true, encoding: .utf8)
        try set(0o755, of: path)
        let supervisor = PluginSupervisor(
            PluginLaunch(name: try Sample.name, file: try PluginFile(path: path), sha256: nil))
        let error = try await Sample.failure { try await supervisor.start() }
        #expect(error.code == .providerMisconfigured && error.hint?.contains("interpreter") == true)
        await supervisor.stop()
    }

    private func set(_ mode: Int, of path: String) throws {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    private func refuses(_ why: String) throws {
        let error = try failure { try file.load() }
        #expect(error.code == .providerMisconfigured && error.message.contains(why), "\(error.message)")
    }

    private func failure(_ body: () throws -> some Any) throws -> ProviderError {
        do { _ = try body() } catch let error as ProviderError { return error }
        throw EndToEndError("it was not refused")
    }
}
