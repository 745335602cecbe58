internal import PluginWire
internal import SwiftProtobuf
internal import Testing

@testable import ProviderHost

/// Whose an answer over a session is, and when a session is of no more use.
struct SessionCallsTests {
    private var calls = SessionCalls<String>()
    private let start = ContinuousClock.now

    private mutating func add(_ name: String, _ request: SessionRequest, until end: Duration = .seconds(3)) -> UInt64 {
        let ticket = calls.ticket()
        calls.add(request, ticket: ticket, until: start + end, waiting: name)
        return ticket
    }

    /// Adds calls and sends all of them.
    private mutating func send(_ names: [String], until end: Duration = .seconds(3)) -> [UInt64] {
        for name in names { _ = add(name, .wrap(.init()), until: end) }
        return names.compactMap { _ in calls.nextMessage()?.id }
    }

    private mutating func take(_ id: UInt64, _ answer: SessionAnswer.OneOf_Answer?) -> String {
        switch calls.take(
            .with {
                $0.id = id
                $0.answer = answer
            })
        {
        case .answer(let answer, let name): "\(name) \(answer.id)"
        case .otherKind(let name): "\(name) other"
        case .late: "late"
        case .unknown: "unknown"
        }
    }

    @Test
    mutating func answersFindTheirCallersInAnyOrder() {
        let ids = send(["a", "b", "c"])
        #expect(ids == [1, 2, 3])
        #expect(take(2, .wrap(.init())) == "b 2")
        #expect(take(3, .failure(.init())) == "c 3")
        #expect(take(1, .wrap(.init())) == "a 1")
        #expect(calls.isEmpty)
    }

    @Test
    mutating func whatWasNotAskedIsNoAnswer() {
        _ = send(["a"])
        _ = add("waits", .wrap(.init()))
        #expect(take(0, .wrap(.init())) == "unknown")
        // The second one is there, and not sent.
        #expect(take(2, .wrap(.init())) == "unknown")
        #expect(take(1, .wrap(.init())) == "a 1")
        #expect(take(1, .wrap(.init())) == "unknown")
        #expect(calls.count == 1)
    }

    @Test(arguments: [nil, .unwrap(.init())] as [SessionAnswer.OneOf_Answer?])
    mutating func anAnswerOfAnotherKindIsNone(_ answer: SessionAnswer.OneOf_Answer?) {
        _ = send(["a"])
        #expect(take(1, answer) == "a other")
    }

    @Test
    mutating func whatIsGivenUpIsNotSentAndItsAnswerDropped() {
        let first = add("sent", .wrap(.init()))
        _ = calls.nextMessage()
        let second = add("not sent", .wrap(.init()))
        _ = add("kept", .unwrap(.init()))
        #expect(calls.giveUp(ticket: first) == "sent" && calls.giveUp(ticket: first) == nil)
        #expect(calls.giveUp(ticket: second) == "not sent")
        #expect(calls.nextMessage()?.id == 2 && calls.nextMessage() == nil)
        #expect(take(1, .wrap(.init())) == "late")
        #expect(take(1, .wrap(.init())) == "unknown")
        #expect(take(2, .unwrap(.init())) == "kept 2")
        #expect(!calls.isWorn)
    }

    @Test
    mutating func onlySoManyAreInHand() {
        let names = (0..<100).map { "\($0)" }
        let ids = send(names)
        #expect(ids.count == SessionCalls<String>.mostInHand && calls.count == 100 && !calls.canSend)
        #expect(take(5, .wrap(.init())) == "4 5")
        #expect(calls.canSend && calls.nextMessage()?.id == 65 && calls.nextMessage() == nil)
    }

    @Test
    mutating func whatIsOverdueIsGivenUp() {
        _ = send(["a"], until: .seconds(1))
        _ = send(["b"], until: .seconds(2))
        _ = add("c", .wrap(.init()), until: .seconds(1))
        #expect(calls.nextEnd == start + .seconds(1))
        #expect(calls.giveUp(overdueAt: start) == [])
        #expect(take(2, .wrap(.init())) == "b 2")
        #expect(Set(calls.giveUp(overdueAt: start + .seconds(1))) == ["a", "c"])
        #expect(calls.isEmpty && calls.nextEnd == nil)
        // Another one was answered meanwhile.
        #expect(!calls.isWorn)
    }

    @Test
    mutating func aSessionThatSaysNothingIsWorn() {
        _ = send(["a"], until: .seconds(1))
        #expect(calls.giveUp(overdueAt: start + .seconds(1)) == ["a"])
        #expect(calls.isWorn)
    }

    @Test
    mutating func aSessionThatLeavesManyUnansweredIsWorn() {
        for number in 1...SessionCalls<String>.mostGivenUp {
            #expect(!calls.isWorn)
            let ticket = add("\(number)", .wrap(.init()))
            _ = calls.nextMessage()
            _ = calls.giveUp(ticket: ticket)
        }
        #expect(calls.isWorn)
    }
}
