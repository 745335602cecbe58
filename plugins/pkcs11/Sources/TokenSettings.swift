internal import CToken
internal import Glibc
internal import KeyModel
internal import PluginKit

/// What a provider's settings say, checked.
struct TokenSettings {
    let module: String
    let token: String
    let key: String
    let pinFile: String
    let createsKey: Bool
    let sessions: Int

    init(_ settings: [String: String]) throws(ProviderError) {
        module = settings["module"] ?? ""
        token = settings["token"] ?? ""
        key = settings["key"] ?? ""
        pinFile = settings["pin_file"] ?? ""
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

    /// Reads the PIN; only its owner may be able to.
    func pin() throws(ProviderError) -> SecretBytes {
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
        var buffer = [UInt8](repeating: 0, count: 256)
        defer { buffer.withUnsafeMutableBytes { Self.erase($0) } }
        let count = buffer.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
        var pin = buffer.prefix(max(0, count))
        while let last = pin.last, last == 0x0A || last == 0x0D { pin.removeLast() }
        guard !pin.isEmpty, count < buffer.count else {
            throw ProviderError(.providerMisconfigured, "\(quoted(pinFile)) holds no PIN of 1 to 255 bytes")
        }
        return SecretBytes(copying: pin)
    }

    private static func erase(_ bytes: UnsafeMutableRawBufferPointer) {
        if let base = bytes.baseAddress { explicit_bzero(base, bytes.count) }
    }
}
