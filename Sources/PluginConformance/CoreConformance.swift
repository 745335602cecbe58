internal import KeyModel
public import PluginKit

/// Checks that an encryption core keeps what ``EncryptionCore`` and its own descriptor promise.
///
/// Needs no test framework: `await CoreConformance(MyCore.self).run()` gives one result a claim.
/// Every check makes its own keys; nothing outside is read or written. Takes a few seconds in a
/// debug build, most of it for values of 1 MiB.
public struct CoreConformance: Sendable {
    let core: any EncryptionCore.Type
    let options: CoreOptions
    let seed: UInt64

    /// Makes a suite.
    ///
    /// - Parameters:
    ///   - core: The core to check.
    ///   - options: Options that its keyring would declare.
    ///   - seed: Seeds the plaintexts; the same seed repeats a failure.
    public init(_ core: any EncryptionCore.Type, options: CoreOptions = [:], seed: UInt64 = 1) {
        self.core = core
        self.options = options
        self.seed = seed
    }

    /// Runs every check, whatever the others give, in a fixed order.
    public func run() async -> [ConformanceResult] {
        var results: [ConformanceResult] = []
        for (name, check) in Self.checks {
            results.append(ConformanceResult(name: name, failure: failure { try check(self)(CoreBench(self)) }))
        }
        results.append(await concurrentBatchesDoNotDisturbEachOther())
        return results
    }

    private typealias Check = @Sendable (CoreConformance) -> (CoreBench) throws -> Void

    private static let checks: [(String, Check)] = [
        ("the self test passes", CoreConformance.selfTestPasses),
        ("generated material has a declared size and is fresh", CoreConformance.generatedMaterialIsFresh),
        ("exported material comes back when imported", CoreConformance.exportComesBack),
        ("an unknown option is refused", CoreConformance.unknownOptionIsRefused),
        ("material of a wrong size is refused", CoreConformance.wrongSizeIsRefused),
        ("what is sealed opens, in every size, form and binding", CoreConformance.roundTrips),
        ("results stand in the order of the batch", CoreConformance.orderIsKept),
        ("an empty batch gives no results", CoreConformance.emptyBatch),
        ("a bad value does not fail its neighbours", CoreConformance.badValueIsAlone),
        ("an opened value names the key that opened it", CoreConformance.openingKeyIsNamed),
        ("own values are recognised with a right hint", CoreConformance.ownValuesAreRecognised),
        ("every own value begins with the mark of its key", CoreConformance.marksHold),
        ("null, empty and plaintext are recognised and do not open", CoreConformance.othersAreRecognised),
        ("no value with a flipped bit opens", CoreConformance.flippedBitsAreRefused),
        ("no truncated or lengthened value opens", CoreConformance.truncationsAreRefused),
        ("a broken value is never taken for plaintext", CoreConformance.brokenIsNotPlaintext),
        ("no value opens without its key", CoreConformance.wrongKeyIsRefused),
        ("nothing is sealed under a key that is not held", CoreConformance.absentKeySealsNothing),
        ("attributes survive or are refused", CoreConformance.attributesSurvive),
        ("determinism is as declared", CoreConformance.determinismHolds),
        ("no value opens at another place", CoreConformance.bindingsHold),
        ("the longest stored form is an upper bound and a near one", CoreConformance.lengthsHold),
    ]

    private func failure(of check: () throws -> Void) -> String? {
        do {
            try check()
            return nil
        } catch let broken as Broken {
            return broken.reason
        } catch let refused as CoreError {
            return "\(refused.code.rawValue): \(refused.message)"
        } catch {
            return "\(error)"
        }
    }

    private func concurrentBatchesDoNotDisturbEachOther() async -> ConformanceResult {
        let name = "concurrent batches do not disturb each other"
        let bench: CoreBench
        do { bench = try CoreBench(self) } catch { return ConformanceResult(name: name, failure: "\(error)") }
        let failures = await withTaskGroup(of: String?.self) { group in
            for task in 0..<8 { group.addTask { failure { try Self.sealAndOpen(bench, task: task) } } }
            return await group.reduce(into: []) { $0 += [$1].compactMap(\.self) }
        }
        return ConformanceResult(name: name, failure: failures.first)
    }

    private static func sealAndOpen(_ bench: CoreBench, task: Int) throws {
        for round in 0..<20 {
            let plaintexts = (0..<16).map { Bytes("task \(task) round \(round) value \($0)".utf8) }
            let values = try bench.seal(plaintexts.map { bench.item($0) })
            let opened = bench.core.open(values.map { bench.sealed($0) })
            for (result, plaintext) in zip(opened, plaintexts) {
                guard case .success(let value) = result, value.plaintext == plaintext else {
                    throw Broken("task \(task) got another value than it sealed")
                }
            }
        }
    }
}
