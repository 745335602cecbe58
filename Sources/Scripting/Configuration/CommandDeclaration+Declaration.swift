internal import ControlStore
internal import Foundation
internal import KeyModel

extension WebhookDeclaration {
    /// Reads a `webhook "name" { … }`; a message never quotes the address, which may hold a secret.
    init(_ declaration: Declaration, name: Name) throws(ScriptingError) {
        let fields = try Fields(declaration, known: ["url", "timeout"])
        let url = try fields.required("url", example: "https://chat.example/hooks/1")
        guard let parts = URLComponents(string: url), let host = parts.host, !host.isEmpty, parts.user == nil else {
            throw fields.place.error("\"url\" is no address of the web", hint: "Write it as https://host/path.")
        }
        let isLocal = ["localhost", "127.0.0.1", "[::1]", "::1"].contains(host)
        guard parts.scheme == "https" || parts.scheme == "http" && isLocal else {
            throw fields.place.error(
                "\"url\" must begin with https://", hint: "Only this machine is spoken to in clear.")
        }
        self.init(name: name, url: url, timeout: try fields.timeout())
    }
}

extension CommandDeclaration {
    /// Reads a `command "name" { … }`; the program is taken from the configuration's folder unless it is absolute.
    init(_ declaration: Declaration, name: Name, folder: String) throws(ScriptingError) {
        let fields = try Fields(declaration, known: ["argv", "timeout"])
        guard var argv = try fields.list("argv"), let program = argv.first else {
            throw fields.place.error(
                "\"argv\" is missing or empty", hint: "Write argv = { \"/usr/local/bin/publish\", \"--now\" }.")
        }
        argv[0] = SourceFile.path(program, in: folder)
        self.init(name: name, argv: argv, timeout: try fields.timeout())
    }
}

extension Fields {
    /// The time that something outside may take, 30 s unless it is said, an hour at most.
    fileprivate func timeout() throws(ScriptingError) -> Duration {
        let timeout = try duration("timeout") ?? .seconds(30)
        guard timeout <= .seconds(3600) else { throw place.error("\"timeout\" is more than 1h") }
        return timeout
    }
}
