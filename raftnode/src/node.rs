//! A running member: its threads and the handle on them.
//!
//! Threads, all from `std`: "raft" (the consensus core), "wal" (log writes with one sync a batch),
//! "apply" (the state machine), "snapshot" (raft snapshots). See `docs/ARCHITECTURE.md`.
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use varve_proto::raftpb::{ConfChange, Message, MessageType};

use crate::bootstrap::Bootstrapped;
use crate::clock::Clock;
use crate::error::{Error, RequestError, Result};
use crate::event::{Done, Event};
use crate::mailbox::{Announce, Mailbox, Refused};
use crate::progress::ClusterProgress;
use crate::roles::Roles;
use crate::state_machine::{Observer, StateMachine, Transport};
use crate::status::{Published, Status};
use crate::turns::{self, Turns};

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
    /// Bytes of applied entries kept in memory; followers that need older ones get them from the WAL.
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
    /// Unix time of this start in milliseconds: makes the names of read rounds unique across restarts.
    pub started_unix_ms: u64,
    /// A leader whose log write takes longer than this many election timeouts hands over; 0: never.
    pub stalled_sync_timeouts: u32,
    /// How long a leader may hold back the news that a lone entry has committed, for the next message to
    /// each follower to carry it; zero: it tells them at once.
    pub commit_delay: Duration,
}

/// A handle on a running member; clones share it.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    raft: Arc<Mailbox<Event>>,
    published: Arc<Published>,
    /// Who works on the raft role; `None` where somebody steps it.
    turns: Option<Arc<Turns>>,
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
        let clock = Clock::system();
        let roles = Roles::new(boot, config, state_machine, transport, observer, clock)?;
        let (events, published) = shared_parts(&roles);
        let Roles {
            raft,
            wal,
            apply,
            snapshot,
        } = roles;
        let turns = Arc::new(Turns::new(raft));
        let node = Self::with(events, published, Some(Arc::clone(&turns)));
        let raft = Arc::clone(&turns);
        *node.shared.threads.lock() = vec![
            spawn("raft", move || raft.run())?,
            spawn("wal", move || wal.run(&turns))?,
            spawn("apply", move || apply.run())?,
            spawn("snapshot", move || snapshot.run())?,
        ];
        Ok(node)
    }

    /// A handle on roles that somebody else runs.
    pub(crate) fn over(roles: &Roles) -> Self {
        let (events, published) = shared_parts(roles);
        Self::with(events, published, None)
    }

    fn with(
        raft: Arc<Mailbox<Event>>,
        published: Arc<Published>,
        turns: Option<Arc<Turns>>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                raft,
                published,
                turns,
                threads: Mutex::new(Vec::new()),
            }),
        }
    }

    /// Proposes a normal entry. `id` comes back through [`Observer::proposal_dropped`] if it never
    /// enters the log; otherwise it is applied or lost with the leader.
    pub fn propose(&self, id: u64, data: Bytes) -> std::result::Result<(), RequestError> {
        self.offer_unhurried(Event::Propose { id, data })
    }

    /// Proposes a normal entry that enters the log only if this member leads in exactly this term; otherwise
    /// it is dropped, never passed on. For what only the leader of a term may decide.
    pub fn propose_in_term(
        &self,
        id: u64,
        data: Bytes,
        term: u64,
    ) -> std::result::Result<(), RequestError> {
        self.offer_inside(Event::ProposeInTerm { id, data, term })
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

    /// Hands leadership to the voter `to`, or without a wish to the voter that can take over soonest; calls
    /// back with the new leader.
    ///
    /// # Errors
    /// To `done`: [`RequestError::NoLeader`], [`RequestError::NoTransferee`] for a member that is no voter
    /// or when there is none, [`RequestError::TransferTimedOut`] after two election timeouts.
    pub fn transfer_leader(
        &self,
        to: Option<u64>,
        done: Done<u64>,
    ) -> std::result::Result<(), RequestError> {
        self.offer_inside(Event::TransferLeader { to, done })
    }

    /// Hands over a message from a peer. One that is refused may be dropped, as if it had been lost.
    pub fn receive(&self, message: Message) -> std::result::Result<(), RequestError> {
        let waits = message.r#type == MessageType::MsgProp as i32;
        let event = Event::Message(Box::new(message));
        // A proposal that was passed on here waits for a leader, like one of this member.
        if waits {
            self.offer_unhurried(event)
        } else {
            self.offer_inside(event)
        }
    }

    /// The transport could not deliver something to this member.
    pub fn report_unreachable(&self, id: u64) {
        // Advice only: raft finds out by itself if it is lost.
        let _full = self.offer_inside(Event::Unreachable { id });
    }

    /// What became of the snapshot that was sent to this member; due once for each
    /// [`Transport::send_snapshot`].
    pub fn report_snapshot(&self, id: u64, ok: bool) {
        self.shared.raft.push(Event::SnapshotSent { id, ok });
    }

    /// Asks how far the members are; only their leader knows.
    pub fn progress(&self, done: Done<ClusterProgress>) -> std::result::Result<(), RequestError> {
        self.offer_inside(Event::Progress { done })
    }

    /// Time since the last tick of the raft thread.
    pub fn tick_age(&self) -> Duration {
        self.published().tick_age()
    }

    /// Whether this member leads and has not stood still; see [`Published::is_leader_fresh`].
    pub fn is_leader_fresh(&self) -> bool {
        self.published().is_leader_fresh()
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
        let announce = self.announce();
        let offered = self.shared.raft.offer(event, announce);
        offered.map_err(request_error)
    }

    /// For proposals: a leader that is writing gathers them.
    fn offer_unhurried(&self, event: Event) -> std::result::Result<(), RequestError> {
        let announce = self.announce();
        let offered = self.shared.raft.offer_unhurried(event, announce);
        offered.map_err(request_error)
    }

    fn offer_inside(&self, event: Event) -> std::result::Result<(), RequestError> {
        let announce = self.announce();
        let offered = self.shared.raft.offer_inside(event, announce);
        offered.map_err(request_error)
    }

    fn announce(&self) -> Announce {
        let turns = self.shared.turns.as_ref();
        turns.map_or(Announce::Now, turns::promise)
    }
}

fn shared_parts(roles: &Roles) -> (Arc<Mailbox<Event>>, Arc<Published>) {
    (
        Arc::clone(&roles.raft.events),
        Arc::clone(&roles.raft.published),
    )
}

fn request_error(refused: Refused) -> RequestError {
    match refused {
        Refused::Full => RequestError::TooMany,
        Refused::Closed => RequestError::Stopped,
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(Error::Thread)
}
