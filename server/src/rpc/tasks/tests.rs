use std::sync::atomic::AtomicUsize;

use tokio::sync::{Notify, oneshot};

use super::*;

/// Counts the wakes that reach the runtime.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection that runs `step` at every poll and never ends.
fn connection(mut step: impl FnMut(&mut Context<'_>) + Unpin) -> impl Future<Output = ()> + Unpin {
    poll_fn(move |cx| {
        step(cx);
        Poll::Pending
    })
}

fn poll_once<F: Future>(future: Pin<&mut F>, count: &Arc<Count>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(count));
    future.poll(&mut Context::from_waker(&waker))
}

/// The call's wake of the running connection makes a round; the runtime hears nothing of it.
#[test]
fn an_answer_given_at_once_wakes_nobody() {
    let tasks = StreamTasks::default();
    let mut running = tasks.clone().running();
    let polls = AtomicUsize::new(0);
    let mut conn = connection(|cx| {
        if polls.fetch_add(1, Ordering::Relaxed) == 0 {
            let waker = cx.waker().clone();
            tasks.execute(async move { waker.wake() });
        }
    });
    let count = Arc::new(Count::default());
    let mut both = Box::pin(running.beside(Pin::new(&mut conn)));
    assert!(poll_once(both.as_mut(), &count).is_pending());
    assert_eq!((polls.load(Ordering::Relaxed), count.get()), (2, 0));
}

#[test]
fn a_wake_while_resting_reaches_the_runtime() {
    let tasks = StreamTasks::default();
    let mut running = tasks.clone().running();
    let (answer, answered) = oneshot::channel();
    let notify = Arc::new(Notify::new());
    let waited = Arc::clone(&notify);
    tasks.execute(async move {
        waited.notified().await;
        answer.send(()).unwrap();
    });
    let mut conn = connection(|_| {});
    let count = Arc::new(Count::default());
    let mut both = Box::pin(running.beside(Pin::new(&mut conn)));
    assert!(poll_once(both.as_mut(), &count).is_pending());
    assert_eq!(count.get(), 0);
    notify.notify_one();
    assert_eq!(count.get(), 1);
    assert!(poll_once(both.as_mut(), &count).is_pending());
    answered.blocking_recv().unwrap();
}

/// One that always wakes itself gives way to others after some rounds.
#[test]
fn a_busy_connection_gives_way() {
    let mut running = StreamTasks::default().running();
    let mut polls = 0;
    let mut conn = connection(|cx| {
        polls += 1;
        cx.waker().wake_by_ref();
    });
    let count = Arc::new(Count::default());
    let mut both = Box::pin(running.beside(Pin::new(&mut conn)));
    assert!(poll_once(both.as_mut(), &count).is_pending());
    drop(both);
    drop(conn);
    assert_eq!((polls, count.get()), (ROUNDS, 1));
}

/// Threads wake at any moment; every wake is followed by a poll that sees what it announced.
#[test]
fn no_wake_is_lost_among_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let tasks = StreamTasks::default();
        let mut running = tasks.clone().running();
        let mut pings = Vec::new();
        for _ in 0..4 {
            let (ping, pong) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (pinged, ponging) = (Arc::clone(&ping), Arc::clone(&pong));
            tasks.execute(async move {
                loop {
                    pinged.notified().await;
                    ponging.notify_one();
                }
            });
            pings.push(async move {
                for _ in 0..5_000 {
                    ping.notify_one();
                    pong.notified().await;
                }
            });
        }
        let serving = tokio::spawn(async move {
            let mut conn = connection(|_| {});
            running.beside(Pin::new(&mut conn)).await;
        });
        // Ends only if every ping was heard.
        futures_util::future::join_all(pings).await;
        serving.abort();
    });
}
