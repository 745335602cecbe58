/// Assembles frames from the pieces in which a stream delivers them.
///
/// After an error the stream is out of step and every further call throws the same error.
package struct FrameReader: Sendable {
    private let decoder: FrameDecoder
    private var buffer: [UInt8] = []
    private var start = 0
    private var failure: FrameError?

    /// Makes a reader at the start of a stream.
    package init(limits: FrameLimits = FrameLimits()) { decoder = FrameDecoder(limits: limits) }

    /// Takes the next bytes of the stream.
    package mutating func append(_ bytes: some Sequence<UInt8>) { buffer.append(contentsOf: bytes) }

    /// Hands out the next whole frame; nil until more bytes are there.
    ///
    /// A frame that announces itself above the limit is refused at once, before its bytes are taken.
    ///
    /// - Throws: ``FrameError`` as ``FrameDecoder`` does.
    package mutating func next() throws(FrameError) -> FrameValue? {
        if let failure { throw failure }
        do throws(FrameError) { return try readNext() } catch {
            failure = error
            throw error
        }
    }

    /// Says that the stream has ended.
    ///
    /// - Throws: ``FrameError`` with `dataTruncated` where it ended inside a frame.
    package func finish() throws(FrameError) {
        if let failure { throw failure }
        guard start == buffer.count else {
            throw FrameError(
                .dataTruncated, "cannot read a frame: the stream ended \(buffer.count - start) bytes into it")
        }
    }

    private mutating func readNext() throws(FrameError) -> FrameValue? {
        guard buffer.count - start >= 4 else { return nil }
        let length = buffer[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
        guard length <= decoder.limits.frameBytes else { throw frameTooLarge(length, decoder.limits) }
        guard buffer.count - start - 4 >= length else { return nil }
        let value = try decoder.value(buffer[start + 4..<start + 4 + length])
        start += 4 + length
        dropRead()
        return value
    }

    /// Gives memory back once most of the buffer has been read, so that a byte is moved at most twice.
    private mutating func dropRead() {
        guard start > buffer.count / 2 else { return }
        buffer.removeFirst(start)
        start = 0
    }
}
