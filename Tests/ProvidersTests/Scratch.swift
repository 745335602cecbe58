internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Providers

/// A directory of a test's own that goes with it.
final class Scratch: Sendable {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    var root: String { path("root.key") }
    var names: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() } }

    func path(_ name: String) -> String { folder.appending(path: name).path }
    func text(_ name: String = "root.key") throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }

    func mode(_ name: String = "root.key") throws -> Int? {
        let attributes = try FileManager.default.attributesOfItem(atPath: path(name))
        return (attributes[.posixPermissions] as? NSNumber)?.intValue
    }

    func write(_ text: String, to name: String = "root.key", mode: Int = 0o600) throws {
        try text.write(toFile: path(name), atomically: false, encoding: .utf8)
        try setMode(mode, of: name)
    }

    func setMode(_ mode: Int, of name: String = "root.key") throws {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path(name))
    }
}

/// The keys of a root key file, as they stand in it; none of them may appear in any message.
func secrets(in text: String) -> [Substring] {
    text.split(separator: "\n").dropFirst().compactMap { line in
        let fields = line.split(separator: " ")
        return fields.count > 2 ? fields[2] : nil
    }
}

let someTime = Timestamp(milliseconds: 1_795_248_550_011)
let call = ProviderCall(deadline: .seconds(5), idempotencyKey: "test")
