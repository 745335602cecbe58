internal import Frames

/// The written reference of the API, made from its table.
package struct Reference {
    /// A page: a file's name and its text.
    package struct Page: Hashable, Sendable {
        /// The file.
        package let name: String
        /// Markdown.
        package let text: String
    }

    private let api: API

    /// Makes the reference of a table.
    package init(_ api: API) { self.api = api }

    /// One page for each namespace, and one that lists them.
    package var pages: [Page] {
        [Page(name: "README.md", text: overview)]
            + namespaces.map { Page(name: "\($0.name).md", text: page($0.name, $0.entries)) }
    }

    private var namespaces: [(name: String, entries: [Entry])] {
        api.namespaces.map { name in
            let members = api.entries.filter { $0.namespace == name }
            return (members.count == 1 && members[0].name == name ? "instance" : name, members)
        }.reduce(into: [(name: String, entries: [Entry])]()) { pages, page in
            if let index = pages.firstIndex(where: { $0.name == page.0 }) {
                pages[index].entries += page.1
            } else {
                pages.append((page.0, page.1))
            }
        }
    }

    private var overview: String {
        let parts = namespaces.map { page in
            let rows = page.entries.map { entry in
                "| [`\(entry.signature)`](\(page.name).md#\(Self.anchor(entry.name))) | \(entry.summary) | \(entry.role.rawValue) |"
            }
            return "| call | does | role |\n|---|---|---|\n" + rows.joined(separator: "\n")
        }
        return """
            # What can be called

            The same entries are there for the console, scripts, hooks, schedules and `keyturn call`. Each also stands in `help(name)`.
            These pages are made from the table of the API by `keyturn reference --to docs/reference`.

            \(parts.joined(separator: "\n\n"))

            """
    }

    private func page(_ name: String, _ entries: [Entry]) -> String {
        "# `\(name)`\n\n" + entries.map(section).joined(separator: "\n")
    }

    private func section(_ entry: Entry) -> String {
        var text = "## `\(entry.name)`\n\n\(entry.summary).\n\n```lua\n\(entry.example)\n```\n"
        if !entry.details.isEmpty { text += "\n\(entry.details)\n" }
        if !entry.parameters.isEmpty {
            text += "\n| argument | is | means | without it |\n|---|---|---|---|\n"
            for parameter in entry.parameters { text += row(parameter) }
        }
        var facts = ["Returns \(entry.result).", "Needs the role `\(entry.role.rawValue)`."]
        if entry.isMutating { facts.append("It is audited" + (entry.isConfirmed ? " and must be confirmed." : ".")) }
        if entry.outlivesStore { facts.append("It also works when the database does not.") }
        if !entry.errors.isEmpty {
            facts.append("Errors: " + entry.errors.map { "`\($0)`" }.joined(separator: ", ") + ".")
        }
        return text + "\n" + facts.joined(separator: " ") + "\n"
    }

    private func row(_ parameter: Parameter) -> String {
        let without =
            parameter.isRequired ? "must be there" : parameter.fallback.map { "`\($0.json())`" } ?? "–"
        let name =
            "`\(parameter.name)`" + (parameter.takesRest ? "…" : "") + (parameter.isSensitive ? ", never recorded" : "")
        return "| \(name) | \(parameter.kindText) | \(parameter.summary) | \(without) |\n"
    }

    private static func anchor(_ name: String) -> String { name.filter { $0 != "." } }
}
