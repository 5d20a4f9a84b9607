//! Leases: which keys hang on them, and when they run out.
//!
//! Grants, revokes and attachments are changed by the write transaction on the apply thread, the same
//! on every member. Time is the leader's alone: it renews, and it reports what has expired; the server
//! proposes the revoke. All of it may be called from any thread.
//!
//! # Invariants
//!
//! 1. A key hangs on at most one lease, and the two maps agree (`tests.rs`).
//! 2. A primary lessor has at most one deadline entry per lease. Renewing only moves the lease's own expiry;
//!    an entry that comes up early is put back, so a renewal costs a look-up and a store.
//! 3. A lessor that is not primary lets nothing expire.
//! 4. `listed` has each lease once, under the seconds it would have under a new leader. Promotion and
//!    demotion therefore touch no lease (`term`).
//!
//! # Not here
//!
//! Deleting the keys of a revoked lease: `write`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::options::StoreOptions;

mod deadlines;
mod term;
#[cfg(test)]
mod tests;

use deadlines::Entry;
use term::{Leases, Listed, Own, Term};

/// Longest time to live, in seconds.
pub const MAX_LEASE_TTL_SECONDS: i64 = 9_000_000_000;

/// A lease as granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The lease's id.
    pub id: i64,
    /// Time to live in seconds, after raising it to the minimum.
    pub ttl: i64,
}

/// A lease as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// The lease's id.
    pub id: i64,
    /// Time to live as granted, in seconds.
    pub granted_ttl: i64,
    /// Whole seconds left; what was checkpointed or granted when this lessor does not keep time.
    pub remaining_ttl: i64,
    /// Keys attached, ascending.
    pub keys: Vec<Bytes>,
}

/// A remaining time to be agreed on by all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseCheckpoint {
    /// The lease's id.
    pub id: i64,
    /// Seconds left; 0 clears an earlier checkpoint.
    pub remaining_ttl: i64,
}

/// Totals since the store was opened, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseCounts {
    /// Leases alive.
    pub leases: usize,
    /// Leases granted.
    pub granted: u64,
    /// Leases revoked.
    pub revoked: u64,
    /// Renewals.
    pub renewed: u64,
}

/// The leases of a store.
#[derive(Debug)]
pub struct Lessor {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    min_ttl_seconds: i64,
    checkpoint_ms: u64,
}

#[derive(Debug)]
struct State {
    leases: BTreeMap<i64, Held>,
    /// Looked up, never walked: its order is not fixed.
    by_key: HashMap<Box<[u8]>, i64>,
    listed: BTreeSet<Listed>,
    /// While this lessor is primary.
    term: Option<Term>,
    terms: u64,
    /// Leases whose checkpoint a renewal made void.
    cleared: BTreeSet<i64>,
    persist_checkpoints: bool,
    counts: LeaseCounts,
    /// Tells a lease from an earlier one of the same id.
    next_incarnation: u64,
}

#[derive(Debug)]
struct Held {
    ttl: i64,
    /// Checkpointed remaining seconds, 0 for none.
    remaining: i64,
    /// When it runs out, if that was settled in the current term.
    own: Option<Own>,
    incarnation: u64,
    keys: BTreeSet<Box<[u8]>>,
}

fn ms(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)
}

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}

impl Held {
    /// Seconds it has under a new leader.
    fn seconds(&self) -> i64 {
        if self.remaining > 0 {
            self.remaining
        } else {
            self.ttl
        }
    }

    fn entry(&self, id: i64) -> Entry {
        Entry {
            id,
            incarnation: self.incarnation,
        }
    }
}

impl State {
    fn new(options: &StoreOptions) -> Self {
        Self {
            leases: BTreeMap::new(),
            by_key: HashMap::new(),
            listed: BTreeSet::new(),
            term: None,
            terms: 0,
            cleared: BTreeSet::new(),
            persist_checkpoints: options.lease_checkpoint_persist,
            counts: LeaseCounts::default(),
            next_incarnation: 0,
        }
    }

