internal import ControlStore
internal import KeyModel
internal import Logging

extension Scheduler {
    /// Whether so much of the lease has passed that nothing more may be started under it, by the clock that never steps.
    var isLeaseStale: Bool { clock.uptime() - renewedAt > setting.leaseLength * 2 / 3 }

    /// Takes or renews the lease.
    ///
    /// - Returns: Whether it is ours.
    func holdLease() async throws -> Bool {
        guard let held = lease else { return try await takeLease() }
        guard clock.uptime() - renewedAt >= setting.renewal else { return true }
        let asked = clock.uptime()
        let length = setting.leaseLength
        let (now, compares) = (clock.now(), setting.comparesClocks)
        do {
            let (renewed, shared, database) = try await control.write { session in
                let renewed = try session.renewSchedulerLease(held, for: length)
                var shared = try session.scheduler()
                let database = compares ? try session.currentTime() : nil
                let isPlausible = ClockWatch.objection(to: now, database: database, high: shared.clockHigh) == nil
                if isPlausible, shared.clockHigh.map({ $0 < now }) ?? true {
                    shared.clockHigh = now
                    try session.update(shared)
                }
                return (renewed, shared, try session.currentTime())
            }
            if shared.revision != self.shared.revision { mustReload = true }
            (lease, renewedAt, self.shared) = (renewed, asked, shared)
            databaseTime = compares ? (database, clock.uptime()) : nil
            return true
        } catch {
            // A renewal that failed is tried again for as long as the lease cannot have ended.
            if isLeaseStale || (error as? ControlStoreError)?.code == .storeLeaseLost { loseLease() }
            throw error
        }
    }

    /// Forgets the lease, and tells those who carry actions out that another process may go on with them.
    func loseLease() {
        guard let lost = lease else { return }
        lease = nil
        mustReload = true
        machine.abandonRunning()
        for signal in alive.values { signal.finish() }
        jobs = []
        metrics.holds(epoch: nil)
        logger.warning("lease lost", metadata: ["lease.epoch": "\(lost.epoch)"])
    }

    /// How long to stand by until the lease may be free.
    func standBy() async throws -> Duration {
        let (present, now) = try await control.read { (try $0.schedulerLease(), try $0.currentTime()) }
        let left = present.map { $0.expiresAt.since(now) } ?? .zero
        return min(max(left + .milliseconds(50), .milliseconds(200)), setting.renewal)
    }

    private func takeLease() async throws -> Bool {
        // What an action of ours does under a lease that was lost must have ended before anyone here goes on with it.
        guard alive.isEmpty else { return false }
        let (setting, asked) = (setting, clock.uptime())
        let taken = try await control.write { session -> (Lease, SchedulerRecord, Timestamp)? in
            guard
                let lease = try session.takeSchedulerLease(
                    holder: setting.holder, node: setting.node, for: setting.leaseLength)
            else { return nil }
            return (lease, try session.scheduler(), try session.currentTime())
        }
        guard let (lease, shared, database) = taken else { return false }
        reached(.leaseTaken)
        (self.lease, renewedAt, self.shared) = (lease, asked, shared)
        databaseTime = setting.comparesClocks ? (database, clock.uptime()) : nil
        mustReload = true
        alertChanged = shared.alert != nil
        factsLearnedAt = nil
        metrics.holds(epoch: lease.epoch)
        logger.info("lease taken", metadata: ["lease.epoch": "\(lease.epoch)"])
        return true
    }

    /// Looks for steps of the clock, and whether anything may start.
    func watchClock() {
        let (now, uptime) = (clock.now(), clock.uptime())
        if case .stepped(let step) = watch.look(now: now, uptime: uptime) {
            shared.clockSteps += 1
            alertChanged = true
            metrics.clockStepped()
            machine.wakeAll()
            let backwards = step < .zero
            logger.log(
                level: backwards && step < .zero - ClockWatch.refused ? .error : .warning, "the clock stepped",
                metadata: ["by": "\(step.durationText)"])
            // What the database's clock said is compared only with a reading of the same moment.
            databaseTime = nil
            renewedAt = min(renewedAt, uptime - setting.renewal)
        }
        let database = databaseTime.map { $0.at.advanced(by: uptime - $0.uptime) }
        let found = ClockWatch.objection(to: now, database: database, high: shared.clockHigh)
        if found != objection {
            if let found { logger.error("schedules stand still", metadata: ["reason": "\(found)"]) }
            if found == nil { logger.notice("schedules go on", metadata: [:]) }
            alertChanged = true
            // Schedules that came meanwhile are not recorded yet.
            mustReload = true
        }
        objection = found
        if found == nil, let remark = ClockWatch.remark(on: now, database: database), remark != lastRemark {
            logger.warning("clocks differ", metadata: ["reason": "\(remark)"])
            lastRemark = remark
        }
    }
}
