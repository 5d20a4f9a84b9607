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
