internal import ControlStore
internal import KeyModel

extension ProviderDeclaration {
    /// Reads a `provider "name" { … }`: its kind, and settings that the kind will check.
    init(_ declaration: Declaration, name: Name) throws(ScriptingError) {
        guard name.description != "local" else {
            throw declaration.place.error("the provider local is built in", hint: "Give this one another name.")
        }
        let fields = try Fields(declaration, known: Set(declaration.body?.names ?? []))
        let kind = try fields.required("kind", example: "local")
        var settings: [String: String] = [:]
        for word in fields.words where word != "kind" { settings[word] = try fields.constantText(word) }
        self.init(name: name, kind: kind, settings: settings)
    }
}
