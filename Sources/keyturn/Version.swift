/// The version of this build.
enum Version {
    /// The number, after Semantic Versioning.
    static let text = "0.1.0"
}
