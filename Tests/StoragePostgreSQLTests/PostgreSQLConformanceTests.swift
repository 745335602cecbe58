import PostgreSQLTesting
import StorageTesting
import Testing

@Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct PostgreSQLConformanceTests {
    @Test(arguments: EngineConformance.cases)
    func conforms(_ conformanceCase: ConformanceCase) async throws {
        try await EngineConformance { try await ScratchPostgreSQL() }.run(conformanceCase)
    }
}
