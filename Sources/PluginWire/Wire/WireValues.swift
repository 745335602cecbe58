internal import Foundation
internal import GRPCCore
internal import KeyModel
package import PluginKit
internal import SwiftProtobuf

/// The values of PluginKit as messages, and back; what comes from outside is checked before it becomes a value.
extension Keyturn_Provider_V1_WrappedKey {
    /// The message of a wrapped key.
    package init(_ wrapped: WrappedKey) {
        self = .with {
            $0.ciphertext = Data(wrapped.ciphertext)
            $0.providerKeyID = wrapped.providerKeyID
            $0.annotations = wrapped.annotations.mapValues { Data($0) }
        }
    }
}

extension WrappedKey {
    /// The wrapped key of a message.
    package init(_ message: Keyturn_Provider_V1_WrappedKey) {
        self.init(
            ciphertext: Bytes(message.ciphertext), providerKeyID: message.providerKeyID,
            annotations: message.annotations.mapValues { Bytes($0) }
        )
    }
}

extension Keyturn_Provider_V1_Key {
    /// The message of a key's description.
    package init(_ key: ProviderKey) {
        self = .with {
            $0.id = key.id
            $0.isUsable = key.isUsable
            $0.summary = key.summary
            $0.endsAtMs = key.endsAt?.milliseconds ?? 0
            $0.credentialsEndAtMs = key.credentialsEndAt?.milliseconds ?? 0
        }
    }
}

extension ProviderKey {
    /// The description in a message; its summary is escaped.
    package init(_ message: Keyturn_Provider_V1_Key) {
        self.init(
            id: message.id, isUsable: message.isUsable, summary: WireText.escaped(message.summary),
            endsAt: Self.time(message.endsAtMs), credentialsEndAt: Self.time(message.credentialsEndAtMs))
    }
}

extension ProviderKey {
    /// A time on the wire, where 0 is none.
    private static func time(_ milliseconds: Int64) -> Timestamp? {
        milliseconds == 0 ? nil : Timestamp(milliseconds: milliseconds)
    }
}

extension Keyturn_Provider_V1_Check {
    /// The message of a test's line.
    package init(_ check: ProviderCheck) {
        self = .with {
            $0.name = check.name
            $0.remark = check.remark
            $0.outcome =
                switch check.outcome {
                case .pass: .pass
                case .fail: .fail
                case .skipped: .skipped
                }
        }
    }
}

extension ProviderCheck {
    /// The line in a message; its texts are escaped, and an outcome that is not known counts as a failure.
    package init(_ message: Keyturn_Provider_V1_Check) {
        let outcome: Outcome =
            switch message.outcome {
            case .pass: .pass
            case .skipped: .skipped
            default: .fail
            }
        self.init(
            name: WireText.escaped(message.name, limit: 100), outcome: outcome, remark: WireText.escaped(message.remark)
        )
    }
}

extension Keyturn_Provider_V1_Binding {
    /// The message of a binding.
    package init(_ binding: WrapBinding) {
        self = .with {
            $0.instance = binding.instance
            $0.keyring = binding.keyring.description
            $0.keyID = binding.key.rawValue
        }
    }
}

extension WrapBinding {
    /// The binding in a message.
    ///
    /// - Throws: A status of invalid argument.
    init(_ message: Keyturn_Provider_V1_Binding) throws {
        guard let key = KeyID(message.keyID), let keyring = try? Name(message.keyring) else {
            throw RPCError(code: .invalidArgument, message: "the binding names no keyring or key")
        }
        self.init(instance: message.instance, keyring: keyring, key: key)
    }
}
