//! What holds of logs, terms and applied entries, over all members and all time.
//!
//! # How
//! Every entry any member ever had is kept by term and index, with the term of the entry before it. Log
//! Matching says that this is a function, and makes it a tree: a log is known by its last entry. Whether
//! a leader's log has an entry is a walk along that tree, also long after the log changed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::shadow::{EntryId, Shadow};
use super::{Checked, Property, Violation};

/// Spreads keys that are numbers already. The order of a table with it is never looked at.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type Table<V> = HashMap<(u64, u64), V, BuildHasherDefault<Spread>>;

/// An entry as it must be on every member that has one of its term and index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    previous_term: u64,
    content: u64,
}

/// What is agreed on at an index.
#[derive(Clone, Copy, Debug)]
struct Agreed {
    term: u64,
    /// The term of whoever first knew.
    committed_in: u64,
    applied: Option<Applied>,
}

/// What applying an entry came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// A hash of what the entry says.
    pub content: u64,
    /// A hash of the state after it.
    pub state: u64,
    /// A hash of the configuration after it, where the member knows it.
    pub config: Option<u64>,
}

/// Observes logs, elections and state machines.
#[derive(Debug, Default)]
pub struct Logs {
    entries: Table<Known>,
    /// By index, from 1.
    agreed: Vec<Agreed>,
    leaders: BTreeMap<u64, (u64, EntryId)>,
    votes: Table<u64>,
}

impl Logs {
    /// How far anybody knows the log to be committed.
    pub fn committed(&self) -> u64 {
        self.agreed.len() as u64
    }

    /// How many terms had a leader.
    pub fn elections(&self) -> usize {
        self.leaders.len()
    }

    fn agreed(&self, index: u64) -> Option<&Agreed> {
        let at = usize::try_from(index.checked_sub(1)?).ok()?;
        self.agreed.get(at)
    }

    /// A member has an entry, behind one of `previous_term`.
    pub fn has(
        &mut self,
        member: u64,
        entry: EntryId,
        previous_term: u64,
        content: u64,
    ) -> Checked {
        let found = Known {
            previous_term,
            content,
        };
        let known = *self
            .entries
            .entry((entry.term, entry.index))
            .or_insert(found);
        if known == found && previous_term <= entry.term {
            return Ok(());
        }
        Err(Violation::new(
            Property::LogMatching,
            format!(
                "member {member} has {entry} behind term {previous_term} with content {content:x}; it \
                 was behind term {} with {:x}",
                known.previous_term, known.content
            ),
        ))
    }

    /// A member tells `candidate` that it has its vote in `term`.
    pub fn votes(&mut self, member: u64, term: u64, candidate: u64) -> Checked {
        let first = *self.votes.entry((term, member)).or_insert(candidate);
        if first == candidate {
            return Ok(());
        }
        Err(Violation::new(
            Property::OneVotePerTerm,
            format!("member {member} votes for {first} and for {candidate} in term {term}"),
        ))
    }

    /// A member leads in `term`, and began with this log.
    pub fn leads(&mut self, member: u64, term: u64, log: &Shadow) -> Checked {
        let last = log.last();
        let (first, _) = *self.leaders.entry(term).or_insert((member, last));
        if first != member {
            return Err(Violation::new(
                Property::ElectionSafety,
                format!("members {first} and {member} lead in term {term}"),
            ));
        }
        // Logs are alike up to any entry they share, and so is what is agreed on: the last of it tells.
        let before = |agreed: &Agreed| agreed.committed_in < term;
        match self.agreed.iter().rposition(before) {
            Some(at) => {
                let entry = EntryId {
                    term: self.agreed[at].term,
                    index: at as u64 + 1,
                };
                self.leader_has(member, term, last, entry)
            }
            None => Ok(()),
        }
    }

