//! The plan's actions.

use bytes::Bytes;
use varve_server::stepped::Request;
use varve_vfs::{CrashRule, Fault};

use super::{Event, WATCH_INTERVAL, World, at, start};
use crate::check::Checked;
use crate::cluster::clients::Asked;
use crate::cluster::plan::Action;
use crate::cluster::slot::{Armed, Standing};
use crate::cluster::watches::Session;
use crate::cluster::{SLOTS, Who};
use crate::history::Span;

/// A cluster keeps at least so many voters: with two, each is needed by the other even to leave.
const LEAST_VOTERS: usize = 3;

impl World<'_> {
    pub(super) fn act(&mut self, number: usize) -> Checked {
        let plan = self.plan;
        let action = &plan.actions[number].action;
        let now = self.queue.now();
        self.trace.note(&[6, now, number as u64]);
        self.trace.line(now, format_args!("-- {action}"));
        match *action {
            Action::Client { at, ref op } => match self.clients.ask(op, now) {
                Some((asked, request)) => self.call(self.resolve(at), asked, request),
                None => Ok(()),
            },
            Action::Watch {
                at,
                key,
                all,
                previous,
                from_start,
            } => {
                let span = if all {
                    Span::Prefix(Bytes::new())
                } else {
                    Span::Key(Bytes::from(format!("k{key}")))
                };
                let number = self.watches.len();
                let from = i64::from(from_start && !plan.settings.compacts) * 2;
                let session = Session::new(number, span, previous, from, self.resolve(at));
                self.watches.push(session);
                self.queue.after(WATCH_INTERVAL, Event::Watch(number));
                Ok(())
            }
            Action::MoveWatch { watch, to } => {
                let count = self.watches.len() as u64;
                if let Some(watch) = watch.checked_rem(count)
                    && let Ok(watch) = usize::try_from(watch)
                {
                    self.watches[watch].leave();
                    self.watches[watch].slot = to;
                }
                Ok(())
            }
            Action::MoveLeader { at, to } => {
                self.call(self.resolve(at), Asked::Other, Request::MoveLeader(to))
            }
            Action::Join { at } => self.join(self.resolve(at)),
            Action::Promote { at } => {
                let leader = self.resolve(at);
                let learner = self.members_of(leader).find(|(_, learns)| *learns);
                match learner {
                    Some((id, _)) => self.call(leader, Asked::Other, Request::Promote(id)),
                    None => Ok(()),
                }
            }
            Action::Leave { at, who } => self.leave(self.resolve(at), who),
            Action::Kill { at, down } => {
                self.kill(self.resolve(at), down);
                Ok(())
            }
            Action::Stop { at, down } => self.shut_down(self.resolve(at), down),
            Action::FillDisk { at, spare } => {
                self.fill_disk(self.resolve(at), spare);
                Ok(())
            }
            Action::Crash {
                at,
                ops,
                rule,
                down,
            } => {
                let id = self.resolve(at);
                if ops == 0 {
                    self.crash(id, rule, down);
                } else {
                    self.arm(id, ops, Fault::Crash, rule, down);
                }
                Ok(())
            }
            Action::FailDisk {
                at,
                ops,
                fault,
                down,
            } => {
                self.arm(self.resolve(at), ops, fault, CrashRule::Subset, down);
                Ok(())
            }
            Action::Partition { side } => {
                self.net.partition(side);
                Ok(())
            }
            Action::Isolate { at, deaf, mute } => {
                let id = self.resolve(at);
                for other in (1..=SLOTS).filter(|other| *other != id) {
                    if deaf {
                        self.net.cut(other, id);
                    }
                    if mute {
                        self.net.cut(id, other);
                    }
                }
                Ok(())
            }
            Action::Cut { from, to } => {
                self.net.cut(from, to);
                Ok(())
            }
            Action::Mend => {
                self.net.mend();
                Ok(())
            }
            Action::Pause { at: who, time } => {
                let id = self.resolve(who);
                self.slots[at(id)].paused_until = now + time;
                Ok(())
            }
            Action::SlowDisk { at: who, times } => {
                let id = self.resolve(who);
                self.slots[at(id)].slowness = times;
                Ok(())
            }
            Action::StallDisk { at: who, time } => {
                let id = self.resolve(who);
                self.slots[at(id)].disk_stalls_until = now + time;
                Ok(())
            }
            Action::Version { at } => self.call(
                self.resolve(at),
                Asked::Other,
                Request::ClusterVersion(plan.settings.version().to_owned()),
            ),
        }
    }

    /// Members and whether they learn, as one of them sees it.
    pub(super) fn members_of(&self, id: u64) -> impl Iterator<Item = (u64, bool)> + use<> {
        let members: Vec<_> = self.slots[at(id)]
            .running
            .as_ref()
            .map(|running| {
                let cluster = running.member.cluster();
                cluster.members().map(|m| (m.id, m.is_learner)).collect()
            })
            .unwrap_or_default();
        members.into_iter()
    }

    /// The next empty slot's member is to learn.
    fn join(&mut self, leader: u64) -> Checked {
        let empty = |slot: &&crate::cluster::slot::Slot| slot.standing == Standing::Empty;
        let Some(id) = self.slots.iter().find(empty).map(|slot| slot.id) else {
            return Ok(());
        };
        let mut peer = start::peer(id);
        peer.is_learner = true;
        self.call(leader, Asked::Join(id), Request::AddLearner(peer))
    }

    fn leave(&mut self, leader: u64, who: Who) -> Checked {
        let id = self.resolve(who);
        let learns = self.members_of(leader).find(|(member, _)| *member == id);
        let voters = self
            .members_of(leader)
            .filter(|(_, learns)| !learns)
            .count();
        match learns {
            Some((_, learns)) if learns || voters > LEAST_VOTERS => {
                self.call(leader, Asked::Other, Request::Remove(id))
            }
            _ => Ok(()),
        }
    }

    /// The disk of a member has so many bytes left.
    fn fill_disk(&mut self, id: u64, spare: u64) {
        let slot = &mut self.slots[at(id)];
        if slot.running.is_some() && !slot.full {
            slot.full = true;
            let used = slot.fs.used_bytes();
            slot.fs.limit_space(Some(used + spare));
        }
    }

    /// The disk of a member will fail.
    fn arm(&mut self, id: u64, ops: u64, fault: Fault, rule: CrashRule, down: u64) {
        let slot = &mut self.slots[at(id)];
        if slot.running.is_some() && slot.armed.is_none() {
            let op = slot.fs.op_count() + ops - 1;
            slot.armed = Some(Armed { op, rule, down });
            slot.fs.fail_at(op, fault);
        }
    }
}
