import Control
import ControlTesting
import Foundation
import Logging
import Testing

/// Where a daemon listens, and what it leaves alone there.
struct ListeningSocketTests {
    private func server(_ path: String) throws -> SocketServer {
        try SocketServer(
            at: try SocketPath(path), service: TestService(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func mode(_ path: String) -> mode_t {
        var facts = stat()
        return lstat(path, &facts) == 0 ? facts.st_mode & 0o7777 : 0
    }

    /// Leaves a socket behind as a daemon does that was killed.
    private func leaveStale(_ path: String) throws {
        let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(code == 0)
        close(socket)
        #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test func makesItsDirectoryAndSocketForTheGroupAlone() throws {
        let sandbox = try SocketSandbox()
        let server = try server(sandbox.folder + "/run/k.sock")
        #expect(mode(sandbox.folder + "/run") == 0o750)
        #expect(mode(sandbox.folder + "/run/k.sock") == 0o660)
        server.stop()
        #expect(!FileManager.default.fileExists(atPath: sandbox.folder + "/run/k.sock"))
    }

    @Test func takesOverFromADaemonThatWasKilled() async throws {
        let sandbox = try SocketSandbox()
        try leaveStale(sandbox.path)
        try await sandbox.serving { _ in
            let channel = try await sandbox.channel()
            await channel.close()
        }
    }

    @Test func leavesALiveSiblingAloneAndNamesIt() async throws {
        let sandbox = try SocketSandbox()
        try await sandbox.serving { _ in
            let error = #expect(throws: ControlError.self) { try server(sandbox.path) }
            #expect(error?.message.contains("listens at") == true)
            #expect(error?.status == 2)
            // Also where its lock is gone.
            unlink(sandbox.path + ".lock")
            let named = #expect(throws: ControlError.self) { try server(sandbox.path) }
            #expect(named?.message.contains("process \(getpid())") == true)
            let channel = try await sandbox.channel()
            await channel.close()
        }
    }

    @Test(arguments: ["file", "directory", "link"])
    func leavesAloneWhatIsInTheWay(what: String) throws {
        let sandbox = try SocketSandbox()
        switch what {
        case "file": _ = FileManager.default.createFile(atPath: sandbox.path, contents: Data("precious".utf8))
        case "directory": mkdir(sandbox.path, 0o755)
        default: symlink("/tmp", sandbox.path)
        }
        let before = mode(sandbox.path)
        let error = #expect(throws: ControlError.self) { try server(sandbox.path) }
        #expect(error?.message.contains("no socket") == true)
        #expect(mode(sandbox.path) == before)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a socket away"))
    func leavesAloneWhatAnotherUserLeft() throws {
        let sandbox = try SocketSandbox()
        try leaveStale(sandbox.path)
        lchown(sandbox.path, 65_534, 65_534)
        let error = #expect(throws: ControlError.self) { try server(sandbox.path) }
        #expect(error?.message.contains("another user's") == true)
        #expect(FileManager.default.fileExists(atPath: sandbox.path))
    }

    @Test func refusesADirectoryWhereOthersCanWrite() throws {
        let sandbox = try SocketSandbox()
        chmod(sandbox.folder, 0o777)
        #expect(throws: ControlError.self) { try server(sandbox.path) }
        chmod(sandbox.folder, 0o755)
    }

    @Test func saysHowLongAPathMayBe() throws {
        let fits = "/tmp/" + String(repeating: "x", count: 102)
        _ = try SocketPath(fits)
        let error = #expect(throws: ControlError.self) { try SocketPath(fits + "x") }
        #expect(error?.message.contains("108 bytes") == true)
        #expect(error?.status == 64)
        #expect(throws: ControlError.self) { try SocketPath("") }
    }

    @Test func removesOnlyItsOwnFile() throws {
        let sandbox = try SocketSandbox()
        let server = try server(sandbox.path)
        unlink(sandbox.path)
        _ = FileManager.default.createFile(atPath: sandbox.path, contents: Data("another's".utf8))
        server.stop()
        #expect(FileManager.default.fileExists(atPath: sandbox.path))
    }
}
