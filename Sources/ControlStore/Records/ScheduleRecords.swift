package import KeyModel

/// What is remembered of a schedule between runs and restarts.
package struct ScheduleRecord: Hashable, Sendable {
    /// Why a schedule stands still.
    package struct Pause: Hashable, Sendable {
        /// Since when.
        package let at: Timestamp
        /// Who paused it.
        package let actor: String
        /// Why.
        package let reason: String

        /// Makes a pause.
        package init(at: Timestamp, actor: String, reason: String) {
            self.at = at
            self.actor = actor
            self.reason = reason
        }
    }

    /// Its name.
    package let name: Name
    /// The digest of its declaration.
    package var hash: String
    /// When it was first loaded.
    package var activatedAt: Timestamp
    /// The latest nominal time that is settled; only an operator ever lowers it.
    package var watermark: Timestamp?
    /// The same as the wall showed it, so that a release of the time zone database that moves it does not repeat it.
    package var watermarkLocal: String?
    /// The zone in which that was read.
    package var zone: String
    /// The release of the database that the zone was read from.
    package var zoneVersion: String
    /// A nominal time that has come and not started yet; kept, so that editing the schedule does not lose it.
    package var pending: Timestamp?
    /// Why it stands still; nil where it does not.
    package var pause: Pause?
    /// When a run of it last started.
    package var lastStartedAt: Timestamp?
    /// When a run of it last succeeded.
    package var lastSuccessAt: Timestamp?
    /// How long most of the latest runs took at most.
    package var expected: Duration = .zero
    /// Nominal times that passed without a run because nothing could run.
    package var missed: Int64 = 0
    /// Nominal times that were skipped, by reason.
    package var skipped: [String: Int64] = [:]
    /// How often in a row its function failed.
    package var functionFailures: Int64 = 0
    /// What its function last said.
    package var functionValue: String?
    /// What is wrong with it; nil for nothing.
    package var alert: String?
    /// Whether the configuration still declares it.
    package var isDeclared = true

    /// Makes the record of a schedule that is loaded for the first time.
    package init(name: Name, hash: String, activatedAt: Timestamp, zone: String, zoneVersion: String) {
        self.name = name
        self.hash = hash
        self.activatedAt = activatedAt
        self.zone = zone
        self.zoneVersion = zoneVersion
    }
}

/// One nominal time of a schedule, and what became of it.
package struct OccurrenceRecord: Hashable, Sendable {
    /// How it is doing.
    package enum State: String, CaseIterable, Sendable {
        /// Its nominal time is taken; the action is about to start.
        case claimed
        /// The action was started.
        case running
        /// Its window closed; it goes on in the next one.
        case paused
        /// An attempt failed; another follows.
        case retrying
        /// Done.
        case succeeded
        /// Given up; someone must look at it.
        case needsOperator = "needs_operator"
        /// Ended by somebody.
        case cancelled
        /// Never started.
        case skipped

        /// Whether it is not over.
        package var isOpen: Bool {
            switch self {
            case .claimed, .running, .paused, .retrying, .needsOperator: true
            case .succeeded, .cancelled, .skipped: false
            }
        }
    }

    /// The schedule and the nominal time, of which there is one occurrence at most.
    package struct ID: Hashable, Comparable, Sendable {
        /// The schedule.
        package let schedule: Name
        /// The nominal time.
        package let nominal: Timestamp

        /// Makes an id.
        package init(schedule: Name, nominal: Timestamp) {
            self.schedule = schedule
            self.nominal = nominal
        }

        /// Orders by time, then by name.
        package static func < (left: ID, right: ID) -> Bool {
            (left.nominal, left.schedule) < (right.nominal, right.schedule)
        }
    }

    /// Which one.
    package let id: ID
    /// The nominal time as the wall showed it.
    package let nominalLocal: String
    /// The zone in which that was read.
    package let zone: String
    /// The release of the database that the zone was read from.
    package let zoneVersion: String
    /// Why it came to be: `cron`, `key_age`, `manual`, …; of a skipped one why it was skipped.
    package let reason: String
    /// How it is doing.
    package var state: State
    /// Whether it runs outside of windows.
    package let ignoresWindow: Bool
    /// Which attempt it is, from 1.
    package var attempt: Int64 = 1
    /// Under which lease it was last written.
    package var epoch: Int64
    /// The run that it drives; nil for none yet.
    package var run: Int64?
    /// How many earlier nominal times it makes up for.
    package let passedOver: Int64
    /// When its nominal time was taken.
    package let claimedAt: Timestamp
    /// When its action was first started.
    package var startedAt: Timestamp?
    /// When it was last written.
    package var updatedAt: Timestamp
    /// When it ended.
    package var finishedAt: Timestamp?
    /// When the next attempt may start.
    package var nextAttemptAt: Timestamp?
    /// What is to be said of it.
    package var message: String?

    /// Makes an occurrence that was not written yet.
    package init(
        id: ID, nominalLocal: String, zone: String, zoneVersion: String, reason: String, state: State,
        ignoresWindow: Bool = false, epoch: Int64, passedOver: Int64 = 0, at time: Timestamp
    ) {
        self.id = id
        self.nominalLocal = nominalLocal
        self.zone = zone
        self.zoneVersion = zoneVersion
        self.reason = reason
        self.state = state
        self.ignoresWindow = ignoresWindow
        self.epoch = epoch
        self.passedOver = passedOver
        claimedAt = time
        updatedAt = time
    }
}

