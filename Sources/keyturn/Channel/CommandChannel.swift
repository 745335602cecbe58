internal import Control
internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Logging
internal import Rotation
internal import Terminal
internal import Webhooks

/// The way from a command to its instance; the one place where it is chosen.
struct CommandChannel {
    /// Where calls go.
    let channel: any ControlChannel
    /// The service that this process hosts; nil where a daemon does.
    let service: InstanceService?

    /// Opens a way to the instance that the options name: to its daemon where one listens, else within this process.
    ///
    /// - Throws: ``CommandError`` where none is named, or ``ControlError``.
    static func open(_ global: GlobalOptions, way: Peer.Way = .call) async throws -> CommandChannel {
        let isInteractive = TerminalSize.isTerminal(STDIN_FILENO) && TerminalSize.isTerminal(STDERR_FILENO)
        let hello = SessionHello(way: way, isInteractive: isInteractive)
        if let channel = try await DaemonSocket.channel(global, hello) {
            return CommandChannel(channel: channel, service: nil)
        }
        let directory = try global.directory()
        _ = try directory.read()
        let service = try InstanceService.hosted(on: directory, life: .command)
        return CommandChannel(
            channel: try await service.openSession(for: Peer.own(by: way), hello: hello), service: service)
    }

    /// Stops what is being done: a run that this process drives ends after its batch, anything else at once.
    func interrupt() async {
        await service?.driver.stop()
        await channel.cancel()
    }

    /// Ends the session, and with it what this process hosts.
    func close() async {
        await channel.close()
        await service?.stop()
    }
}

extension InstanceService {
    /// A service on an instance's directory with everything that is built in.
    ///
    /// - Throws: ``ControlError`` where two entries have one name.
    static func hosted(
        on directory: InstanceDirectory, life: Life,
        providers: HostedProviders = HostedProviders(),
        logger: Logger = Logger(label: "keyturn") { StreamLogHandler.standardError(label: $0) }
    ) throws -> InstanceService {
        InstanceService(
            LocalInstance(directory: directory, logger: logger, hosted: providers),
            api: try API.complete(with: providers), life: life,
            webhooks: Webhooks(), scripts: LuaScripts(folder: directory.scripts), logger: logger)
    }
}

extension Peer {
    /// The user of this process, as the kernel and the system's databases know them.
    static func own(by way: Way) -> Peer {
        let uid = getuid()
        let entry = getpwuid(uid)
        let user = entry.map { String(cString: $0.pointee.pw_name) } ?? String(uid)
        var count: Int32 = 256
        var ids = [gid_t](repeating: 0, count: Int(count))
        if getgrouplist(user, getgid(), &ids, &count) < 0 {
            ids = [gid_t](repeating: 0, count: Int(count))
            getgrouplist(user, getgid(), &ids, &count)
        }
        let names = ids.prefix(Int(max(0, count))).map { id in
            getgrgid(id).map { String(cString: $0.pointee.gr_name) } ?? String(id)
        }
        return Peer(uid: uid, gid: getgid(), pid: getpid(), user: user, groups: Set(names), way: way)
    }
}
