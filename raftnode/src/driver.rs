//! The raft thread's work: events in, messages out.
//!
//! Owns the consensus core. Runs on the thread "raft"; [`step`](Driver::turn) does one turn and never
//! waits, so that a simulator can drive it as well. What the core wants done comes out through
//! [`Work`]: appends for the WAL thread, committed entries for the apply thread, messages to peers.
//!
//! # Invariants
//! 1. Appends are handed over in the order the core gave them, and so are applies.
//! 2. A response that waits for an append is stepped or sent only after the append is durable.
//! 3. Reads that wait together share one ReadIndex round, and each round has a context of its own, so
//!    that an answer to an old round can never release a later read.
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use varve_proto::raftpb::{ConfState, Message, MessageType};
use varve_raft::{Error as RaftError, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, RawNode, StateRole};

use crate::error::RequestError;
use crate::event::{Done, Event};
use crate::log_store::LogStore;
use crate::state_machine::{Observer, Transport};
use crate::status::Published;

/// Applied entries that the only voter keeps in memory, in bytes; a member that joins later starts from
/// a snapshot.
const SOLE_VOTER_LOG_BYTES: usize = 1 << 20;

/// What a turn wants others to do.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// `MsgStorageAppend`s, in order.
    pub(crate) appends: Vec<Message>,
    /// `MsgStorageApply`s, in order.
    pub(crate) applies: Vec<Message>,
}

/// How much of the applied log stays in memory for followers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogBounds {
    pub(crate) catch_up_entries: u64,
    pub(crate) bytes: usize,
}

pub(crate) struct Driver {
    id: u64,
    raw: RawNode<LogStore>,
    log: LogStore,
    bounds: LogBounds,
    published: Arc<Published>,
    transport: Arc<dyn Transport>,
    observer: Arc<dyn Observer>,
    /// Rounds under way, oldest first: context and who waits.
    rounds: VecDeque<(u64, Vec<Done<u64>>)>,
    next_round: u64,
    /// Appends handed to the WAL thread and not answered yet.
    pub(crate) appends_in_flight: usize,
    /// Committed entries handed to the apply thread and not answered yet, in messages.
    pub(crate) applies_in_flight: usize,
    leader: u64,
    /// The only voter does not wait for an election timeout.
    campaigns_at_once: bool,
}

