import Control
import Testing

struct ControlErrorTests {
    @Test func exitCodesAreThoseOfTheCommandLine() {
        #expect(Set(ControlError.Code.allCases.map(\.status)) == [1, 2, 3, 4, 64, 130])
        #expect(ControlError(.callerNotConfirmed, "x").status == 3)
    }
}
