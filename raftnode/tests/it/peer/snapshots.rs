//! Snapshots between two of our members.
use std::io::{Cursor, Read};

use bytes::Bytes;
use varve_proto::raftpb::{ConfState, Message, MessageType, Snapshot, SnapshotMetadata};
use varve_raftnode::{ReceiveError, StateExport, Transport as _};

use super::member::{Member, Report, eventually, message};
use super::proxy::{Faults, Proxy};

const A: u64 = 0xa1;
const B: u64 = 0xb2;
const INDEX: u64 = 0xdead;

pub(crate) fn snapshot(from: u64, to: u64) -> Message {
    let metadata = SnapshotMetadata {
        conf_state: ConfState {
            voters: vec![from, to],
            ..ConfState::default()
        },
        index: INDEX,
        term: 5,
    };
    Message {
        snapshot: Some(Snapshot {
            data: Some(Bytes::from_static(br#"{"Root":{}}"#)),
            metadata,
        }),
        ..message(MessageType::MsgSnap, from, to)
    }
}

pub(crate) fn database(len: usize) -> Vec<u8> {
    let bytes = (0..251_u8).flat_map(|byte| [byte; 7]);
    bytes.cycle().take(len).collect()
}

pub(crate) fn export(len: usize, reader: impl Read + Send + 'static) -> StateExport {
    StateExport {
        data: Bytes::new(),
        len: len as u64,
        reader: Box::new(reader),
    }
}

fn names(member: &Member) -> Vec<String> {
    let list = std::fs::read_dir(member.dir.path()).unwrap();
    list.map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_arrives_after_its_database_is_in_place() {
    let (mut a, mut b) = (Member::start(A).await, Member::start(B).await);
    a.add(&b);
    let database = database(9 << 20);
    let sent = snapshot(A, B);
    let state = export(database.len(), Cursor::new(database.clone()));
    a.peers.send_snapshot(sent.clone(), state);
    assert_eq!(b.message().await, sent);
    let path = b.dir.path().join("000000000000dead.snap.db");
    assert!(std::fs::read(&path).unwrap() == database);
    assert_eq!(names(&b).len(), 1, "no temporary is left");
    assert_eq!(a.report().await, Report::Snapshot(B, true));
    let (from, to) = (a.peers.figures(), b.peers.figures());
    let (from, to) = (&from.members[0], &to.members[0]);
    assert_eq!((from.snapshot_sent, from.snapshot_sending), (1, 0));
    assert_eq!((to.snapshot_received, to.snapshot_receiving), (1, 0));
    assert_eq!(
        (
            from.snapshot_send_seconds.count,
            to.snapshot_receive_seconds.count
        ),
        (1, 1)
    );
    assert!(from.sent_bytes >= 9 << 20 && to.received_bytes >= 9 << 20);

    // The same one again: what is there stays.
    let other = vec![0; 10];
    a.peers
        .send_snapshot(sent.clone(), export(10, Cursor::new(other)));
    assert_eq!(b.message().await, sent);
    assert_eq!(a.report().await, Report::Snapshot(B, true));
    assert!(std::fs::read(&path).unwrap() == database);
    // An empty one is one too.
    let empty = Message {
        snapshot: Some(Snapshot::default()),
        ..sent
    };
    a.peers
        .send_snapshot(empty.clone(), export(0, Cursor::new(vec![])));
    assert_eq!(b.message().await, empty);
    assert_eq!(a.report().await, Report::Snapshot(B, true));
}

/// A disk that stops giving.
struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the disk is gone"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_whole_is_not_taken_and_is_reported() {
    let (mut a, mut b) = (Member::start(A).await, Member::start(B).await);
    a.add(&b);
    let mebibyte = || Cursor::new(database(1 << 20));
    let bad: [StateExport; 4] = [
        export((1 << 20) + 1, mebibyte()),
        export((1 << 20) - 1, mebibyte()),
        export(2 << 20, mebibyte().chain(Failing)),
        export(10, Failing),
    ];
    for state in bad {
        a.peers.send_snapshot(snapshot(A, B), state);
        assert_eq!(a.report().await, Report::Snapshot(B, false));
        eventually("nothing is left", || names(&b).is_empty()).await;
    }
    assert!(b.received.try_recv().is_err());
    let figures = &a.peers.figures().members[0];
    assert_eq!(
        (figures.snapshot_send_failures, figures.snapshot_sending),
        (4, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cannot_get_a_snapshot_is_reported() {
    let (mut a, b) = (Member::start(A).await, Member::start(B).await);
    let state = || export(5, Cursor::new(database(5)));
    // Not known.
    a.peers.send_snapshot(snapshot(A, B), state());
    assert_eq!(a.report().await, Report::Snapshot(B, false));
    // Nobody there.
    a.add_at(B, "http://127.0.0.1:1");
    a.peers.send_snapshot(snapshot(A, B), state());
    assert_eq!(a.report().await, Report::Snapshot(B, false));
    // Does not want it: the database is there, which harms nobody.
    a.peers
        .update_peer(B, std::slice::from_ref(&b.url))
        .unwrap();
    *b.host.refuse.lock() = Some(ReceiveError::Other("not now".to_owned()));
    a.peers.send_snapshot(snapshot(A, B), state());
    assert_eq!(a.report().await, Report::Snapshot(B, false));
    // Says that we were removed.
    *b.host.refuse.lock() = Some(ReceiveError::Removed);
    a.peers.send_snapshot(snapshot(A, B), state());
    assert_eq!(a.report().await, Report::RemovedFromCluster);
    assert_eq!(a.report().await, Report::Snapshot(B, false));
    // Goes while it is being sent.
    let to_b = Proxy::new(b.address);
    to_b.set(Faults::cut());
    a.peers.update_peer(B, &[to_b.url()]).unwrap();
    a.peers.send_snapshot(
        snapshot(A, B),
        export(64 << 20, std::io::repeat(1).take(64 << 20)),
    );
    eventually("it is under way", || to_b.accepted() > 0).await;
    a.peers.remove_peer(B);
    assert_eq!(a.report().await, Report::Snapshot(B, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_whose_link_breaks_is_reported_and_leaves_nothing() {
    let (mut a, mut b) = (Member::start(A).await, Member::start(B).await);
    let to_b = Proxy::new(b.address);
    a.add_at(B, &to_b.url());
    let received = || {
        b.peers
            .figures()
            .members
            .iter()
            .any(|m| m.snapshot_receiving == 1)
    };
    to_b.set(Faults {
        bandwidth: Some(4 << 20),
        ..Faults::default()
    });
    a.peers.send_snapshot(
        snapshot(A, B),
        export(64 << 20, std::io::repeat(1).take(64 << 20)),
    );
    eventually("it is under way", received).await;
    to_b.break_connections();
    assert_eq!(a.report().await, Report::Snapshot(B, false));
    eventually("nothing is left", || names(&b).is_empty()).await;
    assert!(b.received.try_recv().is_err());
    eventually("it is over", || {
        b.peers.figures().members[0].snapshot_receive_failures == 1
    })
    .await;
}
