internal import Foundation
internal import KeyModel
internal import PluginKit
internal import ProviderHost
internal import ToolTesting

/// A directory of a test's own, which plugins may be executed from, and what tests share.
final class HostScratch: Sendable {
    let path: String

    init() throws {
        path = "/tmp/kt-\(UUID().uuidString.prefix(13).lowercased())"
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// A path in the directory.
    func file(_ name: String) -> String { path + "/" + name }

    /// A directory in the directory.
    func directory(_ name: String) throws -> String {
        try FileManager.default.createDirectory(
            atPath: file(name), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        return file(name)
    }

    /// A file's permissions.
    func mode(of name: String) throws -> Int? {
        let attributes = try FileManager.default.attributesOfItem(atPath: file(name))
        return (attributes[.posixPermissions] as? NSNumber)?.intValue
    }

    /// A copy of a program of the tests, written by another process, so that none of ours holds it open for writing.
    func program(_ name: String, as copy: String? = nil) throws -> PluginFile {
        let source = BuiltProgram.folder("Tests/ProviderHostTests/Programs/\(name)").path
        return try PluginFile(path: try install(source, as: copy ?? name))
    }

    /// A copy of a program of this package.
    func built(_ name: String) throws -> String { try install(try BuiltProgram.named(name), as: name) }

    /// A copy of the example plugin.
    func example(as copy: String = "example-provider") throws -> PluginFile {
        try PluginFile(path: try install(try BuiltProgram.named("example-provider"), as: copy))
    }

    private func install(_ source: String, as name: String) throws -> String {
        let target = file(name)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/install")
        process.arguments = ["-m", "755", source, target]
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw EndToEndError("cannot install \(source)") }
        return target
    }

    /// The environment that finds the Python of the tests.
    static var environment: [String: String] {
        var environment = PluginLaunch.cleanEnvironment
        environment["PATH"] = ProcessInfo.processInfo.environment["PATH"]
        return environment
    }
}

/// Lines that a plugin wrote on standard error.
actor Heard {
    private(set) var lines: [String] = []

    func hear(_ line: String) { lines.append(line) }
}

/// Everything that tests of calls need again and again.
enum Sample {
    static let deadline = Duration.seconds(20)
    static let call = ProviderCall(deadline: deadline, idempotencyKey: "test")

    static var name: Name { get throws { try Name("tested") } }

    static var binding: WrapBinding {
        get throws {
            guard let key = KeyID(7) else { throw EndToEndError("7 is no key id") }
            return WrapBinding(instance: "instance", keyring: try Name("main"), key: key)
        }
    }

    static func material(_ count: Int = 32) -> SecretBytes {
        SecretBytes(copying: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) })
    }

    /// Whether the material of the tests stands in a text, in one of the forms in which it could slip out.
    static func showsMaterial(_ text: String) -> Bool {
        forms(of: material().withExposedBytes { Data($0) }).contains { text.contains($0) }
    }

    /// A key as base64, as base64 for addresses, and in hexadecimal digits.
    static func forms(of key: Data) -> [String] {
        let base64 = key.base64EncodedString().replacing("=", with: "")
        let digits = key.map { String(format: "%02x", $0) }.joined()
        let forAddresses = base64.replacing("+", with: "-").replacing("/", with: "_")
        return [base64, forAddresses, digits, digits.uppercased()]
    }

    /// Waits until something holds; false where it does not in time.
    static func eventually(within time: Duration = .seconds(20), _ holds: () async throws -> Bool) async rethrows
        -> Bool
    {
        let deadline = ContinuousClock.now + time
        while .now < deadline {
            if try await holds() { return true }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return try await holds()
    }

    /// The error that a call ends with.
    static func failure(_ body: () async throws -> Void) async throws -> ProviderError {
        do {
            try await body()
        } catch let error as ProviderError {
            return error
        }
        throw EndToEndError("it was not refused")
    }

    /// Whether a process is there and no zombie.
    static func isAlive(_ pid: pid_t) -> Bool {
        guard let status = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8) else { return false }
        return status.split(separator: ")").last?.split(separator: " ").first != "Z"
    }
}
