internal import PluginKit
internal import Storage

extension PostgreSQLSession {
    func swap(_ swaps: [Swap], in target: ColumnTarget, _ lockedRows: LockedRows) throws -> [Bool] {
        guard !swaps.isEmpty else { return [] }
        if lockedRows == .awaited, let hits = try swapAtOnce(swaps, in: target) { return hits }
        let shape = try shape(of: target)
        for swap in swaps { try check(swap.new, shape) }
        try prepare(for: swaps, shape)
        var hits = [Bool](repeating: false, count: swaps.count)
        for var round in Self.rounds(swaps, shape.form) {
            do {
                if lockedRows == .skipped { round = try locked(round.map { swaps[$0] }, shape).map { round[$0] } }
                for place in try write(round.map { swaps[$0] }, shape) { hits[round[place]] = true }
            } catch let error as StorageError {
                throw Self.ofRows(error)
            }
        }
        return hits
    }

    /// Writes a batch of the ordinary kind in one way to the server and back, with what it takes for granted.
    ///
    /// That is the column's shape and the fence's marks. What turns out otherwise takes the transaction back.
    ///
    /// - Returns: Which swaps hit; nil where the batch is not of that kind.
    /// - Throws: ``StorageError``, or ``WrongAssumption``.
    private func swapAtOnce(_ swaps: [Swap], in target: ColumnTarget) throws -> [Bool]? {
        guard shapes[target] == nil, !connection.unpredictable.contains(target),
            let (fingerprint, shape) = connection.knownShapes[target],
            !target.readsBack, !shape.altersValues, Self.areOrdinary(swaps, shape.form)
        else { return nil }
        let statements = [
            Statement(text: Self.tableText, parameters: Self.tableParameters(target.path.table)),
            preparation(for: shape, withPass: true), try update(swaps, shape),
        ]
        let answers = try connection.together(statements, doing: "write", shape.name)
        if let table = answers.results.first {
            guard try tableRecord(self.rows(of: table))?.wholeFingerprint == fingerprint else {
                throw WrongAssumption.shape(target)
            }
            shapes[target] = shape
        }
        if let failure = answers.failure { throw Self.ofRows(failure) }
        guard answers.results.count == statements.count else {
            throw unexpected(shape, doing: "write", "the server gave no answer")
        }
        guard try isAdmitted(swaps, shape, by: answers.results[1]) else {
            throw WrongAssumption.admission(target)
        }
        var hits = [Bool](repeating: false, count: swaps.count)
        for hit in try self.hits(answers.results[2], of: swaps.count, shape) { hits[hit] = true }
        return hits
    }

    /// A batch that waited for a lock waited for a row's.
    private static func ofRows(_ error: StorageError) -> StorageError {
        guard error.code == .storeBusy else { return error }
        return StorageError(.storeRowLocked, error.message, hint: error.hint, cause: error)
    }

    /// Whether one statement can write all of a batch: its keys rise, as those of a window do, and all values have the
    /// column's form.
    private static func areOrdinary(_ swaps: [Swap], _ form: ColumnShape.Form) -> Bool {
        swaps.indices.allSatisfy { index in
            !swaps[index].setsAssignments && form != .other
                && form.holds(swaps[index].old) && form.holds(swaps[index].new)
                && (index == 0 || swaps[index - 1].key.precedes(swaps[index].key))
        }
    }

    /// The positions of swaps that are written by one statement each, put in the order of their keys so that two
    /// batches meet rows in one order: a key stands in a statement once, and what can hit nothing in none.
    private static func rounds(_ swaps: [Swap], _ form: ColumnShape.Form) -> [[Int]] {
        struct Kind: Hashable {
            let round: Int
            let setsAssignments: Bool
        }
        var times: [RowKey: Int] = [:]
        var rounds: [[Int]] = []
        var kinds: [Kind: Int] = [:]
        for (index, swap) in swaps.enumerated() where form.holds(swap.old) {
            let time = times[swap.key, default: 0]
            times[swap.key] = time + 1
            let kind = Kind(round: time, setsAssignments: swap.setsAssignments)
            if let place = kinds[kind] {
                rounds[place].append(index)
            } else {
                kinds[kind] = rounds.count
                rounds.append([index])
            }
        }
        return rounds.map { $0.sorted { swaps[$0].key.precedes(swaps[$1].key) } }
    }

