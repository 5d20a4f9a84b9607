use proptest::prelude::*;

use super::term::RETRY_MS;
use super::*;
use crate::clock::ManualClock;

struct Bench {
    clock: Arc<ManualClock>,
    lessor: Lessor,
}

fn bench() -> Bench {
    let clock = Arc::new(ManualClock::new());
    let lessor = Lessor::new(&StoreOptions {
        clock: Arc::<ManualClock>::clone(&clock),
        lease_checkpoint_persist: true,
        ..StoreOptions::default()
    });
    Bench { clock, lessor }
}

fn primary() -> Bench {
    let bench = bench();
    bench.lessor.promote(Duration::ZERO);
    bench
}

#[test]
fn a_grant_is_checked_as_etcd_checks_it() {
    let Bench { lessor, .. } = bench();
    assert_eq!(lessor.check_grant(1, -5).unwrap(), 2);
    assert_eq!(lessor.check_grant(1, 60).unwrap(), 60);
    assert_eq!(
        lessor.check_grant(1, MAX_LEASE_TTL_SECONDS).unwrap(),
        MAX_LEASE_TTL_SECONDS
    );
    let refused = |id, ttl| lessor.check_grant(id, ttl).unwrap_err().to_string();
    assert_eq!(refused(0, 60), "requested lease not found");
    assert_eq!(refused(1, MAX_LEASE_TTL_SECONDS + 1), "too large lease TTL");
    lessor.grant(1, 60);
    assert_eq!(refused(1, 60), "lease already exists");
}

#[test]
fn a_lease_expires_when_its_time_is_over_and_is_offered_again_after_the_retry_time() {
    let Bench { clock, lessor } = primary();
    lessor.grant(1, 10);
    lessor.grant(2, 5);
    assert_eq!(lessor.leases(), [2, 1]);
    clock.advance_ms(4_999);
    assert!(lessor.expired(10).is_empty());
    assert_eq!(lessor.next_deadline(), Some(5_000));
    clock.advance_ms(5_001);
    assert_eq!(lessor.expired(1), [2]);
    assert_eq!(lessor.expired(10), [1]);
    assert!(lessor.expired(10).is_empty());
    clock.advance_ms(RETRY_MS);
    assert_eq!(lessor.expired(10), [1, 2]);
    lessor.revoke(1).unwrap();
    clock.advance_ms(RETRY_MS);
    assert_eq!(lessor.expired(10), [2]);
}

#[test]
fn a_renewed_lease_lives_its_full_time_from_then_on() {
    let Bench { clock, lessor } = primary();
    lessor.grant(1, 10);
    for _ in 0..5 {
        clock.advance_ms(9_000);
        assert_eq!(lessor.renew(1).unwrap(), 10);
        assert!(lessor.expired(10).is_empty());
    }
    assert_eq!(lessor.time_to_live(1).unwrap().remaining_ttl, 10);
    clock.advance_ms(9_999);
    assert_eq!(lessor.time_to_live(1).unwrap().remaining_ttl, 0);
    assert!(lessor.expired(10).is_empty());
    clock.advance_ms(1);
    assert!(matches!(lessor.renew(1), Err(Error::LeaseNotFound)));
    assert_eq!(lessor.expired(10), [1]);
    assert!(matches!(lessor.renew(7), Err(Error::LeaseNotFound)));
}

#[test]
fn nothing_expires_and_nothing_renews_while_another_member_leads() {
    let Bench { clock, lessor } = bench();
    lessor.grant(1, 10);
    clock.advance_ms(1_000_000);
    assert!(lessor.expired(10).is_empty());
    assert!(matches!(lessor.renew(1), Err(Error::NotPrimary)));
    assert_eq!(lessor.time_to_live(1).unwrap().remaining_ttl, 10);
    lessor.promote(Duration::from_secs(1));
    assert_eq!(lessor.time_to_live(1).unwrap().remaining_ttl, 11);
    clock.advance_ms(11_000);
    assert_eq!(lessor.expired(10), [1]);
    lessor.demote();
    clock.advance_ms(1_000_000);
    assert!(lessor.expired(10).is_empty());
    assert_eq!(lessor.next_deadline(), None);
}

