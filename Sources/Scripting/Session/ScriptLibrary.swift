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

    /// Reads the texts of a folder whose names end with `.lua`; none where there is no such folder.
    ///
    /// - Throws: ``ScriptingError`` with `callerFileUnreadable`, also for a text that everybody may write.
    package init(folder: String) throws(ScriptingError) { self = try SourceFile.library(in: folder) }

    /// Names and texts in turn, as requests carry them.
    var frame: FrameValue { .array(texts.flatMap { [.string($0.name), .binary($0.bytes)] }) }
}
