internal import Foundation

/// A file of conformance vectors, one JSON object a line.
///
/// The root folder is named by `KEYTURN_VECTORS`; without it the copy in `Tests/Vectors` is read. An absent file is skipped
/// by name, an empty one fails, and every reader prints how many cases it ran.
package struct VectorFile<Case: Decodable> {
    /// The path below the root, such as `formats/kr1.jsonl`.
    package let name: String
    /// The cases; nil where the file is absent.
    package let cases: [Case]?

    /// Reads a file.
    ///
    /// - Throws: An error that names the file and the line for a file that cannot be read, is empty, or holds a broken line.
    package init(_ name: String, of type: Case.Type = Case.self) throws {
        self.name = name
        let file = Self.root.appending(path: name)
        guard FileManager.default.fileExists(atPath: file.path) else {
            print("vectors: \(name) is absent, skipped")
            cases = nil
            return
        }
        let lines = try Data(contentsOf: file).split(separator: UInt8(ascii: "\n"))
        guard !lines.isEmpty else { throw VectorError(description: "\(name) is empty") }
        cases = try lines.enumerated().map { index, line in
            do {
                return try JSONDecoder().decode(Case.self, from: Data(line))
            } catch {
                throw VectorError(description: "\(name), line \(index + 1): \(error)")
            }
        }
    }

    /// Runs a body over all cases and prints how many there were.
    package func forEach(_ body: (Case) throws -> Void) rethrows {
        guard let cases else { return }
        for entry in cases { try body(entry) }
        print("vectors: \(name): \(cases.count) cases")
    }

    /// Reads every file of a folder, each a JSON array of cases.
    ///
    /// - Returns: The files in the order of their names; none where the folder is absent.
    /// - Throws: As ``init(_:of:)``.
    package static func arrays(in folder: String) throws -> [VectorFile] {
        let place = root.appending(path: folder)
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: place.path) else {
            print("vectors: \(folder) is absent, skipped")
            return []
        }
        return try names.filter { $0.hasSuffix(".json") }.sorted().map { name in
            let cases: [Case]
            do {
                cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: place.appending(path: name)))
            } catch {
                throw VectorError(description: "\(folder)/\(name): \(error)")
            }
            guard !cases.isEmpty else { throw VectorError(description: "\(folder)/\(name) is empty") }
            return VectorFile(name: "\(folder)/\(name)", cases: cases)
        }
    }

    private init(name: String, cases: [Case]) {
        self.name = name
        self.cases = cases
    }

    private static var root: URL {
        if let named = ProcessInfo.processInfo.environment["KEYTURN_VECTORS"] {
            return URL(filePath: named, directoryHint: .isDirectory)
        }
        return URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(
            path: "Vectors")
    }
}

/// Says why a file of vectors cannot be used.
package struct VectorError: Error, CustomStringConvertible {
    /// The reason, with the file's name.
    package let description: String
}
