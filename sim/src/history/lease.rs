//! How long leases lasted, against what their clients were told.
//!
//! A member counts a lease's time from some instant between the call that granted or renewed it and the
//! answer. So it may not be gone before the call plus its time to live, and, allowing a bound for the
//! rounds of whoever revokes it, must be gone after the answer plus that. What may have renewed it
//! unasked (a new leader gives every lease its whole time again) is told as a renewal that nobody
//! acknowledged; none can renew what should be gone.

use super::operation::Stamp;
use crate::check::{Checked, Property, Violation};

/// One call that makes a lease last, or ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// When it began.
    pub invoked: Stamp,
    /// When its outcome was known.
    pub completed: Stamp,
    /// Whether it was acknowledged; otherwise it may have happened.
    pub acknowledged: bool,
}

/// The lease, or a key on it, was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// When the look began.
    pub invoked: Stamp,
    /// When it was answered.
    pub completed: Stamp,
    /// Whether it was there.
    pub alive: bool,
}

/// A lease's life. Stamps are units of one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRun {
    /// Its id.
    pub id: i64,
    /// Its time to live, as granted.
    pub ttl: Stamp,
    /// The grant, and every renewal that was tried.
    pub renewals: Vec<Renewal>,
    /// When somebody first asked to revoke it.
    pub revoked: Option<Stamp>,
    /// What was seen, by linearizable reads.
    pub looks: Vec<Look>,
}

/// Holds the lives of leases against what was acknowledged.
pub fn check(leases: &[LeaseRun], bound: Stamp) -> Checked {
    for lease in leases {
        for look in &lease.looks {
            if look.alive {
                not_too_long(lease, look, bound)?;
            } else {
                not_too_short(lease, look)?;
            }
        }
    }
    Ok(())
}

fn not_too_short(lease: &LeaseRun, look: &Look) -> Checked {
    if lease.revoked.is_some_and(|at| at <= look.completed) {
        return Ok(());
    }
    let early = |renewal: &&Renewal| {
        renewal.acknowledged && look.completed < renewal.invoked.saturating_add(lease.ttl)
    };
    match lease
        .renewals
        .iter()
        .filter(early)
        .max_by_key(|r| r.invoked)
    {
        None => Ok(()),
        Some(renewal) => object(
            lease,
            format!(
                "gone at [{}..{}], though granted or renewed at [{}..{}] for {}",
                look.invoked, look.completed, renewal.invoked, renewal.completed, lease.ttl
            ),
        ),
    }
}

fn not_too_long(lease: &LeaseRun, look: &Look, bound: Stamp) -> Checked {
    let mut renewals: Vec<&Renewal> = lease.renewals.iter().collect();
    renewals.sort_unstable_by_key(|renewal| renewal.invoked);
    let mut end: Option<Stamp> = None;
    for renewal in renewals {
        if end.is_none_or(|end| renewal.invoked <= end) {
            let own = renewal.completed.saturating_add(lease.ttl);
            end = end.max(Some(own.saturating_add(bound)));
        }
    }
    let end = end.unwrap_or_default();
    if look.invoked <= end {
        return Ok(());
    }
    object(
        lease,
        format!(
            "alive at [{}..{}], after its end at {end} (bound {bound})",
            look.invoked, look.completed
        ),
    )
}

fn object(lease: &LeaseRun, what: String) -> Checked {
    let what = format!("lease {:x}: {what}", lease.id);
    Err(Violation::new(Property::Leases, what))
}
