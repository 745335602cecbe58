/// How long a server may leave a call without an answer.
///
/// What takes long is not cut off, whatever it is: it is looked whether the server still answers anybody.
package struct AnswerLimits: Sendable {
    /// How long a call waits before the server is asked for a connection, and again after each that it gave.
    package var silence: Duration
    /// How long the server has for that, in whole seconds and at least 2; where it takes longer, it is held for gone.
    package var probe: Duration
    /// The server's own limit for a statement; one that it has not ended long after that is not worked on.
    package var statement: Duration

    /// Makes limits.
    package init(
        silence: Duration = .seconds(30), probe: Duration = .seconds(10), statement: Duration = .seconds(600)
    ) {
        self.silence = silence
        self.probe = probe
        self.statement = statement
    }
}
