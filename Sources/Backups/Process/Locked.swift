internal import Foundation
internal import Synchronization

/// A value that several threads share.
final class Locked<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }

    /// Lends the value.
    func with<Result: Sendable>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        try value.withLock { value in try body(&value) }
    }
}

/// Does blocking work on a thread of its own, never on the shared pool; cancelling the task raises the flag that it gets.
func onThread<Value: Sendable>(_ work: @escaping @Sendable (Flag) throws -> Value) async throws -> Value {
    let isCancelled = Flag()
    return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                ignoreBrokenPipes()
                continuation.resume(with: Result { try work(isCancelled) })
            }
        }
    } onCancel: {
        isCancelled.set()
    }
}

/// Makes a write to a pipe that nobody reads an error of that write; of this thread alone, which must be ours.
func ignoreBrokenPipes() {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
}