#[test]
fn a_lease_of_a_reused_id_does_not_inherit_deadlines() {
    let Bench { clock, lessor } = primary();
    lessor.grant(1, 5);
    lessor.revoke(1).unwrap();
    lessor.grant(1, 100);
    clock.advance_ms(50_000);
    assert!(lessor.expired(10).is_empty());
    clock.advance_ms(50_000);
    assert_eq!(lessor.expired(10), [1]);
}

#[test]
fn expiries_that_pile_up_after_a_change_of_leader_are_spread_over_seconds() {
    let Bench { clock, lessor } = bench();
    for id in 1..=2_000 {
        lessor.grant(id, 10);
    }
    lessor.promote(Duration::ZERO);
    clock.advance_ms(10_000);
    let mut per_second = Vec::new();
    for _ in 0..3 {
        per_second.push(lessor.expired(usize::MAX).len());
        clock.advance_ms(1_000);
    }
    assert_eq!(per_second, [750, 750, 500]);
}

#[test]
fn a_key_hangs_on_one_lease_at_a_time() {
    let Bench { lessor, .. } = bench();
    lessor.grant(1, 10);
    lessor.grant(2, 10);
    lessor.attach(b"b", 1).unwrap();
    lessor.attach(b"a", 1).unwrap();
    lessor.attach(b"b", 2).unwrap();
    assert!(matches!(lessor.attach(b"a", 3), Err(Error::LeaseNotFound)));
    let keys = |id| lessor.time_to_live(id).unwrap().keys;
    assert_eq!(keys(1), [Bytes::from_static(b"a")]);
    assert_eq!(keys(2), [Bytes::from_static(b"b")]);
    assert_eq!(lessor.lease_of(b"a"), Some(1));
    lessor.attach(b"b", 1).unwrap();
    assert_eq!(
        lessor.revoke(1).unwrap(),
        [Bytes::from_static(b"a"), Bytes::from_static(b"b")]
    );
    assert_eq!(lessor.lease_of(b"a"), None);
    assert_eq!(keys(2), [] as [Bytes; 0]);
    assert!(matches!(lessor.revoke(1), Err(Error::LeaseNotFound)));
}

#[test]
fn a_checkpointed_lease_resumes_with_what_was_left() {
    let Bench { clock, lessor } = primary();
    lessor.grant(1, 1000);
    lessor.grant(2, 100);
    assert!(lessor.due_checkpoints(10).is_empty());
    clock.advance_ms(300_000);
    let due = lessor.due_checkpoints(10);
    assert_eq!(
        due,
        [LeaseCheckpoint {
            id: 1,
            remaining_ttl: 700
        }]
    );
    assert_eq!(lessor.checkpoint(1, 700), Some(1000));
    assert_eq!(lessor.checkpoint(9, 700), None);
    assert!(lessor.due_checkpoints(10).is_empty());
    lessor.demote();
    lessor.promote(Duration::ZERO);
    assert_eq!(lessor.time_to_live(1).unwrap().remaining_ttl, 700);
    lessor.set_checkpoint_persist(false);
    assert_eq!(lessor.checkpoint(1, 650), None);
}

#[test]
fn a_renewal_makes_a_checkpoint_void() {
    let Bench { lessor, .. } = primary();
    lessor.grant(1, 1000);
    lessor.checkpoint(1, 700);
    lessor.renew(1).unwrap();
    let cleared = LeaseCheckpoint {
        id: 1,
        remaining_ttl: 0,
    };
    assert_eq!(lessor.due_checkpoints(10), [cleared]);
    assert!(lessor.due_checkpoints(10).is_empty());
}