    /// The term, if this lessor is primary, and the leases.
    fn timed(&mut self) -> Option<(&mut Term, Leases<'_>)> {
        let leases = Leases {
            by_id: &mut self.leases,
            listed: &self.listed,
        };
        Some((self.term.as_mut()?, leases))
    }

    /// Changes the checkpointed time of a lease; its deadline in this term stays. Returns the time to
    /// live it was granted.
    fn set_remaining(&mut self, id: i64, remaining: i64) -> Option<i64> {
        let lease = self.leases.get_mut(&id)?;
        if let Some(term) = &mut self.term {
            term.make_own(id, lease);
        }
        self.listed.remove(&(lease.seconds(), id));
        lease.remaining = remaining;
        self.listed.insert((lease.seconds(), id));
        Some(lease.ttl)
    }

    fn attach(&mut self, key: &[u8], lease: i64) -> Result<()> {
        if lease != 0 && !self.leases.contains_key(&lease) {
            return Err(Error::LeaseNotFound);
        }
        if lease == 0 && self.by_key.is_empty() {
            return Ok(());
        }
        if let Some(old) = self.by_key.remove(key)
            && let Some(old) = self.leases.get_mut(&old)
        {
            old.keys.remove(key);
        }
        if let Some(held) = self.leases.get_mut(&lease) {
            held.keys.insert(key.into());
            self.by_key.insert(key.into(), lease);
        }
        Ok(())
    }

    fn detach(&mut self, key: &[u8]) {
        self.attach(key, 0).expect("no lease is needed to detach");
    }

    fn promote(&mut self, now: u64, extend: Duration, checkpoint_ms: u64) {
        let extend = u64::try_from(extend.as_millis()).unwrap_or(u64::MAX);
        self.terms += 1;
        self.term = Some(Term::new(self.terms, now, extend, checkpoint_ms));
    }
}

impl Lessor {
    pub(crate) fn new(options: &StoreOptions) -> Self {
        let checkpoint_ms = options.lease_checkpoint_interval.as_millis();
        Self {
            state: Mutex::new(State::new(options)),
            clock: Arc::clone(&options.clock),
            min_ttl_seconds: options.lease_min_ttl_seconds,
            checkpoint_ms: u64::try_from(checkpoint_ms).unwrap_or(u64::MAX).max(1),
        }
    }

    /// Extends a lease to its full time to live and returns that, in seconds. Leader only
    /// ([`Error::NotPrimary`]); [`Error::LeaseNotFound`] when unknown or already expired.
    pub fn renew(&self, id: i64) -> Result<i64> {
        let now = self.clock.now_ms();
        let state = &mut *self.state.lock();
        let Some(term) = &mut state.term else {
            return Err(Error::NotPrimary);
        };
        let lease = state.leases.get_mut(&id).ok_or(Error::LeaseNotFound)?;
        if term.has_expired(lease, now) {
            // Its revoke is on the way; a renewal must not outlive it.
            return Err(Error::LeaseNotFound);
        }
        term.renew(id, lease, now.saturating_add(ms(lease.ttl)));
        let ttl = lease.ttl;
        if lease.remaining > 0 {
            state.set_remaining(id, 0);
            state.cleared.insert(id);
        }
        state.counts.renewed += 1;
        Ok(ttl)
    }

    /// The lease as it stands, `None` when unknown.
    pub fn time_to_live(&self, id: i64) -> Option<LeaseInfo> {
        let now = self.clock.now_ms();
        let state = self.state.lock();
        let lease = state.leases.get(&id)?;
        let left = match &state.term {
            Some(term) => term.expiry_ms(lease).saturating_sub(now),
            None => ms(lease.seconds()),
        };
        let keys = lease.keys.iter().map(|key| Bytes::copy_from_slice(key));
        Some(LeaseInfo {
            id,
            granted_ttl: lease.ttl,
            remaining_ttl: seconds(left),
            keys: keys.collect(),
        })
    }

