import Backups
import ControlStore
import Foundation
import KR1
import KeyModel
import PluginKit
import Rotation
import Storage
import StorageSQLite

extension Bench {
    /// What really makes, proves, prunes and restores backups of the bench's database.
    func backups(_ declaration: BackupDeclaration) throws -> BackupService {
        try BackupService(
            control: control, declaration: declaration, location: .sqlite(path: application.path),
            seams: BackupSeams(
                opener: BenchOpener(bench: self), copier: FileCopier(), connect: { try Self.connect($0) },
                reach: { _ in [:] }, escrow: nil, now: { [clock] in clock.now() },
                environment: ProcessInfo.processInfo.environment, actor: "tester"))
    }

    private static func connect(_ location: DatabaseLocation) throws -> any StorageEngine {
        guard case .sqlite(let path) = location else { throw CancellationError() }
        return try SQLiteEngine(path: path)
    }
}

/// Opens copies with the bench's own provider.
private struct BenchOpener: RestoredOpener {
    let bench: Bench

    func examine(_ engine: any StorageEngine, rootKey: Int32?, opensValues: Bool) async throws -> Examination {
        try await bench.examine(ControlStore(engine: engine), opensValues: opensValues)
    }
}

/// The copier of the executable.
private struct FileCopier: DatabaseFileCopier {
    private let copier = SQLiteFileCopier()

    var version: String { copier.version }
    func copy(
        _ source: String, to target: String, bytesPerSecond: Int64?, isCancelled: @escaping @Sendable () -> Bool
    ) throws { try copier.copy(source, to: target, bytesPerSecond: bytesPerSecond, isCancelled: isCancelled) }
    func replace(_ path: String, with source: String) throws { try copier.replace(path, with: source) }
    func check(_ path: String) throws { try copier.check(path) }
}
