internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import Rotation
internal import Storage

extension API {
    /// Runs as they are driven: `runs.…`.
    static var runs: [Entry] {
        [
            Entry(
                "runs.list", "List the runs, newest first", example: "runs.list()",
                parameters: [.optional("limit", .integer(1...1000), "at most so many", default: 1000)],
                result: "a list of runs", role: .viewer
            ) { call in
                let runs = try await call.engine().runs()
                return try RunList(runs: Array(runs.prefix(Int(call.arguments.integer("limit") ?? 1000)))).answer()
            },
            Entry(
                "runs.show", "Show one run: its steps, its counts, what it quarantined, its proof",
                example: "runs.show(7)", parameters: [.run], result: "the run with its history",
                errors: ["callerNotFound"], role: .viewer
            ) { call in try await call.engine().runHistory(try call.arguments.run()).answer() },
            Entry(
                "runs.proof", "Hand out the signed proof of a run",
                details: "The statement is the text that was signed, byte for byte; the signature is base64.",
                example: "runs.proof(7).statement", parameters: [.run], result: "statement, signature, signer",
                errors: ["callerNotFound"], role: .viewer, handler: proof),
            Entry(
                "runs.watch", "Show how far a run is until it ends",
                details: "Ending the call does not end the run.", example: "runs.watch(7)",
                parameters: [.run, .until], result: "the run as it was left", errors: ["callerNotFound"], role: .viewer,
                reportsProgress: true
            ) { call in
                let run = try call.arguments.run()
                return try await RunWatch(invocation: call, run: run, until: call.arguments.until).answer()
            },
            Entry(
                "runs.pause", "Pause a run after the batch in hand",
                details: "It keeps its place; resume it when you like. Works also when the database is full or gone.",
                example: "runs.pause(7)", parameters: [.run], result: "the run's number",
                errors: ["callerNotFound", "callerRunState"], role: .operator, effect: .adds, outlivesStore: true
            ) { call in
                let run = try call.arguments.run()
                try await call.ask(.pause, of: run)
                return Answer(["run": .integer(run)], [.lines(["run \(run) pauses after the batch in hand"])])
            },
            Entry(
                "runs.resume", "Go on with a run that was paused, interrupted or killed",
                details: "Where another process holds the paused run, that one goes on; otherwise it is driven here.",
                example: "runs.resume(7)", parameters: [.run] + DriveWords.parameters, result: "the run as it was left",
                errors: ["callerNotFound", "callerRunState"], role: .operator, effect: .adds, reportsProgress: true,
                handler: resume),
            Entry(
                "runs.cancel", "Cancel a run after the batch in hand",
                details: """
                    Before the new key is active it is discarded and nothing has changed. Afterwards the run only stops: rows \
                    not yet rewritten stay under the older key, and the next rotation takes them along. Works also when the \
                    database is full or gone.
                    """,
                example: "runs.cancel(7)", parameters: [.run], result: "the run's number",
                errors: ["callerNotFound", "callerRunState"], role: .operator,
                effect: .changes { call in
                    let run = try call.arguments.run()
                    return Proposal("This cancels run \(run)", byTyping: String(run))
                }, outlivesStore: true, handler: cancel),
            Entry(
                "runs.acknowledge", "Say that a consumer can go along with a run",
                details: """
                    First when it can open with the new key (export: old first), then when it seals with it (export: new \
                    first); a run waits for every consumer that the keyring declares.
                    """,
                example: "runs.acknowledge(7, \"airflow-web\")",
                parameters: [.run, .required("consumer", .text, "the consumer")],
                result: "the consumer and the stage: opens or seals", errors: ["callerNotFound", "callerRunState"],
                role: .operator,
                effect: .changes { call in
                    let (run, name) = (try call.arguments.run(), try call.arguments.name("consumer"))
                    let question = "This says that \"\(name)\" holds the keys it needs for run \(run)"
                    let stage = try await call.engine().runHistory(run).run.phase.rawValue
                    return Proposal(question, byTyping: name.description, facts: [stage])
                }
            ) { call in
                let name = try call.arguments.name("consumer")
                let stage = try await call.engine().acknowledge(
                    run: try call.arguments.run(), consumer: name, alongside: call.alongside)
                let text = stage == .opens ? "can open with the new key" : "seals with the new key"
                return Answer(
                    ["consumer": .string(name.description), "stage": .string(stage.rawValue)],
                    [.lines(["\(name) \(text)"])])
            },
        ]
    }

