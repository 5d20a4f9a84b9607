//! The time of leases while this member leads, from one promotion to the next demotion.
//!
//! Used by the lessor under its lock. At a promotion every lease gets the time it has left, counted
//! from then: so its deadline follows from the moment of the promotion and from a number that was known
//! before, and nothing has to be done per lease. [`Listed`] keeps all leases by that number; a term walks
//! along it as time passes. A lease leaves the walk for a deadline of its own, in a heap, when it
//! is granted, renewed or checkpointed in this term, or is due.
//!
//! # Invariants
//!
//! 1. A lease is inherited in a term as long as its `own` is of another term. Its listed number does not
//!    change meanwhile: whatever would change it gives the lease its own deadline first.
//! 2. Up to `passed` no listed lease is inherited.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::deadlines::{Deadlines, Entry};
use super::{Held, ms};

/// Seconds a lease would have under a new leader, and its id.
pub(super) type Listed = (i64, i64);

/// At most this many inherited leases are offered for expiry in one second: three quarters of the
/// thousand revokes per second a leader proposes.
pub(super) const EXPIRIES_PER_SECOND: u64 = 750;

/// How long an expired lease is left to the proposed revoke before it is reported again.
pub(super) const RETRY_MS: u64 = 3000;

/// A deadline that is not derived from the promotion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// Number of the term it was made in, and is good for.
    pub term: u64,
    pub expiry_ms: u64,
    /// When its entry in the heap comes up; any other is from before. Not after `expiry_ms`, unless the
    /// lease is being offered.
    entry_ms: u64,
    /// It was inherited: expires only as fast as those.
    pub spread: bool,
}

#[derive(Debug)]
pub(super) struct Term {
    pub number: u64,
    /// When the time that leases had left began to run.
    start_ms: u64,
    /// Time between two checkpoints of a lease.
    checkpoint_ms: u64,
    /// When inherited leases are to be checkpointed for the first time.
    first_checkpoint_ms: u64,
    pub expiries: Deadlines,
    pub checkpoints: Deadlines,
    /// Newest listed lease that was found due or not inherited.
    passed: Option<Listed>,
    /// The same for checkpoints.
    checkpointed: Option<Listed>,
    window: Window,
}

/// How many were offered in the second that began last.
#[derive(Debug, Default)]
struct Window {
    start_ms: u64,
    count: u64,
}

impl Window {
    /// From when on there is room.
    fn opens_ms(&self) -> u64 {
        if self.count < EXPIRIES_PER_SECOND {
            0
        } else {
            self.start_ms.saturating_add(1000)
        }
    }

    fn take(&mut self, now: u64) {
        if now >= self.start_ms.saturating_add(1000) {
            *self = Self {
                start_ms: now,
                count: 0,
            };
        }
        self.count += 1;
    }
}

/// All leases of a lessor: by id, and by the time they would have.
pub(super) struct Leases<'a> {
    pub by_id: &'a mut BTreeMap<i64, Held>,
    pub listed: &'a BTreeSet<Listed>,
}

impl Leases<'_> {
    fn next_inherited(&self, term: u64, passed: &mut Option<Listed>) -> Option<Listed> {
        loop {
            let behind = passed.map_or(Bound::Unbounded, Bound::Excluded);
            let next = *self.listed.range((behind, Bound::Unbounded)).next()?;
            if self.by_id.get(&next.1)?.is_inherited(term) {
                return Some(next);
            }
            *passed = Some(next);
        }
    }
}

impl Held {
    fn is_inherited(&self, term: u64) -> bool {
        self.own.is_none_or(|own| own.term != term)
    }
}

impl Term {
    pub(super) fn new(number: u64, now: u64, extend_ms: u64, checkpoint_ms: u64) -> Self {
        // Leases with less than an interval left are not checkpointed.
        let short = checkpoint_ms
            .checked_sub(extend_ms)
            .map(|ms| i64::try_from(ms / 1000).unwrap_or(i64::MAX));
        Self {
            number,
            start_ms: now.saturating_add(extend_ms),
            checkpoint_ms,
            first_checkpoint_ms: now.saturating_add(checkpoint_ms),
            expiries: Deadlines::default(),
            checkpoints: Deadlines::default(),
            passed: None,
            checkpointed: short.map(|seconds| (seconds, i64::MAX)),
            window: Window::default(),
        }
    }

    /// When a lease runs out.
    pub(super) fn expiry_ms(&self, lease: &Held) -> u64 {
        match lease.own {
            Some(own) if own.term == self.number => own.expiry_ms,
            _ => self.start_ms.saturating_add(ms(lease.seconds())),
        }
    }

    /// Whether the revoke of a lease is on its way.
    pub(super) fn has_expired(&self, lease: &Held, now: u64) -> bool {
        // Inherited ones may be held back, and live until they are offered.
        !lease.is_inherited(self.number) && self.expiry_ms(lease) <= now
    }

    /// Starts the time of a lease that was just granted.
    pub(super) fn add(&mut self, id: i64, lease: &mut Held, now: u64) {
        let left = ms(lease.seconds());
        let expiry_ms = now.saturating_add(left);
        let entry = lease.entry(id);
        self.own(lease, entry, expiry_ms, false);
        if left > self.checkpoint_ms {
            self.checkpoints
                .push(now.saturating_add(self.checkpoint_ms), entry);
        }
    }

