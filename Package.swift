// swift-tools-version: 6.2
import PackageDescription

/// One set of rules for every target of ours; dependencies keep their own.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    // The proposals: https://github.com/swiftlang/swift-evolution/tree/main/proposals, 0335, 0409, 0444 and 0461.
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "keyturn",
    products: [
        .executable(name: "keyturn", targets: ["keyturn"]),
        .executable(name: "keyturn-lua", targets: ["keyturn-lua"]),
        .executable(name: "keyturn-aws-kms", targets: ["keyturn-aws-kms"]),
        .executable(name: "keyturn-pkcs11", targets: ["keyturn-pkcs11"]),
        .executable(name: "keyturn-transit", targets: ["keyturn-transit"]),
        .library(name: "PluginKit", targets: ["KeyModel", "PluginKit"]),
        .library(name: "PluginConformance", targets: ["PluginConformance"]),
        .library(name: "PluginWire", targets: ["KeyModel", "PluginKit", "PluginWire"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", "3.12.3"..<"5.0.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .systemLibrary(name: "CLua", path: "Sources/CLua", pkgConfig: "lua5.4", providers: [.apt(["liblua5.4-dev"])]),
        .systemLibrary(
            name: "COpenSSL", path: "Sources/COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(
            name: "CPostgreSQL", path: "Sources/CPostgreSQL", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        .target(name: "CProcess"),
        .target(name: "CSQLite"),
        .target(name: "KeyModel", swiftSettings: strict),
        .target(name: "PluginKit", dependencies: ["KeyModel"], swiftSettings: strict),
        .target(name: "PluginConformance", dependencies: ["KeyModel", "PluginKit"], swiftSettings: strict),
        // The only target that imports libcrypto; what cores and providers share of it.
        .target(name: "LibCrypto", dependencies: ["COpenSSL", "PluginKit"], swiftSettings: strict),
        .target(
            name: "CToken", path: "plugins/pkcs11/CToken",
            cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)]),
        .executableTarget(
            name: "keyturn-pkcs11", dependencies: ["CToken", "KeyModel", "PluginKit", "PluginWire"],
            path: "plugins/pkcs11/Sources", swiftSettings: strict),
        // A plugin as a third party writes it, built here for the tests; it is a package of its own as well.
        .executableTarget(
            name: "example-provider",
            dependencies: ["KeyModel", "PluginKit", "PluginWire", .product(name: "Crypto", package: "swift-crypto")],
            path: "plugins/example-provider/Sources/example-provider", swiftSettings: [.swiftLanguageMode(.v6)]),
        .target(name: "Frames", swiftSettings: strict),
        // The only target that knows gRPC: the providers' wire, for hosts and for authors of plugins.
        .target(
            name: "PluginWire",
            dependencies: [
                "CProcess", "KeyModel", "PluginKit",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["Protos"], swiftSettings: strict),
        // Runs plugins and speaks with providers elsewhere; apart from Providers, which stays free of gRPC.
        .target(
            name: "ProviderHost",
            dependencies: [
                "CProcess", "ControlStore", "KR1", "KeyModel", "LibCrypto", "PluginConformance", "PluginKit",
                "PluginWire", "Providers",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: strict),
        .target(name: "Storage", dependencies: ["KeyModel", "PluginKit"], swiftSettings: strict),
        .target(
            name: "StoragePostgreSQL", dependencies: ["CPostgreSQL", "KeyModel", "PluginKit", "Storage"],
            swiftSettings: strict),
        .target(
            name: "StorageSQLite",
            dependencies: [
                "CSQLite", "KeyModel", "PluginKit", "Storage", .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict
        ),
        .target(name: "StorageTesting", dependencies: ["KeyModel", "PluginKit", "Storage"], swiftSettings: strict),
        .target(
            name: "ControlStore", dependencies: ["COpenSSL", "KeyModel", "PluginKit", "Storage"], swiftSettings: strict
        ),
        .target(
            name: "Providers", dependencies: ["KeyModel", "PluginKit", "ControlStore", "KR1", "LibCrypto"],
            swiftSettings: strict),
        .target(
            name: "Rotation",
            dependencies: [
                "KeyModel", "PluginKit", "Storage", "ControlStore", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Scheduling",
            dependencies: ["ControlStore", "KeyModel", "Storage", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),
        // Figures for monitoring, in the text form of Prometheus, on a loopback address.
        .target(
            name: "Monitoring",
            dependencies: ["KeyModel", "Scheduling", .product(name: "CoreMetrics", package: "swift-metrics")],
            swiftSettings: strict
        ),
        // Its engines run other programs; the drivers come in from outside.
        .target(
            name: "Backups",
            dependencies: ["CProcess", "ControlStore", "KeyModel", "LibCrypto", "Storage"], swiftSettings: strict),
        .target(
            name: "Scripting",
            dependencies: ["CProcess", "ControlStore", "Frames", "KeyModel", "PluginKit", "Scheduling", "Storage"],
            swiftSettings: strict
        ),
        .target(
            name: "Control",
            dependencies: [
                "AWSNames", "CProcess", "ControlStore", "Frames", "KeyModel", "PluginKit", "Rotation", "Scheduling",
                "Scripting",
                "Storage",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        // The only target that speaks HTTP.
        .target(
            name: "Webhooks", dependencies: ["Control", "ControlStore", "KeyModel"], swiftSettings: strict),
        .target(name: "Terminal", dependencies: ["Frames", "KeyModel"], swiftSettings: strict),
        // What a person or a script sees of an instance: the console, its formats, its commands.
        .target(
            name: "ConsoleSession", dependencies: ["Control", "Frames", "KeyModel", "Terminal"], swiftSettings: strict),
        .executableTarget(
            name: "keyturn-lua", dependencies: ["CLua"], path: "Sources/LuaWorker",
            cSettings: [
                .define("_GNU_SOURCE"), .enableWarning("all"), .enableWarning("extra"),
                .treatAllWarnings(as: .error),
            ]
        ),
        .executableTarget(
            name: "keyturn",
            dependencies: [
                "Backups",
                "CProcess", "ConsoleSession", "Control", "ControlStore", "Fernet", "Frames", "KR1", "KeyModel",
                "Monitoring",
                "PluginConformance", "PluginKit", "ProviderHost", "Providers", "Rotation", "Scheduling", "Scripting",
                "Storage", "StoragePostgreSQL", "StorageSQLite", "Terminal", "Webhooks",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),

        .target(
            name: "KR1", dependencies: ["KeyModel", "LibCrypto", "PluginKit", "CZlib"], path: "plugins/kr1/Sources",
            swiftSettings: strict
        ),
        .target(
            name: "Fernet", dependencies: ["KeyModel", "LibCrypto", "PluginKit"], path: "plugins/fernet/Sources",
            swiftSettings: strict
        ),

        // The only target that imports async-http-client; what providers over HTTP share.
        .target(
            name: "ProviderHTTP",
            dependencies: [
                "KeyModel", "PluginKit",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: strict
        ),
        // What can be said of AWS without speaking with it.
        .target(
            name: "AWSNames", dependencies: ["KeyModel"], path: "plugins/aws-kms/Sources/AWSNames",
            swiftSettings: strict),
        .target(
            name: "AWSKMS",
            dependencies: [
                "AWSNames", "KeyModel", "PluginKit", "ProviderHTTP", .product(name: "Crypto", package: "swift-crypto"),
            ],
            path: "plugins/aws-kms/Sources/AWSKMS", swiftSettings: strict
        ),
        .executableTarget(
            name: "keyturn-aws-kms", dependencies: ["AWSKMS", "AWSNames", "PluginKit", "PluginWire", "ProviderHTTP"],
            path: "plugins/aws-kms/Sources/keyturn-aws-kms", swiftSettings: strict),
        .target(
            name: "Transit", dependencies: ["KeyModel", "PluginKit", "ProviderHTTP"],
            path: "plugins/transit/Sources/Transit", swiftSettings: strict
        ),
        .executableTarget(
            name: "keyturn-transit", dependencies: ["PluginKit", "PluginWire", "ProviderHTTP", "Transit"],
            path: "plugins/transit/Sources/keyturn-transit", swiftSettings: strict),

        // Run with `swift run -c release bench-kr1`.
        .target(name: "CKR1Loop", dependencies: ["COpenSSL"], path: "Benchmarks/kr1/CKR1Loop"),
        .executableTarget(
            name: "bench-kr1", dependencies: ["CKR1Loop", "KR1", "KeyModel", "PluginKit"],
            path: "Benchmarks/kr1/Sources", swiftSettings: strict
        ),

        // Run with `swift run -c release bench-provider`.
        .executableTarget(
            name: "bench-provider", dependencies: ["KeyModel", "PluginKit", "ProviderHost"],
            path: "Benchmarks/provider/Sources", swiftSettings: strict),

        .testTarget(
            name: "KeyModelTests", dependencies: ["KeyModel", "ToolTesting", "VectorTesting"], swiftSettings: strict),
        .testTarget(name: "PluginKitTests", dependencies: ["KeyModel", "PluginKit"], swiftSettings: strict),
        .testTarget(
            name: "CoreTests",
            dependencies: [
                "CZlib", "Fernet", "KR1", "KeyModel", "LibCrypto", "PluginConformance", "PluginKit", "ToolTesting",
                "VectorTesting",
            ],
            swiftSettings: strict
        ),
        // Services on loopback that keys are brought from, and a proxy that makes faults.
        .target(
            name: "CloudTesting", path: "Tests/CloudTesting", exclude: ["proxy.py", "servers.py", "strict.py"],
            swiftSettings: strict),
        .testTarget(
            name: "AWSKMSTests",
            dependencies: [
                "AWSKMS", "AWSNames", "CloudTesting", "KeyModel", "PluginConformance", "PluginKit", "ProviderHTTP",
                "VectorTesting",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "TransitTests",
            dependencies: ["CloudTesting", "KeyModel", "PluginConformance", "PluginKit", "ProviderHTTP", "Transit"],
            swiftSettings: strict),
        // Brings keys to real instances, by the executable and its plugins.
        .testTarget(
            name: "BYOKTests",
            dependencies: [
                "AWSNames", "CloudTesting", "PostgreSQLTesting", "ToolTesting", "keyturn", "keyturn-aws-kms",
                "keyturn-lua", "keyturn-transit", .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict),
        .testTarget(name: "FramesTests", dependencies: ["Frames", "ToolTesting"], swiftSettings: strict),
        .testTarget(
            name: "StorageTests",
            dependencies: [
                "KeyModel", "PluginKit", "Storage", "StorageSQLite", "StorageTesting", "ToolTesting",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict
        ),
        // Clusters of PostgreSQL for tests, skipped with a reason where none is installed.
        .target(
            name: "PostgreSQLTesting",
            dependencies: ["CPostgreSQL", "Storage", "StoragePostgreSQL", "StorageTesting"],
            path: "Tests/PostgreSQLTesting", swiftSettings: strict),
        .testTarget(
            name: "StoragePostgreSQLTests",
            dependencies: [
                "ControlStore", "KeyModel", "PluginKit", "PostgreSQLTesting", "Storage", "StoragePostgreSQL",
                "StorageTesting",
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "ControlStoreTests",
            dependencies: [
                "ControlStore", "KeyModel", "PluginKit", "Storage", "StorageSQLite",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "ProvidersTests",
            dependencies: ["ControlStore", "KeyModel", "PluginConformance", "PluginKit", "Providers"],
            swiftSettings: strict
        ),
        // Runs real plugins, well-behaved and hostile ones.
        .testTarget(
            name: "ProviderHostTests",
            dependencies: [
                "CProcess", "ControlStore", "KeyModel", "PluginConformance", "PluginKit", "PluginWire", "ProviderHost",
                "Providers", "StorageSQLite", "ToolTesting", "example-provider", "keyturn",
                "keyturn-lua", "keyturn-pkcs11", .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["Programs"], swiftSettings: strict),
        .testTarget(
            name: "RotationTests",
            dependencies: [
                "Backups", "ControlStore", "Fernet", "KR1", "KeyModel", "PluginKit", "Providers", "Rotation", "Storage",
                "StorageSQLite", "ToolTesting", .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "SchedulingTests", dependencies: ["KeyModel", "Scheduling", "ToolTesting", "VectorTesting"],
            swiftSettings: strict),
        .testTarget(
            name: "MonitoringTests",
            dependencies: [
                "KeyModel", "Monitoring", "Scheduling", .product(name: "CoreMetrics", package: "swift-metrics"),
            ],
            swiftSettings: strict
        ),
        // The scheduler on a real store, with clocks that the tests set.
        .testTarget(
            name: "SchedulerTests",
            dependencies: [
                "ControlStore", "KeyModel", "Scheduling", "SchedulerChecking", "Storage", "StorageSQLite",
                "ToolTesting", "VectorTesting", "scheduler-node", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        // Several schedulers on one server, killed and stopped at will.
        .testTarget(
            name: "SchedulerSoakTests",
            dependencies: [
                "ControlStore", "KeyModel", "PostgreSQLTesting", "Scheduling", "SchedulerChecking", "StoragePostgreSQL",
                "ToolTesting", "scheduler-node",
            ],
            swiftSettings: strict
        ),
        // Reads what schedulers have recorded and says whether it is as it must be.
        .target(
            name: "SchedulerChecking", dependencies: ["ControlStore", "KeyModel", "Scheduling", "Storage"],
            path: "Tests/SchedulerChecking", swiftSettings: strict),
        // One scheduler as a process of its own, with an action that leaves a trace in the database.
        .executableTarget(
            name: "scheduler-node",
            dependencies: [
                "ControlStore", "KeyModel", "Scheduling", "SchedulerChecking", "Storage", "StoragePostgreSQL",
                "StorageSQLite", .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/SchedulerNode", swiftSettings: strict
        ),
        .testTarget(
            name: "ScriptingTests",
            dependencies: [
                "CLua", "ControlStore", "Frames", "KeyModel", "PluginKit", "Scheduling", "Scripting", "Storage",
                "keyturn-lua",
            ],
            swiftSettings: strict
        ),
        // A small service behind a real socket, in the test's process or in one of its own.
        .target(
            name: "ControlTesting",
            dependencies: ["CProcess", "Control", "Frames", .product(name: "Logging", package: "swift-log")],
            path: "Tests/ControlTesting", swiftSettings: strict),
        .executableTarget(
            name: "control-probe", dependencies: ["Control", "ControlTesting", "Frames"], path: "Tests/ControlProbe",
            swiftSettings: strict),
        .testTarget(
            name: "ControlTests",
            dependencies: [
                "CProcess", "Control", "ControlStore", "ControlTesting", "Frames", "KR1", "KeyModel", "PluginKit",
                "Providers", "Rotation", "Scheduling", "Scripting", "Storage", "StorageSQLite", "ToolTesting",
                "Webhooks",
                "control-probe",
                "keyturn-lua",
                .product(name: "GRDB", package: "GRDB.swift"), .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        // Runs the built executable, with the programs that backups are made by.
        .testTarget(
            name: "BackupsTests",
            dependencies: [
                "Backups", "ControlStore", "KeyModel", "PostgreSQLTesting", "Storage", "StorageSQLite", "ToolTesting",
                "keyturn",
                "keyturn-lua", .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict
        ),
        .testTarget(name: "TerminalTests", dependencies: ["Terminal", "ToolTesting"], swiftSettings: strict),
        .testTarget(
            name: "ConsoleSessionTests",
            dependencies: ["ConsoleSession", "console-double", "Control", "Frames", "Terminal"],
            exclude: ["console.py"], swiftSettings: strict),
        // The console on an instance of paper, for tests that need answers at a chosen time.
        .executableTarget(
            name: "console-double", dependencies: ["ConsoleSession", "Control", "Frames", "Terminal"],
            path: "Tests/ConsoleDouble"),
        // Runs the built executable against real files.
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "keyturn", "keyturn-lua", "Fernet", "KR1", "KeyModel", "PluginKit", "Rotation", "ToolTesting",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict
        ),
        // The same on clusters of PostgreSQL.
        .testTarget(
            name: "EndToEndPostgreSQLTests",
            dependencies: [
                "keyturn", "keyturn-lua", "Fernet", "KR1", "KeyModel", "PluginKit", "PostgreSQLTesting", "Rotation",
                "ToolTesting",
            ],
            swiftSettings: strict
        ),
        // Runs the built executable in folders of its own.
        .target(
            name: "ToolTesting", dependencies: ["KeyModel", "PluginKit"], path: "Tests/ToolTesting",
            exclude: ["airflow-sql.py", "fernet.py"], swiftSettings: strict),
        // Runs the built executable against what should not be.
        .testTarget(name: "HardshipTests", dependencies: ["keyturn", "keyturn-lua"], swiftSettings: strict),
        .target(name: "VectorTesting", path: "Tests/VectorTesting", swiftSettings: strict),
    ],
    cLanguageStandard: .c11
)
