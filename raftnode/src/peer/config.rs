//! How the transport of a member runs.
use std::path::PathBuf;
use std::time::Duration;

use varve_snap::Snapshotter;
use varve_vfs::DynFs;

use super::tls::PeerTls;

/// What the transport must know of its member.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// This member.
    pub local_id: u64,
    /// Its cluster.
    pub cluster_id: u64,
    /// The release it declares, in full (`3.6.5`).
    pub server_version: String,
    /// Its advertised peer URLs: members that do not know it yet answer there.
    pub advertised_urls: Vec<String>,
    /// How it speaks TLS to members with https URLs.
    pub tls: Option<PeerTls>,
    /// Times.
    pub timings: PeerTimings,
    /// The file system of `snap_dir`.
    pub fs: DynFs,
    /// Where databases that come with snapshots are put (`member/snap`).
    pub snap_dir: PathBuf,
}

impl PeerConfig {
    pub(crate) fn snapshotter(&self) -> Snapshotter {
        Snapshotter::new(DynFs::clone(&self.fs), &self.snap_dir)
    }
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub struct PeerTimings {
    /// Making a connection, TLS included.
    pub dial: Duration,
    /// A read on a link that brings nothing (etcd: `--raft-read-timeout`).
    pub read: Duration,
    /// A write that gets nowhere (etcd: `--raft-write-timeout`).
    pub write: Duration,
    /// Between two attempts to open a stream.
    pub redial: Duration,
    /// For the answer to a snapshot whose last byte is written: the receiver syncs all of it first. Half
    /// a second for each mebibyte comes on top.
    pub snapshot_answer: Duration,
}

impl PeerTimings {
    /// etcd's, which derives the time to connect from the election timeout.
    pub fn new(election_timeout: Duration) -> Self {
        Self {
            dial: Duration::from_secs(1) + election_timeout,
            read: Duration::from_secs(5),
            write: Duration::from_secs(5),
            redial: Duration::from_millis(100),
            snapshot_answer: Duration::from_mins(2),
        }
    }

    /// Between two signs of life on a stream that has nothing else to say.
    pub(crate) fn heartbeat(&self) -> Duration {
        self.read / 3
    }

    /// Between two probes: often enough to keep the connection within the peer's read timeout.
    pub(crate) fn probe(&self) -> Duration {
        self.read * 4 / 5
    }

    /// How long a connection may have been silent and still be used: the peer cuts it after its read
    /// timeout.
    pub(crate) fn reuse(&self) -> Duration {
        self.read * 9 / 10
    }
}
