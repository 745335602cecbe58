internal import ControlStore
internal import KeyModel
internal import Rotation
internal import Testing
internal import ToolTesting

struct RunMachineTests {
    private static let inOrder: [RunPhase] = [
        .planned, .preflight, .before, .prepare, .publish, .activate, .reencrypt, .settle, .verify, .retire, .after,
    ]

    @Test func takesThePhasesInTheirOrderToTheEnd() {
        var machine = RunMachine(phase: .planned, state: .open)
        var action = machine.handle(.started)
        for phase in Self.inOrder {
            #expect(action == .perform(phase))
            action = machine.handle(Self.success(of: phase))
        }
        #expect(action == .end && machine.phase == .done && machine.state == .done && machine.message == nil)
    }

    @Test(arguments: inOrder)
    func anOpenRunStartsInThePhaseItStandsIn(phase: RunPhase) {
        for state in [RunState.open, .paused, .waiting, .needsOperator] {
            var machine = RunMachine(phase: phase, state: state)
            #expect(machine.handle(.started) == .perform(phase))
            #expect(machine.state == .open && machine.message == nil && machine.phase == phase)
        }
    }

    @Test(arguments: [RunState.done, .doneWithExceptions, .failed, .cancelled])
    func aFinishedRunIsNotTakenUp(state: RunState) {
        var machine = RunMachine(phase: .done, state: state)
        #expect(machine.handle(.started) == .end)
        #expect(machine.state == state)
    }

    @Test(arguments: inOrder)
    func cancellingDiscardsTheKeyOnlyUpToTheActivation(phase: RunPhase) {
        var machine = RunMachine(phase: phase, state: .open)
        let action = machine.handle(.requested(.cancel))
        #expect(action == (phase <= .activate ? .discardAndEnd : .end))
        #expect(machine.state == .cancelled && machine.phase == phase)
    }

    @Test(arguments: inOrder)
    func failingEndsARunOnlyWhileNothingWasChanged(phase: RunPhase) {
        var machine = RunMachine(phase: phase, state: .open)
        let action = machine.handle(.failed("why"))
        #expect(action == (phase < .prepare ? .end : .leave))
        #expect(machine.state == (phase < .prepare ? .failed : .needsOperator) && machine.message == "why")
    }

    @Test func aMissingBackupParksBeforeAnythingIsChanged() {
        var machine = RunMachine(phase: .before, state: .open)
        #expect(machine.handle(.backupMissing) == .park && machine.state == .waiting && machine.phase == .before)
        #expect(machine.handle(.started) == .perform(.before) && machine.state == .open)
    }

    @Test(arguments: inOrder)
    func pausingParksAndInterruptingLeaves(phase: RunPhase) {
        var machine = RunMachine(phase: phase, state: .open)
        #expect(machine.handle(.interrupted) == .leave && machine.state == .open && machine.phase == phase)
        #expect(machine.handle(.requested(.pause)) == .park && machine.state == .paused && machine.phase == phase)
        #expect(machine.handle(.requested(.none)) == .perform(phase))
    }

    @Test func waitingNamesThoseWhoAreMissing() throws {
        let consumers = [try Name("web"), try Name("worker")]
        var machine = RunMachine(phase: .publish, state: .open)
        #expect(machine.handle(.acknowledgementsMissing(.opens, consumers)) == .wait(.opens, consumers))
        #expect(machine.state == .waiting && machine.message?.contains("web, worker") == true)
        #expect(machine.handle(.acknowledgementsMissing(.opens, consumers)) == .wait(.opens, consumers))
        #expect(machine.handle(.started) == .perform(.publish) && machine.state == .open)
    }

    @Test func sweepsGoOnUntilOneFindsNothing() {
        var machine = RunMachine(phase: .settle, state: .open)
        for found in [1000, 100, 10, 1] as [Int64] {
            #expect(machine.handle(.swept(found: found)) == .perform(.settle))
        }
        #expect(machine.handle(.swept(found: 0)) == .perform(.verify))
    }

    @Test func sweepsThatDoNotShrinkEndWithAPerson() {
        var machine = RunMachine(phase: .settle, state: .open)
        var actions: [RunMachine.Action] = []
        for _ in 0..<4 { actions.append(machine.handle(.swept(found: 7))) }
        #expect(actions == [.perform(.settle), .perform(.settle), .perform(.settle), .leave])
        #expect(machine.state == .needsOperator && machine.phase == .settle)
        #expect(machine.handle(.started) == .perform(.settle), "someone who looked into it may let it try again")
        #expect(machine.handle(.swept(found: 7)) == .perform(.settle))
    }

