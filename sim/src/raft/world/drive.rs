//! What a driver does: hands work to the disk and the state machine, sends, releases.

use varve_proto::raftpb::{Entry, EntryType, HardState, Message, MessageType, Snapshot};
use varve_raft::{LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Ready, StateRole};

use super::{Event, World, at, failure};
use crate::check::{Checked, Property, Violation};
use crate::raft::member::{Job, content_hash, entry_id, proposal_in, snapshot_id, snapshot_state};
use crate::raft::store::Write;
use crate::raft::{Mode, TICK};
use crate::rng::draw;

/// What draws are for, apart from the numbers of links.
const DELAY: u64 = 2 << 32;

impl World<'_> {
    /// Works off what a member has to say, and lets its disk and state machine begin what they can.
    pub(super) fn settle(&mut self, id: u64) -> Checked {
        let mode = self.plan.settings.mode;
        loop {
            let Some(running) = self.running(id) else {
                return Ok(());
            };
            if let Some(error) = running.raw.failure() {
                return Err(failure(id, error));
            }
            // Only one `Ready` at a time; until then the member is not looked at either.
            if mode == Mode::Synchronous && !running.jobs.is_empty() {
                return Ok(());
            }
            if !running.raw.has_ready() {
                break;
            }
            let ready = running.raw.ready();
            self.observe(id, &ready)?;
            // While all it has is handed out, and before anything rests on it.
            self.observe_status(id)?;
            match mode {
                Mode::Asynchronous => self.hand_out(id, ready)?,
                Mode::Synchronous => self.take_on(id, ready)?,
            }
        }
        self.begin_write(id)?;
        self.begin_apply(id);
        Ok(())
    }

    fn observe(&mut self, id: u64, ready: &Ready) -> Checked {
        let Some(running) = self.members[at(id)].running.as_deref_mut() else {
            return Ok(());
        };
        if let Some(snapshot) = &ready.snapshot {
            running.shadow = crate::check::Shadow::behind(snapshot_id(snapshot));
        }
        for entry in &ready.entries {
            let previous = running.shadow.term(entry.index.saturating_sub(1));
            let (Some(previous), true) = (previous, running.shadow.put(entry_id(entry))) else {
                return Err(Violation::new(
                    Property::LogMatching,
                    format!("member {id} has a gap before {}", entry_id(entry)),
                ));
            };
            self.logs
                .has(id, entry_id(entry), previous, content_hash(entry))?;
        }
        for read in &ready.read_states {
            let number = read
                .request_ctx
                .first_chunk()
                .map(|n| u64::from_le_bytes(*n));
            self.clients
                .answer(number.unwrap_or(u64::MAX), read.index)?;
        }
        Ok(())
    }

    fn observe_status(&mut self, id: u64) -> Checked {
        let Some(running) = self.members[at(id)].running.as_deref_mut() else {
            return Ok(());
        };
        let status = running.raw.basic_status();
        if status.role == StateRole::Leader && running.led_term != status.term {
            running.led_term = status.term;
            self.trace.line(
                self.queue.now(),
                format_args!("{id} leads in term {}", status.term),
            );
            self.logs.leads(id, status.term, &running.shadow)?;
        }
        if status.commit != running.commit {
            self.logs.commits(
                id,
                status.term,
                running.commit,
                status.commit,
                &running.shadow,
            )?;
            running.commit = status.commit;
        }
        Ok(())
    }

    /// Asynchronous writes: everything is a message.
    fn hand_out(&mut self, id: u64, ready: Ready) -> Checked {
        for message in ready.messages {
            match message.to {
                LOCAL_APPEND_THREAD => {
                    let state = HardState {
                        term: message.term,
                        vote: message.vote,
                        commit: message.commit,
                    };
                    let job = Job {
                        state: (state != HardState::default()).then_some(state),
                        entries: message.entries,
                        snapshot: message.snapshot,
                        must_sync: !message.responses.is_empty(),
                        responses: message.responses,
                        ready: None,
                    };
                    if let Some(running) = self.running(id) {
                        running.jobs.push_back(job);
                    }
                }
                LOCAL_APPLY_THREAD => {
                    if let Some(running) = self.running(id) {
                        running.applies.push_back(message);
                    }
                }
                _ => self.emit(message)?,
            }
        }
        Ok(())
    }

    /// Synchronous writes: save, send, apply, advance. Without anything to save that is done at once.
    fn take_on(&mut self, id: u64, mut ready: Ready) -> Checked {
        let job = Job {
            state: ready.hard_state,
            entries: std::mem::take(&mut ready.entries),
            snapshot: ready.snapshot.clone(),
            must_sync: ready.must_sync || ready.snapshot.is_some(),
            responses: Vec::new(),
            ready: Some(ready),
        };
        let nothing = job.state.is_none() && job.entries.is_empty() && job.snapshot.is_none();
        if nothing {
            return match job.ready {
                Some(ready) => self.finish(id, ready),
                None => Ok(()),
            };
        }
        if let Some(running) = self.running(id) {
            running.jobs.push_back(job);
        }
        self.begin_write(id)
    }

    /// The disk takes on everything that waits, as one write.
    fn begin_write(&mut self, id: u64) -> Checked {
        let loses_votes = self.bugs.loses_votes();
        let early = self.bugs.acknowledges_early();
        let Some(running) = self.running(id) else {
            return Ok(());
        };
        if running.writing > 0 || running.jobs.is_empty() {
            return Ok(());
        }
        running.writing = running.jobs.len();
        let mut written = Ok(());
        let mut released = Vec::new();
        for job in &mut running.jobs {
            let mut state = job.state;
            if let Some(state) = state.as_mut().filter(|_| loses_votes) {
                state.vote = 0;
            }
            written = running.store.write(Write {
                snapshot: job.snapshot.as_ref(),
                entries: &job.entries,
                state,
            });
            if written.is_err() {
                break;
            }
            if early {
                released.extend(job.release_early(id));
            }
        }
        if let Err(error) = written {
            return self.store_failed(id, &error);
        }
        for message in released {
            self.emit(message)?;
        }
        let delay = self.delay(id, self.plan.settings.disk_delay);
        let start = self.members[at(id)].start;
        self.queue.after(delay, Event::Written(id, start));
        Ok(())
    }

    fn begin_apply(&mut self, id: u64) {
        let Some(running) = self.running(id) else {
            return;
        };
        if running.applying || running.applies.is_empty() {
            return;
        }
        running.applying = true;
        let delay = self.delay(id, self.plan.settings.apply_delay);
        let start = self.members[at(id)].start;
        self.queue.after(delay, Event::Applied(id, start));
    }

    fn delay(&mut self, id: u64, (low, high): (u64, u64)) -> u64 {
        let member = &mut self.members[at(id)];
        member.delays += 1;
        let high = if self.healing { TICK / 20 } else { high };
        low.min(high)
            + draw(self.plan.seed, DELAY | id, member.delays) % (high.saturating_sub(low) + 1)
    }

    /// A disk has finished a member's write.
    pub(super) fn written(&mut self, id: u64) -> Checked {
        let Some(running) = self.running(id) else {
            return Ok(());
        };
        let jobs: Vec<Job> = running.jobs.drain(..running.writing).collect();
        running.writing = 0;
        if jobs.iter().any(|job| job.must_sync)
            && let Err(error) = running.store.sync()
        {
            return self.store_failed(id, &error);
        }
        for job in jobs {
            self.job_done(id, job)?;
        }
        Ok(())
    }

    fn job_done(&mut self, id: u64, job: Job) -> Checked {
        let Some(running) = self.running(id) else {
            return Ok(());
        };
        if let Some(state) = job.state {
            running.view.set_hard_state(state);
        }
        if let Some(snapshot) = &job.snapshot {
            running
                .view
                .apply_snapshot(snapshot.clone())
                .map_err(|error| failure(id, error))?;
        }
        running
            .view
            .append(&job.entries)
            .map_err(|error| failure(id, error))?;
        if let Some(snapshot) = &job.snapshot {
            self.jump(id, snapshot)?;
        }
        for response in job.responses {
            self.release(id, response)?;
        }
        match job.ready {
            Some(ready) => self.finish(id, ready),
            None => Ok(()),
        }
    }

    /// The state machine takes over a snapshot.
    fn jump(&mut self, id: u64, snapshot: &Snapshot) -> Checked {
        let (entry, state) = (snapshot_id(snapshot), snapshot_state(snapshot));
        self.stats.snapshots_restored += 1;
        self.logs.jumps(id, entry, state)?;
        if let Some(running) = self.running(id)
            && entry.index > running.applied
        {
            running.applied = entry.index;
            running.state = state;
            running.conf_state = snapshot.metadata.conf_state.clone();
        }
        Ok(())
    }

    fn release(&mut self, id: u64, response: Message) -> Checked {
        if response.to != id {
            return self.emit(response);
        }
        self.observe_vote(&response)?;
        if let Some(running) = self.running(id)
            && let Err(error) = running.raw.step(response)
            && error.is_fatal()
        {
            return Err(failure(id, error));
        }
        Ok(())
    }

    /// What follows a synchronous write.
    fn finish(&mut self, id: u64, mut ready: Ready) -> Checked {
        for message in std::mem::take(&mut ready.messages) {
            self.emit(message)?;
        }
        for entry in &ready.committed_entries {
            self.apply(id, entry)?;
        }
        if let Some(running) = self.running(id) {
            running.raw.advance(ready);
        }
        Ok(())
    }

    /// A state machine has finished with the first of what it was given.
    pub(super) fn applied(&mut self, id: u64) -> Checked {
        let Some(running) = self.running(id) else {
            return Ok(());
        };
        running.applying = false;
        let Some(order) = running.applies.pop_front() else {
            return Ok(());
        };
        for entry in &order.entries {
            self.apply(id, entry)?;
        }
        for response in order.responses {
            self.release(id, response)?;
        }
        Ok(())
    }

    fn apply(&mut self, id: u64, entry: &Entry) -> Checked {
        let twice = self.bugs.applies_changes_twice();
        let Some(running) = self.members[at(id)].running.as_deref_mut() else {
            return Ok(());
        };
        if entry.index <= running.applied {
            // Handed out before a snapshot that has it was taken over.
            if twice {
                running.apply_again(entry);
            }
            return Ok(());
        }
        if entry.index != running.applied + 1 {
            return Err(Violation::new(
                Property::Progress,
                format!(
                    "member {id} applies {} after {}",
                    entry.index, running.applied
                ),
            ));
        }
        let outcome = running
            .apply(entry, twice)
            .map_err(|error| failure(id, error))?;
        self.logs.applies(id, entry_id(entry), outcome)?;
        if entry.r#type != EntryType::EntryNormal as i32
            && !running.raw.is_superseded(entry.index)
            && entry.index > self.newest_config.0
        {
            self.newest_config = (entry.index, running.conf_state.clone());
            self.stats.changes += 1;
        }
        if let Some(number) = proposal_in(entry)
            && running.proposals.binary_search(&number).is_ok()
            && !self.clients.is_acknowledged(number)
        {
            self.clients.acknowledge(number, entry.index)?;
            self.late_acknowledged |= number >= self.first_late_proposal;
        }
        Ok(())
    }

    /// Sends a message to another member.
    fn emit(&mut self, message: Message) -> Checked {
        self.observe_vote(&message)?;
        self.send(message);
        Ok(())
    }

    fn observe_vote(&mut self, message: &Message) -> Checked {
        match message.r#type() {
            MessageType::MsgVoteResp if !message.reject => {
                self.logs.votes(message.from, message.term, message.to)
            }
            // Who asks has voted for itself, once that is saved: asynchronous writes send this before.
            MessageType::MsgVote if self.plan.settings.mode == Mode::Synchronous => {
                self.logs.votes(message.from, message.term, message.from)
            }
            _ => Ok(()),
        }
    }
}
