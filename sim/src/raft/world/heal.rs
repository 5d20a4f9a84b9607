//! After the faults: everybody is back, the network is whole, and the cluster has to agree.

use super::{Event, World, at, is_member};
use crate::check::{Checked, Property, Violation};
use crate::net::Weather;
use crate::raft::{MEMBERS, TICK};

/// Looks, a tick apart, until the cluster must have agreed.
const MAX_LOOKS: u64 = 300;

impl World<'_> {
    pub(super) fn heal(&mut self) -> Checked {
        let now = self.queue.now();
        self.trace.note(&[7, now]);
        self.trace.line(now, format_args!("-- faults end"));
        self.healing = true;
        self.first_late_proposal = self.clients.counts()[0];
        self.net.mend();
        self.net.set_weather(Weather::calm(TICK / 20));
        for id in 1..=MEMBERS {
            let member = &mut self.members[at(id)];
            member.fs.heal();
            member.armed = None;
            member.paused_until = 0;
            member.period = TICK;
            self.restart(id)?;
        }
        self.later(TICK, Event::Look(0));
        Ok(())
    }

    /// True: the members agree, and have everything.
    pub(super) fn look(&mut self, round: u64) -> Result<bool, Violation> {
        self.free_votes()?;
        if round % 64 == 50 {
            self.raise_term();
        }
        if let Some(leader) = self.leader() {
            if self.has_agreed(leader)? {
                return Ok(true);
            }
            if round.is_multiple_of(4) {
                self.propose(leader, 1, 8)?;
            }
            if round % 16 == 3 {
                // Somebody has to end what does not end by itself.
                self.change(leader, "", false, false)?;
            }
            if round % 8 == 7 {
                // A snapshot older than the change that added a member is of no use to it.
                self.compact(leader, 2)?;
            }
        }
        if round >= MAX_LOOKS {
            if self.is_stranded() || self.is_ignored() {
                self.stats.stranded += 1;
                return Ok(true);
            }
            return Err(self.no_agreement());
        }
        self.later(TICK, Event::Look(round + 1));
        Ok(false)
    }

    /// Members that were removed do not tick any more, and would wait for their leader forever.
    fn free_votes(&mut self) -> Checked {
        for id in 1..=MEMBERS {
            if !is_member(&self.newest_config.1, id)
                && let Some(running) = self.running(id)
            {
                running.raw.forget_leader();
                self.settle(id)?;
            }
        }
        Ok(())
    }

    /// Without quorum checks and pre-votes nobody tells a leader that a member is in a later term, which
    /// it then ignores for as long as it leads; and a learner cannot end that by an election. An operator
    /// would start the leader anew.
    fn raise_term(&mut self) {
        let settings = &self.plan.settings;
        if !settings.check_quorum
            && !settings.pre_vote
            && let Some(leader) = self.leader()
        {
            self.crash(leader, None, 1);
        }
    }

    fn has_agreed(&self, leader: u64) -> Result<bool, Violation> {
        let Some(leading) = &self.members[at(leader)].running else {
            return Ok(false);
        };
        let config = leading.raw.status().config;
        if !self.late_acknowledged || config.voters.is_joint() {
            return Ok(false);
        }
        let members = config.voters.ids().union(&config.learners);
        let all = members.iter().all(|id| {
            let running = &self.members[at(id.get())].running;
            running
                .as_ref()
                .is_some_and(|running| running.applied == leading.applied)
        });
        if !all {
            return Ok(false);
        }
        for id in members.iter() {
            if let Some(running) = &self.members[at(id.get())].running {
                self.clients
                    .kept_by(id.get(), running.applied, &running.shadow, &self.logs)?;
            }
        }
        Ok(true)
    }

    /// Whether the voters that the newest configuration leaves wait for the vote of one that it removed,
    /// or made a learner, and whose log is longer than theirs.
    ///
    /// Configurations hold from when they are applied. A member that has applied its own removal does
    /// not campaign, and if others have not heard that the removal is committed, they still need its
    /// vote, which it refuses to shorter logs. That is so in etcd's raft too; there, and here, the way
    /// out is to start without it.
    fn is_stranded(&self) -> bool {
        let config = &self.newest_config.1;
        let votes = |id| config.voters.contains(&id) || config.voters_outgoing.contains(&id);
        let last = |voting: bool| {
            self.members
                .iter()
                .filter(|member| votes(member.id) == voting)
                .filter_map(|member| Some(member.running.as_ref()?.shadow.last()))
                .max()
        };
        last(false) > last(true)
    }

    /// Whether the voter with the longest log is behind in terms of one that does not listen to it, and
    /// nobody tells it: a request for a vote is answered only when it is a pre-vote, a leader only with
    /// quorum checks (or pre-votes). Each of its elections raises its term by one, and so do those of the
    /// other, in a configuration it has not left yet. Servers run with both.
    fn is_ignored(&self) -> bool {
        let settings = &self.plan.settings;
        let config = &self.newest_config.1;
        let voters = || {
            self.members
                .iter()
                .filter(|member| config.voters.contains(&member.id))
                .filter_map(|member| member.running.as_ref())
        };
        let latest = voters().map(|v| v.raw.basic_status().term).max();
        let longest = voters().max_by_key(|v| v.shadow.last());
        let answered = settings.pre_vote || settings.check_quorum && self.leader().is_some();
        !answered && longest.map(|v| v.raw.basic_status().term) < latest
    }

    fn no_agreement(&self) -> Violation {
        let states: Vec<String> = self
            .members
            .iter()
            .filter_map(|member| {
                let running = member.running.as_ref()?;
                let status = running.raw.basic_status();
                Some(format!(
                    "{} ({:?}, term {}, log {}, commit {}, applied {})",
                    member.id,
                    status.role,
                    status.term,
                    running.shadow.last(),
                    status.commit,
                    running.applied
                ))
            })
            .collect();
        Violation::new(
            Property::Recovery,
            format!(
                "no agreement of {:?}: {}",
                self.newest_config,
                states.join(", ")
            ),
        )
    }
}
