import Foundation

/// A piece of JSON; what is not there is nil all the way down.
@dynamicMemberLookup
struct JSONValue {
    private let raw: Any?

    init(parsing text: String) {
        raw = try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
    }

    private init(_ raw: Any?) { self.raw = raw }

    subscript(dynamicMember name: String) -> JSONValue { self[name] }
    subscript(name: String) -> JSONValue { JSONValue((raw as? [String: Any])?[name]) }
    subscript(index: Int) -> JSONValue {
        let items = array
        return items.indices.contains(index) ? items[index] : JSONValue(nil)
    }

    var array: [JSONValue] { (raw as? [Any] ?? []).map { JSONValue($0) } }
    var members: [String: JSONValue] { (raw as? [String: Any] ?? [:]).mapValues { JSONValue($0) } }
    var string: String? { raw as? String }
    var integer: Int? { (raw as? NSNumber)?.intValue }
    var bool: Bool? { (raw as? NSNumber)?.boolValue }
}
