//! A member taken apart into what its threads do.
//!
//! [`Node`](crate::Node) gives each role a thread; [`Stepper`](crate::Stepper) runs all of them in one,
//! in an order that its caller chooses.
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use varve_raft::{Config as RaftConfig, RawNode, ReadOnlyOption, SeededJitter};

use crate::apply_thread::{ApplyThread, ApplyWork};
use crate::bootstrap::Bootstrapped;
use crate::clock::Clock;
use crate::driver::{Driver, DriverParts, Limits, Work};
use crate::error::{Error, Result};
use crate::log_seat::{LogRole, LogSeat};
use crate::log_writer::LogWriter;
use crate::mailbox::Mailbox;
use crate::node::NodeConfig;
use crate::request_id::RequestIds;
use crate::snapshotter::SnapshotThread;
use crate::state_machine::{Observer, StateMachine, Transport};
use crate::status::Published;
use crate::threads::{RaftThread, WalThread};

/// Messages from peers that may wait for the raft thread; more are dropped, as if the network had lost
/// them. etcd's number (`recvBufSize`).
const MAX_WAITING_MESSAGES: usize = 4096;

/// Payload bytes a leader takes on beyond what is committed; more are refused with "too many requests".
/// etcd has no such bound, and a leader whose followers hang grows without one.
const MAX_UNCOMMITTED_BYTES: u64 = 256 << 20;

/// Payload bytes on their way to one follower: what it may have to keep in memory while its disk hangs; of
/// one that is behind, what a leader reads back from its log at once and what it writes with one sync.
const MAX_INFLIGHT_BYTES: u64 = 8 << 20;

/// After this time a read that was not answered is asked for again. etcd's number.
const READ_RETRY: Duration = Duration::from_millis(500);

/// How long the log is kept after a snapshot was sent. etcd's number.
const SNAPSHOT_HOLD: Duration = Duration::from_secs(30);

/// How long a removed member goes on, so that others learn of the commit. etcd's number.
const REMOVAL_DELAY: Duration = Duration::from_secs(1);

pub(crate) struct Roles {
    pub(crate) raft: RaftThread,
    pub(crate) wal: WalThread,
    pub(crate) apply: ApplyThread,
    pub(crate) snapshot: SnapshotThread,
}

