//! Clusters whose members' links are cut, slow or lossy, while clients write and watch.
//!
//! Each member's peer URL is a link in front of it. What a member says it is tells the link whose
//! connections to disturb, so that any pair can be cut, one way or both.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tonic::transport::Endpoint;
use varve_proto::etcdserverpb::watch_client::WatchClient;
use varve_proto::etcdserverpb::watch_request::RequestUnion;
use varve_proto::etcdserverpb::{WatchCreateRequest, WatchRequest};

use super::group::{Group, Seat, varve, wait_for};
use super::load::{Load, assert_kept};
use super::long;
use super::proxy::{Faults, Proxy};
use crate::harness::skipped;

/// Members and the links to them.
struct Disturbed {
    group: Group,
    links: Vec<Proxy>,
    ids: Vec<u64>,
    /// `blocked[a][b]`: nothing that `a` says gets to `b`.
    blocked: Vec<Vec<bool>>,
}

impl Disturbed {
    fn start(members: usize) -> Result<Self, String> {
        let mut group = Group::new((0..members).map(|_| varve("3.6")).collect())?;
        let mut links = Vec::new();
        for seat in &mut group.seats {
            let behind = format!("{}:2381", seat.address);
            // The last one of a flag counts.
            seat.flags = vec![format!("--listen-peer-urls=http://{behind}")];
            let listener = TcpListener::bind((seat.address, 2380)).unwrap();
            links.push(Proxy::at(listener, behind.parse().unwrap()));
        }
        group.start_all();
        let id = |seat| u64::from_str_radix(&group.id(0, seat), 16).unwrap();
        Ok(Self {
            ids: (0..members).map(id).collect(),
            group,
            links,
            blocked: vec![vec![false; members]; members],
        })
    }

    fn urls(&self) -> Vec<String> {
        self.group.seats.iter().map(Seat::client_url).collect()
    }

    fn all(&self) -> std::ops::Range<usize> {
        0..self.ids.len()
    }

    fn apply(&self) {
        for target in self.all() {
            for dialler in self.all() {
                let faults = Faults {
                    cut_to_target: self.blocked[dialler][target],
                    cut_from_target: self.blocked[target][dialler],
                    ..Faults::default()
                };
                self.links[target].set_from(self.ids[dialler], faults);
            }
        }
    }

    /// Cuts what `a` says to `b`, and nothing else.
    fn cut_one_way(&mut self, a: usize, b: usize) {
        self.blocked[a][b] = true;
        self.apply();
    }

    /// Cuts these off from all others.
    fn isolate(&mut self, some: &[usize]) {
        for a in self.all() {
            for b in self.all() {
                self.blocked[a][b] = some.contains(&a) != some.contains(&b);
            }
        }
        self.apply();
    }

    fn heal(&mut self) {
        self.blocked.iter_mut().for_each(|row| row.fill(false));
        self.links.iter().for_each(Proxy::heal);
    }

    /// A leader among these.
    fn leader_of(&self, seats: &[usize]) -> usize {
        wait_for("a leader among some", || {
            seats.iter().copied().find(|&seat| {
                let output = self.group.try_ctl(&[seat], &["endpoint", "status"]);
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                text.split(", ").nth(4) == Some("true")
            })
        })
    }

    /// The end of a test: everybody agrees, nothing acknowledged is lost, and watchers saw it all.
    fn finish(self, load: Load, watchers: Vec<Watcher>) {
        let all: Vec<usize> = self.all().collect();
        for &seat in &all {
            let key = format!("load/last/{seat}");
            self.group.ctl_at_last(&[seat], &["put", &key, "0"]);
        }
        let written = load.finish();
        let acknowledged: usize = written.iter().map(|w| w.acknowledged.len()).sum();
        assert!(acknowledged > 0);
        self.group.equal_hashes();
        let json = self.group.ctl(&[0], &["get", "none", "-w", "json"]);
        let last = super::group::field(&json, "revision").unwrap();
        for url in self.urls() {
            assert_kept(&url, &written);
        }
        for watcher in watchers {
            watcher.finish(i64::try_from(last).unwrap());
        }
        self.group.assert_no_damage();
    }
}

/// Somebody who watches one member from the beginning, and goes on where it was after every failure.
struct Watcher {
    reach: Arc<std::sync::atomic::AtomicI64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watcher {
    fn start(url: String) -> Self {
        let reach = Arc::new(std::sync::atomic::AtomicI64::new(1));
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, stopped) = (Arc::clone(&reach), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                while !stopped.load(Ordering::SeqCst) {
                    // An error says nothing: what counts is that nothing is missing in the end.
                    drop(watch(&url, &seen, &stopped).await);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        });
        Self {
            reach,
            stop,
            thread,
        }
    }

    /// Waits until it has seen everything up to a revision.
    fn finish(self, last: i64) {
        wait_for("a watcher", || {
            let ended = self.thread.is_finished();
            (ended || self.reach.load(Ordering::SeqCst) >= last).then_some(())
        });
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
    }
}

