internal import CProcess
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import PluginWire
internal import Synchronization

/// What a plugin's process may use.
package struct ProcessLimits: Hashable, Sendable {
    /// Its address space, in bytes.
    package var addressSpace: UInt64 = 4 << 30
    /// One file that it writes, in bytes.
    package var fileSize: UInt64 = 64 << 20
    /// Its open descriptors.
    package var descriptors: UInt64 = 256
    /// The time it has for its handshake.
    package var handshake: Duration = .seconds(10)
    /// The time it has for each step of its end.
    package var grace: Duration = .seconds(2)

    /// The limits that hold where nothing is said.
    package init() {}
}

/// One running process of a plugin, from its start to its last breath.
///
/// It runs in a process group of its own, with a clean environment; its standard error is drained whatever it writes.
final class PluginProcess: Sendable {
    /// What it said of itself.
    let handshake: Handshake
    /// Where it listens.
    let socket: String

    private let watch: ChildWatch
    private let directory: PrivateDirectory
    private let limits: ProcessLimits

    private init(_ watch: ChildWatch, _ directory: PrivateDirectory, _ handshake: Handshake, _ limits: ProcessLimits) {
        self.watch = watch
        self.directory = directory
        self.handshake = handshake
        self.limits = limits
        socket = directory.socket
    }

    /// Its process id.
    var pid: pid_t { watch.pid }

    /// How it ended; nil while it runs.
    var ending: ProcessEnding? { watch.ending }

    /// Lets go of its standard input, by which it knows that it shall end.
    func closeInput() { watch.closeInput() }

    /// Waits until it has ended.
    func ended() async { await watch.waitUntilEnded() }

    /// Starts a plugin and waits for its handshake.
    ///
    /// - Throws: `ProviderError` with `providerMisconfigured` where trying again cannot help, else `providerUnavailable`.
    static func start(
        _ image: PluginImage, environment: [String: String], secret: HeldSecret?, beneath base: String,
        limits: ProcessLimits, log: @escaping @Sendable (LineDrain.Line) -> Void
    ) async throws(ProviderError) -> PluginProcess {
        let directory = try PrivateDirectory(beneath: base)
        var environment = environment
        environment[Handshake.socketVariable] = directory.socket
        // A trial may say something else.
        environment[Handshake.protocolsVariable] =
            environment[Handshake.protocolsVariable]
            ?? Handshake.spoken.sorted().map(String.init).joined(separator: ",")
        if image.isScript { try image.writeCopy(to: directory.script) }
        // Each process has a pipe of its own: what one has read, another cannot read again.
        let pipe = try secret?.pipe()
        defer { if let pipe { close(pipe) } }
        if pipe != nil { environment[Handshake.secretVariable] = String(KT_SECRET_DESCRIPTOR) }
        let child = try spawn(image, environment, directory, limits, secret: pipe ?? -1)
        let watch = ChildWatch(child, log: log)
        do throws(ProviderError) {
            let line = try await watch.firstLine(within: limits.handshake, of: image.path)
            let handshake = try check(line, of: image.path)
            return PluginProcess(watch, directory, handshake, limits)
        } catch {
            await watch.kill()
            throw error
        }
    }

    /// Ends it: closes its standard input, then SIGTERM, then SIGKILL to its group, each after its time.
    ///
    /// The caller has asked it to shut down over the wire before.
    func stop() async {
        watch.closeInput()
        if await watch.hasEnded(within: limits.grace) { return }
        watch.signal(SIGTERM)
        if await watch.hasEnded(within: limits.grace) { return }
        await watch.kill()
    }

    private static func spawn(
        _ image: PluginImage, _ environment: [String: String], _ directory: PrivateDirectory, _ limits: ProcessLimits,
        secret: Int32
    ) throws(ProviderError) -> kt_child {
        var child = kt_child()
        let arguments = CStrings([image.path])
        let variables = CStrings(environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
        let started = directory.path.withCString { home in
            directory.script.withCString { script in
                var program = kt_program(
                    executable: image.isScript ? -1 : image.descriptor, path: script, secret: secret,
                    arguments: arguments.pointer,
                    environment: variables.pointer, directory: home, address_space: limits.addressSpace,
                    file_size: limits.fileSize, descriptors: limits.descriptors)
                return start(&program, &child)
            }
        }
        guard started == 0 else {
            let number = errno
            let hint = image.isScript ? "Check the interpreter that its first line names." : nil
            throw ProviderError(
                SystemText.isPassing(number) ? .providerUnavailable : .providerMisconfigured,
                "cannot start the plugin \(quoted(image.path)): \(SystemText.text(number))", hint: hint)
        }
        return child
    }

    /// Starts it; a copy that another child still holds open for writing, until it runs its own program, is tried again.
    private static func start(_ program: inout kt_program, _ child: inout kt_child) -> Int32 {
        for _ in 0..<100 {
            if kt_spawn(&program, &child) == 0 { return 0 }
            guard errno == ETXTBSY else { return -1 }
            usleep(10_000)
        }
        return -1
    }

    /// Reads the line and refuses what this host cannot work with.
    private static func check(_ line: Data, of path: String) throws(ProviderError) -> Handshake {
        guard let handshake = try? JSONDecoder().decode(Handshake.self, from: line) else {
            throw ProviderError(
                .providerMisconfigured, "the plugin \(quoted(path)) says no handshake but \(quoted(text(line)))",
                hint: "It must print one line of JSON once its socket is bound; see docs/formats/provider-protocol.md."
            )
        }
        guard !Handshake.spoken.isDisjoint(with: handshake.protocols) else {
            let spoken = handshake.protocols.prefix(8).map(String.init).joined(separator: ", ")
            throw ProviderError(
                .providerMisconfigured,
                "the plugin \(quoted(path)) speaks version \(spoken) of the protocol, not 1",
                hint: "Take a version of the plugin that was made for this Keyturn."
            )
        }
        guard let missing = Handshake.required.subtracting(handshake.capabilities).sorted().first else {
            return handshake
        }
        throw ProviderError(
            .providerMisconfigured, "the plugin \(quoted(path)) cannot \(missing)",
            hint: "A key provider must wrap, unwrap, describe and test."
        )
    }

    private static func text(_ line: Data) -> String { String(decoding: line.prefix(200), as: UTF8.self) }
}

/// How a process ended.
enum ProcessEnding: Hashable, Sendable {
    case exited(Int32)
    case killed(signal: Int32)

    /// In words.
    var words: String {
        switch self {
        case .exited(let code): "it ended with exit code \(code)"
        case .killed(let signal): "it was ended by signal \(signal)"
        }
    }
}

/// Strings as C wants them, for the length of its own life.
final class CStrings {
    let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        pointer = .allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() { pointer[index] = strdup(string) }
        pointer[strings.count] = nil
    }

    deinit {
        for index in 0..<count { free(pointer[index]) }
        pointer.deallocate()
    }
}
