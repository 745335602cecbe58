package import PluginKit

/// A wrapped key as it lies in the database, with what it is bound to.
package struct StoredKey: Hashable, Sendable {
    /// The wrapped key.
    package let wrapped: WrappedKey
    /// What it is bound to.
    package let binding: WrapBinding

    /// Puts the two together.
    package init(_ wrapped: WrappedKey, boundTo binding: WrapBinding) {
        self.wrapped = wrapped
        self.binding = binding
    }
}
