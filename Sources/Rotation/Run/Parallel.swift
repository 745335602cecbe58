internal import Storage

/// Maps an array in chunks over the processors, keeping its order.
func parallelMap<Element: Sendable, Value: Sendable>(
    _ elements: [Element], _ transform: @escaping @Sendable ([Element]) -> [Value]
) async -> [Value] {
    let chunk = 512
    guard elements.count > chunk else { return transform(elements) }
    let starts = Array(stride(from: 0, to: elements.count, by: chunk))
    return await withTaskGroup(of: (Int, [Value]).self) { group in
        for (number, start) in starts.enumerated() {
            group.addTask { (number, transform(Array(elements[start..<min(start + chunk, elements.count)]))) }
        }
        var parts = [[Value]](repeating: [], count: starts.count)
        for await (number, part) in group { parts[number] = part }
        return parts.flatMap { $0 }
    }
}

/// Repeats a transaction that met a lock, with growing pauses, for half a minute at the most.
///
/// A connection that is lost is not waited for here where ``Patience`` has done so already.
func persistent<Value>(_ body: () async throws -> Value) async throws -> Value {
    var pause = Duration.milliseconds(50)
    while true {
        do {
            return try await body()
        } catch let error as StorageError where error.isWorthRepeating && pause < .seconds(16) {
            try await Task.sleep(for: pause)
            pause *= 2
        }
    }
}

extension StorageError {
    fileprivate var isWorthRepeating: Bool {
        code == .storeBusy || code == .storeUnavailable && Patience.current == nil
    }
}
