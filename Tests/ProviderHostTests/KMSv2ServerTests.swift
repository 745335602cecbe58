internal import Foundation
internal import KeyModel
internal import PluginKit
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// Our KMS v2 socket, called by gRPC's own stack as a cluster would.
@Suite(.serialized)
struct KMSv2ServerTests {
    /// Wraps by exclusive-or under the key's name, which is all that a wire's test needs.
    private actor Backend: KMSv2Backend {
        private(set) var name = "main-1"

        func turn(to name: String) { self.name = name }

        func keyID() async throws -> String {
            guard !name.isEmpty else { throw ProviderError(.providerUnavailable, "the database cannot be reached") }
            return name
        }

        func wrap(_ plaintext: borrowing SecretBytes) async throws -> WrappedKey {
            let bytes = plaintext.withExposedBytes { Bytes($0.map { $0 ^ 0x5A }) }
            return WrappedKey(
                ciphertext: bytes, providerKeyID: name, annotations: ["place.keyturn.example": [1, 2, 255]])
        }

        func unwrap(_ wrapped: WrappedKey) async throws -> SecretBytes {
            guard wrapped.annotations == ["place.keyturn.example": [1, 2, 255]] else {
                throw ProviderError(.dataNotAuthentic, "the annotations were changed")
            }
            return SecretBytes(copying: wrapped.ciphertext.map { $0 ^ 0x5A })
        }
    }

    private func serving(_ backend: Backend, _ body: (HostScratch, TalkingProgram) async throws -> Void) async throws {
        let scratch = try HostScratch()
        let server = try KMSv2Server(
            endpoint: "unix://\(scratch.file("kms.sock"))", users: [geteuid()], backend: backend)
        let running = Task { try await server.run() }
        #expect(await Sample.eventually { (try? scratch.mode(of: "kms.sock")) == 0o600 })
        try await body(scratch, try TalkingProgram("kms-client", [scratch.file("kms.sock")]))
        running.cancel()
        try await running.value
        #expect(!FileManager.default.fileExists(atPath: scratch.file("kms.sock")))
    }

    @Test
    func aClusterWrapsAndUnwrapsThroughIt() async throws {
        let backend = Backend()
        try await serving(backend) { _, client in
            let status = try client.askObject("status")
            #expect(status as? [String: String] == ["version": "v2", "healthz": "ok", "key_id": "main-1"])
            let wrapped = try client.askObject("encrypt \(Data(0..<32).base64EncodedString())")
            #expect(wrapped["key_id"] as? String == "main-1")
            let ciphertext = try #require(wrapped["ciphertext"] as? String)
            let annotations = try #require(wrapped["annotations"] as? [String: String])
            let words = annotations.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
            let back = try client.askObject("decrypt \(ciphertext) main-1 \(words)")
            #expect(back["plaintext"] as? String == Data(0..<32).base64EncodedString())
            #expect(try client.askObject("decrypt \(ciphertext) main-1")["error"] as? String == "DATA_LOSS")
            await backend.turn(to: "main-2")
            #expect(try client.askObject("status")["key_id"] as? String == "main-2")
            await backend.turn(to: "")
            #expect(try client.askObject("status")["healthz"] as? String == "the database cannot be reached")
            let large = Data(repeating: 1, count: 513).base64EncodedString()
            #expect(try client.askObject("encrypt \(large)")["error"] as? String == "INVALID_ARGUMENT")
        }
    }

    @Test
    func aLiveSocketIsNotTakenOverAndAStaleOneIs() async throws {
        try await serving(Backend()) { scratch, client in
            let second = try KMSv2Server(
                endpoint: "unix://\(scratch.file("kms.sock"))", users: [geteuid()], backend: Backend())
            let error = try await Sample.failure { try await second.run() }
            #expect(error.message.contains("another process"))
            #expect(try client.askObject("status")["healthz"] as? String == "ok")
        }
        let scratch = try HostScratch()
        try "".write(toFile: scratch.file("kms.sock"), atomically: true, encoding: .utf8)
        let third = try KMSv2Server(
            endpoint: "unix://\(scratch.file("kms.sock"))", users: [geteuid()], backend: Backend())
        let error = try await Sample.failure { try await third.run() }
        #expect(error.message.contains("no socket"))
    }
}