    /// Ids of all leases, soonest expiry first.
    pub fn leases(&self) -> Vec<i64> {
        let state = self.state.lock();
        let mut all: Vec<(u64, i64)> = state
            .leases
            .iter()
            .map(|(id, lease)| {
                let term = state.term.as_ref();
                (term.map_or(u64::MAX, |term| term.expiry_ms(lease)), *id)
            })
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// Whether the lease exists.
    pub fn lookup(&self, id: i64) -> bool {
        self.state.lock().leases.contains_key(&id)
    }

    /// The lease a key hangs on.
    pub fn lease_of(&self, key: &[u8]) -> Option<i64> {
        self.state.lock().by_key.get(key).copied()
    }

    /// At most `limit` leases that have run out, soonest first. Each is offered again three seconds
    /// later if it still exists then. Empty unless this lessor is primary.
    pub fn expired(&self, limit: usize) -> Vec<i64> {
        let now = self.clock.now_ms();
        let mut state = self.state.lock();
        let Some((term, mut leases)) = state.timed() else {
            return Vec::new();
        };
        term.expired(&mut leases, now, limit)
    }

    /// When [`expired`](Self::expired) may next have something, in milliseconds of the store's clock.
    pub fn next_deadline(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let (term, leases) = state.timed()?;
        term.next_due(&leases)
    }

    /// At most `limit` leases whose remaining time should be agreed on now: those that ran another
    /// checkpoint interval, and those whose checkpoint a renewal made void. Empty unless primary.
    pub fn due_checkpoints(&self, limit: usize) -> Vec<LeaseCheckpoint> {
        let now = self.clock.now_ms();
        let state = &mut *self.state.lock();
        let mut due = Vec::new();
        if state.term.is_none() {
            return due;
        }
        while due.len() < limit
            && let Some(id) = state.cleared.pop_first()
        {
            due.push(LeaseCheckpoint {
                id,
                remaining_ttl: 0,
            });
        }
        let Some((term, leases)) = state.timed() else {
            return due;
        };
        term.list_checkpoints(&leases, now, limit - due.len());
        while due.len() < limit
            && let Some((_, entry)) = term.checkpoints.pop_due(now)
        {
            let id = entry.id;
            let lease = leases.by_id.get(&id);
            let remaining = lease.and_then(|lease| term.checkpoint(lease, entry, now));
            due.extend(remaining.map(|remaining_ttl| LeaseCheckpoint { id, remaining_ttl }));
        }
        due
    }

    /// This member leads now: every lease gets its remaining time plus `extend`, counted from now, and of
    /// deadlines that pile up no more than 750 are met in one second. Takes the same time for any number
    /// of leases.
    pub fn promote(&self, extend: Duration) {
        let now = self.clock.now_ms();
        self.state.lock().promote(now, extend, self.checkpoint_ms);
    }

    /// Another member leads now: nothing expires here any more. Takes the same time for any number of
    /// leases.
    pub fn demote(&self) {
        let mut state = self.state.lock();
        let ended = state.term.take();
        let cleared = std::mem::take(&mut state.cleared);
        drop(state);
        drop((ended, cleared));
    }

    /// Whether this lessor keeps time.
    pub fn is_primary(&self) -> bool {
        self.state.lock().term.is_some()
    }

    /// Whether checkpointed remaining times are stored with the lease from now on.
    pub fn set_checkpoint_persist(&self, persist: bool) {
        self.state.lock().persist_checkpoints = persist;
    }

    /// Totals for metrics.
    pub fn counts(&self) -> LeaseCounts {
        let state = self.state.lock();
        LeaseCounts {
            leases: state.leases.len(),
            ..state.counts
        }
    }

    /// Checks what [`grant`](Self::grant) would, and returns the effective time to live.
    pub(crate) fn check_grant(&self, id: i64, ttl: i64) -> Result<i64> {
        if id == 0 {
            return Err(Error::LeaseNotFound);
        }
        if ttl > MAX_LEASE_TTL_SECONDS {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.lookup(id) {
            return Err(Error::LeaseExists);
        }
        Ok(ttl.max(self.min_ttl_seconds))
    }

    /// Adds a lease that was checked.
    pub(crate) fn grant(&self, id: i64, ttl: i64) {
        self.insert(id, ttl, 0);
        self.state.lock().counts.granted += 1;
    }

    /// Adds a lease, as granted or as read back.
    pub(crate) fn insert(&self, id: i64, ttl: i64, remaining: i64) {
        let now = self.clock.now_ms();
        let state = &mut *self.state.lock();
        let incarnation = state.next_incarnation;
        state.next_incarnation += 1;
        let mut lease = Held {
            ttl,
            remaining,
            own: None,
            incarnation,
            keys: BTreeSet::new(),
        };
        if let Some(term) = &mut state.term {
            term.add(id, &mut lease, now);
        }
        state.listed.insert((lease.seconds(), id));
        state.leases.insert(id, lease);
    }

    /// Removes a lease and returns its keys, ascending.
    pub(crate) fn revoke(&self, id: i64) -> Result<Vec<Bytes>> {
        let state = &mut *self.state.lock();
        let lease = state.leases.remove(&id).ok_or(Error::LeaseNotFound)?;
        state.listed.remove(&(lease.seconds(), id));
        state.cleared.remove(&id);
        state.counts.revoked += 1;
        for key in &lease.keys {
            state.by_key.remove(key);
        }
        Ok(lease.keys.into_iter().map(Bytes::from).collect())
    }

    /// Notes a checkpoint. Returns the lease's granted time if the lease must be stored again.
    pub(crate) fn checkpoint(&self, id: i64, remaining: i64) -> Option<i64> {
        let state = &mut *self.state.lock();
        let ttl = state.set_remaining(id, remaining)?;
        state.persist_checkpoints.then_some(ttl)
    }

    /// Lets `key` hang on `lease` (0 for none) and on no other.
    pub(crate) fn attach(&self, key: &[u8], lease: i64) -> Result<()> {
        self.state.lock().attach(key, lease)
    }

    /// Attaches keys that were read back, oldest writes first. A lease may be gone while an old version of a
    /// key still names it.
    pub(crate) fn attach_restored<'k>(&self, keys: impl Iterator<Item = (&'k [u8], i64)>) {
        let mut state = self.state.lock();
        for (key, lease) in keys {
            if state.attach(key, lease).is_err() {
                state.detach(key);
            }
        }
    }

    /// Lets `key` hang on no lease.
    pub(crate) fn detach(&self, key: &[u8]) {
        self.state.lock().detach(key);
    }

    /// Adds a lease that was read back; one that was granted under a lower minimum is raised to ours.
    pub(crate) fn insert_restored(&self, id: i64, ttl: i64, remaining: i64) {
        self.insert(id, ttl.max(self.min_ttl_seconds), remaining);
    }

    /// Takes the leases of another lessor in place of its own; whether it keeps time stays as it is.
    pub(crate) fn replace(&self, fresh: Self) {
        let now = self.clock.now_ms();
        let fresh = fresh.state.into_inner();
        let mut state = self.state.lock();
        let old = std::mem::replace(&mut *state, fresh);
        state.persist_checkpoints = old.persist_checkpoints;
        state.counts = old.counts;
        state.next_incarnation = state.next_incarnation.max(old.next_incarnation);
        state.terms = old.terms;
        if old.term.is_some() {
            state.promote(now, Duration::ZERO, self.checkpoint_ms);
        }
        drop(state);
        drop((old.leases, old.by_key));
    }
}
