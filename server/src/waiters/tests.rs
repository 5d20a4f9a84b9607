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
