import KeyModel
import Scheduling
import Testing
import VectorTesting

struct WindowVectorTests {
    private struct Valid: Decodable {
        let id: String
        let windows: [String]
        let tz: String
        let at: String
        let open: Bool
        let opens: String?
        let closes: String?

        private enum Key: String, CodingKey { case id, window, tz, at, open, opens, closes }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            id = try container.decode(String.self, forKey: .id)
            tz = try container.decode(String.self, forKey: .tz)
            at = try container.decode(String.self, forKey: .at)
            open = try container.decode(Bool.self, forKey: .open)
            opens = try container.decodeIfPresent(String.self, forKey: .opens)
            closes = try container.decodeIfPresent(String.self, forKey: .closes)
            if let one = try? container.decode(String.self, forKey: .window) {
                windows = [one]
            } else {
                windows = try container.decode([String].self, forKey: .window)
            }
        }
    }

    private struct Invalid: Decodable {
        let window: String
        let reason: String
    }

    @Test(arguments: ["scheduling/window.jsonl", "scheduling/window-disputed.jsonl"])
    func opensAndClosesWhenEveryVectorSays(file: String) throws {
        try VectorFile(file, of: Valid.self).forEach { entry in
            let zone = try TestZones.zone(entry.tz)
            let union = try WindowUnion(try entry.windows.map { try WeeklyWindow(parsing: $0) }, in: zone)
            let at = try instant(entry.at)
            let opening = try #require(union.opening(atOrAfter: at), "\(entry.id)")
            let name: Comment = "\(entry.id) \(entry.windows) \(entry.tz) \(entry.at)"
            #expect(opening.contains(at) == entry.open, name)
            #expect((entry.open ? nil : zone.text(opening.start)) == entry.opens, name)
            #expect(opening.end.map(zone.text) == entry.closes, name)
            #expect(union.opening(startingAtOrBefore: max(at, opening.start))?.end == opening.end, name)
        }
    }

    @Test func refusesEveryMalformedWindow() throws {
        try VectorFile("scheduling/window-invalid.jsonl", of: Invalid.self).forEach { entry in
            let error = failure { try WeeklyWindow(parsing: entry.window) }
            #expect(error?.code == .callerWindowMalformed, "\(quoted(entry.window)): \(entry.reason)")
            #expect(error?.message.contains(quoted(entry.window)) == true)
        }
    }
}
