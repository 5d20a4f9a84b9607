//! Black-box tests of the tools' binaries.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests, and their word when they skip"
)]

mod against_etcd;
mod archive;
mod bench;
mod dump_db;
mod dump_snap;
mod dump_wal;
mod live;
mod manners;
mod pinned;
mod random_damage;
mod tool;
mod wal_damage;
