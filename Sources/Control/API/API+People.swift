extension API {
    /// The calls that people alone may make, whatever a configuration was granted: those by which a hook could give itself more,
    /// take the place of the second person, or end what no person has seen end.
    private static let peoples: Set<String> = [
        "configuration.load", "keyrings.approve", "keyrings.erase", "keyrings.recover", "recover",
    ]

    /// Whether people alone may make a call; no hook and no schedule.
    package static func isForPeople(_ call: String) -> Bool { peoples.contains(call) || call.hasPrefix("byok.") }
}