impl Driver {
    pub(crate) fn new(
        raw: RawNode<LogStore>,
        id: u64,
        log: LogStore,
        bounds: LogBounds,
        published: Arc<Published>,
        transport: Arc<dyn Transport>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            id,
            raw,
            log,
            bounds,
            published,
            transport,
            observer,
            rounds: VecDeque::new(),
            next_round: 1,
            appends_in_flight: 0,
            applies_in_flight: 0,
            leader: 0,
            campaigns_at_once: true,
        }
    }

    /// The error after which the core takes no further part.
    pub(crate) fn failure(&self) -> Option<&RaftError> {
        self.raw.failure()
    }

    /// Takes the configuration of the start. With `early` the first election need not wait: the only
    /// voter campaigns as soon as it may, any other member has all but one of its ticks behind it.
    pub(crate) fn start(&mut self, conf_state: &ConfState, early: bool, election_ticks: usize) {
        self.campaigns_at_once = early;
        self.configuration_changed(conf_state);
        if early && conf_state.voters.len() > 1 {
            for _ in 1..election_ticks {
                self.raw.tick();
            }
        }
    }

    /// Whether proposals and reads can be served: a leader is known.
    pub(crate) fn has_leader(&self) -> bool {
        self.leader != 0
    }

    /// Whether this member is the cluster's only voter.
    pub(crate) fn is_sole_voter(&self) -> bool {
        self.published.is_sole_voter.load(Ordering::Relaxed)
    }

    /// Whether the core has nothing to hand out.
    pub(crate) fn is_idle(&self) -> bool {
        !self.raw.has_ready()
    }

    /// One tick of the logical clock.
    pub(crate) fn tick(&mut self) {
        self.raw.tick();
    }

    /// Handles what happened inside the member; these come before new requests.
    pub(crate) fn inside(&mut self, event: Event) {
        match event {
            Event::Appended { jobs, responses } => {
                self.appends_in_flight -= jobs;
                self.release(responses);
            }
            Event::Applied { jobs, responses } => {
                self.applies_in_flight -= jobs;
                self.release(responses);
                // The core does not campaign while a conf change waits to be applied: now it may.
                self.campaign_alone();
            }
            Event::ApplyConfChange { change, reply } => {
                let conf_state = self.raw.apply_conf_change(change);
                self.configuration_changed(&conf_state);
                // The apply thread is gone only when the member stops.
                let _gone = reply.send(conf_state);
            }
            Event::SnapshotSaved { snapshot } => {
                let index = snapshot.metadata.index;
                self.log.set_snapshot(*snapshot);
                self.log
                    .compact(index, self.bounds.catch_up_entries, usize::MAX);
                self.observer.snapshot_saved(index);
            }
            Event::Message(message) => self.step(*message),
            outside => self.outside(std::iter::once(outside)),
        }
    }

    /// Handles requests: proposals that stand together enter the log as one batch.
    pub(crate) fn outside(&mut self, events: impl IntoIterator<Item = Event>) {
        let mut ids = Vec::new();
        let mut batch = Vec::new();
        let mut reads = Vec::new();
        for event in events {
            match event {
                Event::Propose { id, data } => {
                    ids.push(id);
                    batch.push(data);
                }
                Event::ReadIndex { done } => reads.push(done),
                Event::ProposeConfChange { change, done } => {
                    self.propose(std::mem::take(&mut ids), std::mem::take(&mut batch));
                    done(
                        self.raw
                            .propose_conf_change(&change)
                            .map_err(|e| request_error(&e)),
                    );
                }
                Event::TransferLeader { to } => self.raw.transfer_leader(to),
                inside => self.inside(inside),
            }
        }
        self.propose(ids, batch);
        self.start_round(reads);
    }

    /// Takes everything the core has ready. Messages to peers leave at once, while local writes run.
    pub(crate) fn ready(&mut self, work: &mut Work) {
        while self.raw.has_ready() {
            let ready = self.raw.ready();
            if let Some(state) = &ready.hard_state {
                self.published
                    .commit
                    .fetch_max(state.commit, Ordering::Relaxed);
            }
            if ready.soft_state.is_some() || ready.hard_state.is_some() {
                self.publish();
            }
            for state in ready.read_states {
                self.finish_round(&state.request_ctx, state.index);
            }
            let mut peers = Vec::new();
            for message in ready.messages {
                match message.to {
                    LOCAL_APPEND_THREAD => work.appends.push(message),
                    LOCAL_APPLY_THREAD => work.applies.push(message),
                    _ => peers.push(message),
                }
            }
            if !peers.is_empty() {
                self.transport.send(peers);
            }
        }
    }

    /// What waited for a local write: to this member it is stepped, to others it is sent.
    pub(crate) fn release(&mut self, responses: Vec<Message>) {
        let (own, peers): (Vec<_>, Vec<_>) = responses
            .into_iter()
            .partition(|m| m.to == self.id || m.to == 0);
        for message in own {
            self.step(message);
        }
        if !peers.is_empty() {
            self.transport.send(peers);
        }
    }

    /// Shortens the log in memory behind what is applied, when it holds more bytes than it may.
    pub(crate) fn trim_log(&self) {
        // The only voter keeps next to nothing: there is nobody to catch up.
        let bytes = if self.is_sole_voter() {
            SOLE_VOTER_LOG_BYTES
        } else {
            self.bounds.bytes
        };
        if self.log.bytes() > bytes {
            self.log
                .compact(self.published.applied.get(), u64::MAX, bytes);
        }
    }

    /// Records the configuration that raft now runs with.
    pub(crate) fn configuration_changed(&mut self, conf_state: &ConfState) {
        let sole = conf_state.voters == [self.id] && conf_state.voters_outgoing.is_empty();
        self.published.is_sole_voter.store(sole, Ordering::SeqCst);
        let learner = conf_state.learners.contains(&self.id);
        self.published.is_learner.store(learner, Ordering::Relaxed);
        self.campaign_alone();
    }

    /// The only voter need not wait for a timeout: nobody else can lead.
    fn campaign_alone(&mut self) {
        if !self.is_sole_voter() || self.leader != 0 || !self.campaigns_at_once {
            return;
        }
        let result = self.raw.campaign();
        self.check(result, "could not campaign");
    }

    fn step(&mut self, message: Message) {
        let result = self.raw.step(message);
        self.check(result, "raft ignored a message");
    }

    /// Notes what the core did not take: a matter of course (a message of an old term, a peer that was
    /// removed), or fatal, which [`failure`](Self::failure) tells.
    fn check(&self, result: Result<(), RaftError>, what: &'static str) {
        if let Err(error) = result {
            tracing::debug!(node = self.id, %error, "{what}");
        }
    }

    fn propose(&mut self, ids: Vec<u64>, batch: Vec<Bytes>) {
        if batch.is_empty() {
            return;
        }
        // A batch is refused whole (the bound on uncommitted bytes); each entry then tries alone.
        if batch.len() > 1 && self.raw.propose_batch(batch.clone()).is_ok() {
            return;
        }
        for (id, data) in ids.into_iter().zip(batch) {
            if self.raw.propose(data).is_err() {
                self.observer.proposal_dropped(id);
            }
        }
    }

    fn start_round(&mut self, reads: Vec<Done<u64>>) {
        if reads.is_empty() {
            return;
        }
        let round = self.next_round;
        self.next_round += 1;
        self.rounds.push_back((round, reads));
        self.raw
            .read_index(Bytes::copy_from_slice(&round.to_be_bytes()));
    }

    fn finish_round(&mut self, context: &[u8], index: u64) {
        let Ok(context) = <[u8; 8]>::try_from(context) else {
            return;
        };
        let round = u64::from_be_bytes(context);
        // An index that serves this round serves every earlier one, whose answer may have been lost.
        while self.rounds.front().is_some_and(|(r, _)| *r <= round) {
            let Some((_, waiting)) = self.rounds.pop_front() else {
                break;
            };
            for done in waiting {
                done(Ok(index));
            }
        }
    }

    fn publish(&mut self) {
        let status = self.raw.basic_status();
        let published = &self.published;
        published.term.store(status.term, Ordering::SeqCst);
        published
            .is_leader
            .store(status.role == StateRole::Leader, Ordering::SeqCst);
        published.leader.store(status.lead, Ordering::Relaxed);
        if status.lead != self.leader {
            self.leader = status.lead;
            self.observer.leader_changed(status.lead, status.term);
            for (_, waiting) in self.rounds.drain(..) {
                for done in waiting {
                    done(Err(RequestError::LeaderChanged));
                }
            }
        }
    }
}

fn request_error(error: &RaftError) -> RequestError {
    match error {
        RaftError::ProposalDropped => RequestError::Dropped,
        _ => RequestError::LeaderChanged,
    }
}

/// The responses that an append or apply message carries for when it is done.
pub(crate) fn take_responses(messages: &mut [Message]) -> Vec<Message> {
    debug_assert!(
        messages
            .iter()
            .all(|m| m.r#type == MessageType::MsgStorageAppend as i32
                || m.r#type == MessageType::MsgStorageApply as i32),
        "only local storage messages carry responses"
    );
    messages
        .iter_mut()
        .flat_map(|m| std::mem::take(&mut m.responses))
        .collect()
}
