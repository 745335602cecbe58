package import Foundation

/// A program that was built with these tests.
package enum BuiltProgram {
    /// The path of `keyturn`: beside the test bundle, or in one of the folders above it.
    ///
    /// - Throws: ``EndToEndError`` where it was not built.
    package static func keyturn() throws -> String { try named("keyturn") }

    /// The path of a program of this package.
    ///
    /// - Throws: ``EndToEndError`` where it was not built.
    package static func named(_ name: String) throws -> String {
        let named = CommandLine.arguments.filter { $0.hasPrefix("/") }
        for start in named + [Bundle.main.bundlePath, #filePath] {
            var folder = URL(filePath: start).deletingLastPathComponent()
            while folder.path != "/" {
                for place in [name, ".build/debug/\(name)"] {
                    let file = folder.appending(path: place).path
                    if isProgram(file) { return file }
                }
                folder.deleteLastPathComponent()
            }
        }
        throw EndToEndError("\(name) was not built beside the tests")
    }

    /// A folder that stands in this package.
    package static func folder(_ path: String) -> URL {
        (0..<3).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }.appending(path: path)
    }

    private static func isProgram(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
            && FileManager.default.isExecutableFile(atPath: path)
    }
}

/// Says why a test could not do its work.
package struct EndToEndError: Error, CustomStringConvertible {
    /// The reason.
    package let description: String

    /// Gives a reason.
    package init(_ description: String) { self.description = description }
}
