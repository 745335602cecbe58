internal import Foundation
internal import PluginKit
internal import Testing

struct SecretBytesTests {
    private struct Refused: Error, Equatable {}

    @Test func holdsWhatWasWritten() {
        let secret = SecretBytes(count: 32) { buffer in
            for index in buffer.indices { buffer[index] = UInt8(index) }
        }
        let count = secret.count
        #expect(count == 32)
        let isAsWritten = secret.withExposedBytes { $0.elementsEqual(0..<32) }
        #expect(isAsWritten)
    }

    @Test func beginsAsZeros() {
        let secret = SecretBytes(count: 4096) { _ in }
        let isAsWritten = secret.withExposedBytes { $0.allSatisfy { $0 == 0 } }
        #expect(isAsWritten)
    }

    @Test(arguments: [0, 1, 31, 4095, 4096, 4097, 1_048_576])
    func copiesEverySizeIt(allows count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let secret = SecretBytes(copying: bytes)
        let size = secret.count
        #expect(size == count)
        let isAsWritten = secret.withExposedBytes { $0.elementsEqual(bytes) }
        #expect(isAsWritten)
    }

    @Test func comparesByContentAndLength() {
        let secret = SecretBytes(copying: [1, 2, 3])
        let same = SecretBytes(copying: [1, 2, 3])
        let other = SecretBytes(copying: [1, 2, 4])
        let firstDiffers = SecretBytes(copying: [0, 2, 3])
        let longer = SecretBytes(copying: [1, 2, 3, 0])
        let answers = [
            secret.isEqual(to: same), secret.isEqual(to: other), secret.isEqual(to: firstDiffers),
            secret.isEqual(to: longer),
        ]
        #expect(answers == [true, false, false, false])
    }

    @Test func locksItsPagesWhereTheSystemAllowsIt() throws {
        let limit = try #require(try Self.limitOfLockedMemory())
        let secret = SecretBytes(copying: [1, 2, 3])
        let isLocked = secret.isLocked
        #expect(isLocked || limit < 1 << 20)
    }

    @Test func passesOnWhatTheFillerThrows() {
        var isRefused = false
        do {
            _ = try SecretBytes(count: 16) { _ throws(Refused) in throw Refused() }
        } catch {
            isRefused = error == Refused()
        }
        #expect(isRefused)
    }

    /// Pages that were given back are handed out again; were they kept, every refused secret would stand elsewhere.
    @Test func givesItsPagesBackAlsoWhenTheFillerThrows() {
        var addresses: Set<UInt> = []
        for _ in 0..<2000 {
            do {
                _ = try SecretBytes(count: 16) { buffer throws(Refused) in
                    addresses.insert(UInt(bitPattern: buffer.baseAddress))
                    throw Refused()
                }
            } catch {}
        }
        #expect(addresses.count < 1000)
    }

    /// The kernel's own list says whether a page is left out of core dumps (`dd`) and locked (`lo`).
    @Test func isLeftOutOfCoreDumps() throws {
        let secret = SecretBytes(copying: [1, 2, 3])
        let address = secret.withExposedBytes { UInt(bitPattern: $0.baseAddress) }
        let flags = try #require(try Self.flags(of: address))
        #expect(flags.contains("dd"))
        let isLocked = secret.isLocked
        #expect(flags.contains("lo") == isLocked)
    }

    private static func limitOfLockedMemory() throws -> UInt64? {
        let limits = try Self.kernelFile("limits")
        let line = limits.split(separator: "\n").first { $0.hasPrefix("Max locked memory") }
        guard let field = line?.split(separator: " ").dropFirst(3).first else { return nil }
        return field == "unlimited" ? .max : UInt64(field)
    }

    /// Reads to the end; reading by name stops at the first part of a file whose size the kernel gives as zero.
    private static func kernelFile(_ name: String) throws -> String {
        let handle = try FileHandle(forReadingFrom: URL(filePath: "/proc/self/\(name)"))
        return String(decoding: try handle.readToEnd() ?? Data(), as: UTF8.self)
    }

    private static func flags(of address: UInt) throws -> [Substring]? {
        var isInside = false
        for line in try Self.kernelFile("smaps").split(separator: "\n") {
            if let range = line.split(separator: " ").first?.split(separator: "-"), range.count == 2,
                let start = UInt(range[0], radix: 16), let end = UInt(range[1], radix: 16)
            {
                isInside = (start..<end).contains(address)
            } else if isInside, line.hasPrefix("VmFlags:") {
                return line.split(separator: " ")
            }
        }
        return nil
    }
}
