import ControlStore
import Foundation
import PluginKit
import Scripting

/// The worker that was built with these tests.
enum BuiltWorker {
    /// Its path: beside the test bundle, or in one of the folders above it.
    static let path: String? = {
        let named = CommandLine.arguments.filter { $0.hasPrefix("/") }
        for start in named + [Bundle.main.bundlePath, #filePath] {
            var folder = URL(filePath: start).deletingLastPathComponent()
            while folder.path != "/" {
                for place in ["keyturn-lua", ".build/debug/keyturn-lua"] {
                    let file = folder.appending(path: place).path
                    if FileManager.default.isExecutableFile(atPath: file) { return file }
                }
                folder.deleteLastPathComponent()
            }
        }
        return nil
    }()
}

/// A folder of its own that goes with the value.
final class Scratch {
    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// Writes a configuration and gives its path.
    func configuration(_ bytes: [UInt8]) throws -> String {
        let file = folder.appending(path: "keyturn.lua")
        try Data(bytes).write(to: file)
        return file.path
    }
}

/// Cores as the real ones describe themselves, as far as a configuration asks.
let testCores = [
    CoreDescriptor(
        name: "kr1", summary: "", isAuthenticated: true, isCommitting: true, keyID: .exact,
        bindings: [.none, .column, .row, .caller], determinism: .optional, sealLimit: 1 << 32, materialSizes: 32...32,
        materialSize: 32),
    CoreDescriptor(
        name: "fernet", summary: "", isAuthenticated: true, isCommitting: false, keyID: .none, bindings: [.none],
        determinism: .never, sealLimit: 1 << 48, materialSizes: 1...256, materialSize: 32,
        options: ["derivation", "salt"]),
]

/// Loads a configuration from its text.
func load(_ text: String, limits: WorkerLimits = WorkerLimits()) async throws -> Configuration {
    try await load(bytes: Array(text.utf8), limits: limits)
}

/// Loads a configuration from its bytes.
func load(bytes: [UInt8], limits: WorkerLimits = WorkerLimits()) async throws -> Configuration {
    let scratch = try Scratch()
    defer { withExtendedLifetime(scratch) {} }
    let loader = ConfigurationLoader(workerPath: BuiltWorker.path, cores: testCores, limits: limits)
    return try await loader.load(file: try scratch.configuration(bytes))
}

/// The error that loading a configuration gives; nil where there is none.
func loadError(_ text: String, limits: WorkerLimits = WorkerLimits()) async throws -> ScriptingError? {
    try await loadError(bytes: Array(text.utf8), limits: limits)
}

/// The error that loading a configuration gives; nil where there is none.
func loadError(bytes: [UInt8], limits: WorkerLimits = WorkerLimits()) async throws -> ScriptingError? {
    do {
        _ = try await load(bytes: bytes, limits: limits)
        return nil
    } catch let error as ScriptingError {
        return error
    }
}
