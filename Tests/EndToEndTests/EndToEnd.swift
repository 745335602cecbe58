import Testing

/// The tests that drive the built executable; one after the other, since their processes want the processors to themselves.
@Suite(.serialized) enum EndToEnd {}