/// One step in the history of an occurrence.
package struct OccurrenceStep: Hashable, Sendable {
    /// Its place in the history of all.
    package let number: Int64
    /// When, by the database's clock.
    package let at: Timestamp
    /// Which occurrence.
    package let occurrence: OccurrenceRecord.ID
    /// Under which lease.
    package let epoch: Int64
    /// What happened: a word, then what is to be said of it.
    package let what: String

    /// Makes a step.
    package init(number: Int64, at: Timestamp, occurrence: OccurrenceRecord.ID, epoch: Int64, what: String) {
        self.number = number
        self.at = at
        self.occurrence = occurrence
        self.epoch = epoch
        self.what = what
    }
}

/// Something that somebody asks of the scheduler; whoever holds its lease does it.
package struct ScheduleRequest: Hashable, Sendable {
    /// What is asked.
    package enum Kind: String, Sendable {
        /// A run now.
        case trigger
        /// One run for the nominal times of a stretch that had none.
        case backfill
    }

    /// Its number.
    package var number: Int64 = 0
    /// Of which schedule.
    package let schedule: Name
    /// What.
    package let kind: Kind
    /// When it was asked.
    package let at: Timestamp
    /// By whom.
    package let actor: String
    /// Whether windows do not count.
    package let ignoresWindow: Bool
    /// The stretch of a backfill, its end included.
    package let range: ClosedRange<Timestamp>?

    /// Makes a request.
    package init(
        schedule: Name, kind: Kind, at: Timestamp, actor: String, ignoresWindow: Bool = false,
        range: ClosedRange<Timestamp>? = nil
    ) {
        self.schedule = schedule
        self.kind = kind
        self.at = at
        self.actor = actor
        self.ignoresWindow = ignoresWindow
        self.range = range
    }
}

/// What all schedulers of a database share.
package struct SchedulerRecord: Hashable, Sendable {
    /// Grows whenever somebody else than the holder of the lease changes something.
    package var revision: Int64
    /// The latest time at which a scheduler worked.
    package var clockHigh: Timestamp?
    /// How often a clock was seen to jump.
    package var clockSteps: Int64
    /// What is wrong as a whole; nil for nothing.
    package var alert: String?

    /// Makes a record.
    package init(revision: Int64 = 0, clockHigh: Timestamp? = nil, clockSteps: Int64 = 0, alert: String? = nil) {
        self.revision = revision
        self.clockHigh = clockHigh
        self.clockSteps = clockSteps
        self.alert = alert
    }
}
