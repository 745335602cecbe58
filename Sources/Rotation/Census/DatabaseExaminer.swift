package import ControlStore
package import KeyModel
package import PluginKit
package import Storage

/// Opens a database, most often a restored copy, with nothing but the keyring in it and the providers that are given.
package struct DatabaseExaminer: Sendable {
    private let cores: CoreCatalogue
    private let providers: [Name: any KeyProvider]

    /// Looks at databases through these cores and providers.
    package init(cores: CoreCatalogue, providers: [Name: any KeyProvider]) {
        self.cores = cores
        self.providers = providers
    }

    /// Reads the keyring of a database and, where that is asked for, opens every value; changes nothing.
    ///
    /// - Throws: ``ControlStoreError`` with `storeSchemaState` where it holds no keyring, ``RotationError`` with
    ///   `keyNotUnwrapped` where a key does not unwrap or its canary does not open, or ``StorageError``.
    package func examine(_ engine: any StorageEngine, opensValues: Bool) async throws -> Examination {
        let control = ControlStore(engine: engine)
        guard
            let instance = try await control.read({ session in
                guard try session.schemaVersion() > 0 else { return InstanceRecord?.none }
                try session.refuseNewerSchema()
                return try session.instance()
            })
        else {
            throw ControlStoreError(.storeSchemaState, "there are no tables of Keyturn in it")
        }
        var found = try await control.read { try Self.keyring(of: instance, in: $0) }
        guard opensValues else { return found }
        let keys = KeyAccess(control: control, cores: cores, providers: providers)
        let (records, columns, run) = try await control.read { session in
            (try session.keyrings(), try session.columns(), try session.openRun())
        }
        var rings: [OpenedKeyring] = []
        for record in records {
            for version in record.keyring.versions where version.state != .destroyed {
                // Throws unless the canary opens.
                _ = try await keys.material(of: version.id, in: record.keyring.name, instance: instance.id)
                found.canaries += 1
            }
            rings.append(try await keys.open(record, with: cores, instance: instance.id, forRewrite: true))
        }
        let conversion = try run.flatMap { $0.kind == .convert ? try Plan.decode($0.plan)?.conversion : nil }
        let walk = Walk(control: control, rings: rings, conversion: conversion, instance: instance)
        try await walk.open(columns, into: &found)
        try await walk.discover(into: &found)
        return found
    }

    private static func keyring(of instance: InstanceRecord, in session: ControlSession) throws -> Examination {
        var wrapped: [String] = []
        var wrappers: Set<BackupRecord.Wrapper> = []
        var lines: [String] = []
        for key in try session.keyIDs() {
            for wrap in try session.wraps(of: key) {
                wrapped.append(key.description)
                wrappers.insert(
                    BackupRecord.Wrapper(provider: wrap.provider.description, key: wrap.wrapped.providerKeyID))
                let digest = ContentHash.sha256(wrap.wrapped.ciphertext)
                lines.append("\(key) \(wrap.provider) \(wrap.wrapped.providerKeyID) \(digest)")
            }
        }
        return Examination(
            instance: instance.id, nonce: instance.nonce, epoch: instance.epoch,
            wrappedKeys: Set(wrapped).sorted(),
            wrappers: wrappers.sorted { ($0.provider, $0.key) < ($1.provider, $1.key) },
            keyringSHA256: ContentHash.sha256(lines.sorted().joined(separator: "\n").utf8))
    }

    /// Walks through the values.
    private struct Walk {
        let control: ControlStore
        let rings: [OpenedKeyring]
        let conversion: Conversion?
        let instance: InstanceRecord

        /// Opens every value of the declared columns, whatever their `where` picks.
        func open(_ columns: [ColumnRecord], into found: inout Examination) async throws {
            for column in columns where column.isDeclared {
                guard let ring = rings.first(where: { $0.name == column.declaration.keyring }) else { continue }
                let source = conversion.flatMap { conversion in
                    // Before its activation, a conversion has moved no column yet.
                    guard conversion.contextsBefore[column.id] != nil, ring.name.description != conversion.from else {
                        return (OpenedKeyring, Conversion)?.none
                    }
                    return rings.first { $0.name.description == conversion.from }.map { ($0, conversion) }
                }
                var count = ColumnCensus(column: column.declaration.path.description)
                let taker = try CensusTaker(
                    column: column, keyring: ring, namespace: instance.namespace, from: source)
                var step = CensusTaker.Step(cursor: nil, isLast: false)
                while !step.isLast {
                    try Task.checkCancellation()
                    step = try await taker.count(after: step.cursor, on: control.engine, into: &count)
                    for value in step.unopened { found.note(unopened: value.digest, naming: value.key) }
                }
                take(count, of: ring, into: &found)
            }
        }

        private func take(_ count: ColumnCensus, of ring: OpenedKeyring, into found: inout Examination) {
            if let active = ring.active, count.active + count.outside.active > 0 {
                found.usage[active.description, default: 0] += count.active + count.outside.active
            }
            for (key, values) in count.old { found.usage[key, default: 0] += values }
            for (key, values) in count.outside.oldKeys ?? [:] { found.usage[key, default: 0] += values }
            found.unopenable += count.unopenable + count.outside.foreign
            let room = ColumnCensus.mostFindings - found.findings.count
            found.findings += count.findings.prefix(max(0, room)).map { "\(count.column) row \($0.row): \($0.what)" }
        }

        /// Looks for values of ours in columns that nobody declared.
        func discover(into found: inout Examination) async throws {
            let scan = UndeclaredScan(control: control, rings: rings, byteBudget: .max)
            guard let discovery = try await scan.run(interrupt: Interrupt()) else { return }
            for finding in discovery.findings {
                let (all, ours) = (finding.shapes.values.reduce(0, +), finding.keys.values.reduce(0, +))
                found.undeclared[finding.column] = all
                if all > ours { found.unknown[finding.column] = all - ours }
                for (key, values) in finding.keys { found.usage[key, default: 0] += values }
            }
            found.unread = discovery.partlyRead + discovery.unreadable
            found.isWhole = found.unread.isEmpty
        }
    }
}