    private func check(_ new: StoredValue, _ shape: ColumnShape) throws {
        if case .other = new {
            throw unexpected(shape, doing: "write", "the new value is neither text nor bytes")
        }
        guard shape.form != .other, shape.form.holds(new) else {
            throw unexpected(shape, doing: "write", "the column holds values of another form than the new one")
        }
    }

    /// Locks the rows of swaps and returns the positions of those that no other transaction has locked, and that are there.
    private func locked(_ swaps: [Swap], _ shape: ColumnShape) throws -> [Int] {
        let text = """
            SELECT keyturn_i FROM \(shape.unnested()) JOIN \(shape.table) ON \(shape.joined(to: "keyturn_rows"))
            FOR NO KEY UPDATE OF \(shape.tableName) SKIP LOCKED
            """
        let keys = try arrays(of: swaps.map(\.key), shape)
        let result = try connection.execute(text, keys, isBinary: true, doing: "write", shape.name)
        let free = Set((0..<result.rowCount).map { Int(result.integer($0, 0)) - 1 })
        return swaps.indices.filter(free.contains)
    }

    /// Writes swaps with distinct keys and returns the positions of those that hit.
    private func write(_ swaps: [Swap], _ shape: ColumnShape) throws -> [Int] {
        guard !swaps.isEmpty else { return [] }
        let statement = try update(swaps, shape)
        let result = try connection.execute(
            statement.text, statement.parameters, isBinary: true, doing: "write", shape.name)
        let hits = try hits(result, of: swaps.count, shape)
        if shape.target.readsBack || shape.altersValues { try readBack(hits.map { swaps[$0] }, shape) }
        if swaps[0].setsAssignments, shape.target.predicate != nil { try checkPicked(hits.map { swaps[$0] }, shape) }
        return hits
    }

    /// The statement that writes swaps with distinct keys.
    private func update(_ swaps: [Swap], _ shape: ColumnShape) throws -> Statement {
        let setsAssignments = swaps.first?.setsAssignments ?? false
        let keys = try arrays(of: swaps.map(\.key), shape)
        let old = Parameter(array: Self.array(swaps.map(\.old), isText: false))
        let new = Parameter(array: Self.array(swaps.map(\.new), isText: shape.form == .text))
        let constants = setsAssignments ? shape.target.assignments.map { Parameter(untyped: $0.value) } : []
        return Statement(
            text: shape.swapText(setsAssignments: setsAssignments), parameters: keys + [old, new] + constants,
            isBinary: true)
    }

    /// The positions among `count` swaps of those that hit.
    private func hits(_ result: ResultSet, of count: Int, _ shape: ColumnShape) throws -> [Int] {
        let hits = (0..<result.rowCount).map { Int(result.integer($0, 0)) - 1 }.filter((0..<count).contains)
        guard Set(hits).count == result.rowCount else {
            throw unexpected(shape, doing: "write", "one key names several rows")
        }
        return hits
    }

    /// Checks that the predicate picks the rows that have got their assignments: no run would look at them again otherwise.
    private func checkPicked(_ written: [Swap], _ shape: ColumnShape) throws {
        guard !written.isEmpty, let predicate = shape.target.predicate else { return }
        let text = """
            SELECT keyturn_i FROM \(shape.unnested()) JOIN \(shape.table)
            ON \(shape.joined(to: "keyturn_rows")) WHERE \(parenthesised(predicate))
            """
        let parameters = try arrays(of: written.map(\.key), shape)
        let result = try connection.execute(text, parameters, isBinary: true, doing: "read", shape.name)
        let picked = Set((0..<result.rowCount).map { Int(result.integer($0, 0)) - 1 })
        guard let left = written.indices.first(where: { !picked.contains($0) }) else { return }
        let row = "the row with key \(written[left].key)"
        throw StorageError(
            .storeValueAltered,
            "cannot write \(shape.name): \"where\" does not pick \(row) even with what \"set\" gives",
            hint: "Let \"where\" pick every row that \"set\" marks; nothing of the transaction was written.")
    }

