internal import CToken
internal import KeyModel
internal import PluginKit

/// What a token answers, in PluginKit's words.
enum TokenError {
    /// The meaning of a result that is not success.
    ///
    /// - Parameters:
    ///   - result: The CKR_ code, or one of the shim's.
    ///   - what: What was tried: `log in`.
    /// - Returns: The error.
    static func error(_ result: kt_result, _ what: String) -> ProviderError {
        let (code, why, hint) = meaning(result)
        return ProviderError(code, "cannot \(what): \(why)", hint: hint)
    }

    /// Whether the token lost its sessions, so that new ones may work.
    static func isLost(_ result: kt_result) -> Bool {
        // Device error, memory or removed; session closed or invalid; token not present; user not logged in; not initialised.
        [0x30, 0x31, 0x32, 0xB0, 0xB3, 0xE0, 0x101, 0x190].contains(result)
    }

    private static func meaning(_ result: kt_result) -> (ProviderError.Code, String, String?) {
        switch result {
        case kt_result(KT_NOT_LOADED):
            (.providerMisconfigured, "the module cannot be loaded", "Check the path of the token's PKCS #11 library.")
        case kt_result(KT_NO_TOKEN):
            (.providerMisconfigured, "there is not exactly one token with that label", "List them with pkcs11-tool -L.")
        case 0xA0:
            (.providerMisconfigured, "the PIN is wrong", "Correct it and start the plugin anew; it is not tried again.")
        case 0xA1, 0xA2: (.providerMisconfigured, "the PIN is malformed", "Correct it and start the plugin anew.")
        case 0xA3: (.providerDenied, "the PIN has expired", "Have the token's officer set a new one.")
        case 0xA4: (.providerDenied, "the PIN is locked", "Have the token's officer unlock it.")
        case 0x68: (.providerDenied, "the token does not let the key do that", nil)
        case 0x70, 0x71:
            (.providerMisconfigured, "the token knows no AES-GCM", "Use a token that has CKM_AES_GCM.")
        case 0x40, 0x41: (.dataNotAuthentic, "it was changed or wrapped for another place", nil)
        case 0xE2, 0xE1: (.providerMisconfigured, "the token is not recognised or write-protected", nil)
        case _ where isLost(result): (.providerUnavailable, "the token cannot be reached (\(hexadecimal(result)))", nil)
        default: (.providerUnavailable, "the token answers \(hexadecimal(result))", nil)
        }
    }

    private static func hexadecimal(_ result: kt_result) -> String { "CKR 0x" + String(result, radix: 16) }
}
