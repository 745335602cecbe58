import GRDB

extension ControlBench {
    /// The first value of a query on a connection of its own, now.
    func sqlite(_ sql: String) throws -> String? {
        try DatabaseQueue(path: database).read { try String.fetchOne($0, sql: sql) }
    }
}
