internal import Foundation
internal import PluginKit
internal import Providers
internal import Testing

@Suite(.enabled(if: hasPrograms("age", "age-keygen", "python3"), "age and python3 are needed"))
struct RootKeyEscrowTests {
    private let scratch: Scratch
    private let file: RootKeyFile
    private let escrow: RootKeyEscrow

    init() throws {
        scratch = try Scratch()
        file = RootKeyFile(path: scratch.root)
        _ = try file.create(at: someTime)
        _ = try file.appendGeneration(at: someTime)
        escrow = RootKeyEscrow(file: file, environment: ProcessInfo.processInfo.environment)
    }

    @Test func aCopyOpensForEachRecipientAndForNobodyElse() throws {
        let recipients = [try identity("a"), try identity("b")]
        _ = try identity("c")
        try escrow.export(to: scratch.path("copy.age"), recipients: recipients)
        #expect(try scratch.mode("copy.age") == 0o600)
        for name in ["a", "b"] {
            try restored("\(name).key").restore(from: scratch.path("copy.age"), identity: scratch.path(name))
            #expect(try scratch.text("\(name).key") == scratch.text() && scratch.mode("\(name).key") == 0o600)
        }
        let error = try #require(
            failure { try restored("c.key").restore(from: scratch.path("copy.age"), identity: scratch.path("c")) })
        #expect(error.code == .providerProgramFailed)
        #expect(try !scratch.names.contains("c.key"))
    }

    @Test func theCopyShowsNothingOfTheKey() throws {
        try escrow.export(to: scratch.path("copy.age"), recipients: [try identity("a")])
        let copy = try Data(contentsOf: URL(filePath: scratch.path("copy.age")))
        #expect(copy.starts(with: Data("age-encryption.org/v1\n".utf8)))
        for secret in secrets(in: try scratch.text()) { #expect(copy.range(of: Data(secret.utf8)) == nil) }
        #expect(try Data(scratch.text().utf8).range(of: Data(secrets(in: scratch.text())[0].utf8)) != nil)
    }

    @Test func neverOverwritesAFile() throws {
        let recipient = try identity("a")
        try scratch.write("mine", to: "copy.age")
        #expect(
            failure { try escrow.export(to: scratch.path("copy.age"), recipients: [recipient]) }?.code
                == .callerFileExists)
        #expect(try scratch.text("copy.age") == "mine")
        try escrow.export(to: scratch.path("second.age"), recipients: [recipient])
        let before = try scratch.text()
        #expect(
            failure { try escrow.restore(from: scratch.path("second.age"), identity: scratch.path("a")) }?.code
                == .callerFileExists)
        #expect(try scratch.text() == before)
    }

    @Test(arguments: [
        [], ["age1nonsense"], ["-o"], ["AGE-SECRET-KEY-1QQQQ"], ["age1\u{1B}[2J"], ["/etc/passwd"], [""],
    ])
    func leavesNoFileForRecipientsThatAreNone(recipients: [String]) throws {
        let error = try #require(failure { try escrow.export(to: scratch.path("copy.age"), recipients: recipients) })
        #expect([.callerRecipientMalformed, .providerProgramFailed].contains(error.code))
        #expect(!error.message.contains("AGE-SECRET") && !error.message.contains("\u{1B}"))
        #expect(try scratch.names == ["root.key"])
    }

    @Test func saysHowToInstallAMissingProgram() throws {
        let alone = RootKeyEscrow(file: file, environment: ["PATH": "relative:\(scratch.path("bin")):."])
        let error = try #require(failure { try alone.export(to: scratch.path("copy.age"), recipients: ["age1x"]) })
        #expect(error.code == .providerProgramMissing && error.hint == "Run: apt-get install age")
    }

    @Test func aProgramThatWritesNothingOrNonsenseLeavesNoFile() throws {
        for script in [
            "exit 0", "echo nonsense; exit 0", "cat >/dev/null; echo 'no disk' >&2; exit 3", "exec 0<&-; exit 1",
        ] {
            let error = try #require(
                failure { try fake(script).export(to: scratch.path("copy.age"), recipients: ["age1x"]) })
            #expect([.dataMalformed, .providerProgramFailed].contains(error.code))
            #expect(try scratch.names == ["bin", "root.key"])
        }
    }

    @Test func aCopyThatHoldsSomethingElseIsNotRestored() throws {
        let empty = RootKeyFile(path: scratch.path("back.key"))
        for script in ["echo no root key", "head -c 200000 /dev/zero", "exit 0"] {
            let escrow = RootKeyEscrow(file: empty, environment: try fakePath(script))
            let error = try #require(failure { try escrow.restore(from: scratch.root, identity: scratch.path("a")) })
            #expect(error.code == .dataMalformed)
            #expect(try !scratch.names.contains("back.key"))
        }
    }

    @Test func theProgramSeesNeitherOurEnvironmentNorTheKeyInItsArguments() throws {
        _ = failure {
            try fake("env >\(scratch.path("seen")); echo \"$@\" >>\(scratch.path("seen"))").export(
                to: scratch.path("copy.age"), recipients: ["age1x"])
        }
        let seen = try scratch.text("seen")
        #expect(seen.contains("PATH=/usr/bin:/bin") && seen.contains("-r age1x") && !seen.contains("HOME="))
        for secret in secrets(in: try scratch.text()) { #expect(!seen.contains(secret)) }
    }

    @Test func aPassphraseIsAskedForOnTheTerminalAndOpensTheCopy() throws {
        let output = try rerun("exportsUnderAPassphrase", onTerminal: true)
        #expect(try scratch.names.contains("copy.age"), "\(output)")
        #expect(try scratch.text("back.key") == scratch.text(), "\(output)")
        for secret in secrets(in: try scratch.text()) { #expect(!output.contains(secret)) }
    }

    @Test func withoutATerminalNoPassphraseIsAskedFor() throws {
        let output = try rerun("exportsUnderAPassphrase", onTerminal: false)
        #expect(output.contains("callerNoTerminal"))
        #expect(try scratch.names == ["root.key"])
    }

    /// Runs only inside the two tests above, which start this program again with and without a terminal.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["KEYTURN_ESCROW_TEST"] != nil))
    func exportsUnderAPassphrase() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["KEYTURN_ESCROW_TEST"])
        let environment = ProcessInfo.processInfo.environment
        let copy = folder + "/copy.age"
        do {
            let source = RootKeyFile(path: folder + "/root.key")
            try RootKeyEscrow(file: source, environment: environment).exportWithPassphrase(to: copy)
            let target = RootKeyFile(path: folder + "/back.key")
            try RootKeyEscrow(file: target, environment: environment).restore(from: copy, identity: nil)
        } catch let error as EscrowError {
            print("refused: \(error.code.rawValue)")
        }
    }

    private func restored(_ name: String) -> RootKeyEscrow {
        RootKeyEscrow(file: RootKeyFile(path: scratch.path(name)), environment: ProcessInfo.processInfo.environment)
    }

    /// Makes an age identity and gives its public half.
    private func identity(_ name: String) throws -> String {
        let text = try run("/usr/bin/env", ["age-keygen"])
        try scratch.write(text, to: name)
        let line = try #require(text.split(separator: "\n").first { $0.contains("public key: ") })
        return try #require(line.split(separator: " ").last.map(String.init))
    }

    private func fakePath(_ script: String) throws -> [String: String] {
        try FileManager.default.createDirectory(atPath: scratch.path("bin"), withIntermediateDirectories: true)
        try scratch.write("#!/bin/sh\n\(script)\n", to: "bin/text", mode: 0o700)
        // Written by a process of its own: another test that starts a program just now would hold a file of ours open, and
        // what is open for writing cannot be started.
        let copying = Process()
        copying.arguments = [scratch.path("bin/text"), scratch.path("bin/age")]
        copying.executableURL = URL(filePath: "/bin/cp")
        try copying.run()
        copying.waitUntilExit()
        try FileManager.default.removeItem(atPath: scratch.path("bin/text"))
        return ["PATH": scratch.path("bin"), "HOME": "/nowhere"]
    }

    private func fake(_ script: String) throws -> RootKeyEscrow {
        RootKeyEscrow(file: file, environment: try fakePath(script))
    }

    private func failure(_ body: () throws -> Void) -> EscrowError? {
        do {
            try body()
            return nil
        } catch {
            return error as? EscrowError
        }
    }
}

