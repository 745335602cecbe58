internal import Foundation
internal import KeyModel
package import PluginKit

/// Keeps what Keyturn writes out of the directories that plugins are executed from.
///
/// Whoever may name the file of an audit log or an export could otherwise have a program of his own making executed.
package enum OutputPathRule {
    /// Whether a path lies in one of the directories; pure, over paths that are resolved already.
    package static func lies(_ path: String, in directories: [String]) -> Bool {
        let parts = components(path)
        return directories.contains { directory in parts.starts(with: components(directory)) }
    }

    /// Refuses a path that lies in, or through symbolic links leads into, a directory of plugins.
    ///
    /// - Parameters:
    ///   - path: Where something is to be written; the file need not be there yet.
    ///   - what: What is to be written, for the message: `the audit export`.
    ///   - directories: The directories of plugins.
    /// - Throws: `ProviderError` with `providerMisconfigured`.
    package static func check(_ path: String, for what: String, against directories: [String]) throws(ProviderError) {
        let resolved = resolve(path)
        let real = directories.map(resolve)
        guard lies(resolved, in: real) || lies(URL(filePath: path).standardizedFileURL.path, in: directories) else {
            return
        }
        throw ProviderError(
            .providerMisconfigured, "will not write \(what) to \(quoted(path)): plugins are executed from there",
            hint: "Choose a place outside of \(directories.sorted().joined(separator: ", "))."
        )
    }

    /// Follows the symbolic links of as much of a path as there is.
    private static func resolve(_ path: String) -> String {
        var url = URL(filePath: path).standardizedFileURL
        var rest: [String] = []
        while url.path != "/" {
            if let real = realpath(url.path, nil) {
                defer { free(real) }
                return ([String(cString: real)] + rest.reversed()).joined(separator: "/")
            }
            // A link that leads nowhere yet leads where it says.
            if let target = try? FileManager.default.destinationOfSymbolicLink(atPath: url.path) {
                url = URL(filePath: target, relativeTo: url.deletingLastPathComponent()).standardizedFileURL
                if rest.count > 64 { break }
                rest.append(url.lastPathComponent)
                url = url.deletingLastPathComponent()
                continue
            }
            rest.append(url.lastPathComponent)
            url = url.deletingLastPathComponent()
        }
        return "/" + rest.reversed().joined(separator: "/")
    }

    private static func components(_ path: String) -> [Substring] { path.split(separator: "/") }
}
