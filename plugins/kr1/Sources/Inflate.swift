internal import CZlib
internal import PluginKit

/// Inflates raw deflate data (RFC 1951) up to a limit.
///
/// - Returns: The bytes; `tooLarge` beyond `limit`, `malformed` where the data is broken, cut or followed by more.
func inflated(_ data: Bytes, limit: Int) -> Result<Bytes, OpenFailure> {
    var stream = z_stream()
    guard inflateInit2_(&stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
        return .failure(.malformed)
    }
    defer { inflateEnd(&stream) }
    var input = data
    return input.withUnsafeMutableBufferPointer { input in
        stream.next_in = input.baseAddress
        stream.avail_in = UInt32(input.count)
        return inflate(&stream, expecting: input.count, limit: limit)
    }
}

private func inflate(_ stream: inout z_stream, expecting count: Int, limit: Int) -> Result<Bytes, OpenFailure> {
    var output: Bytes = []
    var chunk = Bytes(repeating: 0, count: min(max(count * 4, 1024), 1 << 20))
    while true {
        let (status, written) = chunk.withUnsafeMutableBufferPointer { memory in
            stream.next_out = memory.baseAddress
            stream.avail_out = UInt32(memory.count)
            let status = CZlib.inflate(&stream, Z_NO_FLUSH)
            return (status, memory.count - Int(stream.avail_out))
        }
        guard status == Z_OK || status == Z_STREAM_END else { return .failure(.malformed) }
        guard output.count + written <= limit else { return .failure(.tooLarge) }
        output += chunk[..<written]
        if status == Z_STREAM_END { return stream.avail_in == 0 ? .success(output) : .failure(.malformed) }
    }
}
