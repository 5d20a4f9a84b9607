//! The protobuf messages and gRPC services of etcd: client API, log, peers.
//!
//! Every crate that touches one of these formats uses this one; nothing here runs on its own.
//! Messages build with the default features; clients and servers of the services are behind `grpc`
//! and meant for tests, tools and benches (the server speaks gRPC itself).
//!
//! # Layout
//!
//! One module per protobuf package (of `versionpb`, which is options only, what they say). The sources are `proto/proto/*/*.proto`; `src/gen` holds what
//! `cargo xtask codegen` makes of them and is committed. Fields of type `bytes` are
//! [`Bytes`](bytes::Bytes): decoding from a `Bytes` borrows from it instead of copying.
//! is for the few places where even decoding would be too much.
//!
//! # Invariants
//!
//! 1. Encoding is byte for byte what etcd up to 3.6 writes: fields in ascending order; in the proto2
//!    packages scalars are written even when zero (`tests/it/golden.rs`).
//! 2. Absent fields decode as zero, unknown fields are skipped, unknown enum values are kept
//!    (`tests/it/tolerance.rs`).
//! 3. Field and message names are etcd's in snake case, except `peer_urls` and `client_urls`.
#![forbid(unsafe_code)]

mod error;
pub mod versionpb;
pub mod wire;

pub use error::Error;

pub use bytes;
pub use prost;

/// The raft log's entries, hard state and configurations, and the peers' messages.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod raftpb {
    include!("gen/raftpb.rs");
}

/// Records of the write-ahead log.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod walpb {
    include!("gen/walpb.rs");
}

/// Container of a `.snap` file.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod snappb {
    include!("gen/snappb.rs");
}

/// The stored record of a key, and the event made of it.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod mvccpb {
    include!("gen/mvccpb.rs");
}

/// Users, roles and permissions.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod authpb {
    include!("gen/authpb.rs");
}

/// The stored lease, and what members ask each other about leases.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod leasepb {
    include!("gen/leasepb.rs");
}

/// Membership requests in the raft log.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod membershippb {
    include!("gen/membershippb.rs");
}

/// The client API, the requests inside the raft log, and the v2 request.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod etcdserverpb {
    include!("gen/etcdserverpb.rs");
    #[cfg(feature = "grpc")]
    include!("gen/etcdserverpb_grpc.rs");
}

/// Locks.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v3lockpb {
    include!("gen/v3lockpb.rs");
    #[cfg(feature = "grpc")]
    include!("gen/v3lockpb_grpc.rs");
}

/// Leader election among clients.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v3electionpb {
    include!("gen/v3electionpb.rs");
    #[cfg(feature = "grpc")]
    include!("gen/v3electionpb_grpc.rs");
}
