internal import CPostgreSQL
internal import Dispatch
internal import KeyModel
internal import Storage

/// A connection of libpq with a queue of its own, on which its blocking calls run.
///
/// It is made when first used and made anew when it was lost. What was lost in the middle of a call is an error of
/// that call.
final class Connection: @unchecked Sendable {
    // Safety: everything that varies is touched on `queue` alone.
    let queue: DispatchQueue
    let place: ConnectionString
    let settings: SessionSettings
    private(set) var handle: OpaquePointer?
    /// The names of prepared statements by their text and parameter types.
    private var prepared: [String: String] = [:]
    /// Statements that go out with the next one, in their order: the beginning of a transaction, and what is postponed.
    var waiting: [Statement] = []
    /// Columns whose fence did not let all values of a batch pass, so that no batch assumes it any more.
    var unpredictable: Set<ColumnTarget> = []
    /// What was found out about columns, each with what the catalogue looked like then.
    var knownShapes: [ColumnTarget: (fingerprint: String, shape: ColumnShape)] = [:]
    private(set) var isClosed = false
    /// What it waits for.
    let wait = AnswerWait()
    /// Whether statements may take as long as they want.
    private var isUnlimited = false

    /// The oldest server that has all that is needed, first of all `CREATE OR REPLACE TRIGGER`.
    private static let oldestServer: CInt = 140_000
    private static let preparedLimit = 200

    init(to place: ConnectionString, settings: SessionSettings, label: String) {
        self.place = place
        self.settings = settings
        queue = DispatchQueue(label: label)
    }

    deinit { PQfinish(handle) }

    /// Ends the connection for good.
    func close() {
        disconnect()
        isClosed = true
    }

    /// The server's version, such as `15.20`.
    func serverVersion() throws -> String {
        let full = PQparameterStatus(try connected(), "server_version").map { String(cString: $0) } ?? "?"
        return full.split(separator: " ").first.map(String.init) ?? full
    }

    /// Runs a transaction: committed when `body` returns, rolled back when it throws.
    ///
    /// It is run a second time, after a rollback, where what it had assumed turned out otherwise.
    func transaction<Value>(_ kind: String, _ body: (PostgreSQLSession) throws -> Value) throws -> Value {
        do {
            return try attempt(kind, body)
        } catch let wrong as WrongAssumption {
            switch wrong {
            case .shape(let target): knownShapes[target] = nil
            case .admission(let target): unpredictable.insert(target)
            }
            return try attempt(kind, body)
        }
    }

    private func attempt<Value>(_ kind: String, _ body: (PostgreSQLSession) throws -> Value) throws -> Value {
        waiting = [.beginning(kind)]
        do {
            let value = try body(PostgreSQLSession(connection: self))
            try commit()
            return value
        } catch {
            rollBack()
            throw error
        }
    }

    private func rollBack() {
        let isBegun = !(waiting.first?.isBeginning ?? false)
        waiting = []
        guard handle != nil, isBegun else { return }
        do { _ = try run("ROLLBACK") } catch { disconnect() }
    }

    /// Commits, with what was postponed just before.
    private func commit() throws {
        if waiting.count == 1, waiting[0].isBeginning {
            waiting = []
            return
        }
        do {
            let answers = try together([.commit], doing: "write")
            if let failure = answers.failure { throw failure }
            guard answers.results.last?.commandTag == "COMMIT" else {
                throw StorageError(
                    .storeUnexpected,
                    "cannot write \(place): a statement of the transaction had failed; nothing was written")
            }
        } catch let error as StorageError where error.code == .storeUnavailable {
            throw StorageError(
                .storeUnavailable,
                "cannot write \(place): the connection was lost while committing, and whether that happened is not known",
                hint: "Repeat the call; what was written already is left as it is.", cause: error)
        }
    }
}

extension Connection {
    /// Runs statements without parameters, as many as the text holds, and returns the last one's answer.
    func run(_ text: String, doing action: String = "use", _ object: String? = nil) throws -> ResultSet {
        if !waiting.isEmpty, let failure = try together([], doing: action, object).failure { throw failure }
        let connection = try connected()
        return try checked(awaiting { PQexec(connection, text) }, doing: action, object)
    }

