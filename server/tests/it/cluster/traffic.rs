//! Clients of all kinds that go on through everything, and the judgement of what they saw.
//!
//! Writers, readers, transactions, watches that are resumed and leases run over all members at once.
//! Everything they ask and are told is recorded and, in the end, held against the whole history of the
//! store as a watch from its first revision tells it (`varve_sim::history`). Nobody else may write
//! meanwhile: a change that no client asked for is an objection.

mod client;
mod convert;
mod leasing;
mod watching;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tonic::transport::{Channel, Endpoint};
use varve_sim::history::lease::Renewal;
use varve_sim::history::{
    Call, Event, History, LeaseRun, Ledger, Operation, Span, Stamp, Summary, Watch,
};

use super::group::wait_for;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Clients per member; every third moves on to the next member when its own fails it.
    pub(crate) clients: u64,
    /// Keys that all of them share.
    pub(crate) keys: u64,
    /// What a client waits between two operations.
    pub(crate) pause: Duration,
    /// Length of values.
    pub(crate) value_bytes: usize,
    /// Whether there are leases, and how long one may last beyond its time when no leader changes.
    pub(crate) lease_bound: Option<Duration>,
    /// Whether watches ask for progress (etcd 3.5.1 tells it before the events it speaks of).
    pub(crate) progress: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            clients: 3,
            keys: 8,
            pause: Duration::from_millis(5),
            value_bytes: 16,
            lease_bound: Some(Duration::from_secs(15)),
            progress: true,
        }
    }
}

/// Clients under way.
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    thread: JoinHandle<(History, Ledger)>,
}

/// What the clients share.
struct Shared {
    plan: Plan,
    began: Instant,
    urls: Mutex<Vec<String>>,
    stopped: AtomicBool,
    paused: AtomicBool,
    /// Operations under way.
    busy: AtomicUsize,
    /// The last revision, once there will be no further.
    last: AtomicI64,
    leases: AtomicU64,
    /// When somebody first heard of a term: its leader gave every lease its whole time again.
    terms: Mutex<BTreeMap<u64, Stamp>>,
    /// Linearizable operations that a member answered.
    answered: Mutex<HashMap<String, u64>>,
    history: Mutex<History>,
}

impl Traffic {
    /// Starts clients of these members.
    pub(crate) fn start(urls: Vec<String>, plan: Plan) -> Self {
        let shared = Arc::new(Shared {
            plan,
            began: Instant::now(),
            urls: Mutex::new(urls),
            stopped: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            last: AtomicI64::new(0),
            leases: AtomicU64::new(0),
            terms: Mutex::default(),
            answered: Mutex::default(),
            history: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(run(own))
        });
        Self { shared, thread }
    }

    /// The members are these from now on.
    pub(crate) fn set_urls(&self, urls: Vec<String>) {
        *self.shared.urls.lock().unwrap() = urls;
    }

    /// Lets the operations that are under way end, and begins none until [`Self::go_on`].
    pub(crate) fn pause(&self) {
        self.shared.paused.store(true, Ordering::SeqCst);
        wait_for("the clients' pause", || {
            (self.shared.busy.load(Ordering::SeqCst) == 0).then_some(())
        });
    }

    pub(crate) fn go_on(&self) {
        self.shared.paused.store(false, Ordering::SeqCst);
    }

    /// Linearizable operations that these members have answered.
    pub(crate) fn answered(&self, urls: &[String]) -> u64 {
        let answered = self.shared.answered.lock().unwrap();
        urls.iter().filter_map(|url| answered.get(url)).sum()
    }

    /// Waits until each of these members has answered some linearizable operations more.
    #[track_caller]
    pub(crate) fn wait_progress(&self, urls: &[String]) {
        let count = |url: &String| self.answered(std::slice::from_ref(url));
        let before: Vec<u64> = urls.iter().map(count).collect();
        wait_for("answers of members", || {
            let ended = self.thread.is_finished();
            let mut now = urls.iter().map(count).zip(&before);
            (ended || now.all(|(now, before)| now >= before + 5)).then_some(())
        });
    }

    /// Ends the clients, whose members must serve again by now, and judges what they saw.
    #[track_caller]
    pub(crate) fn finish(self) -> Summary {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let (history, ledger) = self.thread.join().unwrap();
        match history.check(&ledger) {
            Ok(summary) => {
                let gap = longest_gap(&history);
                eprintln!("{summary}; longest time without an acknowledged write {gap:?}");
                assert!(summary.writes > 0 && summary.reads > 0 && summary.events > 0);
                summary
            }
            Err(violation) => panic!("{violation}"),
        }
    }
}

