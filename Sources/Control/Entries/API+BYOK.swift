internal import AWSNames
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Rotation

extension API {
    /// Keys that the customer brings: `byok.…`, in the order in which they are called.
    static var byok: [Entry] {
        [
            Entry(
                "byok.describe", "Print what the owner of a key has to set up: policies, External ID, declaration",
                details: """
                    The External ID is made once for the instance and chosen by nobody. The permission policy allows what \
                    Keyturn does with the key and no more; with full = true it allows all seven actions that products of this \
                    kind ask for, and says what the other two are for. Changes nothing at the key's owner.
                    """,
                example: "byok.describe{provider = \"aws-kms\", key = \"arn:…\", principal = \"arn:…\"}.trust_policy",
                parameters: [
                    .required("provider", .choice(["aws-kms", "transit"]), "the kind of provider"),
                    .required("key", .text, "the key: its ARN, or its name at a transit engine"),
                    .optional("region", .text, "its region; only to be sure, since the ARN names it"),
                    .optional("role", .text, "the ARN of the role; default: KeyturnBYOKRole in the key's account"),
                    .optional("principal", .text, "the ARN of who assumes the role: who runs Keyturn"),
                    .optional("full", .truth, "allow all seven actions"),
                    .optional("mount", .text, "where a transit engine is mounted", default: "transit"),
                ], result: "external_id, role, permission_policy, trust_policy, declaration, notes",
                errors: ["callerUsage"], role: .serverAdmin, effect: .adds
            ) { call in try await BYOKDescription(call).answer() },
            Entry(
                "byok.test", "Try a declared provider from end to end, and remember how it went",
                details: """
                    Assumes the role, also without and with a wrong External ID, which must be refused; looks at the key; wraps, \
                    unwraps, re-encrypts; opens in an altered context, which must fail; measures. Good only where nothing failed.
                    """,
                example: "byok.test(\"customer\")", parameters: [.byokProvider],
                result: "checks with outcome and remark",
                errors: ["callerNotFound", "providerUnavailable"], role: .serverAdmin, effect: .adds
            ) { call in try await BYOKProvider(call).test() },
            Entry(
                "byok.save", "Take a tested provider for the customer's, after a warning",
                details: """
                    Wants a test that passed in the last ten minutes with the very same settings. Moves nothing yet; byok.continue \
                    does.
                    """,
                example: "byok.save(\"customer\")", parameters: [.byokProvider], result: "the provider",
                errors: ["callerPolicyForbids"], role: .serverAdmin,
                effect: .changes { call in try await BYOKProvider(call).proposeSaving() }
            ) { call in try await BYOKProvider(call).save() },
            Entry(
                "byok.continue", "Move keyrings under the saved provider's key, then rotate them",
                details: """
                    For each keyring that keyturn.lua declares with this provider: every version is wrapped under both keys and \
                    proved to unwrap through the customer's, then the older wraps are dropped in one transaction, and a rotation \
                    makes a key that never lay elsewhere. May be killed at any instant; call it again to go on.
                    """,
                example: "byok.continue(\"customer\")", parameters: [.byokProvider] + DriveWords.parameters,
                result: "each keyring with where it stands", errors: ["callerPolicyForbids", "callerRunOpen"],
                role: .serverAdmin, effect: .changes { call in try await BYOKMove(call).proposal() },
                takesConfiguration: true, reportsProgress: true
            ) { call in try await BYOKMove(call).perform() },
            Entry(
                "byok.status", "Say what lies under which key, what lay elsewhere, and whether the key is there",
                details: """
                    Asks each saved provider for its key. Calls are those of all who work on the database. Good only where \
                    nothing needs anyone.
                    """,
                example: "byok.status().problems", result: "providers, keyrings, exposures, problems", role: .viewer,
                takesConfiguration: true
            ) { call in try await BYOKStatus.look(call).answer() },
        ]
    }
}

extension Parameter {
    fileprivate static var byokProvider: Parameter {
        .required("name", .provider, "the provider, as keyturn.lua declares it")
    }
}
