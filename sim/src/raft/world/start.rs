//! Members begin, end, and begin again.

use varve_raft::{MemoryStorage, RawNode, Storage as _};
use varve_vfs::CrashRule;

use super::{Event, World, at, failure};
use crate::check::Checked;
use crate::raft::member::Running;
use crate::raft::store::{Recovered, Store};
use crate::rng::draw;

/// What draws are for, apart from the numbers of links.
const IMAGE: u64 = 1 << 32;

impl World<'_> {
    /// A member begins with an empty disk.
    pub(super) fn create(&mut self, id: u64) -> Checked {
        let store = Store::create(self.plan.store, &self.members[at(id)].fs)
            .map_err(|error| failure(id, error))?;
        self.begin(id, store, &Recovered::default())?;
        let phase = draw(self.plan.seed, id, u64::MAX) % self.members[at(id)].period;
        self.queue.after(phase, Event::Tick(id));
        Ok(())
    }

    /// A member begins with what its disk has.
    pub(super) fn restart(&mut self, id: u64) -> Checked {
        let member = &self.members[at(id)];
        if member.running.is_some() {
            return Ok(());
        }
        member.fs.heal();
        let (store, mut found) =
            Store::open(self.plan.store, &member.fs, self.bugs.keeps_old_end())
                .map_err(|error| failure(id, format_args!("does not start: {error}")))?;
        if self.bugs.forgets_votes() {
            found.state.vote = 0;
        }
        if self.bugs.loses_end() && found.entries.pop().is_some() {
            let last = found.snapshot.metadata.index + found.entries.len() as u64;
            found.state.commit = found.state.commit.min(last);
        }
        self.stats.starts += 1;
        self.trace.line(
            self.queue.now(),
            format_args!(
                "{id} starts: term {}, vote {}, commit {}, log {}..={}",
                found.state.term,
                found.state.vote,
                found.state.commit,
                found.snapshot.metadata.index + 1,
                found.snapshot.metadata.index + found.entries.len() as u64
            ),
        );
        self.begin(id, store, &found)?;
        self.settle(id)
    }

    fn begin(&mut self, id: u64, store: Store, found: &Recovered) -> Checked {
        let view = if found.snapshot.metadata.index == 0 {
            let voters: Vec<u64> = (1..=self.plan.settings.voters).collect();
            MemoryStorage::with_voters(&voters)
        } else {
            let view = MemoryStorage::new();
            view.apply_snapshot(found.snapshot.clone())
                .map_err(|error| failure(id, error))?;
            view
        };
        view.set_hard_state(found.state);
        view.append(&found.entries)
            .map_err(|error| failure(id, error))?;
        let (_, conf_state) = view.initial_state().map_err(|error| failure(id, error))?;
        let member = &mut self.members[at(id)];
        member.start += 1;
        let config = self
            .plan
            .settings
            .config(id, self.plan.seed, member.start, self.bugs);
        let raw = RawNode::new(config, view.clone()).map_err(|error| failure(id, error))?;
        let running = Running::new(raw, view, store, conf_state, found);
        member.running = Some(Box::new(running));
        Ok(())
    }

    /// A member loses all it has in memory. Without a rule the machine stays up, and with it what was
    /// written and not synced.
    pub(super) fn crash(&mut self, id: u64, rule: Option<CrashRule>, down: u64) {
        let now = self.queue.now();
        let member = &mut self.members[at(id)];
        if member.running.take().is_none() {
            return;
        }
        self.stats.crashes += 1;
        self.trace.note(&[5, now, id]);
        self.trace.line(
            now,
            format_args!("{id} crashes ({rule:?}), back after {down}"),
        );
        member.armed = None;
        member.paused_until = 0;
        if let Some(rule) = rule {
            let image = draw(self.plan.seed, IMAGE | id, member.start);
            member.fs = member.fs.crash_image(rule, image);
        }
        self.queue.after(down, Event::Start(id));
    }

    /// A call of a member's store failed: either the power is gone or the disk does not work, and then
    /// the machine is started anew too. (A process that went on from the page cache after a failed sync
    /// would take for durable what never reaches the medium.)
    pub(super) fn store_failed(&mut self, id: u64, error: &str) -> Checked {
        let Some(armed) = self.members[at(id)].armed else {
            return Err(failure(
                id,
                format_args!("its disk works, and yet: {error}"),
            ));
        };
        self.stats.disk_failures += 1;
        self.crash(id, Some(armed.rule), armed.down);
        Ok(())
    }
}
