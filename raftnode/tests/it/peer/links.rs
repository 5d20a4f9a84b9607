//! Messages between two of our members, links that break, and members that were removed.
use bytes::Bytes;
use varve_proto::raftpb::{Message, MessageType};
use varve_raftnode::{ReceiveError, Transport as _};

use super::member::{Member, Options, Report, append, eventually, message, within};
use super::proxy::{Faults, Proxy};

const A: u64 = 0xa1;
const B: u64 = 0xb2;

async fn pair() -> (Member, Member) {
    let (a, b) = (Member::start(A).await, Member::start(B).await);
    a.add(&b);
    b.add(&a);
    a.has_streams_to(B).await;
    b.has_streams_to(A).await;
    (a, b)
}

/// Every type that crosses the network but appends and snapshots, with all fields in use.
fn messages(from: u64, to: u64) -> Vec<Message> {
    use MessageType::*;
    let kinds = [
        MsgProp,
        MsgAppResp,
        MsgVote,
        MsgVoteResp,
        MsgHeartbeat,
        MsgHeartbeatResp,
        MsgTransferLeader,
        MsgTimeoutNow,
        MsgReadIndex,
        MsgReadIndexResp,
        MsgPreVote,
        MsgPreVoteResp,
    ];
    let full = |kind| Message {
        index: 7,
        log_term: 4,
        commit: 6,
        reject: true,
        reject_hint: 3,
        context: Some(Bytes::from_static(b"context!")),
        entries: append(from, to, 7, Bytes::from_static(b"data")).entries,
        ..message(kind, from, to)
    };
    kinds.into_iter().map(full).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_arrives_by_stream_as_it_was_sent_and_in_order() {
    let (mut a, mut b) = pair().await;
    for (sender, receiver) in [(0, 1), (1, 0)] {
        let ends = [&mut a, &mut b];
        let (from, to) = (ends[sender].id, ends[receiver].id);
        let sender = ends[sender].peers.clone();
        let receiver = &mut *ends[receiver];
        let sent = messages(from, to);
        sender.send(sent.clone());
        for expected in sent {
            assert_eq!(receiver.message().await, expected);
        }
        // Appends: following on each other, from small to larger than any buffer on the way.
        let sizes = [0, 1, 300, 8 << 10, 1 << 20, 3 << 20].into_iter().cycle();
        let appends: Vec<Message> = (0..60_u64)
            .zip(sizes)
            .map(|(index, size)| append(from, to, index, vec![b'x'; size].into()))
            .collect();
        sender.send(appends.clone());
        for expected in appends {
            assert!(receiver.message().await == expected);
        }
    }
    assert_eq!(
        a.requested("POST") + b.requested("POST"),
        0,
        "nothing was posted"
    );
    let figures = &a.peers.figures().members[0];
    assert_eq!((figures.id, figures.active), (B, 1));
    assert!(figures.sent_bytes > 40 << 20 && figures.received_bytes > 40 << 20);
    assert!(a.peers.active_since(B).is_some() && a.peers.active_peers() == 1);
}

/// The one thread of the sender's runtime stands still meanwhile.
#[test]
fn a_short_message_leaves_although_its_connection_has_no_thread() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (sending, receiving) = (runtime(), runtime());
    let a = sending.block_on(sending.spawn(Member::start(A))).unwrap();
    let mut b = receiving
        .block_on(receiving.spawn(Member::start(B)))
        .unwrap();
    a.add(&b);
    b.add(&a);
    receiving.block_on(a.has_streams_to(B));
    for (round, kind) in (0..).zip([MessageType::MsgHeartbeat, MessageType::MsgApp]) {
        // The first one goes through the connection, which is then done with the head of its answer.
        let message = |index| match kind {
            MessageType::MsgApp => append(A, B, index, Bytes::from_static(b"data")),
            _ => message(kind, A, B),
        };
        a.peers.send(vec![message(0)]);
        assert_eq!(receiving.block_on(b.message()), message(0), "{round}");
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (stands, standing) = std::sync::mpsc::channel();
        let stand = sending.spawn(async move {
            stands.send(()).unwrap();
            let _released = released.recv();
        });
        standing.recv().unwrap();
        for index in 1..20 {
            a.peers.send(vec![message(index)]);
            assert_eq!(receiving.block_on(b.message()), message(index));
        }
        // What is long waits for the connection, and what comes behind it waits, too.
        let long = append(A, B, 20, vec![b'x'; 1 << 20].into());
        let sent = if kind == MessageType::MsgApp {
            vec![long, message(21)]
        } else {
            Vec::new()
        };
        a.peers.send(sent.clone());
        drop(release);
        sending.block_on(stand).unwrap();
        for expected in sent {
            assert!(receiving.block_on(b.message()) == expected);
        }
    }
    drop((a, b));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_stream_is_attached_messages_are_posted() {
    let a = Member::start(A).await;
    let mut b = Member::start(B).await;
    // B does not dial A: it knows it by its URLs alone, once A has posted something.
    a.add(&b);
    for sent in messages(A, B) {
        a.peers.send(vec![sent.clone()]);
        assert_eq!(b.message().await, sent);
    }
    eventually("twelve posts", || b.requested("POST /raft 204") == 12).await;
    // Which is how B can answer.
    let (mut a, answer) = (a, message(MessageType::MsgAppResp, B, A));
    b.peers.send(vec![answer.clone()]);
    assert_eq!(a.message().await, answer);
    eventually("one post", || a.requested("POST /raft 204") == 1).await;
    // What is for nobody, or for nobody known, is dropped.
    a.peers.send(vec![
        message(MessageType::MsgVote, A, 0),
        message(MessageType::MsgVote, A, 9),
    ]);
    a.peers.send(vec![message(MessageType::MsgVote, A, B)]);
    assert_eq!(b.message().await.r#type, i32::from(MessageType::MsgVote));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_link_stays_up_by_its_heartbeats() {
    let read = std::time::Duration::from_secs(2);
    let options = |id| Options {
        read,
        ..Options::new(id)
    };
    let (a, b) = (
        Member::with(options(A)).await,
        Member::with(options(B)).await,
    );
    a.add(&b);
    b.add(&a);
    a.has_streams_to(B).await;
    b.has_streams_to(A).await;
    // Longer than a read may take, going by the signs of life: at least one byte each 2/3 s.
    let since = a.peers.active_since(B).unwrap();
    let before = b.peers.figures().members[0].received_bytes;
    eventually("ten heartbeats on each stream", || {
        b.peers.figures().members[0].received_bytes >= before + 10 * (1 + 28)
    })
    .await;
    assert_eq!(a.peers.active_since(B), Some(since));
    assert_eq!(
        a.requested("GET /raft/stream/") + b.requested("GET /raft/stream/"),
        4
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_link_is_dialled_again_and_carries_on() {
    let (mut a, b) = (Member::start(A).await, Member::start(B).await);
    let (to_a, to_b) = (Proxy::new(a.address), Proxy::new(b.address));
    a.add_at(B, &to_b.url());
    b.add_at(A, &to_a.url());
    a.has_streams_to(B).await;
    b.has_streams_to(A).await;
    let mut b = b;
    for round in 1..=3_u64 {
        to_a.break_connections();
        to_b.break_connections();
        // Sent again until it comes, as raft does.
        let sent = Message {
            index: round,
            ..message(MessageType::MsgHeartbeat, A, B)
        };
        let received = async {
            loop {
                a.peers.send(vec![sent.clone()]);
                let waited = tokio::time::sleep(std::time::Duration::from_millis(50));
                tokio::select! {
                    received = b.received.recv() => match received.unwrap() {
                        found if found.index == round => return,
                        _ => {}
                    },
                    () = waited => {}
                }
            }
        };
        within(received).await;
    }
    // Both see it as up again, after it was down.
    eventually("active again", || {
        a.peers.active_since(B).is_some() && b.peers.active_since(A).is_some()
    })
    .await;
    let figures = &a.peers.figures().members[0];
    assert!(
        figures.disconnected >= 1 && figures.active == 1,
        "{figures:?}"
    );
    let report = a.reports.recv().await;
    assert_eq!(
        report,
        Some(Report::Unreachable(B)),
        "what was lost was reported"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_takes_nothing_is_cut_and_never_blocks_the_sender() {
    let read = std::time::Duration::from_secs(1);
    let mut a = Member::with(Options {
        read,
        ..Options::new(A)
    })
    .await;
    let b = Member::with(Options {
        read,
        ..Options::new(B)
    })
    .await;
    let to_a = Proxy::new(a.address);
    a.add(&b);
    b.add_at(A, &to_a.url());
    a.has_streams_to(B).await;
    to_a.set(Faults::cut());
    // Far more than sockets and queue hold: this returns, and most of it is dropped.
    let data = Bytes::from(vec![b'x'; 64 << 10]);
    for index in 0..10_000 {
        a.peers.send(vec![append(A, B, index, data.clone())]);
    }
    assert_eq!(within(a.reports.recv()).await, Some(Report::Unreachable(B)));
    eventually("A gives the stream up", || {
        a.peers.figures().members[0].disconnected > 0
    })
    .await;
    let before = a.requested("GET /raft/stream/msgapp");
    to_a.set(Faults::default());
    eventually("a new stream", || {
        a.requested("GET /raft/stream/msgapp") > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_hears_it_was_removed_says_so() {
    let (a, mut b) = (Member::start(A).await, Member::start(B).await);
    a.host.removed.lock().insert(B);
    b.add(&a);
    assert_eq!(b.report().await, Report::RemovedFromCluster);
    assert!(
        a.requested(&format!("GET /raft/stream/msgapp/{B:x} 410")) >= 1
            || a.requested(&format!("GET /raft/stream/message/{B:x} 410")) >= 1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_is_refused_for_removal_says_so_and_a_misaddressed_one_does_not() {
    let (mut a, b) = (Member::start(A).await, Member::start(B).await);
    a.add(&b);
    let peers = a.peers.clone();
    let refuse = |refusal| {
        *b.host.refuse.lock() = Some(refusal);
        peers.send(vec![message(MessageType::MsgVote, A, B)]);
    };
    for refusal in [ReceiveError::NotForUs, ReceiveError::Busy] {
        refuse(refusal);
        assert_eq!(within(a.reports.recv()).await, Some(Report::Unreachable(B)));
    }
    refuse(ReceiveError::Removed);
    assert_eq!(a.report().await, Report::RemovedFromCluster);
    assert_eq!(b.requested("POST /raft 403"), 2);
    assert_eq!(b.requested("POST /raft 500"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_found_at_their_next_url_and_at_new_ones() {
    let (a, mut b) = (Member::start(A).await, Member::start(B).await);
    let nobody = "http://127.0.0.1:1".to_owned();
    let urls = [nobody.clone(), b.url.clone()];
    a.peers.add_peer(B, &urls).unwrap();
    let sent = message(MessageType::MsgVote, A, B);
    let arrives = async |b: &mut Member| {
        while b.received.try_recv().is_err() {
            a.peers.send(vec![sent.clone()]);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    within(arrives(&mut b)).await;
    a.peers.update_peer(B, &[nobody]).unwrap();
    let mut c = Member::start(B).await;
    a.peers.update_peer(B, &[c.url.clone()]).unwrap();
    within(arrives(&mut c)).await;
    assert!(
        a.peers
            .update_peer(B, &["gopher://x:1".to_owned()])
            .is_err()
    );
    a.peers.remove_peer(B);
    assert!(a.peers.active_since(B).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_transport_ends_its_streams_and_takes_nothing() {
    let (a, b) = pair().await;
    a.peers.stop();
    eventually("B lost A", || b.peers.active_since(A).is_none()).await;
    a.add(&b);
    assert_eq!(a.peers.active_peers(), 0);
    a.peers.send(vec![message(MessageType::MsgVote, A, B)]);
}
