use std::sync::Arc;
use std::time::Duration;

use super::*;

fn drain(mailbox: &Mailbox<u32>, take_outside: bool) -> (Vec<u32>, Vec<u32>) {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    mailbox.drain(
        &mut inside,
        &mut outside,
        if take_outside {
            Outside::Take
        } else {
            Outside::Leave
        },
        Some(Instant::now()),
    );
    (inside, outside)
}

#[test]
fn a_drain_takes_everything_in_order() {
    let mailbox = Mailbox::new(8);
    for i in 0..4 {
        mailbox.offer(i).unwrap();
        mailbox.push(10 + i);
    }
    assert_eq!(
        drain(&mailbox, true),
        (vec![10, 11, 12, 13], vec![0, 1, 2, 3])
    );
    assert_eq!(drain(&mailbox, true), (vec![], vec![]));
}

#[test]
fn outside_work_is_refused_when_full_and_inside_work_never() {
    let mailbox = Mailbox::new(2);
    mailbox.offer(1).unwrap();
    mailbox.offer(2).unwrap();
    assert_eq!(mailbox.offer(3), Err(Refused::Full));
    mailbox.push(4);
    assert_eq!(drain(&mailbox, false), (vec![4], vec![]));
    assert_eq!(drain(&mailbox, true), (vec![], vec![1, 2]));
}

#[test]
fn closing_hands_back_what_waited_and_refuses_more() {
    let mailbox = Mailbox::new(2);
    mailbox.offer(1).unwrap();
    mailbox.push(2);
    assert_eq!(mailbox.close(), vec![2, 1]);
    assert_eq!(mailbox.offer(3), Err(Refused::Closed));
    mailbox.push(5);
    assert_eq!(drain(&mailbox, true), (vec![], vec![]));
}

/// The sleeper has no deadline: the test ends only if the producer wakes it.
#[test]
fn a_sleeping_consumer_is_woken() {
    let mailbox = Arc::new(Mailbox::new(2));
    let consumer = std::thread::spawn({
        let mailbox = Arc::clone(&mailbox);
        move || {
            let (mut inside, mut outside) = (Vec::new(), Vec::new());
            mailbox.drain(&mut inside, &mut outside, Outside::Take, None);
            outside
        }
    });
    while !mailbox.lanes.lock().sleeping {
        std::thread::yield_now();
    }
    mailbox.offer(7).unwrap();
    assert_eq!(consumer.join().unwrap(), vec![7]);
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    let soon = Instant::now() + Duration::from_millis(1);
    mailbox.drain(&mut inside, &mut outside, Outside::Take, Some(soon));
    assert!(outside.is_empty());
}

/// The consumer sleeps until its deadline, or until something comes that does not wait; then it gets all.
#[test]
fn what_is_not_in_a_hurry_wakes_nobody_who_does_not_want_it() {
    let mailbox = Arc::new(Mailbox::new(8));
    let consumer = std::thread::spawn({
        let mailbox = Arc::clone(&mailbox);
        move || {
            let (mut inside, mut outside) = (Vec::new(), Vec::new());
            mailbox.drain(&mut inside, &mut outside, Outside::TakeUnhurried, None);
            outside
        }
    });
    while !mailbox.lanes.lock().sleeping {
        std::thread::yield_now();
    }
    mailbox.offer_unhurried(1).unwrap();
    mailbox.offer_unhurried(2).unwrap();
    assert!(mailbox.lanes.lock().sleeping, "it was not woken");
    mailbox.offer(3).unwrap();
    assert_eq!(consumer.join().unwrap(), [1, 2, 3]);

    let take = |wanted| {
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        mailbox.drain(&mut inside, &mut outside, wanted, Some(Instant::now()));
        outside
    };
    mailbox.offer_unhurried(4).unwrap();
    assert_eq!(take(Outside::Take), [4]);
    mailbox.offer_unhurried(5).unwrap();
    assert_eq!(take(Outside::TakeUnhurried), [5], "the deadline has passed");
}
