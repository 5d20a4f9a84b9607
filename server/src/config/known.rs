//! Flags of etcd that we know by name but do not honour (yet), and those etcd itself ignores.
//!
//! A flag that would be parsed and then not honoured could cost somebody their data or their safety,
//! so it is refused by name, except with a value that asks for what we do anyway.

/// A flag of etcd 3.4 to 3.6 without an implementation here.
#[derive(Debug)]
pub(crate) struct Unsupported {
    /// Name without dashes.
    pub name: &'static str,
    /// Go's boolean flags take no separate value.
    pub boolean: bool,
    /// Values that ask for exactly what this version does.
    pub honoured: &'static [&'static str],
}

const fn flag(name: &'static str) -> Unsupported {
    Unsupported {
        name,
        boolean: false,
        honoured: &[""],
    }
}

const fn off(name: &'static str) -> Unsupported {
    Unsupported {
        name,
        boolean: true,
        honoured: &["false", "f", "F", "FALSE", "False", "0"],
    }
}

const fn only(name: &'static str, honoured: &'static [&'static str]) -> Unsupported {
    Unsupported {
        name,
        boolean: false,
        honoured,
    }
}

/// Flags that are refused with "not supported yet", sorted by area as in etcd's help.
pub(crate) const UNSUPPORTED: &[Unsupported] = &[
    // Member
    flag("config-file"),
    flag("listen-client-http-urls"),
    off("memory-mlock"),
    // The HTTP/2 library does not show pings, so no least interval between them can be enforced.
    only("grpc-keepalive-min-time", &["0", "0s"]),
    off("enable-grpc-gateway"),
    off("enable-v2"),
    flag("experimental-enable-v2v3"),
    only("v2-deprecation", &["not-yet"]),
    only("proxy", &["off"]),
    flag("proxy-failure-wait"),
    flag("proxy-refresh-interval"),
    flag("proxy-dial-timeout"),
    flag("proxy-write-timeout"),
    flag("proxy-read-timeout"),
    // Clustering and discovery
    flag("discovery"),
    flag("discovery-proxy"),
    flag("discovery-fallback"),
    flag("discovery-srv"),
    flag("discovery-srv-name"),
    flag("discovery-endpoints"),
    flag("discovery-token"),
    flag("discovery-dial-timeout"),
    flag("discovery-request-timeout"),
    flag("discovery-keepalive-time"),
    flag("discovery-keepalive-timeout"),
    Unsupported {
        name: "discovery-insecure-transport",
        boolean: true,
        honoured: &[],
    },
    off("discovery-insecure-skip-tls-verify"),
    flag("discovery-cert"),
    flag("discovery-key"),
    flag("discovery-cacert"),
    flag("discovery-user"),
    flag("discovery-password"),
    // Security
    flag("cert-file"),
    flag("key-file"),
    flag("client-cert-file"),
    flag("client-key-file"),
    off("client-cert-auth"),
    flag("trusted-ca-file"),
    flag("client-crl-file"),
    flag("client-cert-allowed-hostname"),
    off("auto-tls"),
    flag("ca-file"),
    flag("peer-ca-file"),
    off("peer-auto-tls"),
    flag("self-signed-cert-validity"),
    flag("cipher-suites"),
    flag("tls-min-version"),
    flag("tls-max-version"),
    flag("auth-token"),
    flag("bcrypt-cost"),
    flag("auth-token-ttl"),
    // Monitoring and behaviour
    off("enable-pprof"),
    off("enable-log-rotation"),
    flag("log-rotation-config-json"),
    off("debug"),
    flag("log-package-levels"),
    off("enable-distributed-tracing"),
    flag("distributed-tracing-address"),
    flag("distributed-tracing-service-name"),
    flag("distributed-tracing-instance-id"),
    flag("distributed-tracing-sampling-rate"),
    off("experimental-enable-distributed-tracing"),
    flag("experimental-distributed-tracing-address"),
    flag("experimental-distributed-tracing-service-name"),
    flag("experimental-distributed-tracing-instance-id"),
    flag("experimental-distributed-tracing-sampling-rate"),
    only("bootstrap-defrag-threshold-megabytes", &["0"]),
    only("experimental-bootstrap-defrag-threshold-megabytes", &["0"]),
    Unsupported {
        name: "experimental-txn-mode-write-with-shared-buffer",
        boolean: true,
        honoured: &[],
    },
    off("experimental-stop-grpc-service-on-defrag"),
    off("experimental-memory-mlock"),
    flag("downgrade-check-time"),
    flag("experimental-downgrade-check-time"),
];

/// Flags that etcd accepts without a value, warns about and ignores (features of its first releases).
pub(crate) const IGNORED: &[&str] = &[
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-heartbeat-interval",
    "peer-election-timeout",
    "retry-interval",
    "snapshot",
    "v",
    "vv",
];

/// Variables that start with `ETCD_` and belong to something else than a flag.
pub(crate) const FOREIGN_VARIABLES: &[&str] = &["ETCD_UNSUPPORTED_ARCH", "ETCD_VERIFY"];

/// The entry of a flag we know but do not honour.
pub(crate) fn unsupported(name: &str) -> Option<&'static Unsupported> {
    UNSUPPORTED.iter().find(|known| known.name == name)
}

/// Whether etcd accepts and ignores this flag.
pub(crate) fn ignored(name: &str) -> bool {
    IGNORED.contains(&name)
}
