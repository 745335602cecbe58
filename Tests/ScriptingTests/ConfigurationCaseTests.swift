import Foundation
import Testing

@testable import Scripting

/// A configuration and the error that it must give, from a file in `Tests/Fixtures/configurations`.
struct ConfigurationCase: CustomTestStringConvertible, Sendable {
    let testDescription: String
    var text = ""
    var message: String?
    var hint: String?

    /// All cases of all files.
    ///
    /// A case begins with a line `# its name`; `=>` and `?>` begin the message and the hint.
    static let all: [ConfigurationCase] = {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/configurations")
        let files = try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return (files ?? []).filter { $0.pathExtension == "case" }.sorted { $0.path < $1.path }.flatMap(cases(in:))
    }()

    private static func cases(in file: URL) -> [ConfigurationCase] {
        guard let text = try? String(contentsOf: file, encoding: .utf8) else { return [] }
        var cases: [ConfigurationCase] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("# ") {
                cases.append(ConfigurationCase(testDescription: String(line.dropFirst(2))))
            } else if !cases.isEmpty {
                cases[cases.count - 1].take(line)
            }
        }
        return cases
    }

    private mutating func take(_ line: Substring) {
        if line.hasPrefix("=> ") {
            message = String(line.dropFirst(3))
        } else if line.hasPrefix("?> ") {
            hint = String(line.dropFirst(3))
        } else {
            text += line + "\n"
        }
    }
}

struct ConfigurationCaseTests {
    @Test(arguments: ConfigurationCase.all)
    func theErrorIsTheOneExpected(example: ConfigurationCase) async throws {
        let error = try #require(try await loadError(example.text), "it loads")
        #expect(error.message == example.message)
        #expect(error.hint == example.hint)
    }

    @Test func casesAreFound() {
        #expect(ConfigurationCase.all.count > 50)
        #expect(ConfigurationCase.all.allSatisfy { $0.message != nil })
    }
}
