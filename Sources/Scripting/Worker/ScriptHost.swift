package import Frames

/// What scripts reach through the functions that their worker offers; implemented by whoever checks and performs calls.
package protocol ScriptHost: Sendable {
    /// Performs a call of the API that a script made.
    ///
    /// - Parameters:
    ///   - name: The entry: `keyrings.list`.
    ///   - arguments: The arguments as the script gave them; one table with names alone is a map.
    /// - Returns: The value that the script gets.
    /// - Throws: A ``KeyModel/CodedError``, which the script can catch: `{code=, message=, hint=}`.
    func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue

    /// Takes what a script printed: whole lines where it printed whole lines, valid UTF-8.
    func output(_ text: String) async
}
