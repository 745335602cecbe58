internal import Foundation
internal import KeyModel
internal import PluginKit

/// A directory that no other user can look into, for one process; removed with all that is in it.
final class PrivateDirectory: Sendable {
    /// Its path.
    let path: String

    /// The longest path that a Unix socket can have.
    static let maximumSocketPath = 107

    /// Makes one beneath `base`, where the socket's path stays short enough.
    init(beneath base: String) throws(ProviderError) {
        var template = Array("\(base)/keyturn-XXXXXX".utf8CString)
        errno = ENAMETOOLONG
        guard template.count + "/socket".utf8.count <= Self.maximumSocketPath, mkdtemp(&template) != nil else {
            let number = errno
            throw ProviderError(
                SystemText.isPassing(number) ? .providerUnavailable : .providerMisconfigured,
                "cannot make a private directory in \(quoted(base)): \(SystemText.text(number))",
                hint: "Give the daemon a runtime directory with a short path."
            )
        }
        path = template.withUnsafeBufferPointer { text in
            text.baseAddress.map { String(cString: $0) } ?? ""
        }
    }

    /// Where the plugin binds its socket.
    var socket: String { path + "/socket" }

    /// Where the copy for an interpreter lies.
    var script: String { path + "/plugin" }

    deinit {
        // A plugin may have left anything here.
        try? FileManager.default.removeItem(atPath: path)
    }
}