    /// Does work whose statements may take as long as they want.
    func withoutTimeLimit(_ body: () throws -> Void) throws {
        _ = try run("SET statement_timeout = 0")
        isUnlimited = true
        defer {
            isUnlimited = false
            // A connection that is gone is made anew anyway.
            _ = try? run("SET statement_timeout = \(settings.statementTimeout.wholeMilliseconds)")
        }
        try body()
    }

    /// Makes calls that wait for the server; ``ServerWatch`` looks after them.
    func awaiting<Value>(_ body: () throws -> Value) rethrows -> Value {
        wait.begin(on: PQsocket(handle), limit: isUnlimited ? nil : settings.statementTimeout)
        defer { wait.end() }
        return try body()
    }

    /// Runs one statement.
    ///
    /// - Parameters:
    ///   - text: The statement.
    ///   - parameters: The values of `$1`, `$2`, ….
    ///   - isPrepared: Whether its plan is kept for the next time.
    ///   - isBinary: Whether the answer comes in binary form.
    ///   - action: The verb that a message begins with.
    ///   - object: What it is done to, for messages; nil for the database as a whole.
    /// - Returns: The answer.
    /// - Throws: ``StorageError``.
    func execute(
        _ text: String, _ parameters: [Parameter], isPrepared: Bool = true, isBinary: Bool = false,
        doing action: String = "use", _ object: String? = nil
    ) throws -> ResultSet {
        if !waiting.isEmpty {
            let statement = Statement(
                text: text, parameters: parameters, isPrepared: isPrepared, isBinary: isBinary)
            return try together([statement], doing: action, object).last(doing: action, place)
        }
        let connection = try connected()
        if isPrepared { try makeRoomForPrepared(1) }
        let name = isPrepared ? try preparedName(text, parameters, doing: action, object) : nil
        let result = withWireForm(parameters) { count, types, values, lengths, formats in
            awaiting { () -> OpaquePointer? in
                if let name {
                    PQexecPrepared(connection, name, count, values, lengths, formats, isBinary ? 1 : 0)
                } else {
                    PQexecParams(connection, text, count, types, values, lengths, formats, isBinary ? 1 : 0)
                }
            }
        }
        return try checked(result, doing: action, object)
    }

    /// How many parameters a statement takes, which is compiled and not run.
    func parameterCount(of text: String) throws -> Int {
        let connection = try connected()
        _ = try checked(awaiting { PQprepare(connection, "", text, 0, nil) }, doing: "use", nil)
        return try checked(awaiting { PQdescribePrepared(connection, "") }, doing: "use", nil).parameterCount
    }

    /// Forgets all prepared statements where so many more would be too many.
    func makeRoomForPrepared(_ count: Int) throws {
        guard prepared.count + count > Self.preparedLimit else { return }
        let connection = try connected()
        _ = try checked(awaiting { PQexec(connection, "DEALLOCATE ALL") }, doing: "use", nil)
        prepared = [:]
    }

    /// The name under which a statement is prepared, now where it was not yet.
    func preparedName(
        _ text: String, _ parameters: [Parameter], doing action: String, _ object: String?
    ) throws -> String {
        let types = parameters.map(\.type)
        let key = "\(types) \(text)"
        if let name = prepared[key] { return name }
        let name = "keyturn_\(prepared.count)"
        let result = types.withUnsafeBufferPointer { types in
            awaiting { PQprepare(handle, name, text, CInt(types.count), types.baseAddress) }
        }
        _ = try checked(result, doing: action, object)
        prepared[key] = name
        return name
    }

    private func checked(_ result: OpaquePointer?, doing action: String, _ object: String?) throws -> ResultSet {
        let result = result.map(ResultSet.init)
        if let result, result.isSuccess { return result }
        throw failure(of: result, doing: action, object)
    }

    /// Why a statement failed, nil for one without an answer; the connection is given up where it was lost.
    func failure(of result: ResultSet?, doing action: String, _ object: String?) -> StorageError {
        let isLost = PQstatus(handle) != CONNECTION_OK
        let said = result.map(\.primaryMessage).flatMap { $0.isEmpty ? nil : $0 } ?? Self.message(of: handle)
        let message =
            wait.givenUpAfter.map { "the server has answered nothing for \($0.components.seconds) s, nor anybody else" }
            ?? said
        let state = isLost && result.map { !$0.sqlState.hasPrefix("57") } ?? true ? "" : result?.sqlState ?? ""
        let error = ServerError(state: state, message: place.masked(message))
        if isLost { disconnect() }
        return error.storageError(doing: action, object.map { "\($0) of \(place)" } ?? place.description)
    }

