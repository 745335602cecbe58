import PostgreSQLTesting
import Testing

/// The tests that drive the built executable on clusters of PostgreSQL, one after the other.
@Suite(.serialized, .enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
enum EndToEndPostgreSQL {}
