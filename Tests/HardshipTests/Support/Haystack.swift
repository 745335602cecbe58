import Foundation

/// Something that must not be seen, in every form in which it could be.
struct Secret {
    let name: String
    /// The forms with their names; each is looked for byte by byte, hexadecimal in both cases.
    let forms: [(name: String, bytes: Data)]

    /// A secret text: as it stands, in hexadecimal, in base64.
    init(_ name: String, text: String) { self.init(name, bytes: Data(text.utf8)) }

    /// Secret bytes.
    init(_ name: String, bytes: Data) {
        self.name = name
        let hex = bytes.map { String(format: "%02x", $0) }.joined()
        let base64 = String(bytes.base64EncodedString().prefix { $0 != "=" })
        // The last group depends on what follows, so it is left away.
        let common = String(base64.dropLast(base64.count % 4))
        let url = common.replacing("+", with: "-").replacing("/", with: "_")
        forms = [
            ("raw", bytes), ("hex", Data(hex.utf8)), ("HEX", Data(hex.uppercased().utf8)),
            ("base64", Data(common.utf8)),
            ("base64url", Data(url.utf8)),
        ]
    }
}

/// Everything that was put out or left behind, in which secrets are looked for.
struct Haystack {
    private var entries: [(name: String, content: Data)] = []

    mutating func add(_ name: String, _ content: Data) { entries.append((name, content)) }

    mutating func add(_ name: String, _ ended: Ended) {
        add(name + " stdout", ended.output)
        add(name + " stderr", ended.errors)
    }

    /// Adds all files of a folder but those of these names.
    mutating func add(folder: URL, except: Set<String> = []) throws {
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder.path) where !except.contains(name) {
            let file = folder.appending(path: name)
            guard (try? file.resourceValues(forKeys: [.isRegularFileKey]))?.isRegularFile == true else { continue }
            add(name, try Data(contentsOf: file))
        }
    }

    /// Where secrets were found, in words.
    func hits(of secrets: [Secret]) -> [String] {
        secrets.flatMap { secret in
            entries.flatMap { entry in
                secret.forms.filter { entry.content.range(of: $0.bytes) != nil }.map {
                    "\(secret.name) as \($0.name) in \(entry.name)"
                }
            }
        }
    }
}
