/// Finds the known word that somebody most likely meant by an unknown one.
///
/// The distance counts insertions, deletions, replacements and swaps of neighbours (optimal string alignment), with
/// upper and lower case taken as equal. A word further away than a third of the longer one's length is no suggestion.
/// Only the first 64 characters of a word count, so that outside text cannot cost much.
///
/// - Parameters:
///   - word: What was written.
///   - known: The words that would have been understood.
/// - Returns: The nearest word, the first in the alphabet among equally near ones; nil where none is near.
public func nearest(to word: String, among known: some Sequence<String>) -> String? {
    let letters = folded(word)
    var best: (distance: Int, word: String)?
    for candidate in known {
        let other = folded(candidate)
        let distance = alignmentDistance(letters, other)
        guard distance <= max(1, max(letters.count, other.count) / 3), distance < max(letters.count, other.count) else {
            continue
        }
        if best.map({ (distance, candidate) < ($0.distance, $0.word) }) ?? true { best = (distance, candidate) }
    }
    return best?.word
}

private func folded(_ word: String) -> [Character] { Array(word.lowercased().prefix(64)) }

private func alignmentDistance(_ left: [Character], _ right: [Character]) -> Int {
    guard !left.isEmpty, !right.isEmpty else { return max(left.count, right.count) }
    var beforePrevious: [Int] = []
    var previous = Array(0...right.count)
    for row in 1...left.count {
        var current = [row]
        for column in 1...right.count {
            let replacement = previous[column - 1] + (left[row - 1] == right[column - 1] ? 0 : 1)
            var cost = min(previous[column] + 1, current[column - 1] + 1, replacement)
            if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
                cost = min(cost, beforePrevious[column - 2] + 1)
            }
            current.append(cost)
        }
        beforePrevious = previous
        previous = current
    }
    return previous[right.count]
}
