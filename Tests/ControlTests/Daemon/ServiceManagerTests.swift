import Control
import ControlTesting
import Foundation
import Testing

/// What the service manager is told.
struct ServiceManagerTests {
    private func receiver(_ name: [UInt8]) throws -> Int32 {
        let receiver = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(receiver, $0, socklen_t(2 + name.count)) }
        }
        try #require(code == 0)
        return receiver
    }

    private func next(_ receiver: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = recv(receiver, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
    }

    @Test(arguments: [false, true]) func hearsHowTheDaemonIs(isAbstract: Bool) throws {
        let sandbox = try SocketSandbox()
        let name = sandbox.folder + "/notify"
        let receiver = try receiver(isAbstract ? [0] + Array(name.utf8) : Array(name.utf8))
        defer { close(receiver) }
        let manager = ServiceManager(environment: ["NOTIFY_SOCKET": isAbstract ? "@" + name : name])
        manager.becameReady("3 sessions\nREADY=0")
        #expect(next(receiver) == "READY=1\nSTATUS=3 sessions READY=0")
        manager.lives()
        #expect(next(receiver) == "WATCHDOG=1")
        manager.isReloading()
        #expect(next(receiver).hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
        manager.isStopping("run 7 ends its batch")
        #expect(next(receiver) == "STOPPING=1\nSTATUS=run 7 ends its batch")
    }

    @Test func doesNothingWhereThereIsNone() {
        for environment in [[:], ["NOTIFY_SOCKET": ""], ["NOTIFY_SOCKET": "relative"], ["NOTIFY_SOCKET": "/gone/x"]] {
            ServiceManager(environment: environment).becameReady("x")
        }
    }

    @Test func theWatchdogIsFedTwiceAnInterval() {
        let base = ["NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000"]
        #expect(ServiceManager(environment: base).watchdog == .seconds(15))
        #expect(ServiceManager(environment: base.merging(["WATCHDOG_PID": "1"]) { $1 }).watchdog == nil)
        #expect(ServiceManager(environment: base.merging(["WATCHDOG_USEC": "-5"]) { $1 }).watchdog == nil)
        #expect(ServiceManager(environment: ["WATCHDOG_USEC": "30000000"]).watchdog == nil)
    }
}
