//! The raft thread's work: events in, messages out.
//!
//! Owns the consensus core. Runs on the thread "raft"; nothing here waits or looks at a clock: time is
//! counted in ticks, so that a simulator can drive it as well. What the core wants done comes out through
//! [`Work`]: appends for the WAL thread, jobs for the apply thread, messages to peers.
//!
//! # Invariants
//! 1. Appends are handed over in the order the core gave them, and so are applies.
//! 2. A response that waits for an append is stepped or sent only after the append is durable.
//! 3. Reads that wait together share one ReadIndex round; see `reads` for what an answer may release.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use varve_proto::raftpb::{ConfChangeType, ConfState, Message, MessageType, Snapshot};
use varve_raft::{
    Error as RaftError, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, NONE, RawNode, SnapshotStatus,
    StateRole,
};

use crate::error::RequestError;
use crate::event::{ApplyJob, Done, Event};
use crate::log_store::LogStore;
use crate::progress::ClusterProgress;
use crate::request_id::RequestIds;
use crate::state_machine::{Observer, Transport};
use crate::status::Published;

mod acks;
mod behind;
mod gathering;
mod held;
mod merge;
mod outgoing;
mod proposals;
mod reads;
mod stall;
mod transfer;

use acks::Acknowledgements;
use behind::Behind;
use gathering::Gathering;
use held::HeldCommits;
use merge::merge_appends;
use outgoing::OutgoingSnapshots;
use reads::ReadRounds;
use stall::StallWatch;
use transfer::Transfer;

/// Applied entries that the only voter keeps in memory, in bytes: there is nobody to catch up.
const SOLE_VOTER_LOG_BYTES: usize = 1 << 20;

/// What a turn wants others to do.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// `MsgStorageAppend`s, in order.
    pub(crate) appends: Vec<Message>,
    /// Jobs of the apply thread, in order.
    pub(crate) applies: Vec<ApplyJob>,
    /// The log up to here is no longer needed on disk.
    pub(crate) release: Option<u64>,
}

/// The numbers a driver works by; times are in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Entries kept behind a snapshot for followers that lag.
    pub(crate) catch_up_entries: u64,
    /// Bytes of applied entries kept in memory.
    pub(crate) log_bytes: usize,
    /// Reads that may wait for a round.
    pub(crate) gathering_reads: usize,
    pub(crate) election_ticks: u64,
    /// Election timeouts that an append may take.
    pub(crate) stalled_sync_timeouts: u32,
    pub(crate) read_retry_ticks: u64,
    pub(crate) snapshot_hold_ticks: u64,
    pub(crate) removal_ticks: u64,
    /// How long the news of a commit may wait for a message to go with.
    pub(crate) commit_delay: Duration,
}

/// What a driver is made of.
pub(crate) struct DriverParts {
    pub(crate) raw: RawNode<LogStore>,
    pub(crate) id: u64,
    pub(crate) log: LogStore,
    pub(crate) limits: Limits,
    pub(crate) read_contexts: RequestIds,
    pub(crate) published: Arc<Published>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) observer: Arc<dyn Observer>,
}

pub(crate) struct Driver {
    id: u64,
    raw: RawNode<LogStore>,
    log: LogStore,
    limits: Limits,
    published: Arc<Published>,
    transport: Arc<dyn Transport>,
    observer: Arc<dyn Observer>,
    /// Ticks since the start.
    ticks: u64,
    /// The time of this turn, for nothing but what is held back.
    now: Duration,
    held: HeldCommits,
    reads: ReadRounds,
    transfers: Vec<Transfer>,
    gathering: Gathering,
    acks: Acknowledgements,
    behind: Behind,
    stall: StallWatch,
    outgoing: OutgoingSnapshots,
    /// Index of a snapshot that was saved while the log had to be kept.
    unreleased: Option<u64>,
    /// Appends handed to the WAL thread and not answered yet.
    pub(crate) appends_in_flight: usize,
    /// Jobs handed to the apply thread and not answered yet.
    pub(crate) applies_in_flight: usize,
    leader: u64,
    /// The only voter does not wait for an election timeout.
    campaigns_at_once: bool,
    /// The configuration after the last conf change that was applied; the core's may be that of a snapshot
    /// which the apply thread has still to come to.
    log_configuration: ConfState,
    /// Whether the configuration has this member.
    is_member: bool,
    /// The tick in which this removed member ends.
    ends_at: Option<u64>,
    fatal: Option<RaftError>,
}