    /// Checks that what was written is what stands there now, after all triggers.
    private func readBack(_ written: [Swap], _ shape: ColumnShape) throws {
        guard !written.isEmpty else { return }
        let parameters =
            try arrays(of: written.map(\.key), shape)
            + [Parameter(array: Self.array(written.map(\.new), isText: false))]
        let text = """
            SELECT keyturn_i FROM \(shape.unnested([("keyturn_new", "bytea")])) JOIN \(shape.table)
            ON \(shape.joined(to: "keyturn_rows")) WHERE \(shape.bytes) IS NOT DISTINCT FROM keyturn_rows.keyturn_new
            """
        let result = try connection.execute(text, parameters, isBinary: true, doing: "read", shape.name)
        let kept = Set((0..<result.rowCount).map { Int(result.integer($0, 0)) - 1 })
        guard let altered = written.indices.first(where: { !kept.contains($0) }) else { return }
        throw StorageError(
            .storeValueAltered,
            "cannot write \(shape.name): the row with key \(written[altered].key) does not hold what was written to it",
            hint: "A trigger or the column's type changes values; nothing of the transaction was written.")
    }

    private static func array(_ values: [StoredValue], isText: Bool) -> ArrayEncoder {
        let size = values.reduce(0) { $0 + ($1.bytes?.count ?? 0) }
        var array =
            isText
            ? ArrayEncoder.texts(count: values.count, byteCount: size)
            : ArrayEncoder.blobs(count: values.count, byteCount: size)
        for value in values { array.append(value.bytes) }
        return array
    }
}

extension ColumnShape.Form {
    /// Whether a value of a column of this form can be this one.
    fileprivate func holds(_ value: StoredValue) -> Bool {
        switch (self, value) {
        case (.text, .text), (.blob, .blob), (.text, .null), (.blob, .null): true
        default: false
        }
    }
}

extension ColumnShape {
    /// The update of a batch; its parameters are the arrays of keys, of old and of new values, then the constants.
    ///
    /// The old value is compared whole and as bytes. The predicate is repeated, save where assignments are written: such
    /// a row may well stand outside of it until then.
    fileprivate func swapText(setsAssignments: Bool) -> String {
        let rows = unnested([("keyturn_old", "bytea"), ("keyturn_new", form == .text ? "text" : "bytea")])
        let assignments = setsAssignments ? target.assignments : []
        let values = assignments.enumerated().map { index, assignment in
            ", \(quotedIdentifier(assignment.column)) = $\(key.count + 3 + index)"
        }
        let scope = setsAssignments ? "" : target.predicate.map { " AND " + parenthesised($0) } ?? ""
        return """
            UPDATE \(table) SET \(columnName) = keyturn_rows.keyturn_new\(cast.map { "::" + $0 } ?? "")\(values.joined())
            FROM \(rows) WHERE \(joined(to: "keyturn_rows"))
            AND \(bytes) IS NOT DISTINCT FROM keyturn_rows.keyturn_old\(scope) RETURNING keyturn_rows.keyturn_i
            """
    }
}

extension RowKey {
    /// Whether this key comes first in an order that all batches share.
    fileprivate func precedes(_ other: RowKey) -> Bool {
        if components.count == 1, other.components.count == 1, case .integer(let left) = components[0],
            case .integer(let right) = other.components[0]
        {
            return left < right
        }
        for (left, right) in zip(components, other.components) where left != right {
            if case .integer(let left) = left, case .integer(let right) = right { return left < right }
            return left.canonical.lexicographicallyPrecedes(right.canonical)
        }
        return components.count < other.components.count
    }
}
