internal import ControlStore
internal import KeyModel
internal import PluginKit

/// Where the values of columns are before they are converted to another core.
package struct Conversion: Hashable, Codable, Sendable {
    /// The keyring that seals them now.
    package let from: String
    /// What each column's values are bound to now, by the column's number; raw values of ``ValueContext/Scheme``.
    package let contextsBefore: [Int64: UInt8]
    /// What they are bound to afterwards.
    package let context: UInt8

    /// Plans the conversion of columns, all of one keyring.
    ///
    /// - Throws: ``RotationError`` with `callerRequestInvalid`.
    init(of columns: [ColumnRecord], to request: PlanRequest, core: any EncryptionCore.Type) throws {
        let sources = Set(columns.map(\.declaration.keyring))
        guard let source = sources.first, sources.count == 1 else {
            throw RotationError(
                .callerRequestInvalid, "cannot convert columns of several keyrings at a time",
                hint: "Convert the columns of one keyring, then those of the next."
            )
        }
        guard source != request.keyring else {
            throw RotationError(.callerRequestInvalid, "the columns belong to keyring \"\(source)\" already")
        }
        let bindings = core.descriptor.bindings
        let wanted = request.context ?? (bindings.contains(.column) ? .column : .none)
        guard bindings.contains(wanted) else {
            throw RotationError(
                .callerRequestInvalid, "core \"\(core.descriptor.name)\" cannot bind values to \"\(wanted)\"",
                hint: "It can bind to \(bindings.map { "\($0)" }.sorted().joined(separator: ", "))."
            )
        }
        from = source.description
        contextsBefore = Dictionary(uniqueKeysWithValues: columns.map { ($0.id, $0.declaration.context.rawValue) })
        context = wanted.rawValue
    }

    /// A column as it is after the conversion.
    func converted(_ column: ColumnRecord, to keyring: Name) -> ColumnRecord {
        column.moved(to: keyring, context: ValueContext.Scheme(rawValue: context) ?? .none)
    }

    /// A column as it was before the conversion.
    func original(_ column: ColumnRecord) throws -> ColumnRecord {
        let scheme = contextsBefore[column.id].flatMap(ValueContext.Scheme.init(rawValue:)) ?? .none
        return column.moved(to: try Name(from), context: scheme)
    }
}

/// What wraps a keyring's keys before a rewrapping.
package struct RewrapPlan: Hashable, Codable, Sendable {
    /// The provider.
    package let provider: String
    /// The provider's own name for the key that wraps now.
    package let providerKeyBefore: String
    /// Whether the provider is to make a new key first.
    package let makesNewRoot: Bool
}

extension ColumnRecord {
    /// The column under another keyring, its values bound otherwise.
    fileprivate func moved(to keyring: Name, context: ValueContext.Scheme) -> ColumnRecord {
        var moved = declaration
        moved.keyring = keyring
        moved.context = context
        return ColumnRecord(
            id: id, logicalName: logicalName, declaration: moved, isDeclared: isDeclared, isFenced: isFenced
        )
    }
}

extension Plan {
    /// The request that the plan was made for.
    func request() throws -> PlanRequest {
        guard let kind = RunKind(rawValue: kind), let urgency = RunUrgency(rawValue: urgency) else {
            throw RotationError(.callerPlanStale, "the plan is of no known kind")
        }
        return PlanRequest(
            kind: kind, urgency: urgency, keyring: try Name(keyring),
            context: conversion.flatMap { ValueContext.Scheme(rawValue: $0.context) },
            makesNewRoot: rewrap?.makesNewRoot ?? false
        )
    }
}
