import Foundation
import Testing

/// The built executables.
enum Built {
    /// The folder with `keyturn` and `keyturn-lua`: that of the test bundle, or one above it.
    static let folder: URL? = {
        for start in CommandLine.arguments.filter({ $0.hasPrefix("/") }) + [Bundle.main.bundlePath, #filePath] {
            var folder = URL(filePath: start).deletingLastPathComponent()
            while folder.path != "/" {
                for place in [folder, folder.appending(path: ".build/debug")]
                where FileManager.default.isExecutableFile(atPath: place.appending(path: "keyturn").path) {
                    return place
                }
                folder.deleteLastPathComponent()
            }
        }
        return nil
    }()

    static func keyturn() throws -> String { try #require(folder).appending(path: "keyturn").path }

    /// The package's folder.
    static let package: URL = {
        var folder = URL(filePath: #filePath)
        while folder.path != "/", !FileManager.default.fileExists(atPath: folder.appending(path: "Package.swift").path)
        {
            folder.deleteLastPathComponent()
        }
        return folder
    }()
}

/// A folder of a test's own with a database and a configuration, on which the built executable is run.
final class Ground {
    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-hard-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: folder.appending(path: name))
    }

    func read(_ name: String) throws -> Data { try Data(contentsOf: folder.appending(path: name)) }

    /// Starts keyturn and leaves it running.
    func start(
        _ words: [String], input: Data = Data(), environment: [String: String] = [:], under wrapper: [String] = []
    ) throws -> Child {
        let line = wrapper + [try Built.keyturn()] + words
        var setup = ChildSetup(program: line[0], arguments: Array(line.dropFirst()), folder: folder)
        setup.environment = ["KEYTURN_INSTANCE": "D"].merging(environment) { $1 }
        setup.input = input
        return try Child(setup)
    }

    /// Runs keyturn with the words of a line, parted by spaces.
    @discardableResult
    func keyturn(
        _ line: String, input: String = "", environment: [String: String] = [:], under wrapper: [String] = []
    ) throws -> Ended {
        let words = line.split(separator: " ").map(String.init)
        return try start(words, input: Data(input.utf8), environment: environment, under: wrapper).wait()
    }

    /// Runs keyturn and insists that it ends well.
    @discardableResult
    func must(_ line: String, input: String = "", sourceLocation: SourceLocation = #_sourceLocation) throws -> Ended {
        let ended = try keyturn(line, input: input)
        guard ended.status == 0 else {
            Issue.record("keyturn \(line): \(ended.all)", sourceLocation: sourceLocation)
            throw SetupFailure("keyturn \(line) ended with \(ended.status)")
        }
        return ended
    }

    /// Runs another program and insists that it ends well.
    @discardableResult
    func tool(_ program: String, _ arguments: [String], input: String = "") throws -> String {
        var setup = ChildSetup(program: program, arguments: arguments, folder: folder)
        setup.input = Data(input.utf8)
        let ended = try Child(setup).wait()
        guard ended.status == 0 else { throw SetupFailure("\(program): \(ended.all)") }
        return ended.text
    }

    /// Runs SQL through the `sqlite3` program: another writer than ours, and another witness.
    @discardableResult
    func sql(_ text: String, in database: String = "a.db") throws -> String {
        try tool("sqlite3", ["-batch", "-cmd", ".timeout 20000", database], input: text)
            .trimmingCharacters(in: .newlines)
    }

    /// Makes `t (id, s, b, n)` with so many secrets in `s`, and a configuration that seals them as text.
    func prepare(rows: Int, configuration: String = Ground.configuration) throws {
        try sql(
            """
            CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, b BLOB, n INTEGER);
            WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < \(rows))
            INSERT INTO t (id, s) SELECT x, 'secret-' || x FROM c;
            """)
        try write(configuration, to: "keyturn.lua")
        try must("init --config keyturn.lua")
    }

    /// As ``prepare(rows:configuration:)``, with everything sealed under a first key.
    func seal(rows: Int, configuration: String = Ground.configuration) throws {
        try prepare(rows: rows, configuration: configuration)
        try must("adopt t.s --yes --quiet")
    }

    /// All of the table, as the database holds it.
    func rows() throws -> String { try sql("SELECT id, quote(s), quote(b), quote(n) FROM t ORDER BY id") }

    /// As ``configuration``, in a format that binds to no place and has no fence.
    static let fernet = """
        database "sqlite:a.db"
        keyring "main" { core = "fernet" }
        column "t.s" { keyring = "main", key = "id" }

        """

    static let configuration = """
        database "sqlite:a.db"
        keyring "main" { core = "kr1" }
        column "t.s" { keyring = "main", key = "id", context = "row" }

        """
}

/// What `-o json` gave: one envelope and nothing else.
struct Envelope {
    let value: [String: Any]

    init(_ ended: Ended, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let object = try? JSONSerialization.jsonObject(with: ended.output)
        value = try #require(object as? [String: Any], "\(ended.all)", sourceLocation: sourceLocation)
    }

    var isOK: Bool? { value["ok"] as? Bool }
    var result: [String: Any] { value["result"] as? [String: Any] ?? [:] }
    var error: [String: String] { value["error"] as? [String: String] ?? [:] }
    var code: String? { error["code"] }
    var message: String { error["message"] ?? "" }
    var hint: String { error["hint"] ?? "" }
}

extension Ground {
    /// Runs keyturn with `-o json` and expects an error: exit code, stable code, and what message and hint must say.
    @discardableResult
    func refuses(
        _ line: String, _ status: Int32, _ code: String, saying words: String..., input: String = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Envelope {
        let ended = try keyturn(line + " -o json", input: input)
        let envelope = try Envelope(ended, sourceLocation: sourceLocation)
        #expect(ended.status == status, "\(ended.all)", sourceLocation: sourceLocation)
        #expect(envelope.isOK == false, "\(ended.all)", sourceLocation: sourceLocation)
        #expect(envelope.code == code, "\(ended.all)", sourceLocation: sourceLocation)
        for word in words {
            #expect(
                (envelope.message + "\n" + envelope.hint).contains(word), "\(ended.all)", sourceLocation: sourceLocation
            )
        }
        #expect(!envelope.message.contains("\n"), "\(ended.all)", sourceLocation: sourceLocation)
        return envelope
    }
}