impl Roles {
    pub(crate) fn new(
        boot: Bootstrapped,
        config: &NodeConfig,
        state_machine: Box<dyn StateMachine>,
        transport: Arc<dyn Transport>,
        observer: Arc<dyn Observer>,
        clock: Clock,
    ) -> Result<Self> {
        let id = boot.node_id;
        let clock = Arc::new(clock);
        let published = Arc::new(Published::new(Arc::clone(&clock), config.tick));
        published.starts_at(boot.snapshot_index, boot.snapshot_term());
        let log = boot.log.reading_back(boot.fs.clone(), boot.wal_dir.clone());
        let raw = RawNode::new(raft_config(id, boot.snapshot_index, config), log.clone())
            .map_err(|e| Error::Raft(e.to_string()))?;

        let events = Arc::new(Mailbox::with_inside_limit(
            config.max_waiting_requests,
            MAX_WAITING_MESSAGES,
        ));
        // Jobs for the WAL and the apply thread are bounded by what raft lets be in flight: uncommitted
        // bytes and bytes being applied. So they use the inside lane, and the outside lane takes none.
        let wal_jobs = Arc::new(Mailbox::new(0));
        let apply_jobs = Arc::new(Mailbox::new(0));
        let snapshot_jobs = Arc::new(Mailbox::new(0));
        let writer = Arc::new(LogWriter::new(
            boot.appender,
            log.clone(),
            boot.snapshotter.clone(),
            boot.hard_state,
        ));
        let log_seat = Arc::new(LogSeat::new(LogRole {
            writer: Arc::clone(&writer),
            apply_jobs: Arc::clone(&apply_jobs),
            observer: Arc::clone(&observer),
        }));
        let mut driver = Driver::new(DriverParts {
            raw,
            id,
            log,
            limits: limits(config),
            read_contexts: RequestIds::new(id, config.started_unix_ms),
            published: Arc::clone(&published),
            transport: Arc::clone(&transport),
            observer: Arc::clone(&observer),
        });
        driver.start(&boot.conf_state, config.advance_first_election);

        let apply = Arc::new(Mutex::new(ApplyWork {
            state_machine,
            published: Arc::clone(&published),
            transport,
            snapshotter: boot.snapshotter.clone(),
            snapshot_jobs: Arc::clone(&snapshot_jobs),
            snapshot_count: config.snapshot_count,
            snapshot_index: boot.snapshot_index,
            conf_state: boot.conf_state,
        }));
        Ok(Self {
            raft: RaftThread {
                driver,
                clock,
                published,
                events: Arc::clone(&events),
                wal_jobs: Arc::clone(&wal_jobs),
                apply_jobs: Arc::clone(&apply_jobs),
                snapshot_jobs: Arc::clone(&snapshot_jobs),
                writer: Arc::clone(&writer),
                log: Arc::clone(&log_seat),
                apply: Arc::clone(&apply),
                observer,
                tick: config.tick,
                election_ticks: u32::try_from(config.election_ticks).unwrap_or(u32::MAX),
                next_tick: Duration::ZERO,
                work: Work::default(),
                inside: Vec::new(),
                outside: Vec::new(),
                may_block: true,
                may_write: false,
                lent: None,
            },
            wal: WalThread {
                jobs: wal_jobs,
                log: log_seat,
                raft: Arc::clone(&events),
            },
            apply: ApplyThread {
                jobs: apply_jobs,
                work: apply,
                raft: Arc::clone(&events),
            },
            snapshot: SnapshotThread {
                jobs: snapshot_jobs,
                snapshotter: boot.snapshotter,
                writer,
                raft: events,
                fs: boot.fs,
                wal_dir: boot.wal_dir,
                max_wals: config.max_wals,
                max_snapshots: config.max_snapshots,
            },
        })
    }
}

fn limits(config: &NodeConfig) -> Limits {
    let tick = config.tick.max(Duration::from_millis(1));
    let ticks = |time: Duration| {
        u64::try_from(time.as_nanos().div_ceil(tick.as_nanos())).unwrap_or(u64::MAX)
    };
    Limits {
        catch_up_entries: config.catch_up_entries,
        log_bytes: config.log_bytes,
        gathering_reads: config.max_waiting_requests,
        election_ticks: config.election_ticks as u64,
        stalled_sync_timeouts: config.stalled_sync_timeouts,
        read_retry_ticks: ticks(READ_RETRY),
        snapshot_hold_ticks: ticks(SNAPSHOT_HOLD),
        removal_ticks: ticks(REMOVAL_DELAY),
        commit_delay: config.commit_delay,
    }
}

/// The limits etcd runs raft with (etcd `server/etcdserver/{bootstrap,raft}.go`), bounds on memory, and
/// asynchronous storage writes.
fn raft_config(id: u64, applied: u64, config: &NodeConfig) -> RaftConfig {
    RaftConfig {
        id,
        election_tick: config.election_ticks,
        heartbeat_tick: 1,
        applied,
        async_storage_writes: true,
        max_size_per_msg: 1 << 20,
        max_committed_size_per_ready: 4 << 20,
        max_uncommitted_entries_size: MAX_UNCOMMITTED_BYTES,
        max_inflight_msgs: 512,
        max_inflight_bytes: MAX_INFLIGHT_BYTES,
        check_quorum: true,
        pre_vote: config.pre_vote,
        read_only_option: ReadOnlyOption::Safe,
        jitter: Box::new(SeededJitter::new(config.jitter_seed)),
        ..RaftConfig::new(id)
    }
}
