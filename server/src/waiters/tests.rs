use super::*;

#[test]
fn an_outcome_reaches_its_waiter_only() {
    let waiters = Waiters::default();
    let mut one = waiters.register(1);
    let mut two = waiters.register(17);
    waiters.complete(1, Ok(Applied::Empty));
    assert!(matches!(one.try_recv(), Ok(Ok(Applied::Empty))));
    assert!(two.try_recv().is_err());
    waiters.forget(17);
    waiters.complete(17, Ok(Applied::Empty));
    assert!(two.try_recv().is_err());
}

#[test]
fn a_stop_answers_everybody() {
    let waiters = Waiters::default();
    let mut all: Vec<_> = (0..40).map(|id| waiters.register(id)).collect();
    waiters.fail_all(RpcError::Stopped);
    let stopped = Status::from(RpcError::Stopped);
    assert!(
        all.iter_mut()
            .all(|r| r.try_recv().unwrap().unwrap_err() == stopped)
    );
}

#[tokio::test]
async fn an_outcome_beyond_the_quota_is_told_after_the_alarm() {
    let waiters = Waiters::default();
    let mut one = waiters.register(1);
    let refused = || Err(RpcError::NoSpace.into());
    waiters.complete_after_alarm(1, refused());
    // An entry that nobody here waits for has the alarm raised too.
    waiters.complete_after_alarm(2, refused());
    assert!(one.try_recv().is_err());
    let held = waiters.exceeded().await;
    assert_eq!(held.len(), 1);
    assert!(one.try_recv().is_err());
    held.into_iter().for_each(Held::tell);
    assert_eq!(
        one.try_recv().unwrap().unwrap_err(),
        RpcError::NoSpace.into()
    );

    // A stop answers these as well.
    let mut three = waiters.register(3);
    waiters.complete_after_alarm(3, refused());
    waiters.fail_all(RpcError::Stopped);
    assert_eq!(
        three.try_recv().unwrap().unwrap_err(),
        RpcError::Stopped.into()
    );
}
