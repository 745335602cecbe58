import ControlStore
import Foundation
import KeyModel
import Logging
import SchedulerChecking
import Scheduling
import Storage
import StoragePostgreSQL
import StorageSQLite
import Synchronization

// usage: scheduler-node postgresql:URL|sqlite:PATH NODE SCHEDULES DISTANCE [SECONDS]
//
// Runs the real scheduler with so many schedules, each so far apart and one second after the one before, until it is killed
// or the seconds have passed. KEYTURN_DIE_AT=point[:count] kills the process at a durable instant; KEYTURN_COURSE is how actions
// go, or "delayed" for starts that wait.
let arguments = CommandLine.arguments
guard arguments.count >= 5, let count = Int(arguments[3]), let distance = try? Duration(parsing: arguments[4]) else {
    FileHandle.standardError.write(Data("usage: scheduler-node DATABASE NODE SCHEDULES DISTANCE [SECONDS]\n".utf8))
    exit(64)
}

let wish = ProcessInfo.processInfo.environment["KEYTURN_DIE_AT"].map { $0.split(separator: ":").map(String.init) }
let point = wish?.first.flatMap { SchedulerPoint(rawValue: $0) }
guard wish == nil || point != nil else {
    FileHandle.standardError.write(Data("KEYTURN_DIE_AT names no durable point\n".utf8))
    exit(64)
}
let left = Mutex((wish?.dropFirst().first).flatMap { Int($0) } ?? 1)

let word = ProcessInfo.processInfo.environment["KEYTURN_COURSE"] ?? "calm"
let isDelayed = word == "delayed"
guard let course = isDelayed ? .calm : TracingActions.Course(rawValue: word) else {
    FileHandle.standardError.write(Data("KEYTURN_COURSE names no course\n".utf8))
    exit(64)
}
let database = arguments[1]
let engine: any StorageEngine =
    if database.hasPrefix("sqlite:") {
        try SQLiteEngine(path: String(database.dropFirst(7)))
    } else {
        try await PostgreSQLEngine(url: String(database.dropFirst(11)))
    }
let control = ControlStore(engine: engine)
var declarations: [ScheduleTerms] = []
for index in 0..<count {
    let phase = distance / count * index
    var declaration = ScheduleTerms(
        name: try Name("s\(index)"), timing: .every(distance, phase: phase), zone: "UTC")
    declaration.action = .verify
    if isDelayed { declaration.jitter = .seconds(2) }
    if course == .hopeless { declaration.retries = 0 }
    declaration.retryAfter = .seconds(1)
    declarations.append(declaration)
}
var setting = Scheduler.Setting(
    instance: "soak", node: arguments[2], holder: "\(arguments[2]) process \(getpid())")
if let length = ProcessInfo.processInfo.environment["KEYTURN_LEASE"].flatMap({ try? Duration(parsing: $0) }) {
    setting.leaseLength = length
    setting.renewal = length / 3
}
let level = ProcessInfo.processInfo.environment["KEYTURN_LOG"].flatMap { Logger.Level(rawValue: $0) } ?? .error
var logger = Logger(label: "scheduler-node") { StreamLogHandler.standardError(label: $0) }
logger.logLevel = level
let scheduler = Scheduler(
    setting: setting, control: control, declarations: declarations,
    actions: TracingActions(control: control, process: Int64(getpid()), course: course), logger: logger,
    reached: { reached in
        guard reached == point else { return }
        let isLast = left.withLock { left in
            left -= 1
            return left == 0
        }
        if isLast { kill(getpid(), SIGKILL) }
    })
await withTaskGroup(of: Void.self) { group in
    group.addTask { try? await scheduler.run() }
    if arguments.count > 5, let seconds = Int(arguments[5]) {
        group.addTask { try? await Task.sleep(for: .seconds(seconds)) }
        await group.next()
        group.cancelAll()
    }
    await group.waitForAll()
}
await engine.close()
