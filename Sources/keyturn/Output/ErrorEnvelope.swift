internal import Foundation
internal import KeyModel

/// An error as JSON: `{"ok":false,"error":{"code":…,"message":…,"hint":…}}`.
struct ErrorEnvelope {
    /// The text, one line.
    let text: String

    init(_ error: any Error) {
        let coded = error as? any CodedError
        var body = ["code": coded?.codeName ?? "internalUnexpected", "message": coded?.message ?? "\(error)"]
        if let hint = coded?.hint { body["hint"] = hint }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let envelope = Envelope(ok: false, error: body)
        do {
            text = String(decoding: try encoder.encode(envelope), as: UTF8.self)
        } catch {
            text =
                #"{"error":{"code":"internalUnexpected","message":"the error cannot be written as JSON"},"ok":false}"#
        }
    }

    private struct Envelope: Encodable {
        let ok: Bool
        let error: [String: String]
    }
}
