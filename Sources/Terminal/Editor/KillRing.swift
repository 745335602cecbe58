/// What was cut, the latest last.
struct KillRing: Sendable {
    /// A piece that was cut.
    struct Piece: Hashable, Sendable {
        var text: String
        /// Whether any of it was pasted before.
        var isPasted: Bool
    }

    private var pieces: [Piece] = []
    private var place = 0
    private static let limit = 32

    /// Keeps a piece.
    ///
    /// - Parameters:
    ///   - piece: What was cut; nothing is kept of nothing.
    ///   - side: On which side it joins the piece before, where cuts follow one another; nil for neither.
    mutating func keep(_ piece: Piece, joining side: Side? = nil) {
        guard !piece.text.isEmpty else { return }
        if let side, let last = pieces.popLast() {
            let text = side == .end ? last.text + piece.text : piece.text + last.text
            pieces.append(Piece(text: text, isPasted: last.isPasted || piece.isPasted))
        } else {
            pieces.append(piece)
        }
        if pieces.count > Self.limit { pieces.removeFirst() }
        place = pieces.count - 1
    }

    enum Side: Sendable {
        case start, end
    }

    /// The piece that is put back first.
    mutating func latest() -> Piece? {
        place = pieces.count - 1
        return pieces.last
    }

    /// The piece before the one that was put back last, round and round.
    mutating func earlier() -> Piece? {
        guard !pieces.isEmpty else { return nil }
        place = (place + pieces.count - 1) % pieces.count
        return pieces[place]
    }
}
