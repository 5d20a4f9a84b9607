//! The plan's actions.

use bytes::Bytes;
use varve_proto::raftpb::{ConfChange, ConfChangeTransition, ConfChangeV2};
use varve_raft::{Storage as _, parse_conf_changes};
use varve_vfs::{CrashRule, Fault};

use super::{Event, World, at, ticks};
use crate::check::Checked;
use crate::raft::member::Armed;
use crate::raft::{Action, MEMBERS};

impl World<'_> {
    pub(super) fn act(&mut self, number: usize) -> Checked {
        let plan = self.plan;
        let action = &plan.actions[number].action;
        let now = self.queue.now();
        self.trace.note(&[6, now, number as u64]);
        self.trace.line(now, format_args!("-- {action}"));
        match *action {
            Action::Propose { at, count, size } => self.propose(self.resolve(at), count, size),
            Action::Read { at } => self.read(self.resolve(at)),
            Action::Campaign { at } => {
                let id = self.resolve(at);
                if let Some(running) = self.running(id) {
                    // A node that stopped is noticed when it is settled.
                    drop(running.raw.campaign());
                }
                self.settle(id)
            }
            Action::Transfer { at, to } => {
                let id = self.resolve(at);
                if let Some(running) = self.running(id) {
                    running.raw.transfer_leader(to);
                }
                self.settle(id)
            }
            Action::Forget { at } => {
                let id = self.resolve(at);
                if let Some(running) = self.running(id) {
                    running.raw.forget_leader();
                }
                self.settle(id)
            }
            Action::Change {
                at,
                ref change,
                old,
                explicit,
            } => self.change(self.resolve(at), change, old, explicit),
            Action::Compact { at, keep } => self.compact(self.resolve(at), keep),
            Action::Crash {
                at,
                ops,
                rule,
                down,
            } => {
                let id = self.resolve(at);
                match (ops, rule) {
                    (0, _) | (_, None) => self.crash(id, rule, down),
                    (_, Some(rule)) => self.arm(id, ops, Fault::Crash, rule, down),
                }
                Ok(())
            }
            Action::FailDisk { at, ops, down } => {
                let id = self.resolve(at);
                let fault = if down % 20 == 0 {
                    Fault::Eio
                } else {
                    Fault::Enospc
                };
                self.arm(id, ops, fault, CrashRule::Subset, down);
                Ok(())
            }
            Action::Partition { side } => {
                self.net.partition(side);
                Ok(())
            }
            Action::Isolate { at, deaf, mute } => {
                let id = self.resolve(at);
                for other in 1..=MEMBERS {
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
            Action::Pause { at: who, ticks: n } => {
                let id = self.resolve(who);
                self.members[at(id)].paused_until = now + ticks(n);
                Ok(())
            }
            Action::Skew { at: who, period } => {
                let id = self.resolve(who);
                self.members[at(id)].period = period;
                Ok(())
            }
        }
    }

    /// The disk of a member will fail, and with it the member.
    fn arm(&mut self, id: u64, ops: u64, fault: Fault, rule: CrashRule, down: u64) {
        let member = &mut self.members[at(id)];
        if member.running.is_some() && member.armed.is_none() {
            member.armed = Some(Armed { rule, down });
            member
                .fs
                .fail_at(member.fs.op_count() + ops.saturating_sub(1), fault);
        }
    }

    pub(super) fn propose(&mut self, id: u64, count: u64, size: u64) -> Checked {
        let committed = self.logs.committed();
        let Some(running) = self.members[at(id)].running.as_deref_mut() else {
            return Ok(());
        };
        let batch = (0..count)
            .map(|_| {
                let number = self.clients.propose(committed);
                running.proposals.push(number);
                let mut data = vec![0xab; usize::try_from(size.max(8)).unwrap_or(8)];
                data[..8].copy_from_slice(&number.to_le_bytes());
                Bytes::from(data)
            })
            .collect();
        // Taken or not: only an acknowledgement counts.
        drop(running.raw.propose_batch(batch));
        self.settle(id)
    }

    fn read(&mut self, id: u64) -> Checked {
        let committed = self.logs.committed();
        let Some(running) = self.members[at(id)].running.as_deref_mut() else {
            return Ok(());
        };
        let number = self.clients.read(committed);
        running
            .raw
            .read_index(Bytes::copy_from_slice(&number.to_le_bytes()));
        self.settle(id)
    }

    pub(super) fn change(&mut self, id: u64, change: &str, old: bool, explicit: bool) -> Checked {
        let changes = parse_conf_changes(change).unwrap_or_default();
        let Some(running) = self.running(id) else {
            return Ok(());
        };
        // Refused or not.
        drop(match changes.first() {
            Some(single) if old => running.raw.propose_conf_change(&ConfChange {
                r#type: single.r#type,
                node_id: single.node_id,
                context: Some(Bytes::from_static(b"member")),
                ..ConfChange::default()
            }),
            _ => {
                let transition = if explicit {
                    ConfChangeTransition::JointExplicit
                } else {
                    ConfChangeTransition::Auto
                };
                running.raw.propose_conf_change(&ConfChangeV2 {
                    transition: transition as i32,
                    changes,
                    context: None,
                })
            }
        });
        self.settle(id)
    }

    /// A member makes a snapshot of what it has applied, if that is on its disk.
    pub(super) fn compact(&mut self, id: u64, keep: u64) -> Checked {
        let Some(running) = self.running(id) else {
            return Ok(());
        };
        let index = running.applied;
        let on_disk = running.view.last_index().is_ok_and(|last| index <= last);
        // Or the core is ahead of the application, and a snapshot on its way will make this one useless.
        if !on_disk || running.raw.is_superseded(index + 1) {
            return Ok(());
        }
        let data = Bytes::copy_from_slice(&running.state.to_le_bytes());
        let Ok(snapshot) = running
            .view
            .create_snapshot(index, Some(&running.conf_state), data)
        else {
            // There is one already.
            return Ok(());
        };
        let saved = running.store.save_snapshot(&snapshot);
        // Of no effect if that much was not kept anyway.
        drop(running.view.compact(index.saturating_sub(keep)));
        self.stats.compactions += 1;
        match saved {
            Ok(()) => Ok(()),
            Err(error) => self.store_failed(id, &error),
        }
    }

    /// Something is to happen after the end of faults too.
    pub(super) fn later(&mut self, delay: u64, event: Event) {
        self.queue.after(delay, event);
    }
}
