internal import PluginKit
internal import Testing

struct ValueContextTests {
    @Test func bindsToNothing() {
        #expect(ValueContext.none.scheme == .none && ValueContext.none.components.isEmpty)
    }

    @Test func bindsToAColumnByNamespaceAndName() {
        let context = ValueContext.column(namespace: "ns", name: "t.c")
        #expect(context.scheme == .column && context.components == [Array("ns".utf8), Array("t.c".utf8)])
    }

    @Test func bindsToARowByItsKeyComponentsInOrder() {
        let context = ValueContext.row(namespace: "ns", name: "t.c", key: [[1], [2, 3]])
        #expect(context.scheme == .row && context.components == [Array("ns".utf8), Array("t.c".utf8), [1], [2, 3]])
        #expect(ValueContext.column(namespace: "ns", name: "t.c").row([[1], [2, 3]]) == context)
    }

    @Test func tellsPlacesApartThatDifferInOneComponent() {
        let places: [ValueContext] = [
            .none, .column(namespace: "a", name: "b.c"), .column(namespace: "ab", name: ".c"),
            .row(namespace: "a", name: "b.c", key: []), .row(namespace: "a", name: "b.c", key: [[]]),
            .row(namespace: "a", name: "b.c", key: [[49]]), .row(namespace: "a", name: "b.c", key: [[49], []]),
            .caller([]),
            .caller([Array("a".utf8), Array("b.c".utf8)]),
        ]
        #expect(Set(places).count == places.count)
    }

    @Test func rawValuesAreThoseOfTheFormat() {
        #expect(ValueContext.Scheme.allCases.map(\.rawValue) == [0, 1, 2, 3])
    }
}
