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
let binding = WrapBinding(instance: "bench", keyring: name, key: key)
let call = ProviderCall(deadline: .seconds(10), idempotencyKey: "bench")
let material = SecretBytes(copying: (0..<32).map { UInt8($0) })

func roundTrip() async throws -> Double {
    let start = ContinuousClock.now
    let wrapped = try await provider.wrap(material, binding: binding, call)
    let back = try await provider.unwrap(wrapped, binding: binding, call)
    let time = start.duration(to: .now)
    guard back.isEqual(to: material) else { exit(1) }
    return Double(time.components.seconds) * 1e3 + Double(time.components.attoseconds) / 1e15
}

for _ in 0..<200 { _ = try await roundTrip() }
var times: [Double] = []
for _ in 0..<5000 { times.append(try await roundTrip()) }
times.sort()
await supervisor.stop()
try FileManager.default.removeItem(atPath: keys)
let result = ["median": times[times.count / 2], "p99": times[times.count * 99 / 100]]
try JSONEncoder().encode(result).write(to: URL(filePath: arguments[2]))
