internal import ControlStore
internal import KeyModel

/// What is allowed to a keyring that lies under a customer's key: no key but a customer's, unless the instance was made with
/// a way back.
///
/// Whether a provider is a customer's is a matter of what keyturn.lua says of it now, never of its name alone.
struct CustomerHold {
    let declared: [Name: ProviderDeclaration]

    /// Whether keys under a provider are under the key that somebody tested and saved.
    func isCustomers(_ provider: Name, in session: ControlSession) throws -> Bool {
        guard let declaration = declared[provider], !declaration.isKeyFile else { return false }
        return try session.byokProvider(provider)?.savedSettings == declaration.fingerprint
    }

    /// Why what a keyring protects may not go under a provider; nil where it may.
    func refusal(of keyring: Name, under provider: Name, in session: ControlSession) throws -> String? {
        guard let holder = try session.movedKeyrings()[keyring], try session.byok()?.allowsReturn != true,
            try !isCustomers(provider, in: session)
        else { return nil }
        let place = "keyring \"\(keyring)\" lies under the customer's key of \"\(holder)\""
        guard let declaration = declared[provider], !declaration.isKeyFile,
            try session.byokProvider(provider)?.savedSettings != nil
        else { return "\(place) and goes under no other than the customer's" }
        return "\(place), and the settings of provider \"\(provider)\" are not those that were saved: "
            + "test and save it again"
    }
}