/// Every change of the store is one put, so that the revisions that come are one after the other.
async fn watch(
    url: &str,
    reach: &std::sync::atomic::AtomicI64,
    stop: &AtomicBool,
) -> Result<(), Box<dyn std::error::Error>> {
    let channel = Endpoint::from_shared(url.to_owned())?
        .connect_timeout(Duration::from_secs(1))
        .connect()
        .await?;
    let create = WatchCreateRequest {
        key: b"\0".as_slice().into(),
        range_end: b"\0".as_slice().into(),
        start_revision: reach.load(Ordering::SeqCst) + 1,
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    let (requests, receiver) = tokio::sync::mpsc::channel(1);
    requests.send(request).await?;
    let requests_stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut responses = WatchClient::new(channel)
        .watch(requests_stream)
        .await?
        .into_inner();
    while !stop.load(Ordering::SeqCst) {
        let next = tokio::time::timeout(Duration::from_millis(200), responses.message()).await;
        let Ok(response) = next else { continue };
        let response = response?.ok_or("the stream ended")?;
        assert!(!response.canceled, "{response:?}");
        for event in &response.events {
            let revision = event.kv.as_ref().unwrap().mod_revision;
            let expected = reach.load(Ordering::SeqCst) + 1;
            assert_eq!(
                revision, expected,
                "{url}: a gap, a repetition or a disorder"
            );
            reach.store(revision, Ordering::SeqCst);
        }
    }
    Ok(())
}

fn watchers(disturbed: &Disturbed) -> Vec<Watcher> {
    disturbed.urls().into_iter().map(Watcher::start).collect()
}

#[test]
fn a_partitioned_cluster_goes_on_with_its_majority_and_comes_together_again() {
    let mut disturbed = match Disturbed::start(3) {
        Ok(disturbed) => disturbed,
        Err(reason) => return skipped("a_partitioned_cluster", &reason),
    };
    let load = Load::start(4, disturbed.urls());
    let watchers = watchers(&disturbed);
    for _ in 0..if long() { 10 } else { 1 } {
        // The leader alone: the others elect one and go on, it acknowledges nothing.
        let old = disturbed.group.leader();
        let others: Vec<usize> = disturbed.all().filter(|&seat| seat != old).collect();
        disturbed.isolate(&[old]);
        let new = disturbed.leader_of(&others);
        disturbed
            .group
            .ctl_at_last(&[new], &["put", "load/partition", "1"]);
        let refused = disturbed
            .group
            .ctl_fails(&[old], &["--command-timeout=3s", "get", "k"]);
        assert!(!refused.is_empty());
        disturbed.heal();
        disturbed.group.ctl_at_last(&[old], &["get", "k"]);

        // A follower alone: nobody notices, and it does not disturb the leader when it is back.
        let leader = disturbed.group.leader();
        disturbed.isolate(&[(leader + 1) % 3]);
        disturbed
            .group
            .ctl(&[leader], &["put", "load/partition", "2"]);
        std::thread::sleep(Duration::from_secs(3));
        disturbed.heal();
        disturbed
            .group
            .ctl_at_last(&[(leader + 1) % 3], &["get", "k"]);
        assert_eq!(disturbed.group.leader(), leader);
    }
    disturbed.finish(load, watchers);
}

#[test]
fn a_cluster_recovers_from_one_way_cuts() {
    let mut disturbed = match Disturbed::start(3) {
        Ok(disturbed) => disturbed,
        Err(reason) => return skipped("a_cluster_recovers_from_one_way_cuts", &reason),
    };
    let load = Load::start(4, disturbed.urls());
    let watchers = watchers(&disturbed);
    for round in 0..if long() { 12 } else { 2 } {
        let leader = disturbed.group.leader();
        let follower = (leader + 1 + round / 2 % 2) % 3;
        // Its followers do not hear the leader; or it does not hear one of them.
        let (from, to) = if round % 2 == 0 {
            (leader, follower)
        } else {
            (follower, leader)
        };
        disturbed.cut_one_way(from, to);
        std::thread::sleep(Duration::from_secs(4));
        // With two of three that hear each other there is somebody who leads.
        let third = 3 - leader - follower;
        disturbed
            .group
            .ctl_at_last(&[third], &["put", "load/cut", "1"]);
        disturbed.heal();
        for seat in disturbed.all() {
            disturbed.group.ctl_at_last(&[seat], &["get", "k"]);
        }
    }
    disturbed.finish(load, watchers);
}

#[test]
fn a_cluster_works_over_slow_and_lossy_links() {
    let mut disturbed = match Disturbed::start(3) {
        Ok(disturbed) => disturbed,
        Err(reason) => return skipped("a_cluster_works_over_slow_and_lossy_links", &reason),
    };
    let load = Load::start(4, disturbed.urls());
    let watchers = watchers(&disturbed);
    let faults = [
        Faults {
            delay: Duration::from_millis(100),
            ..Faults::default()
        },
        Faults {
            loss_percent: 30,
            ..Faults::default()
        },
        Faults {
            bandwidth: Some(256 << 10),
            ..Faults::default()
        },
    ];
    for faults in faults {
        disturbed.links.iter().for_each(|link| link.set(faults));
        std::thread::sleep(Duration::from_secs(if long() { 60 } else { 3 }));
        disturbed
            .group
            .ctl_at_last(&[0], &["put", "load/slow", "1"]);
        disturbed.heal();
    }
    // Connections that break all the time.
    for _ in 0..if long() { 300 } else { 10 } {
        disturbed.links.iter().for_each(Proxy::break_connections);
        std::thread::sleep(Duration::from_millis(200));
    }
    disturbed.finish(load, watchers);
}
