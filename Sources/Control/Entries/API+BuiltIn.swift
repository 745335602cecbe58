extension API {
    /// Everything that Keyturn offers by itself; whoever puts an instance together may add to it.
    package static var builtIn: [Entry] {
        keyrings + rotations + runs + columns + instance + audit + outside + configuration + schedules + byok
    }
}
