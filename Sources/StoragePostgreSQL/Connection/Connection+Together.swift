internal import CPostgreSQL
internal import Storage

/// A statement with its values, to be sent with others.
struct Statement {
    let text: String
    let parameters: [Parameter]
    /// Whether its plan is kept for the next time.
    var isPrepared = true
    /// Whether the answer comes in binary form.
    var isBinary = false
    /// Whether it begins a transaction, so that all behind it can be repeated on another connection.
    private(set) var isBeginning = false
    /// Whether it ends one, so that nothing can.
    private(set) var isCommit = false

    /// The beginning of a transaction.
    static func beginning(_ kind: String) -> Statement {
        var statement = Statement(text: "BEGIN \(kind)", parameters: [], isPrepared: false)
        statement.isBeginning = true
        return statement
    }

    /// The end of a transaction.
    static var commit: Statement {
        var statement = Statement(text: "COMMIT", parameters: [], isPrepared: false)
        statement.isCommit = true
        return statement
    }

    init(text: String, parameters: [Parameter], isPrepared: Bool = true, isBinary: Bool = false) {
        self.text = text
        self.parameters = parameters
        self.isPrepared = isPrepared
        self.isBinary = isBinary
    }
}

/// What a transaction had taken for granted was wrong; it is rolled back and done again without.
enum WrongAssumption: Error {
    /// The column's table looks otherwise by now.
    case shape(ColumnTarget)
    /// The fence would not let every value pass.
    case admission(ColumnTarget)
}

/// The answers to statements that were sent together: up to the first that failed, behind which none was run.
struct Answers {
    let results: [ResultSet]
    let failure: StorageError?

    /// The answer to the last one.
    ///
    /// - Throws: ``StorageError``: the failure.
    func last(doing action: String, _ place: ConnectionString) throws -> ResultSet {
        if let failure { throw failure }
        guard let last = results.last else {
            throw StorageError(.storeUnexpected, "cannot \(action) \(place): the server gave no answer")
        }
        return last
    }
}

extension Connection {
    /// Sends what waits and then these statements at once, and reads all answers: one way to the server and back.
    ///
    /// - Returns: The answers to `statements`; the failure may also be that of one that had waited.
    /// - Throws: ``StorageError`` where they could not be sent.
    func together(_ statements: [Statement], doing action: String = "use", _ object: String? = nil) throws -> Answers {
        let all = waiting + statements
        guard !all.isEmpty else { return Answers(results: [], failure: nil) }
        let mayRepeat = all[0].isBeginning && !all.contains(where: \.isCommit)
        let answers: Answers
        do {
            answers = try send(all, doing: action, object)
            // A connection may have died while nobody used it; nothing was asked of it yet.
            if mayRepeat, handle == nil, wait.givenUpAfter == nil, let failure = answers.failure { throw failure }
        } catch let error as StorageError
            where mayRepeat && error.code == .storeUnavailable && handle == nil && !isClosed
            && wait.givenUpAfter == nil
        {
            return Self.answers(try send(all, doing: action, object), to: statements, of: all)
        }
        return Self.answers(answers, to: statements, of: all)
    }

    private static func answers(_ answers: Answers, to statements: [Statement], of all: [Statement]) -> Answers {
        Answers(
            results: Array(answers.results.dropFirst(all.count - statements.count)), failure: answers.failure)
    }

    private func send(_ all: [Statement], doing action: String, _ object: String?) throws -> Answers {
        let connection = try connected()
        try makeRoomForPrepared(all.count)
        let names = try all.map {
            $0.isPrepared ? try preparedName($0.text, $0.parameters, doing: action, object) : nil
        }
        waiting = []
        return try awaiting { try exchange(all, names, on: connection, doing: action, object) }
    }

    /// Sends statements in a pipeline and reads their answers.
    private func exchange(
        _ all: [Statement], _ names: [String?], on connection: OpaquePointer, doing action: String, _ object: String?
    ) throws -> Answers {
        var isSent = PQenterPipelineMode(connection) == 1
        for (statement, name) in zip(all, names) where isSent {
            isSent =
                withWireForm(statement.parameters) { count, types, values, lengths, formats in
                    let format: CInt = statement.isBinary ? 1 : 0
                    return if let name {
                        PQsendQueryPrepared(connection, name, count, values, lengths, formats, format)
                    } else {
                        PQsendQueryParams(connection, statement.text, count, types, values, lengths, formats, format)
                    }
                } == 1
        }
        guard isSent, PQpipelineSync(connection) == 1 else { throw broken(doing: action, object) }
        var results: [ResultSet] = []
        var failure: StorageError?
        for _ in all {
            let result = PQgetResult(connection).map(ResultSet.init)
            wait.heard()
            if let result, result.isSuccess {
                results.append(result)
            } else if failure == nil {
                failure = self.failure(of: result, doing: action, object)
                guard handle != nil else { return Answers(results: results, failure: failure) }
            }
            // Each answer ends with none.
            guard result == nil || PQgetResult(connection) == nil else { throw broken(doing: action, object) }
        }
        guard let end = PQgetResult(connection).map(ResultSet.init), end.isSync, PQexitPipelineMode(connection) == 1
        else { throw broken(doing: action, object) }
        return Answers(results: results, failure: failure)
    }

    /// The answers do not fit the statements: whatever the cause, the connection is of no use.
    private func broken(doing action: String, _ object: String?) -> StorageError {
        let error = failure(of: nil, doing: action, object)
        disconnect()
        return StorageError(.storeUnavailable, error.message, hint: error.hint)
    }
}
