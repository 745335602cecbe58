// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "example-provider",
    dependencies: [
        // Elsewhere this is the address of Keyturn's repository and a version.
        .package(name: "keyturn", path: "../.."),
        .package(url: "https://github.com/apple/swift-crypto", "3.12.3"..<"5.0.0"),
    ],
    targets: [
        .executableTarget(
            name: "example-provider",
            dependencies: [
                .product(name: "PluginWire", package: "keyturn"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: [.swiftLanguageMode(.v6)]
        )
    ]
)
