import Control
import ControlTesting
import Foundation
import Frames
import Testing
import ToolTesting

/// The parsers of what comes over the socket, fed with what no peer of ours sends.
struct WireFuzzTests {
    @Test(arguments: Peer.Way.allCases)
    func aClientComesByAWayOfPeopleAlone(way: Peer.Way) {
        let hello = ClientMessage.hello(version: Wire.version, SessionHello(way: way, isInteractive: false))
        let read = Result { () throws(ControlError) in try ClientMessage(hello.frame) }
        #expect((try? read.get()) != nil ? way.isOfPeople : !way.isOfPeople)
        #expect([Peer.Way.hook, .schedule].contains(way) != way.isOfPeople)
    }

    private static let clientMessages: [ClientMessage] = [
        .hello(version: 1, SessionHello(way: .console, isInteractive: true, width: 80)),
        .request(
            id: 1, .call(Call("a.b", [1, "x"], named: ["n": [1, 2]], confirmation: .plan(hash: "h"))), descriptors: 2),
        .request(id: 2, .script(Script("x", name: "n", isInteractive: true, arguments: ["a"])), descriptors: 0),
        .request(id: 3, .complete(text: "abc", cursor: 2), descriptors: 0), .answer(question: 4, "y"), .cancel(id: 5),
        .killScript, .close,
    ]

    private static let daemonMessages: [DaemonMessage] =
        [
            .hello(version: 1), .question(id: 1, question: 2, Question("q", isSecret: true)), .answer(id: 3, .sample),
            .failure(id: nil, ControlError(.callerBusy, "b", hint: "h")),
            .failure(id: 4, ControlError(.callerUsage, "u")),
        ] + everyEvent.map { .event(id: 9, $0) }

    @Test func everyMessageSurvivesTheJourney() throws {
        for message in Self.daemonMessages { #expect(try DaemonMessage(message.frame) == message) }
        for message in Self.clientMessages { #expect(try ClientMessage(message.frame).frame == message.frame) }
    }

    /// KEYTURN_FUZZ_SEED repeats a run, KEYTURN_FUZZ_ROUNDS lengthens it.
    @Test func whatIsBentIsRefusedOrReadButNeverTraps() throws {
        let environment = ProcessInfo.processInfo.environment
        let seed = environment["KEYTURN_FUZZ_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        let rounds = environment["KEYTURN_FUZZ_ROUNDS"].flatMap { Int($0) } ?? 3000
        var random = SeededGenerator(seed: seed)
        let frames = try (Self.clientMessages.map(\.frame) + Self.daemonMessages.map(\.frame)).map {
            try FrameEncoder().frame($0)
        }
        var read = 0
        var refused = 0
        for _ in 0..<rounds {
            let stream = bend(Array(frames.shuffled(using: &random).prefix(3).joined()), &random)
            var reader = FrameReader(limits: Wire.requestLimits)
            do {
                for piece in pieces(stream, &random) {
                    reader.append(piece)
                    while let value = try reader.next() {
                        _ = try? ClientMessage(value)
                        _ = try? DaemonMessage(value)
                        read += 1
                    }
                }
            } catch {
                refused += 1
            }
        }
        #expect(read > 0 && refused > 0, "seed \(seed)")
    }

    private func bend(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            guard !bytes.isEmpty else { break }
            let place = bytes.indices.randomElement(using: &random) ?? 0
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes.remove(at: place)
            case 3: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            default: bytes.removeSubrange(place...)
            }
        }
        return bytes
    }

    private func pieces(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [ArraySlice<UInt8>] {
        var rest = bytes[...]
        var pieces: [ArraySlice<UInt8>] = []
        while !rest.isEmpty {
            let count = Int.random(in: 1...max(1, rest.count), using: &random)
            pieces.append(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return pieces
    }
}
