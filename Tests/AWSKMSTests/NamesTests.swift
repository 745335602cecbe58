import AWSKMS
import AWSNames
import Testing

struct NamesTests {
    private static let id = "1234abcd-12ab-34cd-56ef-1234567890ab"

    @Test(arguments: [
        "arn:aws:kms:eu-central-1:111122223333:key/\(id)", "arn:aws-cn:kms:cn-north-1:111122223333:key/\(id)",
        "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-\(String(repeating: "0a", count: 16))",
    ])
    func namesOfKeysComeBackAsTheyWere(text: String) throws {
        #expect(try KeyARN(text).description == text)
    }

    @Test(arguments: [
        ("", "form"), ("arn:aws:s3:::bucket", "form"),
        ("arn:aws:kms:eu-central-1:111122223333:alias/x", "names no key"),
        ("arn:aws-cn:kms:eu-central-1:111122223333:key/\(id)", "partition aws, not aws-cn"),
        ("arn:aws:kms:atlantis-1:111122223333:key/\(id)", "no region"),
        ("arn:aws:kms:eu-central-1:1111:key/\(id)", "12 digits"),
        ("arn:aws:kms:eu-central-1:111122223333:key/x", "UUID"), ("arn:gov:kms:eu-central-1:1:key/x", "no partition"),
    ])
    func saysWhichPartOfANameIsWrong(text: String, part: String) {
        let error = #expect(throws: AWSError.self) { try KeyARN(text) }
        #expect(error?.message.contains(part) == true)
    }

    @Test func rolesKeepTheirPathAndCase() throws {
        let role = try RoleARN("arn:aws:iam::111122223333:role/teams/db/KeyturnBYOKRole")
        #expect(role.path == "teams/db/")
        #expect(role.name == "KeyturnBYOKRole")
        #expect(role.description == "arn:aws:iam::111122223333:role/teams/db/KeyturnBYOKRole")
        #expect(throws: AWSError.self) { try RoleARN("arn:aws:iam::111122223333:user/x") }
        #expect(throws: AWSError.self) { try RoleARN("arn:aws:iam::111122223333:role/a b") }
    }

    @Test(arguments: [
        (Endpoint.Service.kms, "eu-central-1", Endpoint.Variant(), "https://kms.eu-central-1.amazonaws.com"),
        (.kms, "cn-north-1", .init(), "https://kms.cn-north-1.amazonaws.com.cn"),
        (.kms, "us-gov-west-1", .init(isFIPS: true), "https://kms-fips.us-gov-west-1.amazonaws.com"),
        (.sts, "us-gov-west-1", .init(isFIPS: true), "https://sts.us-gov-west-1.amazonaws.com"),
        (.sts, "us-east-1", .init(isFIPS: true), "https://sts-fips.us-east-1.amazonaws.com"),
        (.kms, "eu-west-1", .init(isFIPS: true, isDualStack: true), "https://kms-fips.eu-west-1.api.aws"),
        (.kms, "us-isob-east-1", .init(), "https://kms.us-isob-east-1.sc2s.sgov.gov"),
        (.kms, "eusc-de-east-1", .init(), "https://kms.eusc-de-east-1.amazonaws.eu"),
    ])
    func findsEndpoints(service: Endpoint.Service, region: String, variant: Endpoint.Variant, url: String) throws {
        #expect(try Endpoint(service, region: region, variant: variant).url == url)
    }

    @Test func takesOtherEndpointsAsTheyAreButHTTPOnLoopbackAlone() throws {
        #expect(try Endpoint(.kms, region: "eu-west-1", override: "http://127.0.0.1:5000/").host == "127.0.0.1:5000")
        #expect(try Endpoint(.kms, region: "eu-west-1", override: "https://vpce.example:443").host == "vpce.example")
        for text in ["http://kms.example", "ftp://127.0.0.1", "https://u@h", "https://h/path", "kms"] {
            #expect(throws: AWSError.self) { try Endpoint(.kms, region: "eu-west-1", override: text) }
        }
        #expect(throws: AWSError.self) {
            try Endpoint(.kms, region: "eu-west-1", variant: .init(isFIPS: true), override: "https://h")
        }
    }
}
