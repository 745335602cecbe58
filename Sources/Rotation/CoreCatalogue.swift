internal import KeyModel
package import PluginKit

/// The encryption cores that are linked in, by name.
package struct CoreCatalogue: Sendable {
    private let cores: [String: any EncryptionCore.Type]

    /// Makes a catalogue and runs every core's known answers.
    ///
    /// - Throws: ``CoreError`` with `internalSelfTestFailed`.
    package init(_ types: [any EncryptionCore.Type]) throws {
        for type in types { try type.selfTest() }
        cores = Dictionary(types.map { ($0.descriptor.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// What the cores are, by name.
    package var descriptors: [CoreDescriptor] { cores.values.map { $0.descriptor }.sorted { $0.name < $1.name } }

    /// The core of this name.
    ///
    /// - Throws: ``RotationError`` with `callerNotFound`.
    package func core(_ name: String) throws -> any EncryptionCore.Type {
        guard let core = cores[name] else {
            throw RotationError(
                .callerNotFound, "there is no core \(quoted(name))",
                hint: "The cores are \(cores.keys.sorted().joined(separator: ", "))."
            )
        }
        return core
    }
}
