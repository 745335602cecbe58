import StorageTesting
import Testing

struct SQLiteConformanceTests {
    @Test(arguments: EngineConformance.cases, ScratchDatabase.JournalMode.allCases)
    func conforms(_ conformanceCase: ConformanceCase, _ mode: ScratchDatabase.JournalMode) async throws {
        try await EngineConformance { try ScratchDatabase(mode) }.run(conformanceCase)
    }
}
