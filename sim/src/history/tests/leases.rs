//! Leases against time.

use super::*;
use crate::history::LeaseRun;
use crate::history::lease::{Look, Renewal, check};

const BOUND: u64 = 500;

/// Granted at [10..20] for 100, renewed at [60..70].
fn run(looks: &[(u64, u64, bool)]) -> LeaseRun {
    let renewal = |invoked, completed| Renewal {
        invoked,
        completed,
        acknowledged: true,
    };
    LeaseRun {
        id: 0xabc,
        ttl: 100,
        renewals: vec![renewal(10, 20), renewal(60, 70)],
        revoked: None,
        looks: looks
            .iter()
            .map(|&(invoked, completed, alive)| Look {
                invoked,
                completed,
                alive,
            })
            .collect(),
    }
}

#[test]
fn a_lease_that_lasts_as_it_should_passes() {
    let good = run(&[
        (30, 35, true),
        (155, 159, true),
        (150, 160, false),
        (669, 680, true),
        (700, 701, false),
    ]);
    check(&[good], BOUND).unwrap();
}

#[test]
fn a_lease_that_ends_too_soon_is_seen() {
    let early = run(&[(140, 150, false)]);
    objects(
        check(std::slice::from_ref(&early), BOUND),
        Property::Leases,
        &["lease abc: gone at [140..150]", "renewed at [60..70]"],
    );
    // Not if the renewal was never acknowledged, or somebody ended it.
    let mut unsure = early.clone();
    unsure.renewals[1].acknowledged = false;
    check(&[unsure], BOUND).unwrap();
    let mut revoked = early;
    revoked.revoked = Some(130);
    check(&[revoked], BOUND).unwrap();
}

#[test]
fn a_lease_that_rises_again_is_seen() {
    // It was gone before a renewal that was acknowledged.
    let gone = run(&[(50, 55, false)]);
    objects(check(&[gone], BOUND), Property::Leases, &["gone at"]);
}

#[test]
fn a_lease_that_does_not_end_is_seen() {
    let endless = run(&[(671, 680, true)]);
    objects(
        check(std::slice::from_ref(&endless), BOUND),
        Property::Leases,
        &["alive at [671..680], after its end at 670"],
    );
    let mut renewed = endless;
    renewed.renewals.push(Renewal {
        invoked: 100,
        completed: 120,
        acknowledged: false,
    });
    check(std::slice::from_ref(&renewed), BOUND).unwrap();
    // Not by what came when it should have been gone.
    renewed.renewals[2].invoked = 671;
    renewed.renewals[2].completed = 675;
    objects(check(&[renewed], BOUND), Property::Leases, &["alive at"]);
}
