/// Who is at the other end, as the kernel says; never what the client or the environment says.
package struct Peer: Hashable, Sendable {
    /// The way by which calls come.
    package enum Way: String, CaseIterable, Hashable, Sendable {
        /// An interactive console.
        case console
        /// `-c`, `-f` or standard input.
        case script
        /// `keyturn call`, and the commands that are calls.
        case call
        /// A hook of a run.
        case hook
        /// A schedule.
        case schedule

        /// Whether a person, or a program of theirs, calls; only such ways may a client claim.
        package var isOfPeople: Bool {
            switch self {
            case .console, .script, .call: true
            case .hook, .schedule: false
            }
        }
    }

    /// The user.
    package let uid: UInt32
    /// The user's main group.
    package let gid: UInt32
    /// The process.
    package let pid: Int32
    /// The user's name, as the system's database gives it; the number where it has none.
    package let user: String
    /// The names of the groups that the user belongs to.
    package let groups: Set<String>
    /// The way by which calls come.
    package let way: Way

    /// Describes a peer.
    package init(uid: UInt32, gid: UInt32, pid: Int32, user: String, groups: Set<String>, way: Way) {
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.user = user
        self.groups = groups
        self.way = way
    }
}
