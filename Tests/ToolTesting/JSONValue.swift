import Foundation

/// A piece of JSON; what is not there is nil all the way down.
@dynamicMemberLookup
package struct JSONValue {
    private let raw: Any?

    /// Reads a text; what is no JSON is nil.
    package init(parsing text: String) {
        raw = try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
    }

    private init(_ raw: Any?) { self.raw = raw }

    /// A member of an object.
    package subscript(dynamicMember name: String) -> JSONValue { self[name] }
    /// A member of an object.
    package subscript(name: String) -> JSONValue { JSONValue((raw as? [String: Any])?[name]) }
    /// An item of a list.
    package subscript(index: Int) -> JSONValue {
        let items = array
        return items.indices.contains(index) ? items[index] : JSONValue(nil)
    }

    /// The items of a list.
    package var array: [JSONValue] { (raw as? [Any] ?? []).map { JSONValue($0) } }
    /// The members of an object.
    package var members: [String: JSONValue] { (raw as? [String: Any] ?? [:]).mapValues { JSONValue($0) } }
    /// A text.
    package var string: String? { raw as? String }
    /// A whole number.
    package var integer: Int? { (raw as? NSNumber)?.intValue }
    /// A truth value.
    package var bool: Bool? { (raw as? NSNumber)?.boolValue }
}
