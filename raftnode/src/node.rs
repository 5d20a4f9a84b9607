//! A running member: its threads and the handle on them.
//!
//! Threads, all from `std`: "raft" (the consensus core), "wal" (log writes with one sync a batch),
//! "apply" (the state machine), "snapshot" (raft snapshots). See `docs/ARCHITECTURE.md`.
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use varve_proto::raftpb::{ConfChange, Message};
use varve_raft::{Config as RaftConfig, RawNode, ReadOnlyOption, SeededJitter};

use crate::apply_thread::{ApplyThread, ApplyWork};
use crate::bootstrap::Bootstrapped;
use crate::driver::{Driver, LogBounds};
use crate::error::{Error, RequestError, Result};
use crate::event::{Done, Event};
use crate::log_writer::LogWriter;
use crate::mailbox::{Mailbox, Refused};
use crate::snapshotter::{Job as SnapshotJob, SnapshotThread};
use crate::state_machine::{Observer, StateMachine, Transport};
use crate::status::{Published, Status};
use crate::threads::{RaftThread, WalThread};

/// How a member runs.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Length of a tick; the leader sends heartbeats once a tick.
    pub tick: Duration,
    /// Ticks without a leader before an election.
    pub election_ticks: usize,
    /// Ask before campaigning, so that a returning member does not disturb the leader.
    pub pre_vote: bool,
    /// Let the first election come early: the only voter campaigns at once instead of waiting for an
    /// election timeout (others: the timeout of the first election is shortened by all but one tick).
    pub advance_first_election: bool,
    /// Applied entries between raft snapshots.
    pub snapshot_count: u64,
    /// Entries kept behind a snapshot for followers that lag.
    pub catch_up_entries: u64,
    /// Bytes of applied entries kept in memory, whatever `catch_up_entries` says.
    pub log_bytes: usize,
    /// Requests that may wait for the raft thread. Beyond it a client is told to come back: with some
    /// 300 bytes a request this is a few megabytes, and more than one disk sync can take.
    pub max_waiting_requests: usize,
    /// Segments (`.wal`) and snapshots (`.snap`) kept; 0 keeps all.
    pub max_wals: usize,
    /// See `max_wals`.
    pub max_snapshots: usize,
    /// Seed of the election jitter.
    pub jitter_seed: u64,
}

