internal import Foundation
internal import KeyModel
internal import PluginKit
internal import ProviderHost

// Wraps and unwraps a key through the example plugin: bench-provider PLUGIN OUTPUT.

let arguments = CommandLine.arguments
guard arguments.count == 3, let key = KeyID(7) else {
    print("usage: bench-provider PLUGIN OUTPUT")
    exit(64)
}
let keys = FileManager.default.temporaryDirectory.appending(path: "bench-provider-\(UUID().uuidString)").path
try FileManager.default.createDirectory(
    atPath: keys, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
let name = try Name("bench")
let supervisor = PluginSupervisor(
    PluginLaunch(name: name, file: try PluginFile(path: arguments[1]), sha256: nil))
let provider = GuardedProvider(
    PluginProvider(name: name, settings: ["directory": keys], supervisor: supervisor), name: name)
let pairs = Pairs(
    provider: provider, binding: WrapBinding(instance: "bench", keyring: name, key: key),
    call: ProviderCall(deadline: .seconds(10), idempotencyKey: "bench"))
_ = try await pairs.run(200)
let times = try await pairs.run(5000).sorted()
await supervisor.stop()
try FileManager.default.removeItem(atPath: keys)
let result = ["median": times[times.count / 2], "p99": times[times.count * 99 / 100]]
try JSONEncoder().encode(result).write(to: URL(filePath: arguments[2]))

/// A key wrapped and unwrapped, again and again, from where a rotation does so: off the main thread.
struct Pairs: Sendable {
    let provider: GuardedProvider
    let binding: WrapBinding
    let call: ProviderCall

    /// How long each pair took, in milliseconds.
    @concurrent
    func run(_ count: Int) async throws -> [Double] {
        let material = SecretBytes(copying: (0..<32).map { UInt8($0) })
        var times: [Double] = []
        for _ in 0..<count {
            let start = ContinuousClock.now
            let wrapped = try await provider.wrap(material, binding: binding, call)
            let back = try await provider.unwrap(wrapped, binding: binding, call)
            let time = start.duration(to: .now)
            guard back.isEqual(to: material) else { exit(1) }
            times.append(Double(time.components.seconds) * 1e3 + Double(time.components.attoseconds) / 1e15)
        }
        return times
    }
}
