//! Properties of the connections' bookkeeping.
use std::time::Duration;

use varve_raftnode::membership::Member;

use super::*;

#[derive(Default)]
struct Recorded {
    calls: Mutex<Vec<String>>,
    active: Mutex<BTreeMap<u64, Instant>>,
}

impl Links for Recorded {
    fn add(&self, id: u64, urls: &[String]) {
        self.calls
            .lock()
            .push(format!("add {id} {}", urls.join(",")));
    }

    fn update(&self, id: u64, urls: &[String]) {
        self.calls
            .lock()
            .push(format!("update {id} {}", urls.join(",")));
    }

    fn remove(&self, id: u64) {
        self.calls.lock().push(format!("remove {id}"));
    }

    fn active_since(&self, id: u64) -> Option<Instant> {
        self.active.lock().get(&id).copied()
    }

    fn figures(&self) -> PeerFigures {
        PeerFigures::default()
    }
}

fn cluster(members: &[(u64, &str)]) -> Cluster {
    let mut cluster = Cluster::new(1, 1);
    for (id, url) in members {
        cluster.restore_member(Member {
            id: *id,
            peer_urls: vec![(*url).to_owned()],
            ..Member::default()
        });
    }
    cluster
}

#[test]
fn the_transport_is_told_each_change_once_and_never_of_this_member() {
    let recorded = Arc::new(Recorded::default());
    let links = MemberLinks::new(recorded.clone(), 1);
    let took = || std::mem::take(&mut *recorded.calls.lock());
    links.sync(&cluster(&[(1, "a"), (2, "b"), (3, "c")]));
    assert_eq!(took(), ["add 2 b", "add 3 c"]);
    links.sync(&cluster(&[(1, "x"), (2, "b"), (3, "c")]));
    assert_eq!(took(), [""; 0]);
    links.sync(&cluster(&[(1, "x"), (2, "y"), (4, "d")]));
    assert_eq!(took(), ["remove 3", "update 2 y", "add 4 d"]);
}

#[test]
fn a_connection_counts_from_when_it_stands() {
    let recorded = Arc::new(Recorded::default());
    let links = MemberLinks::new(recorded.clone(), 1);
    let now = Instant::now();
    let ago = |s| now.checked_sub(Duration::from_secs(s)).unwrap();
    recorded.active.lock().insert(2, ago(1));
    recorded.active.lock().insert(3, ago(9));
    assert_eq!(links.count_connected_since([1, 2, 3, 4], ago(5)), 2);
    assert!(links.is_connected(2) && !links.is_connected(4));
    assert_eq!(links.longest_connected([1, 2, 3, 4]), Some(3));
    assert_eq!(links.longest_connected([1, 4]), None);
}
