//! What clients see: proposals that were acknowledged, and reads.
//!
//! # Why this is linearizability
//! The object is the log: a write appends at its index, and a read at index `i` returns everything up
//! to `i`. A history of these is linearizable if (1) an acknowledged write lies behind everything that
//! was acknowledged or read before it began, and stays there, and (2) a read returns at least all of
//! that. Ordering operations by index, reads after the write at theirs, then respects real time. What
//! is committed at the moment an operation begins is at least what was acknowledged or read before,
//! which makes it the one bound to compare with.

use std::collections::BTreeMap;

use super::logs::Logs;
use super::shadow::{EntryId, Shadow};
use super::{Checked, Property, Violation};

/// Observes operations of clients. They are numbered from 0, proposals and reads apart.
#[derive(Debug, Default)]
pub struct Clients {
    /// What was committed when each proposal, and each read, began.
    proposed_at: Vec<u64>,
    read_at: Vec<u64>,
    acknowledged: BTreeMap<u64, u64>,
    answered: u64,
}

impl Clients {
    /// A proposal is made; returns its number.
    pub fn propose(&mut self, committed: u64) -> u64 {
        self.proposed_at.push(committed);
        self.proposed_at.len() as u64 - 1
    }

    /// A read begins; returns its number.
    pub fn read(&mut self, committed: u64) -> u64 {
        self.read_at.push(committed);
        self.read_at.len() as u64 - 1
    }

    /// The first time a proposal's client is told that it is in the log, at `index`.
    pub fn acknowledge(&mut self, proposal: u64, index: u64) -> Checked {
        let began = usize::try_from(proposal)
            .ok()
            .and_then(|at| self.proposed_at.get(at));
        let Some(&began) = began else {
            return Err(Violation::new(
                Property::Durability,
                format!("proposal {proposal}, which nobody made, is at {index}"),
            ));
        };
        if index <= began {
            return Err(Violation::new(
                Property::LinearizableReads,
                format!(
                    "proposal {proposal} is at {index}; {began} was committed when it was made"
                ),
            ));
        }
        self.acknowledged.entry(proposal).or_insert(index);
        Ok(())
    }

    /// Whether a proposal was acknowledged.
    pub fn is_acknowledged(&self, proposal: u64) -> bool {
        self.acknowledged.contains_key(&proposal)
    }

    /// A read is answered with what is in the log up to `index`.
    pub fn answer(&mut self, read: u64, index: u64) -> Checked {
        let began = usize::try_from(read)
            .ok()
            .and_then(|at| self.read_at.get(at));
        self.answered += 1;
        match began {
            Some(&began) if index >= began => Ok(()),
            _ => Err(Violation::new(
                Property::LinearizableReads,
                format!("read {read} returns {index}; {began:?} was committed when it began"),
            )),
        }
    }

    /// In the end a member has all that was acknowledged, in its log or its state (up to `applied`).
    pub fn kept_by(&self, member: u64, applied: u64, log: &Shadow, logs: &Logs) -> Checked {
        for (&proposal, &index) in &self.acknowledged {
            let term = logs.term_agreed(index).unwrap_or_default();
            let kept = match log.term(index) {
                Some(own) => own == term,
                None => index <= applied,
            };
            if !kept {
                let entry = EntryId { term, index };
                return Err(Violation::new(
                    Property::Durability,
                    format!(
                        "proposal {proposal} was acknowledged at {entry}; member {member} lacks it"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Proposals made, proposals acknowledged, reads begun, reads answered.
    pub fn counts(&self) -> [u64; 4] {
        [
            self.proposed_at.len() as u64,
            self.acknowledged.len() as u64,
            self.read_at.len() as u64,
            self.answered,
        ]
    }
}