    fn leader_has(&self, leader: u64, term: u64, last: EntryId, entry: EntryId) -> Checked {
        let mut at = last;
        while at.index > entry.index {
            let Some(known) = self.entries.get(&(at.term, at.index)) else {
                break;
            };
            at = EntryId {
                term: known.previous_term,
                index: at.index - 1,
            };
        }
        if at == entry {
            return Ok(());
        }
        Err(Violation::new(
            Property::LeaderCompleteness,
            format!(
                "member {leader} leads in term {term} with a log up to {last}, without {entry}"
            ),
        ))
    }

    /// A member in `term` knows its log to be committed up to `to`, and knew it up to `from` before.
    pub fn commits(&mut self, member: u64, term: u64, from: u64, to: u64, log: &Shadow) -> Checked {
        if to < from {
            return Err(Violation::new(
                Property::Progress,
                format!("the commit index of member {member} goes from {from} to {to}"),
            ));
        }
        for index in from + 1..=to {
            // Behind a snapshot the entries are gone; the snapshot itself is checked when applied.
            let Some(entry_term) = log.term(index) else {
                continue;
            };
            let entry = EntryId {
                term: entry_term,
                index,
            };
            match self.agreed(index).map(|agreed| agreed.term) {
                Some(agreed) if agreed == entry_term => {}
                Some(agreed) => {
                    return Err(Violation::new(
                        Property::StateMachineSafety,
                        format!(
                            "member {member} takes {entry} for committed, others {agreed}/{index}"
                        ),
                    ));
                }
                None => self.newly_committed(member, term, entry)?,
            }
        }
        Ok(())
    }

    fn newly_committed(&mut self, member: u64, term: u64, entry: EntryId) -> Checked {
        if entry.index != self.committed() + 1 {
            return Err(Violation::new(
                Property::StateMachineSafety,
                format!(
                    "member {member} takes {entry} for committed; nobody knows of {}",
                    self.committed() + 1
                ),
            ));
        }
        self.agreed.push(Agreed {
            term: entry.term,
            committed_in: term,
            applied: None,
        });
        for (&later, &(leader, last)) in self.leaders.range(term + 1..) {
            self.leader_has(leader, later, last, entry)?;
        }
        Ok(())
    }

    /// A member applies an entry.
    pub fn applies(&mut self, member: u64, entry: EntryId, outcome: Applied) -> Checked {
        let at = usize::try_from(entry.index).unwrap_or(usize::MAX);
        let Some(agreed) = at.checked_sub(1).and_then(|at| self.agreed.get_mut(at)) else {
            return Err(Violation::new(
                Property::StateMachineSafety,
                format!("member {member} applies {entry}, which nobody knows to be committed"),
            ));
        };
        let first = agreed.applied.get_or_insert(outcome);
        let same = first.content == outcome.content && first.state == outcome.state;
        if agreed.term != entry.term || !same {
            return Err(Violation::new(
                Property::StateMachineSafety,
                format!(
                    "member {member} applies {entry} ({outcome:x?}); others {}/{} ({first:x?})",
                    agreed.term, entry.index
                ),
            ));
        }
        if let (Some(ours), Some(theirs)) = (outcome.config, first.config)
            && ours != theirs
        {
            return Err(Violation::new(
                Property::ConfigurationAgreement,
                format!("member {member} has another configuration after {entry} than others"),
            ));
        }
        first.config = first.config.or(outcome.config);
        Ok(())
    }

    /// A member takes over a state at an entry.
    pub fn jumps(&self, member: u64, entry: EntryId, state: u64) -> Checked {
        let agreed = self.agreed(entry.index);
        let known = agreed.and_then(|agreed| agreed.applied);
        if agreed.is_some_and(|agreed| agreed.term == entry.term)
            && known.is_some_and(|known| known.state == state)
        {
            return Ok(());
        }
        Err(Violation::new(
            Property::StateMachineSafety,
            format!("member {member} takes over state {state:x} at {entry}; known is {agreed:x?}"),
        ))
    }

    /// The term of what is agreed on at an index.
    pub fn term_agreed(&self, index: u64) -> Option<u64> {
        self.agreed(index).map(|agreed| agreed.term)
    }
}