#[test]
fn a_promotion_looks_at_no_lease_and_time_only_at_those_that_are_due() {
    let Bench { clock, lessor } = bench();
    for id in 1..=10_000 {
        lessor.grant(id, 400 + id);
    }
    lessor.promote(Duration::from_secs(1));
    let touched = || {
        let state = lessor.state.lock();
        state.leases.values().filter(|l| l.own.is_some()).count()
    };
    assert_eq!(touched(), 0);
    assert_eq!(lessor.next_deadline(), Some(402_000));
    clock.advance_ms(403_500);
    assert_eq!(lessor.expired(10), [1, 2]);
    assert_eq!(touched(), 2);
    lessor.renew(5_000).unwrap();
    assert_eq!(touched(), 3);
    lessor.demote();
    assert_eq!(lessor.time_to_live(5_000).unwrap().remaining_ttl, 5_400);
    lessor.promote(Duration::ZERO);
    assert_eq!(lessor.next_deadline(), Some(403_500 + 401_000));
}

#[test]
fn an_inherited_lease_that_is_held_back_can_still_be_renewed() {
    let Bench { clock, lessor } = bench();
    for id in 1..=800 {
        lessor.grant(id, 10);
    }
    lessor.promote(Duration::ZERO);
    clock.advance_ms(10_000);
    assert_eq!(lessor.expired(usize::MAX).len(), 750);
    assert!(lessor.renew(1).is_err());
    assert_eq!(lessor.renew(800).unwrap(), 10);
    assert_eq!(lessor.expired(usize::MAX), [] as [i64; 0]);
    assert_eq!(lessor.next_deadline(), Some(11_000));
    clock.advance_ms(1_000);
    assert_eq!(lessor.expired(usize::MAX).len(), 49);
}

/// A lease with everything worked out at once: what the walks and heaps amount to.
#[derive(Clone, Debug)]
struct Plain {
    ttl: i64,
    remaining: i64,
    expiry: u64,
    offer: u64,
    checkpoint: Option<u64>,
}

const INTERVAL: u64 = 300_000;

impl Plain {
    fn start(&mut self, now: u64, extend: u64) {
        let seconds = if self.remaining > 0 {
            self.remaining
        } else {
            self.ttl
        };
        self.expiry = now + extend + ms(seconds);
        self.offer = self.expiry;
        self.checkpoint = (self.expiry - now > INTERVAL).then_some(now + INTERVAL);
    }

