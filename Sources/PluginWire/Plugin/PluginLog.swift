internal import Foundation

/// What a plugin tells the people who run it; the host keeps a bounded, escaped tail of it.
///
/// A line begins with its urgency as `<3>` (error), `<4>` (warning) or `<6>` (information), as systemd knows it. Never
/// write key material, PINs or tokens.
public enum PluginLog {
    /// Says that someone must act.
    public static func error(_ text: String) { write(3, text) }

    /// Says that something did not work.
    public static func warning(_ text: String) { write(4, text) }

    /// Says what is worth knowing.
    public static func info(_ text: String) { write(6, text) }

    private static func write(_ urgency: Int, _ text: String) {
        let line = "<\(urgency)>" + WireText.escaped(text, limit: 2000) + "\n"
        let bytes = Array(line.utf8)
        _ = bytes.withUnsafeBytes { Foundation.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