extension RootKeyEscrowTests {
    /// Starts this test program again in a session of its own, for one test, with a terminal on which a passphrase is typed or
    /// without any.
    private func rerun(_ test: String, onTerminal: Bool) throws -> String {
        var environment = ProcessInfo.processInfo.environment
        environment["KEYTURN_ESCROW_TEST"] = URL(filePath: scratch.root).deletingLastPathComponent().path
        var arguments: [String] = []
        var isFilter = false
        for argument in CommandLine.arguments.dropFirst() {
            if !isFilter, argument != "--filter" { arguments.append(argument) }
            isFilter = argument == "--filter"
        }
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let all = ["-c", Self.driver, onTerminal ? "terminal" : "none", program] + arguments + ["--filter", test]
        return try run("/usr/bin/env", ["python3"] + all, environment: environment)
    }

    private static let driver = """
        import os, pty, select, subprocess, sys
        mode, command = sys.argv[1], sys.argv[2:]
        if mode == "none":
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  start_new_session=True)
            sys.stdout.write(done.stdout.decode(errors="replace"))
            sys.exit(0)
        child, terminal = pty.fork()
        if child == 0:
            os.execv(command[0], command)
        seen, asked = b"", 0
        while select.select([terminal], [], [], 60)[0]:
            try:
                part = os.read(terminal, 4096)
            except OSError:
                break
            if not part:
                break
            seen += part
            prompts = seen.lower().count(b"passphrase") 
            if prompts > asked and seen.rstrip(b" ").endswith(b":"):
                asked = prompts
                os.write(terminal, b"correct horse battery\\n")
        os.waitpid(child, 0)
        sys.stdout.write(seen.decode(errors="replace"))
        """
}

private func hasPrograms(_ names: String...) -> Bool {
    let directories = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return names.allSatisfy { name in
        directories.contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(name)") }
    }
}

/// Runs a program to its end and gives what it wrote on stdout.
private func run(_ program: String, _ arguments: [String], environment: [String: String]? = nil) throws -> String {
    let process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    if let environment { process.environment = environment }
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let data = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
}
