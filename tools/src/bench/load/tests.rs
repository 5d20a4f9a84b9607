use std::collections::BTreeSet;

use clap::Parser;

use super::super::args::Cli;
use super::*;

fn global() -> Global {
    Cli::parse_from(["varve-bench", "put"]).global
}

#[derive(Clone)]
struct Numbers {
    seen: Arc<Mutex<Vec<u64>>>,
}

impl Operation for Numbers {
    async fn call(&mut self, number: u64) -> Result<(), Status> {
        tokio::task::yield_now().await;
        self.seen.lock().push(number);
        if number % 10 == 3 {
            Err(Status::unavailable("every tenth"))
        } else {
            Ok(())
        }
    }
}

fn run<O: Operation>(load: Load, clients: Vec<O>) -> Recorder {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(load.run(clients)).unwrap()
}

#[test]
fn every_request_is_sent_once_and_counted_once() {
    for rate in [0, 50_000] {
        let client = Numbers {
            seen: Arc::default(),
        };
        let load = Load::new(&global(), 1005, rate).unwrap();
        let recorder = run(load, vec![client.clone(); 7]);
        let seen = client.seen.lock();
        assert_eq!(seen.len(), 1005);
        assert_eq!(
            seen.iter().copied().collect::<BTreeSet<_>>(),
            (0..1005).collect()
        );
        assert_eq!((recorder.succeeded(), recorder.failed()), (904, 101));
    }
}

#[test]
fn more_clients_than_requests_end_too() {
    let client = Numbers {
        seen: Arc::default(),
    };
    let recorder = run(Load::new(&global(), 2, 1000).unwrap(), vec![client; 20]);
    assert_eq!(recorder.succeeded(), 2);
}

#[test]
fn requests_are_due_evenly() {
    let pace = Pace {
        due: Semaphore::new(0),
        rate_per_second: 3,
    };
    assert_eq!(pace.due_after(0), Duration::ZERO);
    assert_eq!(pace.due_after(1), Duration::from_nanos(333_333_333));
    assert_eq!(pace.due_after(7), Duration::from_nanos(2_333_333_333));
    let fast = Pace {
        due: Semaphore::new(0),
        rate_per_second: 4_000_000_000,
    };
    assert_eq!(fast.due_after(u64::from(u32::MAX)).as_secs(), 1);
}

/// A server that stalls once, on its first request.
struct Stalls;

impl Operation for Stalls {
    async fn call(&mut self, number: u64) -> Result<(), Status> {
        if number == 0 {
            tokio::time::sleep(STALL).await;
        }
        Ok(())
    }
}

const STALL: Duration = Duration::from_millis(300);
/// What the histogram may round away.
const SLACK: Duration = Duration::from_millis(1);

#[test]
fn with_a_rate_a_stall_counts_for_every_request_it_delayed() {
    // 1000 per second: a stall of 300 ms delays some 300 requests, the k-th by 300 - k ms. A closed
    // loop would record one slow request and hide the rest. Only lower bounds on latencies follow
    // from the schedule, however slow this machine is.
    let recorder = run(Load::new(&global(), 250, 1000).unwrap(), vec![Stalls]);
    let due_last = Duration::from_millis(249);
    assert!(recorder.quantile(0.0) >= STALL.saturating_sub(due_last + SLACK));
    assert!(recorder.quantile(0.5) >= STALL.saturating_sub(Duration::from_millis(126) + SLACK));

    let closed = run(Load::new(&global(), 250, 0).unwrap(), vec![Stalls]);
    assert!(closed.quantile(0.0) < closed.quantile(1.0));
    assert!(closed.quantile(1.0) >= STALL.saturating_sub(SLACK));
}
