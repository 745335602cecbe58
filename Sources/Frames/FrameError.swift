/// Says why a frame cannot be read or written.
package struct FrameError: Error, Hashable, Sendable {
    /// Stable names, the same in logs and JSON.
    package enum Code: String, Sendable {
        /// A value of ours does not fit a frame; a smaller one does.
        case callerValueTooLarge
        /// A frame is longer than the limit; the stream cannot be read on.
        case dataTooLarge
        /// A value is nested too deeply.
        case dataTooDeep
        /// A frame holds too many values.
        case dataTooMany
        /// Bytes that are no value of the subset; a retry cannot help.
        case dataMalformed
        /// The stream or the frame ends inside a value.
        case dataTruncated
    }

    /// Which of them.
    package let code: Code
    /// What could not be done, and why; lower case, one line, without what the frame held.
    package let message: String

    /// Makes an error.
    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