#[test]
fn a_write_of_somebody_else_is_objected_to() {
    let mut group = match super::group::Group::new(vec![super::group::varve("3.6")]) {
        Ok(group) => group,
        Err(reason) => return crate::harness::skipped("a_write_of_somebody_else", &reason),
    };
    group.start_all();
    let traffic = Traffic::start(group.urls(), Plan::default());
    traffic.wait_progress(&group.urls());
    group.ctl(&[0], &["put", "h/k0", "not of the traffic"]);
    traffic.shared.stopped.store(true, Ordering::SeqCst);
    let (history, ledger) = traffic.thread.join().unwrap();
    let violation = history.check(&ledger).unwrap_err();
    assert_eq!(violation.property, varve_sim::Property::Provenance);
    assert!(
        violation.what.contains("h/k0=not of the traffic"),
        "{violation}"
    );
}

/// The longest time between two acknowledgements of writes.
fn longest_gap(history: &History) -> Duration {
    let writes = history.operations.iter().filter(|o| o.changed());
    let mut instants: Vec<Stamp> = writes.map(|o| o.completed).collect();
    instants.sort_unstable();
    let gaps = instants.windows(2).map(|pair| pair[1] - pair[0]);
    Duration::from_nanos(gaps.max().unwrap_or_default())
}

/// All clients' lives, and what they recorded.
async fn run(shared: Arc<Shared>) -> (History, Ledger) {
    let members = shared.urls.lock().unwrap().len() as u64;
    let spawn_each = |count: u64| 0..count * members;
    let clients: Vec<_> = spawn_each(shared.plan.clients)
        .map(|n| tokio::spawn(client::run(n, Arc::clone(&shared))))
        .collect();
    let leases: Vec<_> = spawn_each(u64::from(shared.plan.lease_bound.is_some()))
        .map(|n| tokio::spawn(leasing::run(n, Arc::clone(&shared))))
        .collect();
    let watchers: Vec<_> = spawn_each(1 + u64::from(shared.plan.progress))
        .map(|n| tokio::spawn(watching::run(n, n >= members, Arc::clone(&shared))))
        .collect();
    for task in join_all(clients.into_iter().chain(leases)).await {
        task.unwrap();
    }
    // No further change is under way but those whose client gave up: the watchers tell of them too.
    let urls = shared.urls.lock().unwrap().clone();
    let last = client::last_revision(&urls[0], &shared).await;
    shared.last.store(last, Ordering::SeqCst);
    for task in join_all(watchers).await {
        task.unwrap();
    }
    let last = client::last_revision(&urls[0], &shared).await;
    shared.last.store(last, Ordering::SeqCst);
    let whole = watching::whole(&urls[0], last, &shared).await;
    let events = whole.batches.iter().flat_map(|batch| &batch.notices);
    let events: Vec<Event> = events.map(|notice| notice.event.clone()).collect();
    let ledger = Ledger::new(events).unwrap_or_else(|violation| panic!("{violation}"));
    // Every member has the same, now.
    for url in &urls {
        client::read_all(url, last, &shared).await;
    }
    shared.history.lock().unwrap().watches.push(whole);
    let mut history = std::mem::take(&mut *shared.history.lock().unwrap());
    for lease in &mut history.leases {
        let terms = shared.terms.lock().unwrap();
        let granted = lease.renewals[0].invoked;
        let later = terms.values().filter(|&&at| at >= granted);
        lease.renewals.extend(later.map(|&at| Renewal {
            invoked: at,
            completed: at,
            acknowledged: false,
        }));
    }
    history.lease_bound = shared
        .plan
        .lease_bound
        .map_or(0, |bound| u64::try_from(bound.as_nanos()).unwrap());
    (history, ledger)
}

impl Shared {
    /// Nanoseconds since the beginning.
    fn now(&self) -> Stamp {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn last(&self) -> i64 {
        self.last.load(Ordering::SeqCst)
    }

    /// A member, by a number of any size.
    fn url(&self, n: u64) -> String {
        let urls = self.urls.lock().unwrap();
        urls[usize::try_from(n).unwrap() % urls.len()].clone()
    }

    /// Waits while the clients pause.
    async fn turn(&self) {
        while self.paused.load(Ordering::SeqCst) && !self.is_stopped() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn record(&self, url: &str, operation: Operation) {
        if operation.answer().is_some() && !operation.call.is_stale() {
            let mut answered = self.answered.lock().unwrap();
            *answered.entry(url.to_owned()).or_default() += 1;
        }
        self.history.lock().unwrap().operations.push(operation);
    }

    fn record_watch(&self, watch: Watch) {
        self.history.lock().unwrap().watches.push(watch);
    }

    fn record_lease(&self, lease: LeaseRun) {
        self.history.lock().unwrap().leases.push(lease);
    }
}

/// A read of everything as of now.
fn everything() -> Call {
    Call::Range {
        span: Span::Prefix(bytes::Bytes::new()),
        serializable: false,
        at: 0,
    }
}

/// A connection, or nothing if there is none to be had soon.
async fn connect(url: &str) -> Option<Channel> {
    Endpoint::from_shared(url.to_owned())
        .unwrap()
        .connect_timeout(Duration::from_millis(500))
        .timeout(PATIENCE)
        .connect()
        .await
        .ok()
}
