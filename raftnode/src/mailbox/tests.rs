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
        mailbox.offer(i, Announce::Now).unwrap();
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
    mailbox.offer(1, Announce::Now).unwrap();
    mailbox.offer(2, Announce::Now).unwrap();
    assert_eq!(mailbox.offer(3, Announce::Now), Err(Refused::Full));
    mailbox.push(4);
    assert_eq!(drain(&mailbox, false), (vec![4], vec![]));
    assert_eq!(drain(&mailbox, true), (vec![], vec![1, 2]));
}

#[test]
fn closing_hands_back_what_waited_and_refuses_more() {
    let mailbox = Mailbox::new(2);
    mailbox.offer(1, Announce::Now).unwrap();
    mailbox.push(2);
    assert_eq!(mailbox.close(), vec![2, 1]);
    assert_eq!(mailbox.offer(3, Announce::Now), Err(Refused::Closed));
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
    mailbox.offer(7, Announce::Now).unwrap();
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
    mailbox.offer_unhurried(1, Announce::Now).unwrap();
    mailbox.offer_unhurried(2, Announce::Now).unwrap();
    assert!(mailbox.lanes.lock().sleeping, "it was not woken");
    mailbox.offer(3, Announce::Now).unwrap();
    assert_eq!(consumer.join().unwrap(), [1, 2, 3]);

    let take = |wanted| {
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        mailbox.drain(&mut inside, &mut outside, wanted, Some(Instant::now()));
        outside
    };
    mailbox.offer_unhurried(4, Announce::Now).unwrap();
    assert_eq!(take(Outside::Take), [4]);
    mailbox.offer_unhurried(5, Announce::Now).unwrap();
    assert_eq!(take(Outside::TakeUnhurried), [5], "the deadline has passed");
}

/// The sleeper has no deadline. What its producer will look after itself leaves it alone, until that is much.
#[test]
fn what_is_announced_later_wakes_the_consumer_only_when_it_is_much() {
    let mailbox = Arc::new(Mailbox::new(2 * UNANNOUNCED));
    let consumer = std::thread::spawn({
        let mailbox = Arc::clone(&mailbox);
        move || mailbox.wait(None)
    });
    while !mailbox.lanes.lock().sleeping {
        std::thread::yield_now();
    }
    for i in 1..UNANNOUNCED {
        mailbox.offer(i, Announce::Later).unwrap();
    }
    assert!(mailbox.lanes.lock().sleeping, "it was not woken");
    assert!(mailbox.is_wanted());
    mailbox.offer(UNANNOUNCED, Announce::Later).unwrap();
    consumer.join().unwrap();
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    mailbox.take(&mut inside, &mut outside, true);
    assert_eq!(outside.len(), UNANNOUNCED);
    mailbox.offer(0, Announce::Later).unwrap();
    assert_eq!(mailbox.lanes.lock().unannounced, 1, "it is counted anew");
}

/// Neither wait has a deadline: the first is ended by a nudge that came before it.
#[test]
fn a_nudge_ends_one_wait_and_wanted_work_any() {
    let mailbox = Mailbox::new(4);
    mailbox.nudge();
    mailbox.wait(None);
    mailbox.offer_unhurried(1, Announce::Now).unwrap();
    assert!(!mailbox.want(Outside::TakeUnhurried));
    assert!(!mailbox.want(Outside::Leave));
    let soon = Instant::now() + Duration::from_millis(1);
    mailbox.wait(Some(soon));
    assert!(Instant::now() >= soon, "nothing that waits is wanted");
    assert!(mailbox.want(Outside::Take));
    mailbox.wait(None);
    assert_eq!(mailbox.waiting(), (0, 1), "it takes nothing");
}