    fn own(&mut self, lease: &mut Held, entry: Entry, expiry_ms: u64, spread: bool) {
        lease.own = Some(Own {
            term: self.number,
            expiry_ms,
            entry_ms: expiry_ms,
            spread,
        });
        self.expiries.push(expiry_ms, entry);
    }

    /// Lets a lease run out at another time. Later costs a store; earlier (after a promotion that
    /// extended it) another entry.
    pub(super) fn renew(&mut self, id: i64, lease: &mut Held, expiry_ms: u64) {
        self.make_own(id, lease);
        let entry = lease.entry(id);
        match &mut lease.own {
            Some(own) if own.entry_ms <= expiry_ms => {
                own.expiry_ms = expiry_ms;
                own.spread = false;
            }
            _ => self.own(lease, entry, expiry_ms, false),
        }
    }

    /// Gives an inherited lease its own deadline, the same as before.
    pub(super) fn make_own(&mut self, id: i64, lease: &mut Held) {
        if !lease.is_inherited(self.number) {
            return;
        }
        let expiry_ms = self.expiry_ms(lease);
        let listed = (lease.seconds(), id);
        let entry = lease.entry(id);
        self.own(lease, entry, expiry_ms, true);
        if self.checkpointed.is_none_or(|passed| passed < listed) {
            // The walk will not meet it as an inherited one any more.
            self.checkpoints.push(self.first_checkpoint_ms, entry);
        }
    }

    /// At most `limit` leases that have run out, soonest first.
    pub(super) fn expired(&mut self, leases: &mut Leases<'_>, now: u64, limit: usize) -> Vec<i64> {
        let mut due = Vec::new();
        while due.len() < limit {
            let own = self.expiries.next_due().filter(|at| *at <= now);
            let inherited = self.next_inherited(leases).filter(|(at, _)| *at <= now);
            match (inherited, own) {
                (None, None) => break,
                (Some((at, listed)), own) if own.is_none_or(|own| at < own) => {
                    if let Some(lease) = leases.by_id.get_mut(&listed.1) {
                        self.make_own(listed.1, lease);
                    }
                    // The deadline it has now lies in the past and is met below.
                    self.passed = Some(listed);
                }
                _ => due.extend(self.pop_expired(leases, now)),
            }
        }
        due
    }

    /// Looks at the first entry of the heap, which is due.
    fn pop_expired(&mut self, leases: &mut Leases<'_>, now: u64) -> Option<i64> {
        let (at, entry) = self.expiries.pop_due(now)?;
        let lease = leases.by_id.get_mut(&entry.id)?;
        let own = lease.own.as_mut().filter(|own| own.term == self.number)?;
        if lease.incarnation != entry.incarnation || own.entry_ms != at {
            return None;
        }
        let opens = if own.spread {
            self.window.opens_ms()
        } else {
            0
        };
        let is_due = own.expiry_ms.max(opens) <= now;
        own.entry_ms = if is_due {
            now.saturating_add(RETRY_MS)
        } else {
            // Renewed since the entry was made, or held back.
            own.expiry_ms.max(opens)
        };
        self.expiries.push(own.entry_ms, entry);
        if is_due && std::mem::take(&mut own.spread) {
            self.window.take(now);
        }
        is_due.then_some(entry.id)
    }

    fn next_inherited(&mut self, leases: &Leases<'_>) -> Option<(u64, Listed)> {
        let listed = leases.next_inherited(self.number, &mut self.passed)?;
        let due = self.start_ms.saturating_add(ms(listed.0));
        Some((due.max(self.window.opens_ms()), listed))
    }

    /// When [`expired`](Self::expired) may next have something.
    pub(super) fn next_due(&mut self, leases: &Leases<'_>) -> Option<u64> {
        let inherited = self.next_inherited(leases).map(|(at, _)| at);
        inherited.into_iter().chain(self.expiries.next_due()).min()
    }

    /// Lists at most `limit` inherited leases for their first checkpoint, if its time has come.
    pub(super) fn list_checkpoints(&mut self, leases: &Leases<'_>, now: u64, limit: usize) {
        if now < self.first_checkpoint_ms {
            return;
        }
        for _ in 0..limit {
            let next = leases.next_inherited(self.number, &mut self.checkpointed);
            let Some(listed) = next else { break };
            self.checkpointed = Some(listed);
            if let Some(lease) = leases.by_id.get(&listed.1) {
                self.checkpoints.push(now, lease.entry(listed.1));
            }
        }
    }

    /// What a lease that is due for a checkpoint has left in seconds, unless it was renewed too recently
    /// to have anything to agree on.
    pub(super) fn checkpoint(&mut self, lease: &Held, entry: Entry, now: u64) -> Option<i64> {
        let expiry = self.expiry_ms(lease);
        if lease.incarnation != entry.incarnation || expiry <= now {
            return None;
        }
        let left = expiry - now;
        if left > self.checkpoint_ms {
            self.checkpoints
                .push(now.saturating_add(self.checkpoint_ms), entry);
        }
        let remaining = super::seconds(left.saturating_add(999));
        let is_old = left.saturating_add(self.checkpoint_ms / 2) < ms(lease.ttl);
        (remaining < lease.ttl && is_old).then_some(remaining)
    }
}
