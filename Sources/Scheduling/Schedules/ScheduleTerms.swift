internal import ControlStore
package import KeyModel

/// What a schedule's declaration says, its values read but not yet tried against zones and calendars.
package struct ScheduleTerms: Hashable, Sendable {
    /// What makes a schedule due; exactly one of these is declared.
    package enum Timing: Hashable, Sendable {
        /// A cron expression.
        case cron(String)
        /// A fixed distance, on a grid that begins `phase` after the epoch.
        case every(Duration, phase: Duration)
        /// A function of Lua that says whether it is due, asked so often.
        case when(poll: Duration)
        /// A function of Lua that says when it is due next.
        case next
    }

    /// What an occurrence does.
    package enum Action: Hashable, Sendable {
        /// A new key version, and every value sealed under it.
        case rotate
        /// The keys wrapped anew.
        case rewrap
        /// Every value opened.
        case verify
        /// A backup made.
        case backup
        /// A backup restored into a scratch database and opened there.
        case drill
        /// A function of Lua, declared in the schedule itself.
        case function

        /// The word in a configuration.
        package var word: String {
            switch self {
            case .rotate: "rotate"
            case .rewrap: "rewrap"
            case .verify: "verify"
            case .backup: "backup"
            case .drill: "drill"
            case .function: "function"
            }
        }
    }

    /// Its name.
    package var name: Name
    /// The keyring that it is about; nil where the action needs none.
    package var keyring: Name?
    /// What makes it due.
    package var timing: Timing
    /// What it does.
    package var action: Action = .rotate
    /// The zone in which its times are read.
    package var zone: String
    /// When runs may start; empty for any time.
    package var windows: [String] = []
    /// The greatest age of a key.
    package var maxKeyAge: Duration?
    /// The most seals under a key.
    package var maxSeals: UInt64?
    /// `run_once` or `skip`; nil for the default, as with the following.
    package var misfire: String?
    /// How much later than planned is still in time.
    package var grace: Duration?
    /// `skip` or `queue_one`.
    package var overlap: String?
    /// The longest delay that spreads runs.
    package var jitter: Duration?
    /// `run` or `skip`: what becomes of a time that clocks jump over.
    package var gap: String?
    /// `alert` or `force`.
    package var deadline: String?
    /// `checkpoint` or `finish`: what a run does when its window closes.
    package var windowEnd: String?
    /// How long a run is expected to take before any has been measured.
    package var expected: Duration?
    /// How often a failed run is tried again.
    package var retries: UInt64?
    /// How long the first wait before that is; each further one is twice as long.
    package var retryAfter: Duration?
    /// Schedules whose runs keep their distance.
    package var notWith: [Name] = []
    /// The distance they keep.
    package var apart: Duration?
    /// Makes a declaration with everything else at its default.
    package init(name: Name, timing: Timing, zone: String) {
        self.name = name
        self.timing = timing
        self.zone = zone
    }

    /// A digest of everything that it says, which tells an edited schedule.
    package var hash: String { ContentHash.sha256("\(self)".utf8) }
}
