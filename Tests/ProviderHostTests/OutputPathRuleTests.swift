internal import Foundation
internal import PluginKit
internal import ProviderHost
internal import Testing

/// Nothing that Keyturn writes may end up where programs are executed from.
struct OutputPathRuleTests {
    @Test
    func pathsWithinAreFoundByTheirParts() {
        #expect(OutputPathRule.lies("/usr/lib/keyturn/a", in: ["/usr/lib/keyturn"]))
        #expect(OutputPathRule.lies("/usr/lib/keyturn", in: ["/usr/lib/keyturn/"]))
        #expect(!OutputPathRule.lies("/usr/lib/keyturn-audit", in: ["/usr/lib/keyturn"]))
        #expect(!OutputPathRule.lies("/usr/lib", in: ["/usr/lib/keyturn"]))
        #expect(!OutputPathRule.lies("/usr/lib/x", in: []))
    }

    @Test
    func linksAndDotsDoNotLeadAround() throws {
        let scratch = try HostScratch()
        let plugins = try scratch.directory("plugins")
        let logs = try scratch.directory("logs")
        let files = FileManager.default
        try files.createSymbolicLink(atPath: logs + "/dir", withDestinationPath: plugins)
        try files.createSymbolicLink(atPath: logs + "/file", withDestinationPath: plugins + "/new")
        try files.createSymbolicLink(atPath: logs + "/up", withDestinationPath: "../plugins/new")
        for path in [plugins + "/a", logs + "/dir/a", logs + "/file", logs + "/up", logs + "/../plugins/b/c"] {
            #expect(throws: ProviderError.self, "\(path)") {
                try OutputPathRule.check(path, for: "the audit export", against: [plugins])
            }
        }
        for path in [logs + "/a", logs + "/new/deeper", scratch.path + "/plugins-not"] {
            #expect(throws: Never.self) { try OutputPathRule.check(path, for: "the backup", against: [plugins]) }
        }
    }
}
