package import Frames

/// What an entry of the API takes.
package struct Parameter: Sendable {
    /// What a value must be.
    package enum Kind: Hashable, Sendable {
        /// Text.
        case text
        /// Text, or bytes that are none.
        case bytes
        /// A whole number, within bounds.
        case integer(ClosedRange<Int64>)
        /// A number.
        case number
        /// A truth.
        case truth
        /// Texts in a list; a single one counts as a list of it.
        case texts
        /// A table of names and values.
        case map
        /// Any value.
        case any
        /// A text that is one of these.
        case choice([String])
        /// The name of a keyring.
        case keyring
        /// The name of a provider.
        case provider
        /// A column, `table.column`.
        case column
        /// Columns in a list; a single one counts as a list of it.
        case columns
        /// The number of a run.
        case run
    }

    /// Its name.
    package let name: String
    /// What a value must be.
    package let kind: Kind
    /// Whether it must be given.
    package let isRequired: Bool
    /// Whether a value may hold secrets: it is in no log, no audit entry, no history.
    package let isSensitive: Bool
    /// What it means, one line.
    package let summary: String
    /// What holds where it is not given; nil where that goes without saying.
    package let fallback: FrameValue?
    /// Whether all arguments from here on belong to it, as a list; only the last parameter may.
    package let takesRest: Bool

    /// Describes a parameter that must be given.
    package static func required(
        _ name: String, _ kind: Kind, _ summary: String, isSensitive: Bool = false
    ) -> Parameter {
        Parameter(
            name: name, kind: kind, isRequired: true, isSensitive: isSensitive, summary: summary, fallback: nil,
            takesRest: false)
    }

    /// Describes a parameter that may be left out.
    package static func optional(
        _ name: String, _ kind: Kind, _ summary: String, default fallback: FrameValue? = nil, isSensitive: Bool = false
    ) -> Parameter {
        Parameter(
            name: name, kind: kind, isRequired: false, isSensitive: isSensitive, summary: summary, fallback: fallback,
            takesRest: false)
    }

    /// Describes a parameter that takes all arguments from its place on, none or more, as a list.
    package static func rest(_ name: String, _ kind: Kind, _ summary: String, isSensitive: Bool = false) -> Parameter {
        Parameter(
            name: name, kind: kind, isRequired: false, isSensitive: isSensitive, summary: summary, fallback: nil,
            takesRest: true)
    }

    /// What a value must be, in words.
    package var kindText: String {
        switch kind {
        case .text: "text"
        case .bytes: "text or bytes"
        case .integer(let range) where range == Int64.min...Int64.max: "whole number"
        case .integer(let range) where range.upperBound == .max: "whole number, at least \(range.lowerBound)"
        case .integer(let range): "whole number from \(range.lowerBound) to \(range.upperBound)"
        case .number: "number"
        case .truth: "true or false"
        case .texts: "list of texts"
        case .map: "table"
        case .any: "any value"
        case .choice(let words): words.map { "\"\($0)\"" }.joined(separator: ", ")
        case .keyring: "name of a keyring"
        case .provider: "name of a provider"
        case .column: "column, as \"table.column\""
        case .columns: "list of columns"
        case .run: "number of a run"
        }
    }
}