impl Driver {
    pub(crate) fn new(parts: DriverParts) -> Self {
        let limits = parts.limits;
        Self {
            id: parts.id,
            raw: parts.raw,
            log: parts.log,
            limits,
            published: parts.published,
            transport: parts.transport,
            observer: parts.observer,
            ticks: 0,
            now: Duration::ZERO,
            held: HeldCommits::new(limits.commit_delay),
            reads: ReadRounds::new(
                parts.read_contexts,
                limits.gathering_reads,
                limits.read_retry_ticks,
            ),
            transfers: Vec::new(),
            gathering: Gathering::default(),
            acks: Acknowledgements::default(),
            behind: Behind::default(),
            stall: StallWatch::new(limits.stalled_sync_timeouts, limits.election_ticks),
            outgoing: OutgoingSnapshots::new(limits.snapshot_hold_ticks),
            unreleased: None,
            appends_in_flight: 0,
            applies_in_flight: 0,
            leader: NONE,
            campaigns_at_once: true,
            log_configuration: ConfState::default(),
            is_member: false,
            ends_at: None,
            fatal: None,
        }
    }

    /// The error after which the core takes no further part.
    pub(crate) fn failure(&self) -> Option<&RaftError> {
        self.raw.failure().or(self.fatal.as_ref())
    }

    /// Takes the configuration of the start. With `early` the first election need not wait: the only
    /// voter campaigns as soon as it may, any other member has all but one of its ticks behind it.
    pub(crate) fn start(&mut self, conf_state: &ConfState, early: bool) {
        self.campaigns_at_once = early;
        self.log_configuration.clone_from(conf_state);
        self.configuration_changed(conf_state);
        if early && conf_state.voters.len() > 1 {
            for _ in 1..self.limits.election_ticks {
                self.raw.tick();
            }
        }
    }

    /// Whether proposals and reads can be served: a leader is known.
    pub(crate) fn has_leader(&self) -> bool {
        self.leader != NONE
    }

    /// Whether this member leads.
    pub(crate) fn leads(&self) -> bool {
        self.leader == self.id
    }

    /// Whether this member is the cluster's only voter.
    pub(crate) fn is_sole_voter(&self) -> bool {
        self.published.is_sole_voter.load(Ordering::Relaxed)
    }

    /// Whether the core has nothing to hand out.
    pub(crate) fn is_idle(&self) -> bool {
        !self.raw.has_ready()
    }

    /// Whether this member was removed long enough ago to end.
    pub(crate) fn is_over(&self) -> bool {
        self.ends_at.is_some_and(|at| self.ticks >= at)
    }

    /// One tick of the logical clock.
    pub(crate) fn tick(&mut self, work: &mut Work) {
        self.ticks += 1;
        self.raw.tick();
        if let Some(context) = self.reads.repeat(self.ticks) {
            self.raw.read_index(context);
        }
        let due = self.acks.due();
        self.send(due.into_iter().collect());
        self.settle_transfers();
        self.watch_disk();
        self.trim_log();
        if self.unreleased.is_some() && !self.outgoing.hold(self.ticks) {
            work.release = self.unreleased.take().map(|index| self.release(index));
        }
    }