    @Test func aWriterWhoReturnsAfterEachSweepDoesNotKeepItForEver() {
        var machine = RunMachine(phase: .settle, state: .open)
        var action = RunMachine.Action.perform(.settle)
        var rounds = 0
        while case .perform(let phase) = action, rounds < 100 {
            rounds += 1
            action = machine.handle(phase == .verify ? .verified(exceptions: 0, left: 1) : .swept(found: 0))
        }
        #expect(action == .leave && machine.state == .needsOperator, "after \(rounds) rounds")
    }

    @Test func whatIsLeftSendsVerificationBackAndExceptionsDoNot() {
        var machine = RunMachine(phase: .verify, state: .open)
        #expect(machine.handle(.verified(exceptions: 2, left: 3)) == .perform(.settle) && machine.phase == .settle)
        #expect(machine.handle(.swept(found: 0)) == .perform(.verify))
        #expect(machine.handle(.verified(exceptions: 2, left: 0)) == .perform(.retire))
        #expect(machine.handle(.phaseDone) == .perform(.after))
        #expect(machine.handle(.phaseDone) == .end)
        #expect(machine.state == .doneWithExceptions && machine.message?.contains("2 values") == true)
    }

    @Test func exceptionsSurviveBeingTakenUpAgain() {
        var machine = RunMachine(phase: .after, state: .open, exceptions: 1)
        #expect(machine.handle(.started) == .perform(.after))
        #expect(machine.handle(.phaseDone) == .end && machine.state == .doneWithExceptions)
    }

    /// Walks at random through everything that can happen, a crash between any two steps included.
    @Test(arguments: 0..<200)
    func noWalkBreaksTheRules(round: Int) throws {
        var generator = SeededGenerator()
        var walk = RandomWalk(consumers: [try Name("web")])
        for _ in 0..<200 where !walk.isOver { walk.step(using: &generator) }
        #expect(walk.violations.isEmpty, "seed \(generator.seed): \(walk.violations)")
    }

    fileprivate static func success(of phase: RunPhase) -> RunMachine.Event {
        switch phase {
        case .settle: .swept(found: 0)
        case .verify: .verified(exceptions: 0, left: 0)
        default: .phaseDone
        }
    }
}

/// A machine amid random events, with what must always hold checked after each.
private struct RandomWalk {
    private var machine = RunMachine(phase: .planned, state: .open)
    private var action: RunMachine.Action
    private var lastLeft: Int64?
    private let consumers: [Name]
    private(set) var violations: [String] = []

    init(consumers: [Name]) {
        self.consumers = consumers
        action = machine.handle(.started)
    }

    var isOver: Bool { action == .end || action == .discardAndEnd }

    mutating func step(using generator: inout SeededGenerator) {
        let before = machine.phase
        switch action {
        case .perform(let phase):
            if phase != machine.phase { violations.append("told to perform \(phase) in \(machine.phase)") }
            let event = event(in: phase, using: &generator)
            if case .verified(_, let left) = event { lastLeft = left }
            action = machine.handle(event)
        case .wait, .park, .leave:
            // Another process takes the run up from its record.
            machine = RunMachine(phase: machine.phase, state: machine.state, exceptions: machine.exceptions)
            action = machine.handle(.started)
            if action != .perform(before) { violations.append("\(before) cannot be taken up: \(action)") }
        case .end, .discardAndEnd: return
        }
        check(after: before)
    }

    private mutating func check(after before: RunPhase) {
        if machine.phase < before, !(before == .verify && machine.phase == .settle) {
            violations.append("went back from \(before) to \(machine.phase)")
        }
        if machine.state == .cancelled, action != (machine.phase <= .activate ? .discardAndEnd : .end) {
            violations.append("cancelled in \(machine.phase) with \(action)")
        }
        let isDone = machine.state == .done || machine.state == .doneWithExceptions
        if isDone, lastLeft != 0 { violations.append("done with \(lastLeft ?? -1) left") }
        if isDone, (machine.exceptions > 0) != (machine.state == .doneWithExceptions) {
            violations.append("\(machine.exceptions) exceptions end in \(machine.state)")
        }
        if machine.state.isOpen == isOver { violations.append("\(machine.state) with \(action)") }
    }

    private func event(in phase: RunPhase, using generator: inout SeededGenerator) -> RunMachine.Event {
        switch Int.random(in: 0..<20, using: &generator) {
        case 0: return .interrupted
        case 1: return .requested(.pause)
        case 2 where Bool.random(using: &generator): return .requested(.cancel)
        case 3 where phase >= .prepare: return .failed("anything")
        case 4 where phase == .publish: return .acknowledgementsMissing(.opens, consumers)
        case 4 where phase == .activate: return .acknowledgementsMissing(.seals, consumers)
        default: break
        }
        switch phase {
        case .settle: return .swept(found: max(0, Int64.random(in: -3...5, using: &generator)))
        case .verify:
            let left = max(0, Int64.random(in: -5...5, using: &generator))
            return .verified(exceptions: max(0, Int64.random(in: -2...2, using: &generator)), left: left)
        default: return .phaseDone
        }
    }
}
