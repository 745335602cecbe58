internal import Foundation
internal import FoundationXML

/// The texts of an XML document by the names of their elements, namespaces left aside; of equal names the first.
final class XMLLeaves: NSObject, XMLParserDelegate {
    private var texts: [String: String] = [:]
    private var open: [String] = []
    private var current = ""
    private(set) var isWellFormed = false

    private static let deepest = 32

    init(_ bytes: [UInt8]) {
        super.init()
        let parser = XMLParser(data: Data(bytes))
        parser.shouldResolveExternalEntities = false
        parser.delegate = self
        isWellFormed = parser.parse()
    }

    subscript(name: String) -> String? { texts[name] }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        open.append(name)
        current = ""
        if open.count > Self.deepest { parser.abortParsing() }
    }

    func parser(_ parser: XMLParser, foundCharacters text: String) { current += text }

    func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
        if let name = open.popLast(), texts[name] == nil {
            texts[name] = current.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        current = ""
    }
}
