package import ControlStore
package import KeyModel
package import Rotation
package import Scripting

/// An instance that is open: its database connected, its providers at hand.
package struct Instance: Sendable {
    /// Its directory.
    package let directory: InstanceDirectory
    /// The configuration that it works by.
    package var configuration: Configuration
    /// The engine's surroundings; the actor in them is the instance itself.
    package var context: RotationContext

    /// Describes an instance.
    package init(directory: InstanceDirectory, configuration: Configuration, context: RotationContext) {
        self.directory = directory
        self.configuration = configuration
        self.context = context
    }

    /// An engine that acts for somebody, with the database's present state.
    ///
    /// - Throws: As ``RotationEngine/init(context:configurationHash:)``.
    package func engine(for actor: String) async throws -> RotationEngine {
        var context = context
        context.actor = actor
        context.declared = Dictionary(configuration.providers.map { ($0.name, $0) }) { $1 }
        return try await RotationEngine(context: context, configurationHash: configuration.hash)
    }
}

/// Puts instances together; the executable knows drivers, cores and providers.
package protocol InstanceSource: Sendable {
    /// The instance's directory.
    var directory: InstanceDirectory { get }

    /// Reads the configuration as its file stands now.
    ///
    /// - Throws: A ``CodedError`` that names the file and the line.
    func configuration() async throws -> Configuration

    /// Connects the database and opens the keys' provider.
    ///
    /// - Parameters:
    ///   - configuration: What to open.
    ///   - beginsJournal: Whether a journal that is missing is begun anew, as only `recover` may.
    /// - Returns: The instance.
    /// - Throws: Whatever stands in the way.
    func open(_ configuration: Configuration, beginsJournal: Bool) async throws -> Instance

    /// Has an instance that is open work by another configuration of the same database, with its providers.
    ///
    /// What is under way keeps the providers that it began with.
    ///
    /// - Throws: Whatever stands in the way; then the instance stays as it was.
    func instance(_ instance: Instance, takingUp configuration: Configuration) async throws -> Instance

    /// Lets go of what the open instance holds outside of its database, such as the processes of its providers.
    func close() async

    /// The texts of a configuration that was read, so that its functions can be called.
    ///
    /// - Throws: A ``CodedError``, also where the files have changed since it was read.
    func script(of configuration: Configuration) async throws -> ConfigurationScript

    /// Writes an encrypted copy of the root key for recipients.
    ///
    /// - Throws: A ``CodedError`` that says why.
    func exportRootKey(to recipients: [String], into descriptor: Int32) async throws

    /// How often each provider was called since this was last asked.
    func takeProviderCalls() async -> [Name: ProviderCalls]

    /// Refuses a place that nothing may be written to, such as where programs are executed from.
    ///
    /// - Parameters:
    ///   - path: Where something is to be written.
    ///   - what: What is to be written, for the message: `the audit export`.
    ///   - instance: The instance that it comes from.
    /// - Throws: A ``CodedError`` that says why.
    func checkOutput(_ path: String, for what: String, of instance: Instance) async throws
}

extension InstanceSource {
    /// A source that does not count.
    package func takeProviderCalls() async -> [Name: ProviderCalls] { [:] }

    /// A source that executes nothing from anywhere: every place will do.
    package func checkOutput(_ path: String, for what: String, of instance: Instance) async throws {}

    /// A source whose providers no configuration changes.
    package func instance(_ instance: Instance, takingUp configuration: Configuration) async throws -> Instance {
        var instance = instance
        instance.configuration = configuration
        return instance
    }

    /// A source that holds nothing.
    package func close() async {}

    /// A source without texts: its configurations have no functions.
    package func script(of configuration: Configuration) async throws -> ConfigurationScript {
        throw ControlError(.callerScriptFailed, "the functions of the configuration cannot be called here")
    }
}

/// Posts to the addresses that the configuration names.
package protocol WebhookPoster: Sendable {
    /// Posts JSON to an address.
    ///
    /// - Returns: The status of HTTP.
    /// - Throws: ``ControlError`` whose message does not show the address.
    func post(_ body: [UInt8], to webhook: WebhookDeclaration) async throws -> Int
}

/// Runs texts of Lua for sessions.
package protocol ScriptEngine: Sendable {
    /// Makes what runs the scripts of one session; costs nothing before the first.
    func makeSession() -> any ScriptRunner
}

/// Runs the scripts of one session, one at a time, in a worker whose variables stay.
package protocol ScriptRunner: Sendable {
    /// Runs a text of Lua.
    ///
    /// - Parameters:
    ///   - script: The text.
    ///   - api: The API as ``API/description`` gives it, for the tables that scripts see.
    ///   - host: Performs the script's calls and takes its output.
    /// - Returns: The values that it handed back, in both forms.
    /// - Throws: A ``CodedError``: `callerIncomplete`, `callerScriptFailed`, `callerLimitExceeded`, `callerInterrupted`.
    func run(_ script: Script, api: API, host: any ScriptHost) async throws -> Answer

    /// The names of variables, or of what lies in one, for completion; none while a script runs or before the first.
    func names(of path: [String]) async -> [String]

    /// Asks the script to end.
    func cancel() async

    /// Kills the worker; variables are lost.
    func kill() async

    /// Ends the worker.
    func close() async
}

extension ScriptRunner {
    /// A runner without variables.
    package func names(of path: [String]) async -> [String] { [] }
}
