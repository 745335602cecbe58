internal import PluginWire
internal import SwiftProtobuf

/// What a session is asked.
typealias SessionRequest = Keyturn_Provider_V1_SessionRequest.OneOf_Request
/// What a session answers.
typealias SessionAnswer = Keyturn_Provider_V1_SessionResponse

/// The calls of one session: which wait to be sent, which are in hand, and whose an answer is; pure.
///
/// `Waiting` is whoever waits for an answer.
struct SessionCalls<Waiting> {
    /// The most calls that are sent and not answered.
    static var mostInHand: Int { 64 }
    /// The most calls that are sent and given up; more that come in time do not make up for what never comes.
    static var mostGivenUp: Int { 16 }

    /// What an answer is.
    enum Outcome {
        /// An answer that was waited for, of the kind that was asked for.
        case answer(SessionAnswer, Waiting)
        /// One that was waited for, with something else in it.
        case otherKind(Waiting)
        /// One to a call that was given up.
        case late
        /// One to a call that was never sent, or was answered before.
        case unknown
    }

    private struct Call {
        let ticket: UInt64
        /// Nil once it is sent: a key is not held longer than it must be.
        var request: SessionRequest?
        let isWrap: Bool
        let end: ContinuousClock.Instant
        let waiting: Waiting
        /// How many answers there had been before it was sent.
        var answersBefore = 0
    }

    private var waiting: [Call] = []
    private var sent: [UInt64: Call] = [:]
    private var givenUp: Set<UInt64> = []
    private var lastTicket: UInt64 = 0
    private var lastID: UInt64 = 0
    private var answers = 0

    /// Whether the session answered nothing while a call's time passed, or too little; it is for no more calls then.
    private(set) var isWorn = false

    /// Whether nobody waits for an answer.
    var isEmpty: Bool { waiting.isEmpty && sent.isEmpty }

    /// How many wait for an answer.
    var count: Int { waiting.count + sent.count }

    /// Whether a call is to be sent.
    var canSend: Bool { !waiting.isEmpty && sent.count + givenUp.count < Self.mostInHand }

    /// When the time of a call is over next.
    var nextEnd: ContinuousClock.Instant? { (waiting.map(\.end) + sent.values.map(\.end)).min() }

    /// What names the next call on this side.
    mutating func ticket() -> UInt64 {
        lastTicket += 1
        return lastTicket
    }

    /// Takes a call that is to be sent.
    mutating func add(
        _ request: SessionRequest, ticket: UInt64, until end: ContinuousClock.Instant, waiting caller: Waiting
    ) {
        let isWrap = if case .wrap = request { true } else { false }
        waiting.append(Call(ticket: ticket, request: request, isWrap: isWrap, end: end, waiting: caller))
    }

    /// The next message to send; nil while there is none.
    mutating func nextMessage() -> Keyturn_Provider_V1_SessionRequest? {
        guard canSend else { return nil }
        var call = waiting.removeFirst()
        lastID += 1
        call.answersBefore = answers
        let request = call.request.take()
        sent[lastID] = call
        return .with {
            $0.id = lastID
            $0.request = request
        }
    }

    /// Takes an answer.
    mutating func take(_ answer: SessionAnswer) -> Outcome {
        if givenUp.remove(answer.id) != nil {
            answers += 1
            return .late
        }
        guard let call = sent.removeValue(forKey: answer.id) else { return .unknown }
        answers += 1
        switch (call.isWrap, answer.answer) {
        case (true, .wrap), (false, .unwrap), (_, .failure): return .answer(answer, call.waiting)
        default: return .otherKind(call.waiting)
        }
    }

    /// Gives a call up whose caller waits no more; nil where it has been answered.
    mutating func giveUp(ticket: UInt64) -> Waiting? { giveUp { $0.ticket == ticket }.first }

    /// Gives the calls up whose time is over.
    mutating func giveUp(overdueAt now: ContinuousClock.Instant) -> [Waiting] {
        isWorn = isWorn || sent.values.contains { $0.end <= now && $0.answersBefore == answers }
        return giveUp { $0.end <= now }
    }

    /// Gives all calls up.
    mutating func giveUpAll() -> [Waiting] { giveUp { _ in true } }

    private mutating func giveUp(where isOver: (Call) -> Bool) -> [Waiting] {
        let over = waiting.filter(isOver) + sent.values.filter(isOver)
        givenUp.formUnion(sent.filter { isOver($0.value) }.keys)
        waiting.removeAll(where: isOver)
        sent = sent.filter { !isOver($0.value) }
        isWorn = isWorn || givenUp.count >= Self.mostGivenUp
        return over.map(\.waiting)
    }
}
