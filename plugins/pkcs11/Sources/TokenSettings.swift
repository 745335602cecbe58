internal import CToken
internal import Glibc
internal import KeyModel
internal import PluginKit
internal import PluginWire

/// What a provider's settings say, checked.
struct TokenSettings {
    let module: String
    let token: String
    let key: String
    private let origin: Origin
    let createsKey: Bool
    let sessions: Int

    /// The most bytes of a PIN, with the end of its line.
    private static let mostBytes = 255

    /// Where the PIN comes from.
    private enum Origin {
        case file(String)
        case host(ProviderSecret)
    }

    init(_ settings: [String: String], secret: ProviderSecret?) throws(ProviderError) {
        module = settings["module"] ?? ""
        token = settings["token"] ?? ""
        key = settings["key"] ?? ""
        origin = try Self.origin(settings["pin_file"], secret)
        guard module.hasPrefix("/") else {
            throw ProviderError(
                .providerMisconfigured, "module is \(quoted(module)), no absolute path",
                hint: "Name the library, such as /usr/lib/softhsm/libsofthsm2.so.")
        }
        guard !token.isEmpty, token.utf8.count <= 32, !key.isEmpty, key.utf8.count <= 200 else {
            throw ProviderError(.providerMisconfigured, "the label of token or key is empty or too long")
        }
        switch settings["create"] ?? "no" {
        case "yes": createsKey = true
        case "no": createsKey = false
        default: throw ProviderError(.providerMisconfigured, "create is neither \"yes\" nor \"no\"")
        }
        guard let sessions = Int(settings["sessions"] ?? "4"), (1...64).contains(sessions) else {
            throw ProviderError(.providerMisconfigured, "sessions is no number from 1 to 64")
        }
        self.sessions = sessions
    }

    private static func origin(_ file: String?, _ secret: ProviderSecret?) throws(ProviderError) -> Origin {
        switch (file, secret) {
        case (let file?, nil): return .file(file)
        case (nil, let secret?): return .host(secret)
        case (nil, nil):
            throw ProviderError(
                .providerMisconfigured, "there is no PIN",
                hint: "Name a file of mode 0600 with pin_file, or the descriptor it comes on with secret_fd.")
        case (_?, _?):
            throw ProviderError(
                .providerMisconfigured, "both pin_file and secret_fd give a PIN", hint: "Leave one of them out.")
        }
    }

    /// The PIN.
    ///
    /// - Throws: `ProviderError` with `providerMisconfigured` where it cannot be read or is none.
    func pin() throws(ProviderError) -> SecretBytes {
        switch origin {
        case .file(let path): return try Self.pin(in: path)
        case .host(let secret):
            return try secret.withExposedBytes { bytes throws(ProviderError) in
                try Self.pin(bytes[...], of: "what came on secret_fd")
            }
        }
    }

    /// Reads the PIN; only the file's owner may be able to.
    private static func pin(in pinFile: String) throws(ProviderError) -> SecretBytes {
        let file = open(pinFile, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            throw ProviderError(
                .providerMisconfigured, "cannot read the PIN from \(quoted(pinFile))",
                hint: "Write it to a file of mode 0600, and name that with pin_file.")
        }
        defer { close(file) }
        guard kt_file_is_private(file) == 1 else {
            throw ProviderError(
                .providerMisconfigured, "others can read the PIN in \(quoted(pinFile))", hint: "chmod 600 \(pinFile)")
        }
        var count = 0
        let room = SecretBytes(count: Self.mostBytes + 1) { count = read(file, $0.baseAddress, $0.count) }
        return try room.withExposedBytes { bytes throws(ProviderError) in
            try pin(bytes.prefix(max(0, count)), of: quoted(pinFile))
        }
    }

    /// The PIN in bytes that may end with a line's end.
    private static func pin(
        _ bytes: Slice<UnsafeRawBufferPointer>, of what: String
    ) throws(ProviderError) -> SecretBytes {
        var pin = bytes
        while let last = pin.last, last == 0x0A || last == 0x0D { pin = pin.dropLast() }
        guard !pin.isEmpty, bytes.count <= mostBytes else {
            throw ProviderError(.providerMisconfigured, "\(what) holds no PIN of 1 to 255 bytes")
        }
        return SecretBytes(copying: pin)
    }
}
