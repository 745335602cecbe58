package import Storage

/// What every driver must do: cases that run against a database of their own each.
///
/// ```swift
/// @Test(arguments: EngineConformance.cases)
/// func conforms(to conformanceCase: ConformanceCase) async throws {
///     try await EngineConformance(makeDatabase: { try ScratchDatabase() }).run(conformanceCase)
/// }
/// ```
package struct EngineConformance: Sendable {
    private let makeDatabase: @Sendable () async throws -> any ConformanceDatabase

    /// Takes what makes an empty database.
    package init(makeDatabase: @escaping @Sendable () async throws -> any ConformanceDatabase) {
        self.makeDatabase = makeDatabase
    }

    /// All cases.
    package static var cases: [ConformanceCase] {
        windowCases + boundCases + swapCases + swapEffectCases + transactionCases + controlCases + descriptionCases
            + fenceCases + predicateCases + valueCases
    }

    /// Runs one case on an empty database, which is thrown away afterwards.
    ///
    /// - Throws: ``ConformanceFailure``, or whatever the engine threw where it should not.
    package func run(_ conformanceCase: ConformanceCase) async throws {
        let database = try await makeDatabase()
        let engine = try await database.openEngine()
        let result: Result<Void, any Error>
        do {
            try await conformanceCase.body(Fixture(database: database, engine: engine))
            result = .success(())
        } catch { result = .failure(error) }
        await engine.close()
        await database.dispose()
        try result.get()
    }
}

/// One claim about drivers, and what tries to break it.
package struct ConformanceCase: Sendable, CustomStringConvertible {
    /// The claim.
    package let description: String
    let body: @Sendable (Fixture) async throws -> Void

    init(_ description: String, _ body: @escaping @Sendable (Fixture) async throws -> Void) {
        self.description = description
        self.body = body
    }
}

/// Says which claim did not hold.
package struct ConformanceFailure: Error, CustomStringConvertible {
    /// The claim, and what came instead.
    package let description: String
}

/// A database for one case.
package protocol ConformanceDatabase: Sendable {
    /// How the engine writes what SQL leaves open.
    var dialect: ConformanceDialect { get }

    /// Opens an engine of its own on the database.
    func openEngine() async throws -> any StorageEngine

    /// Runs statements as the application would, on a connection that Keyturn has not touched.
    ///
    /// - Throws: An error whose description holds the database's own message.
    func runAsApplication(_ sql: String) async throws

    /// Throws the database away.
    func dispose() async
}

/// How an engine writes what SQL leaves open.
package struct ConformanceDialect: Sendable {
    /// The type of text, compared byte by byte.
    package var textType: String
    /// The type of text that compares regardless of case.
    package var foldedTextType: String
    /// The type of bytes.
    package var blobType: String
    /// The type of UUIDs, or of the text that holds them.
    package var uuidType: String
    /// Whether text takes any bytes at all, zero and invalid UTF-8 among them.
    package var storesAnyBytesAsText: Bool
    /// A literal of text that holds these bytes.
    package var textLiteral: @Sendable ([UInt8]) -> String
    /// A literal of bytes.
    package var blobLiteral: @Sendable ([UInt8]) -> String
    /// Statements that make each update of a table's column append `!` to the value: table, column.
    package var alteringTrigger: @Sendable (String, String) -> String
    /// Statements that make each update of a table fail with a message: table, message.
    package var refusingTrigger: @Sendable (String, String) -> String

    /// Makes a dialect.
    package init(
        textType: String, foldedTextType: String, blobType: String, uuidType: String, storesAnyBytesAsText: Bool,
        textLiteral: @escaping @Sendable ([UInt8]) -> String, blobLiteral: @escaping @Sendable ([UInt8]) -> String,
        alteringTrigger: @escaping @Sendable (String, String) -> String,
        refusingTrigger: @escaping @Sendable (String, String) -> String
    ) {
        self.textType = textType
        self.foldedTextType = foldedTextType
        self.blobType = blobType
        self.uuidType = uuidType
        self.storesAnyBytesAsText = storesAnyBytesAsText
        self.textLiteral = textLiteral
        self.blobLiteral = blobLiteral
        self.alteringTrigger = alteringTrigger
        self.refusingTrigger = refusingTrigger
    }
}
