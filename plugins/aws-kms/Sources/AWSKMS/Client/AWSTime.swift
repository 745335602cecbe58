internal import Foundation

/// Times as AWS writes them.
enum AWSTime {
    /// `2026-11-21T21:23:41Z`, with or without a fraction, as seconds since 1970.
    static func seconds(_ text: String) -> Double? {
        if let date = try? Date(text, strategy: .iso8601) { return date.timeIntervalSince1970 }
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        return (try? Date(text, strategy: style))?.timeIntervalSince1970
    }

    /// The `Date` header of an answer: `Sun, 22 Nov 2026 05:03:34 GMT`.
    static func header(_ text: String) -> Double? {
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let form = /[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}:[0-9]{2}:[0-9]{2}) GMT/
        guard let match = text.wholeMatch(of: form), let month = months.firstIndex(of: String(match.2)) else {
            return nil
        }
        let number = month + 1
        return seconds("\(match.3)-\(number < 10 ? "0" : "")\(number)-\(match.1)T\(match.4)Z")
    }
}
