package import ControlStore
internal import KeyModel

extension ScheduleTerms {
    /// Reads the values of a declaration whose words are known.
    ///
    /// - Throws: ``SchedulingError`` with `callerScheduleMalformed` for a value that is not what its word wants, or where not
    ///   exactly one of `cron`, `every`, `when` and `next` is given.
    package init(_ declaration: ScheduleDeclaration) throws(SchedulingError) {
        let fields = ScheduleFields(declaration.fields)
        guard let zone = try fields.text("tz") else {
            throw SchedulingError(
                .callerScheduleMalformed, "\"tz\" is missing",
                hint:
                    "Name the zone in which its times are read, such as tz = \"Europe/Berlin\"; the host's never counts."
            )
        }
        self.init(name: declaration.name, timing: try Self.timing(declaration, fields), zone: zone)
        keyring = declaration.keyring
        action = try Self.action(declaration, fields)
        windows = try fields.texts("window")
        maxKeyAge = try fields.duration("max_key_age")
        maxSeals = try fields.count("max_seals").map { UInt64($0) }
        misfire = try fields.text("misfire")
        grace = try fields.duration("grace")
        overlap = try fields.text("overlap")
        jitter = try fields.duration("jitter")
        gap = try fields.text("dst_gap")
        deadline = try fields.text("on_deadline")
        windowEnd = try fields.text("window_end")
        expected = try fields.duration("expected")
        retries = try fields.count("retry", from: 0).map { UInt64($0) }
        retryAfter = try fields.duration("retry_after")
        notWith = try fields.names("not_with")
        apart = try fields.duration("apart")
        try refuseWhatIsMissing(fields)
    }

    private static func timing(
        _ declaration: ScheduleDeclaration, _ fields: ScheduleFields
    ) throws(SchedulingError) -> Timing {
        let given =
            ["cron", "every"].filter { declaration.fields[$0] != nil }
            + ["when", "next"].filter { word in declaration.functions.contains { $0.rawValue == word } }
        guard given.count == 1, let word = given.first else {
            let found = given.isEmpty ? "none of them" : given.joined(separator: " and ")
            throw SchedulingError(
                .callerScheduleMalformed, "exactly one of cron, every, when and next must be given, not \(found)",
                hint: "max_key_age and max_seals may stand beside any of them.")
        }
        for (other, owner) in [("phase", "every"), ("poll", "when"), ("dst_gap", "cron")]
        where owner != word && declaration.fields[other] != nil {
            throw SchedulingError(
                .callerScheduleMalformed, "\(quoted(other)) belongs to \(owner), but \(word) is given")
        }
        switch word {
        case "cron": return .cron(try fields.text("cron") ?? "")
        case "every":
            let distance = try fields.duration("every") ?? .zero
            guard distance >= .seconds(60) else {
                throw SchedulingError(
                    .callerScheduleMalformed, "cannot run every \(distance.durationText)",
                    hint: "The shortest distance is 1m.")
            }
            return .every(distance, phase: try fields.duration("phase") ?? .zero)
        case "when":
            let poll = try fields.duration("poll") ?? .seconds(60)
            guard poll >= .seconds(10), poll <= .seconds(86_400) else {
                throw SchedulingError(.callerScheduleMalformed, "\"poll\" must be from 10s to 1d")
            }
            return .when(poll: poll)
        default: return .next
        }
    }

    private static func action(
        _ declaration: ScheduleDeclaration, _ fields: ScheduleFields
    ) throws(SchedulingError) -> Action {
        if declaration.functions.contains(.action) { return .function }
        guard let word = try fields.text("action") else { return .rotate }
        let known: [Action] = [.rotate, .rewrap, .verify, .backup, .drill]
        if let action = known.first(where: { $0.word == word }) { return action }
        throw SchedulingError(
            .callerScheduleMalformed, "\"action\" is \(quoted(word)), which is not known",
            hint: nearest(to: word, among: known.map(\.word)).map { "Did you mean \(quoted($0))?" }
                ?? "Known: \(known.map(\.word).joined(separator: ", ")), or a function.")
    }

    private func refuseWhatIsMissing(_ fields: ScheduleFields) throws(SchedulingError) {
        switch action {
        case .rotate, .rewrap, .verify:
            guard keyring == nil else { break }
            throw SchedulingError(
                .callerScheduleMalformed, "\"keyring\" is missing",
                hint: "Name the keyring that it is to \(action.word).")
        case .backup, .drill, .function: break
        }
        if notWith.contains(name) {
            throw SchedulingError(.callerScheduleMalformed, "\"not_with\" names the schedule itself")
        }
        if apart != nil, notWith.isEmpty {
            throw SchedulingError(.callerScheduleMalformed, "\"apart\" stands without \"not_with\"")
        }
    }
}

/// The values of a declaration by their words; each reader says what it wanted where something else stands.
private struct ScheduleFields {
    private let values: [String: ScheduleDeclaration.Value]

    init(_ values: [String: ScheduleDeclaration.Value]) { self.values = values }

    func text(_ word: String) throws(SchedulingError) -> String? {
        switch values[word] {
        case nil: return nil
        case .text(let text)? where !text.isEmpty: return text
        default: throw wrong(word, "a text")
        }
    }

    func texts(_ word: String) throws(SchedulingError) -> [String] {
        switch values[word] {
        case nil: return []
        case .text(let text)?: return [text]
        case .texts(let texts)? where texts.count <= 100: return texts
        default: throw wrong(word, "a text or a list of at most 100 texts")
        }
    }

    func names(_ word: String) throws(SchedulingError) -> [Name] {
        var names: [Name] = []
        for text in try texts(word) {
            do { names.append(try Name(text)) } catch {
                throw SchedulingError(.callerScheduleMalformed, "\(quoted(word)): \(error.message)", hint: error.hint)
            }
        }
        return names
    }

    func duration(_ word: String) throws(SchedulingError) -> Duration? {
        guard let text = try text(word) else { return nil }
        do { return try Duration(parsing: text) } catch {
            throw SchedulingError(.callerScheduleMalformed, "\(quoted(word)): \(error.message)", hint: error.hint)
        }
    }

    func count(_ word: String, from least: Int64 = 1) throws(SchedulingError) -> Int64? {
        switch values[word] {
        case nil: return nil
        case .number(let number)? where number >= least: return number
        default: throw wrong(word, "a whole number, at least \(least)")
        }
    }

    private func wrong(_ word: String, _ wanted: String) -> SchedulingError {
        SchedulingError(.callerScheduleMalformed, "\(quoted(word)) wants \(wanted)")
    }
}
