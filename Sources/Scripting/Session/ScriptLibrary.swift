internal import Frames

/// The texts of an instance's folder `scripts`, as they were read once.
package struct ScriptLibrary: Hashable, Sendable {
    /// One text.
    package struct Text: Hashable, Sendable {
        /// Its name for messages: `scripts/webhook.lua`.
        package let name: String
        /// Its bytes.
        package let bytes: [UInt8]
    }

    /// The texts, in the order of their names.
    package var texts: [Text]

    /// Makes a library.
    package init(texts: [Text] = []) { self.texts = texts }

    /// Names and texts in turn, as requests carry them.
    var frame: FrameValue { .array(texts.flatMap { [.string($0.name), .binary($0.bytes)] }) }
}
