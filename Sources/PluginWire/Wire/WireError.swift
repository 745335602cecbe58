package import GRPCCore
package import PluginKit
internal import SwiftProtobuf

/// Both directions between what PluginKit calls a failure and what gRPC calls one.
extension ProviderError {
    /// Where a hint travels.
    fileprivate static let hintKey = "keyturn-hint-bin"

    /// The status that says the same on the wire.
    package var status: RPCError {
        var metadata = Metadata()
        if let hint { metadata.addBinary(Array(hint.utf8.prefix(2048)), forKey: Self.hintKey) }
        return RPCError(code: code.status, message: String(message.prefix(1024)), metadata: metadata)
    }

    /// Reads a status; what the other side wrote is escaped and cut, never trusted.
    ///
    /// - Parameters:
    ///   - status: What came back.
    ///   - subject: Who was asked for what, for the message: `provider "hsm" cannot wrap`.
    package init(_ status: RPCError, subject: String) {
        let said = status.message.isEmpty ? status.code.description : WireText.harmless(status.message)
        self.init(Code(status.code), "\(subject): \(said)", hint: Self.hint(in: status.metadata))
    }

    private static func hint(in metadata: Metadata) -> String? {
        for value in metadata[binaryValues: hintKey] {
            return WireText.harmless(String(decoding: value, as: UTF8.self))
        }
        return nil
    }
}

/// A failure over a session is what the status of a single call would be.
extension Keyturn_Provider_V1_Failure {
    /// The message of a status.
    init(_ status: RPCError) {
        self = .with {
            $0.code = UInt32(status.code.rawValue)
            $0.message = status.message
            for hint in status.metadata[binaryValues: ProviderError.hintKey] {
                $0.hint = String(decoding: hint, as: UTF8.self)
            }
        }
    }

    /// The status of the message.
    package var status: RPCError {
        var metadata = Metadata()
        if !hint.isEmpty { metadata.addBinary(Array(hint.utf8), forKey: ProviderError.hintKey) }
        let code = Status.Code(rawValue: Int(code)).flatMap { RPCError.Code($0) } ?? .unknown
        return RPCError(code: code, message: message, metadata: metadata)
    }
}

extension ProviderError.Code {
    /// The gRPC status of a code.
    fileprivate var status: RPCError.Code {
        switch self {
        case .providerUnavailable: .unavailable
        case .providerDenied: .permissionDenied
        case .providerKeyUnknown: .notFound
        case .dataNotAuthentic: .dataLoss
        case .providerMisconfigured: .failedPrecondition
        case .providerAnswerInvalid: .internalError
        case .providerUnsupported: .unimplemented
        }
    }

    /// The code of a gRPC status.
    fileprivate init(_ status: RPCError.Code) {
        switch status {
        case .unavailable, .deadlineExceeded, .cancelled, .aborted: self = .providerUnavailable
        case .permissionDenied, .unauthenticated: self = .providerDenied
        case .notFound: self = .providerKeyUnknown
        case .dataLoss: self = .dataNotAuthentic
        case .failedPrecondition, .invalidArgument, .outOfRange: self = .providerMisconfigured
        case .unimplemented: self = .providerUnsupported
        default: self = .providerAnswerInvalid
        }
    }
}

/// Text from another process, made fit for a message.
package enum WireText {
    /// Escapes what a terminal would act on and cuts after about `limit` bytes.
    package static func escaped(_ text: some StringProtocol, limit: Int = 400) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            guard result.utf8.count < limit else { return result + "…" }
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned:
                result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Escapes, hides what could be a key, and only then cuts: half a key would not be known as one.
    package static func harmless(_ text: some StringProtocol, limit: Int = 400) -> String {
        escaped(hidingKeys(in: escaped(text, limit: .max)), limit: limit)
    }

    /// Hides runs of 32 and more characters of base64 or hexadecimal, unless they are a path or a UUID with little beside it.
    ///
    /// A path begins with a slash, and what lies between its slashes is short and looks like words.
    package static func hidingKeys(in text: String) -> String {
        let uuid = /[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}/
        var result = ""
        var run = ""
        func flush() {
            let isPath =
                run.hasPrefix("/") && !run.contains("+") && run.split(separator: "/").allSatisfy(looksLikeWords)
            let isLong = run.utf8.count >= 32 && run.replacing(uuid, with: "").utf8.count >= 20
            result += isLong && !isPath ? "(\(run.utf8.count) characters hidden)" : run
            run = ""
        }
        for character in text {
            if character.isASCII, character.isLetter || character.isNumber || "+/=_-".contains(character) {
                run.append(character)
            } else {
                flush()
                result.append(character)
            }
        }
        flush()
        return result
    }

    /// Whether a part of a path is short, and where it is not very short, does not mix letters of both cases with digits.
    private static func looksLikeWords(_ part: Substring) -> Bool {
        guard part.utf8.count < 32, !part.hasSuffix("=") else { return false }
        let isMixed =
            part.contains(where: \.isUppercase) && part.contains(where: \.isLowercase)
            && part.contains(where: \.isNumber)
        return part.utf8.count < 12 || !isMixed
    }
}