    /// Hands values to C; pointers live as long as `body` runs.
    func withWireForm<Value>(
        _ parameters: [Parameter],
        _ body: (
            CInt, UnsafePointer<UInt32>?, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<CInt>?,
            UnsafePointer<CInt>?
        ) -> Value
    ) -> Value {
        let types = parameters.map(\.type)
        let lengths = parameters.map { CInt(clamping: $0.bytes?.count ?? 0) }
        let formats: [CInt] = parameters.map { $0.isBinary ? 1 : 0 }
        var values: [UnsafePointer<CChar>?] = []
        func gather(_ rest: ArraySlice<Parameter>) -> Value {
            guard let parameter = rest.first else {
                return body(CInt(parameters.count), types, values, lengths, formats)
            }
            guard let bytes = parameter.bytes else {
                values.append(nil)
                return gather(rest.dropFirst())
            }
            // A zero at the end serves the text form, and gives bytes of no length an address, without which they are null.
            let isSelfContained = parameter.isBinary && !bytes.isEmpty
            return (isSelfContained ? bytes : bytes + [0]).withUnsafeBytes { buffer in
                values.append(buffer.baseAddress?.assumingMemoryBound(to: CChar.self))
                return gather(rest.dropFirst())
            }
        }
        return gather(parameters[...])
    }
}

extension Connection {
    /// The connection, made now where there is none.
    func connected() throws -> OpaquePointer {
        if let handle { return handle }
        guard !isClosed else {
            throw StorageError(.storeUnavailable, "cannot use \(place): it has been closed")
        }
        return try connect()
    }

    private func connect() throws -> OpaquePointer {
        // What stands before the text are defaults of ours, what stands after it is fixed.
        let options = [
            ("connect_timeout", "10"), ("keepalives_idle", "30"), ("keepalives_interval", "10"),
            ("keepalives_count", "3"), ("tcp_user_timeout", "60000"), ("dbname", place.text),
            ("client_encoding", "UTF8"), ("application_name", "keyturn"),
        ]
        guard let made = withConnectionOptions(options, { PQconnectdbParams($0, $1, 1) }) else {
            throw unreachable("memory is short")
        }
        handle = made
        do {
            guard PQstatus(made) == CONNECTION_OK else { throw unreachable(Self.message(of: made)) }
            PQsetNoticeProcessor(made, { _, _ in }, nil)
            wait.connected(to: Self.address(of: made))
            guard PQserverVersion(made) >= Self.oldestServer else {
                throw unreachable("the server is older than PostgreSQL 14")
            }
            _ = try checked(awaiting { PQexec(made, settings.statements) }, doing: "use", nil)
        } catch {
            disconnect()
            throw error
        }
        return made
    }

    /// The one server that a connection has been made to, out of several that the connection string may name.
    private static func address(of handle: OpaquePointer) -> AnswerWait.Address {
        [("host", PQhost(handle)), ("hostaddr", PQhostaddr(handle)), ("port", PQport(handle))]
            .reduce(into: [:]) { address, setting in
                if let text = setting.1.map({ String(cString: $0) }), !text.isEmpty { address[setting.0] = text }
            }
    }

    /// Gives the connection up; it is made anew when it is next used.
    func disconnect() {
        // The number of its socket may be another's as soon as it is closed.
        wait.end()
        PQfinish(handle)
        handle = nil
        prepared = [:]
        knownShapes = [:]
        unpredictable = []
    }

    private func unreachable(_ reason: String) -> StorageError {
        StorageError(
            .storeUnavailable, "cannot reach \(place): \(quoted(place.masked(reason)))",
            hint: "Check that the server runs, and the connection string.")
    }

    private static func message(of handle: OpaquePointer?) -> String {
        PQerrorMessage(handle).map { String(cString: $0) } ?? ""
    }
}
