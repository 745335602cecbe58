import CloudTesting

/// What a service does otherwise than AWS; the tests hold each to it, so that what is mended falls out of this table.
struct Difference {
    let kind: LocalCloud.Kind
    /// The line of a suite, or of the provider's own test, that does not pass.
    let line: String
    let why: String

    /// All of them; the strict service has none, since it is held to what AWS documents.
    static let all = [
        Difference(kind: .ministack, line: "its own test passes", why: "see the lines of the test below"),
        Difference(
            kind: .ministack, line: "no wrap with a flipped byte unwraps", why: "its cipher authenticates nothing"),
        Difference(
            kind: .ministack, line: "no truncated or empty wrap unwraps", why: "its cipher authenticates nothing"),
        Difference(kind: .ministack, line: "role refuses without External ID", why: "it asks for none"),
        Difference(kind: .ministack, line: "role refuses another External ID", why: "it asks for none"),
        Difference(kind: .ministack, line: "re-encrypt", why: "it has no ReEncrypt"),
        Difference(kind: .ministack, line: replicas, why: "releases before 1.5 have no ReplicateKey"),
        Difference(kind: .ministack, line: material, why: "it has no RotateKeyOnDemand"),
        Difference(
            kind: .moto, line: replicas, why: "ids of its multi-Region keys are none of AWS's, and open nothing"),
        Difference(
            kind: .moto, line: material, why: "its RotateKeyOnDemand leaves the material, and no id of it is told"),
    ]

    /// Multi-Region keys are in several regions.
    static let replicas = "keys have replicas"
    /// A turned key has another material.
    static let material = "keys have materials"

    /// Why a line does not pass on a service; nil where it must.
    static func why(_ kind: LocalCloud.Kind, _ line: String) -> String? {
        all.first { $0.kind == kind && $0.line == line }?.why
    }
}
