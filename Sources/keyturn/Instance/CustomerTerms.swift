internal import ControlStore
internal import KeyModel

/// What a customer's provider is told that no configuration may choose.
struct CustomerTerms {
    let instance: String?
    let externalID: String?
    let plugins: [PluginRecord]

    /// Adds to a provider of AWS the instance's External ID and the name of its sessions.
    ///
    /// - Throws: ``CommandError`` where the declaration has an External ID of its own.
    func complete(_ declaration: ProviderDeclaration) throws -> ProviderDeclaration {
        let plugin = plugins.first { $0.name.description == declaration.settings["plugin"] }
        let isOfAWS = plugin.map { $0.kind == "aws-kms" } ?? (declaration.settings["key"]?.hasPrefix("arn:") == true)
        guard declaration.kind == "plugin", isOfAWS else { return declaration }
        guard declaration.settings["external_id"] == nil else {
            throw CommandError(
                .callerUsage, "provider \"\(declaration.name)\" has an external_id of its own",
                hint: "Leave it out: the instance's own goes with every call, and nobody chooses it.")
        }
        var complete = declaration
        if declaration.settings["role"] != nil { complete.settings["external_id"] = externalID }
        if let instance, declaration.settings["session_name"] == nil {
            complete.settings["session_name"] = "keyturn-\(instance)"
        }
        return complete
    }
}