    /// This process did not run for at least an election timeout: others may have elected a leader
    /// meanwhile. What rests on leading without asking anybody waits until a quorum has confirmed it.
    pub(crate) fn was_paused(&mut self) {
        if self.is_sole_voter() {
            return;
        }
        self.published.is_confirmed.store(false, Ordering::SeqCst);
        let published = Arc::clone(&self.published);
        let confirm: Done<u64> = Box::new(move |answer| {
            if answer.is_ok() {
                published.is_confirmed.store(true, Ordering::SeqCst);
            }
        });
        if self.leads() {
            self.start_round(vec![confirm]);
        }
    }

    /// Handles what happened inside the member, and messages; these come before new requests.
    pub(crate) fn inside(&mut self, event: Event, work: &mut Work) {
        match event {
            Event::Appended { jobs, responses } => {
                self.appends_in_flight -= jobs;
                self.stall.answered(jobs);
                let behind = self.behind.durable(jobs);
                self.release_responses(responses);
                self.release_responses(behind);
            }
            Event::Applied { jobs, responses } => {
                self.applies_in_flight -= jobs;
                self.release_responses(responses);
                // The core does not campaign while a conf change waits to be applied: now it may.
                self.campaign_alone();
            }
            Event::ApplyConfChange {
                index,
                change,
                reply,
            } => {
                if let Some(conf_state) = self.apply_conf_change(index, &change) {
                    // The apply thread is gone only when the member stops.
                    let _gone = reply.send(conf_state);
                }
            }
            Event::SnapshotSaved { snapshot } => self.snapshot_saved(*snapshot, work),
            Event::Message(message) => {
                if message.r#type == MessageType::MsgProp as i32 {
                    self.passed_on(message.from);
                }
                self.step(*message);
            }
            Event::Unreachable { id } => self.raw.report_unreachable(id),
            Event::SnapshotSent { id, ok } => self.snapshot_sent(id, ok),
            Event::Progress { done } => done(Ok(ClusterProgress::of(&self.raw))),
            Event::TransferLeader { to, done } => self.transfer_leader(to, done),
            outside => self.outside(std::iter::once(outside), work),
        }
    }

    /// Handles requests: proposals that stand together enter the log as one batch.
    pub(crate) fn outside(&mut self, events: impl IntoIterator<Item = Event>, work: &mut Work) {
        let mut ids = Vec::new();
        let mut batch = Vec::new();
        let mut reads = Vec::new();
        let gathers = self.gathers();
        for event in self.gathered().into_iter().chain(events) {
            match event {
                proposal if gathers && gathering::may_wait(&proposal) => {
                    self.gathering.add(proposal);
                }
                Event::Propose { id, data } => {
                    ids.push(id);
                    batch.push(data);
                }
                Event::ProposeInTerm { id, data, term } => {
                    if self.leads_in(term) {
                        ids.push(id);
                        batch.push(data);
                    } else {
                        self.observer.proposal_dropped(id);
                    }
                }
                Event::ReadIndex { done } => reads.push(done),
                Event::ProposeConfChange { change, done } => {
                    self.propose(std::mem::take(&mut ids), std::mem::take(&mut batch));
                    done(self.propose_conf_change(&change));
                }
                inside => self.inside(inside, work),
            }
        }
        self.propose(ids, batch);
        self.start_round(reads);
    }

    /// Takes everything the core has ready. Messages to peers leave at once, while local writes run.
    pub(crate) fn ready(&mut self, work: &mut Work) {
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            if let Some(state) = &ready.hard_state {
                self.published
                    .commit
                    .fetch_max(state.commit, Ordering::Relaxed);
            }
            if ready.soft_state.is_some() || ready.hard_state.is_some() {
                self.publish();
            }
            for state in ready.read_states.drain(..) {
                self.reads.finish(&state.request_ctx, state.index);
            }
            let mut peers = Vec::new();
            for message in ready.messages.drain(..) {
                match message.to {
                    LOCAL_APPEND_THREAD => {
                        if let Some(snapshot) = &message.snapshot {
                            // Whoever writes it passes it on to the apply thread.
                            self.applies_in_flight += 1;
                            self.configuration_changed(&snapshot.metadata.conf_state);
                        }
                        let committed = self.published.commit.load(Ordering::Relaxed);
                        self.held.appended(&message.entries, committed);
                        self.gathering.handed(&message.entries);
                        work.appends.push(message);
                    }
                    LOCAL_APPLY_THREAD => work.applies.push(ApplyJob::Entries(message)),
                    to if message.r#type == MessageType::MsgSnap as i32 => {
                        self.outgoing.begin(to);
                        work.applies.push(ApplyJob::Export(message));
                    }
                    _ => peers.push(message),
                }
            }
            // Its entries are in the messages too; what is left are vectors for the next one.
            self.raw.recycle(ready);
            merge_appends(&mut peers);
            self.send(peers);
            if let Some(context) = self.reads.next(self.ticks) {
                self.raw.read_index(context);
            }
        }
    }

    /// Appends go to the WAL thread.
    pub(crate) fn handed_to_wal(&mut self, appends: usize) {
        self.appends_in_flight += appends;
        self.stall.handed(self.ticks, appends);
        self.behind.handed(appends);
    }

    /// What waits for the appends under way, and for nothing else.
    pub(crate) fn wait_for_appends(&mut self, responses: Vec<Message>) {
        self.behind.wait(responses);
    }

    /// What waited for a local write: to this member it is stepped, to others it is sent.
    pub(crate) fn release_responses(&mut self, responses: Vec<Message>) {
        let (own, mut peers): (Vec<_>, Vec<_>) = responses
            .into_iter()
            .partition(|m| m.to == self.id || m.to == NONE);
        for message in own {
            self.step(message);
        }
        self.acks.thin_out(&mut peers);
        self.send(peers);
    }

    /// Makes a conf change of the log take effect; `None` when it cannot be carried out, which is fatal.
    pub(crate) fn apply_conf_change(
        &mut self,
        index: u64,
        change: &varve_proto::raftpb::ConfChangeV2,
    ) -> Option<ConfState> {
        match self.raw.apply_conf_change_at(index, change) {
            Ok(conf_state) if self.raw.is_superseded(index) => {
                self.configuration_changed(&conf_state);
                // The core is past this entry; the state machine is not, and a snapshot it takes now must
                // say what the log says here.
                change_simply(&mut self.log_configuration, change);
                Some(self.log_configuration.clone())
            }
            Ok(conf_state) => {
                self.configuration_changed(&conf_state);
                self.log_configuration.clone_from(&conf_state);
                Some(conf_state)
            }
            Err(error) => {
                self.fatal.get_or_insert(error);
                None
            }
        }
    }

    /// Records the configuration that raft now runs with.
    fn configuration_changed(&mut self, conf_state: &ConfState) {
        let sole = conf_state.voters == [self.id] && conf_state.voters_outgoing.is_empty();
        self.published.is_sole_voter.store(sole, Ordering::SeqCst);
        let learner = conf_state.learners.contains(&self.id);
        self.published.is_learner.store(learner, Ordering::Relaxed);
        let is_member = [
            &conf_state.voters,
            &conf_state.voters_outgoing,
            &conf_state.learners,
            &conf_state.learners_next,
        ]
        .iter()
        .any(|ids| ids.contains(&self.id));
        if self.is_member && !is_member && self.ends_at.is_none() {
            tracing::warn!(node = self.id, "this member was removed from the cluster");
            self.ends_at = Some(self.ticks + self.limits.removal_ticks);
            self.observer.removed();
        }
        self.is_member = is_member;
        self.campaign_alone();
    }

    /// The only voter need not wait for a timeout: nobody else can lead.
    fn campaign_alone(&mut self) {
        if !self.is_sole_voter() || self.leader != NONE || !self.campaigns_at_once {
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
    fn check(&mut self, result: Result<(), RaftError>, what: &'static str) {
        if let Err(error) = result {
            tracing::debug!(node = self.id, %error, "{what}");
            if error.is_fatal() {
                self.fatal.get_or_insert(error);
            }
        }
    }

    fn start_round(&mut self, reads: Vec<Done<u64>>) {
        if reads.is_empty() {
            return;
        }
        if let Some(context) = self.reads.begin(reads, self.ticks) {
            self.raw.read_index(context);
        }
    }

    fn snapshot_saved(&mut self, snapshot: Snapshot, work: &mut Work) {
        let index = snapshot.metadata.index;
        self.log.set_snapshot(snapshot);
        if self.outgoing.hold(self.ticks) {
            tracing::info!(
                index,
                "the log is kept: a snapshot is on its way to a member"
            );
            self.unreleased = Some(index);
        } else {
            work.release = Some(self.release(index));
        }
        self.observer.snapshot_saved(index);
    }

    /// Gives up the log behind a saved snapshot, but for what lagging members may need; up to where.
    fn release(&self, snapshot_index: u64) -> u64 {
        let keep = self.limits.catch_up_entries;
        self.log.release_to(snapshot_index.saturating_sub(keep))
    }

    fn snapshot_sent(&mut self, id: u64, ok: bool) {
        if !self.outgoing.end(id, self.ticks) {
            return;
        }
        let status = if ok {
            SnapshotStatus::Finish
        } else {
            SnapshotStatus::Failure
        };
        self.raw.report_snapshot(id, status);
    }

    /// Keeps the applied part of the log in memory within its bounds.
    fn trim_log(&self) {
        let bytes = if self.is_sole_voter() {
            SOLE_VOTER_LOG_BYTES
        } else {
            self.limits.log_bytes
        };
        self.log.trim(self.published.applied.get(), bytes);
    }

    fn publish(&mut self) {
        let status = self.raw.basic_status();
        let published = &self.published;
        published.term.store(status.term, Ordering::SeqCst);
        let leads = status.role == StateRole::Leader;
        if leads && !published.is_leader.load(Ordering::Relaxed) {
            // A quorum has just elected it.
            published.is_confirmed.store(true, Ordering::SeqCst);
        }
        published.is_leader.store(leads, Ordering::SeqCst);
        published.leader.store(status.lead, Ordering::Relaxed);
        if status.lead != self.leader {
            self.leader = status.lead;
            self.observer.leader_changed(status.lead, status.term);
            self.reads.fail(RequestError::LeaderChanged);
            self.settle_transfers();
        }
    }
}

/// Carries out a change that needs no joint configuration: all that etcd makes are such.
fn change_simply(conf_state: &mut ConfState, change: &varve_proto::raftpb::ConfChangeV2) {
    for single in change.changes.iter().filter(|c| c.node_id != NONE) {
        let kind = ConfChangeType::try_from(single.r#type);
        if kind == Ok(ConfChangeType::ConfChangeUpdateNode) || kind.is_err() {
            continue;
        }
        conf_state.voters.retain(|id| *id != single.node_id);
        conf_state.learners.retain(|id| *id != single.node_id);
        let ids = match kind {
            Ok(ConfChangeType::ConfChangeAddNode) => &mut conf_state.voters,
            Ok(ConfChangeType::ConfChangeAddLearnerNode) => &mut conf_state.learners,
            _ => continue,
        };
        ids.push(single.node_id);
        ids.sort_unstable();
    }
}

/// The responses that append and apply messages carry for when they are done.
pub(crate) fn take_responses<'a>(
    messages: impl IntoIterator<Item = &'a mut Message>,
) -> Vec<Message> {
    messages
        .into_iter()
        .flat_map(|m| {
            debug_assert!(
                m.r#type == MessageType::MsgStorageAppend as i32
                    || m.r#type == MessageType::MsgStorageApply as i32,
                "only local storage messages carry responses"
            );
            std::mem::take(&mut m.responses)
        })
        .collect()
}

#[cfg(test)]
mod tests;