    fn due_checkpoint(&mut self, now: u64) -> Option<i64> {
        if self.checkpoint? > now {
            return None;
        }
        self.checkpoint = None;
        let left = self.expiry.checked_sub(now).filter(|left| *left > 0)?;
        if left > INTERVAL {
            self.checkpoint = Some(now + INTERVAL);
        }
        let remaining = seconds(left + 999);
        (remaining < self.ttl && left + INTERVAL / 2 < ms(self.ttl)).then_some(remaining)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Grant(i64, i64),
    Revoke(i64),
    Renew(i64),
    Checkpoint(i64, i64),
    Promote(u64),
    Demote,
    Advance(u64),
    Checkpoints,
}

fn step() -> impl Strategy<Value = Step> {
    let id = 1i64..12;
    let time = prop_oneof![2i64..20, 100i64..2_000];
    prop_oneof![
        6 => (id.clone(), time.clone()).prop_map(|(id, ttl)| Step::Grant(id, ttl)),
        2 => id.clone().prop_map(Step::Revoke),
        6 => id.clone().prop_map(Step::Renew),
        3 => (id, 0i64..400).prop_map(|(id, left)| Step::Checkpoint(id, left)),
        1 => prop_oneof![Just(0), 1_000u64..400_000].prop_map(Step::Promote),
        1 => Just(Step::Demote),
        6 => prop_oneof![0u64..10_000, 0u64..400_000].prop_map(Step::Advance),
        4 => Just(Step::Checkpoints),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_lessor_is_one_that_works_everything_out_at_once(
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let Bench { clock, lessor } = bench();
        let mut plain: BTreeMap<i64, Plain> = BTreeMap::new();
        let mut cleared = BTreeSet::new();
        let mut primary = false;
        for step in steps {
            let now = clock.now_ms();
            match step {
                Step::Grant(id, ttl) => {
                    if lessor.check_grant(id, ttl).is_ok() {
                        lessor.grant(id, ttl);
                        let mut lease = Plain {
                            ttl, remaining: 0, expiry: 0, offer: 0, checkpoint: None,
                        };
                        lease.start(now, 0);
                        prop_assert!(plain.insert(id, lease).is_none());
                    } else {
                        prop_assert!(plain.contains_key(&id));
                    }
                }
                Step::Revoke(id) => {
                    prop_assert_eq!(lessor.revoke(id).is_ok(), plain.remove(&id).is_some());
                    cleared.remove(&id);
                }
                Step::Renew(id) => {
                    let lease = plain.get_mut(&id).filter(|lease| primary && lease.expiry > now);
                    let renewed = lessor.renew(id).ok();
                    prop_assert_eq!(renewed, lease.as_ref().map(|lease| lease.ttl));
                    if let Some(lease) = lease {
                        lease.expiry = now + ms(lease.ttl);
                        lease.offer = lease.expiry;
                        if lease.remaining > 0 {
                            lease.remaining = 0;
                            cleared.insert(id);
                        }
                    }
                }
                Step::Checkpoint(id, left) => {
                    let lease = plain.get_mut(&id);
                    let stored = lessor.checkpoint(id, left);
                    prop_assert_eq!(stored, lease.as_ref().map(|lease| lease.ttl));
                    if let Some(lease) = lease {
                        lease.remaining = left;
                    }
                }
                Step::Promote(extend) => {
                    lessor.promote(Duration::from_millis(extend));
                    primary = true;
                    for lease in plain.values_mut() {
                        lease.start(now, extend);
                    }
                }
                Step::Demote => {
                    lessor.demote();
                    primary = false;
                    cleared.clear();
                }
                Step::Advance(by) => clock.advance_ms(by),
                Step::Checkpoints if primary => {
                    let mut want: Vec<_> = std::mem::take(&mut cleared)
                        .into_iter()
                        .map(|id| (id, 0))
                        .collect();
                    for (id, lease) in &mut plain {
                        want.extend(lease.due_checkpoint(now).map(|left| (*id, left)));
                    }
                    let got = lessor.due_checkpoints(1000);
                    let mut got: Vec<_> = got.iter().map(|c| (c.id, c.remaining_ttl)).collect();
                    want.sort_unstable();
                    got.sort_unstable();
                    prop_assert_eq!(got, want);
                }
                Step::Checkpoints => prop_assert!(lessor.due_checkpoints(1000).is_empty()),
            }
            let now = clock.now_ms();
            let mut want = Vec::new();
            if primary {
                let next = plain.values().map(|lease| lease.offer).min();
                let told = lessor.next_deadline();
                // An entry from before a renewal may come up early, never late.
                prop_assert!(next.is_none() || told <= next, "{:?} {:?}", told, next);
                for (id, lease) in plain.iter_mut().filter(|(_, lease)| lease.offer <= now) {
                    lease.offer = now + RETRY_MS;
                    want.push(*id);
                }
            }
            let mut got = lessor.expired(usize::MAX);
            got.sort_unstable();
            prop_assert_eq!(got, want);
            for (id, lease) in &plain {
                let seconds_left = if primary {
                    seconds(lease.expiry.saturating_sub(now))
                } else if lease.remaining > 0 {
                    lease.remaining
                } else {
                    lease.ttl
                };
                prop_assert_eq!(lessor.time_to_live(*id).unwrap().remaining_ttl, seconds_left);
            }
        }
    }
}