/// A handle on a running member; clones share it.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    raft: Arc<Mailbox<Event>>,
    published: Arc<Published>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts the threads of a member whose disk state was opened by [`open`](crate::open) or made by
    /// [`create`](crate::create).
    pub fn start(
        boot: Bootstrapped,
        config: &NodeConfig,
        state_machine: Box<dyn StateMachine>,
        transport: Arc<dyn Transport>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let id = boot.node_id;
        let published = Arc::new(Published::default());
        published.applied.advance(boot.snapshot_index);
        let raw = RawNode::new(
            raft_config(id, boot.snapshot_index, config),
            boot.log.clone(),
        )
        .map_err(|e| Error::Raft(e.to_string()))?;

        let raft = Arc::new(Mailbox::new(config.max_waiting_requests));
        // Jobs for the WAL and the apply thread are bounded by what raft lets be in flight: uncommitted
        // bytes and bytes being applied. So they use the inside lane, and the outside lane takes none.
        let wal_jobs = Arc::new(Mailbox::new(0));
        let apply_jobs = Arc::new(Mailbox::new(0));
        let snapshot_jobs: Arc<Mailbox<SnapshotJob>> = Arc::new(Mailbox::new(0));
        let writer = Arc::new(LogWriter::new(
            boot.appender,
            boot.log.clone(),
            boot.hard_state,
        ));

        let bounds = LogBounds {
            catch_up_entries: config.catch_up_entries,
            bytes: config.log_bytes,
        };
        let mut driver = Driver::new(
            raw,
            id,
            boot.log,
            bounds,
            Arc::clone(&published),
            transport,
            Arc::clone(&observer),
        );
        driver.start(
            &boot.conf_state,
            config.advance_first_election,
            config.election_ticks,
        );

        let apply = Arc::new(Mutex::new(ApplyWork {
            state_machine,
            published: Arc::clone(&published),
            snapshot_jobs: Arc::clone(&snapshot_jobs),
            snapshot_count: config.snapshot_count,
            snapshot_index: boot.snapshot_index,
            conf_state: boot.conf_state,
        }));
        let raft_thread = RaftThread {
            driver,
            events: Arc::clone(&raft),
            wal_jobs: Arc::clone(&wal_jobs),
            apply_jobs: Arc::clone(&apply_jobs),
            snapshot_jobs: Arc::clone(&snapshot_jobs),
            writer: Arc::clone(&writer),
            apply: Arc::clone(&apply),
            observer: Arc::clone(&observer),
            tick: config.tick,
            election_ticks: config.election_ticks,
        };
        let wal_thread = WalThread {
            jobs: wal_jobs,
            writer: Arc::clone(&writer),
            raft: Arc::clone(&raft),
            observer: Arc::clone(&observer),
        };
        let apply_thread = ApplyThread {
            jobs: apply_jobs,
            work: apply,
            raft: Arc::clone(&raft),
        };
        let snapshot_thread = SnapshotThread {
            jobs: snapshot_jobs,
            snapshotter: boot.snapshotter,
            writer,
            raft: Arc::clone(&raft),
            fs: boot.fs,
            wal_dir: boot.wal_dir,
            max_wals: config.max_wals,
            max_snapshots: config.max_snapshots,
        };
        let threads = vec![
            spawn("raft", move || raft_thread.run())?,
            spawn("wal", move || wal_thread.run())?,
            spawn("apply", move || apply_thread.run())?,
            spawn("snapshot", move || snapshot_thread.run())?,
        ];
        Ok(Self {
            shared: Arc::new(Shared {
                raft,
                published,
                threads: Mutex::new(threads),
            }),
        })
    }

    /// Proposes a normal entry. `id` comes back through [`Observer::proposal_dropped`] if it never
    /// enters the log; otherwise it is applied or lost with the leader.
    pub fn propose(&self, id: u64, data: Bytes) -> std::result::Result<(), RequestError> {
        self.offer(Event::Propose { id, data })
    }

    /// Proposes a change of membership.
    pub fn propose_conf_change(
        &self,
        change: ConfChange,
        done: Done<()>,
    ) -> std::result::Result<(), RequestError> {
        self.offer(Event::ProposeConfChange { change, done })
    }

    /// Asks for an index that covers everything committed before this call.
    pub fn read_index(&self, done: Done<u64>) -> std::result::Result<(), RequestError> {
        self.offer(Event::ReadIndex { done })
    }

    /// Hands leadership to another voter.
    pub fn transfer_leader(&self, to: u64) -> std::result::Result<(), RequestError> {
        self.offer(Event::TransferLeader { to })
    }

    /// Hands over a message from a peer.
    pub fn receive(&self, message: Message) -> std::result::Result<(), RequestError> {
        self.offer(Event::Message(Box::new(message)))
    }

    /// The figures of this member.
    pub fn status(&self) -> Status {
        self.shared.published.status()
    }

    /// What the threads publish.
    pub fn published(&self) -> &Arc<Published> {
        &self.shared.published
    }

    /// Stops the threads: what was committed is applied as far as it got, the log is synced.
    /// Waits for them; a second call returns at once.
    pub fn stop(&self) {
        self.shared.raft.push(Event::Stop);
        let threads = std::mem::take(&mut *self.shared.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the member panicked");
            }
        }
    }

    fn offer(&self, event: Event) -> std::result::Result<(), RequestError> {
        self.shared
            .raft
            .offer(event)
            .map_err(|refused| match refused {
                Refused::Full => RequestError::TooMany,
                Refused::Closed => RequestError::Stopped,
            })
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(Error::Thread)
}

/// The limits etcd runs raft with (etcd `server/etcdserver/{bootstrap,raft}.go`), and asynchronous
/// storage writes.
fn raft_config(id: u64, applied: u64, config: &NodeConfig) -> RaftConfig {
    RaftConfig {
        id,
        election_tick: config.election_ticks,
        heartbeat_tick: 1,
        applied,
        async_storage_writes: true,
        max_size_per_msg: 1 << 20,
        max_committed_size_per_ready: 4 << 20,
        max_uncommitted_entries_size: 1 << 30,
        max_inflight_msgs: 512,
        check_quorum: true,
        pre_vote: config.pre_vote,
        read_only_option: ReadOnlyOption::Safe,
        jitter: Box::new(SeededJitter::new(config.jitter_seed)),
        ..RaftConfig::new(id)
    }
}