    private static func proof(_ call: Invocation) async throws -> Answer {
        let run = try call.arguments.run()
        guard let signed = try SignedProof.decode(try await call.engine().runHistory(run).run.proof) else {
            throw ControlError(.callerNotFound, "run \(run) has no proof", hint: "A run is proved when it is verified.")
        }
        return Answer(
            [
                "statement": .string(signed.statement), "signature": .string(signed.signature),
                "signer": .string(signed.signer),
            ],
            [.lines([signed.statement, signed.signer, signed.signature])])
    }

    private static func resume(_ call: Invocation) async throws -> Answer {
        let run = try call.arguments.run()
        let engine = try await call.engine()
        let words = try DriveWords(call.arguments)
        try await engine.ask(.none, of: run, alongside: call.alongside)
        if await call.service.driver.run != run {
            do {
                let options = words.options(keepsRuns: await call.service.keepsRuns)
                _ = try await call.service.driver.launch(engine, options) { run }
            } catch let error as ControlStoreError where error.code == .storeLeaseHeld {
                let holder = try await engine.liveLease()?.holder ?? "another process"
                return Answer(["run": .integer(run)], [.lines(["run \(run) goes on in \(holder)"])])
            }
        }
        return try await RunWatch(invocation: call, run: run, until: words.until).answer()
    }

    private static func cancel(_ call: Invocation) async throws -> Answer {
        let run = try call.arguments.run()
        try await call.ask(.cancel, of: run)
        let value: FrameValue = ["run": .integer(run)]
        let driver = call.service.driver
        if await driver.run == run { return Answer(value, [.lines(["run \(run) ends after the batch in hand"])]) }
        do {
            let engine = try await call.engine()
            _ = try await driver.launch(engine, DriveOptions(waitsForPeople: false)) { run }
            _ = try await driver.watch(run)?.1.value
            return Answer(value, [.lines(["run \(run) is cancelled"])])
        } catch let error as ControlStoreError where error.code == .storeLeaseHeld {
            return Answer(value, [.lines(["run \(run) ends after the batch in hand"])])
        } catch is StorageError {
            return Answer(value, [.lines(["run \(run) ends as soon as the database takes the request"])])
        }
    }
}

extension Invocation {
    /// Asks something of a run; where the database cannot take the request, it is noted in the node's journal, a run that is
    /// driven here stops after its batch, and the request is made as soon as the database takes it.
    func ask(_ request: RunRequest, of run: Int64) async throws {
        do {
            try await engine().ask(request, of: run, alongside: alongside)
        } catch let error as StorageError {
            if outcome != nil {
                try await AuditLog(instance.context).note(
                    entry.name, arguments.audited(entry), by: peer, result: "let through")
            }
            _ = await service.driver.interrupt(run)
            await client.show(
                .note(
                    "the request is noted and made as soon as the database takes it; now it does not: \(error.message)")
            )
        }
    }
}

extension Parameter {
    static var run: Parameter { .required("run", .run, "the run's number") }

    static var until: Parameter {
        .optional(
            "wait", .choice(RunWatch.Until.allCases.map(\.rawValue)),
            "what to wait for: the end of the run, also for people, or nothing", default: "end")
    }
}

extension Arguments {
    var until: RunWatch.Until { text("wait").flatMap(RunWatch.Until.init(rawValue:)) ?? .end }
}

/// How a run is driven, as callers say it.
struct DriveWords {
    private let throttle: Throttle
    private let maxExtraDisk: Int64?
    /// What the caller waits for.
    let until: RunWatch.Until

    static let parameters: [Parameter] = [
        .optional("rows_per_second", .number, "rewrite at most so many rows a second, 1 or more"),
        .optional("duty_cycle", .number, "write at most this share of the time, above 0 and at most 1"),
        .optional(
            "max_extra_disk", .integer(1...(1 << 40)),
            "stop, ready to be resumed, when a table has grown by so many MiB"),
        .until,
    ]

    init(_ arguments: Arguments) throws(ControlError) {
        let (rows, duty) = (arguments.number("rows_per_second"), arguments.number("duty_cycle") ?? 1)
        guard duty > 0, duty <= 1 else { throw ControlError(.callerUsage, "\"duty_cycle\" is above 0 and at most 1") }
        if let rows, !(rows >= 1) { throw ControlError(.callerUsage, "\"rows_per_second\" is at least 1") }
        throttle = Throttle(rowsPerSecond: rows, dutyCycle: duty)
        maxExtraDisk = arguments.integer("max_extra_disk").map { $0 << 20 }
        until = arguments.until
    }

    func options(keepsRuns: Bool) -> DriveOptions {
        DriveOptions(throttle: throttle, maxExtraDisk: maxExtraDisk, waitsForPeople: keepsRuns || until != .people)
    }
}
