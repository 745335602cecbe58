internal import CKR1Loop
internal import Foundation
internal import KR1
internal import KeyModel
internal import PluginKit

/// Measures the KR1 core against the same work in C: open and seal of 80 bytes, on one thread, in
/// alternating pairs.
///
/// Exit 1 when the median ratio is above the bar. `--json FILE` writes the figures.
struct Measurement: Codable {
    let bar: Double
    let ratio: Double
    let swiftNanoseconds: Double
    let cNanoseconds: Double
    let ratios: [Double]
}

struct BenchmarkError: Error, CustomStringConvertible {
    let description: String
}

let bar = 2.5
let pairs = 7
let batch = 256
let secret = Bytes(0..<32)

func median(_ values: [Double]) -> Double {
    values.sorted()[values.count / 2]
}

/// The nanoseconds of one seal and one open.
func nanoseconds(_ batches: Int, _ body: () throws -> Void) rethrows -> Double {
    let time = try ContinuousClock().measure(body)
    return (time / .nanoseconds(1)) / Double(batches * batch)
}

func runSwift(_ core: KR1, key: KeyID, batches: Int) throws {
    let context = ValueContext.row(namespace: "app", name: "users.email", key: [Bytes("42".utf8)])
    let plaintext = Bytes(0..<80)
    let items = Array(repeating: PlainItem(plaintext, context: context, form: .blob), count: batch)
    for _ in 0..<batches {
        let sealed = try core.seal(items, with: key).map { SealedItem(try $0.get(), context: context) }
        for result in core.open(sealed) where try result.get().plaintext != plaintext {
            throw BenchmarkError(description: "a value came back as another")
        }
    }
}

func measure() throws -> Measurement {
    guard let key = KeyID(7), let loop = ckr1_loop_new(secret) else {
        throw BenchmarkError(description: "libcrypto refuses")
    }
    defer { ckr1_loop_free(loop) }
    let core = try KR1(options: [:], keys: [KeyMaterial(id: key, secret: SecretBytes(copying: secret))])
    let runC = { (batches: Int) in
        guard ckr1_loop_run(loop, UInt64(batches)) == 1 else { throw BenchmarkError(description: "the C loop failed") }
    }
    // Some 0.3 s a side, after the first pair has warmed both up.
    let once = try nanoseconds(100) { try runC(100) }
    let batches = max(1, Int(0.3e9 / once) / batch)
    var swift: [Double] = []
    var c: [Double] = []
    for pair in 0...pairs {
        let first = pair % 2 == 0 ? try nanoseconds(batches) { try runC(batches) } : 0
        let ours = try nanoseconds(batches) { try runSwift(core, key: key, batches: batches) }
        let theirs = pair % 2 == 0 ? first : try nanoseconds(batches) { try runC(batches) }
        if pair == 0 { continue }
        swift.append(ours)
        c.append(theirs)
    }
    let ratios = zip(swift, c).map { $0 / $1 }
    return Measurement(
        bar: bar, ratio: median(ratios), swiftNanoseconds: median(swift), cNanoseconds: median(c), ratios: ratios)
}

func text(_ value: Double) -> String { String(format: "%.2f", value) }

let result = try measure()
print("kr1, open + seal of 80 bytes, one thread, \(pairs) alternating pairs")
print("swift  \(text(result.swiftNanoseconds)) ns")
print("c      \(text(result.cNanoseconds)) ns")
print("ratio  \(text(result.ratio)) (median; bar \(text(bar)))")
if let index = CommandLine.arguments.firstIndex(of: "--json"), CommandLine.arguments.indices.contains(index + 1) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try encoder.encode(result).write(to: URL(filePath: CommandLine.arguments[index + 1]))
}
exit(result.ratio <= bar ? 0 : 1)
