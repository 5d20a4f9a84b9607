//! Our transport as a member of a real cluster: a learner that etcd leads, without a raft behind it.
//!
//! The test answers what a follower would, so that etcd goes on sending: appends are accepted, then one
//! is refused as if the log were empty, upon which etcd sends a snapshot. Another snapshot is sent to it.
use std::io::Cursor;
use std::process::Command;

use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use varve_proto::raftpb::{Message, MessageType, Snapshot};
use varve_raftnode::Transport as _;

use super::etcd::{Etcd, Release, ask, free_address, id, put, put_many, releases};
use super::member::{Member, Options, Report, eventually, message};
use super::snapshots::{database, export, snapshot};

/// What the learner has: the index of its last entry, and the data of all it was sent.
#[derive(Default)]
struct Log {
    last: u64,
    term: u64,
    data: Vec<u8>,
    appends: usize,
}

/// A cluster of one real member, and ours as its learner.
async fn joined(release: &Release) -> (Etcd, Member, u64) {
    let address = free_address();
    let url = format!("http://{address}");
    let cluster = format!("one={url}");
    let mut more = vec!["--snapshot-count", "50"];
    if release.version.starts_with("3.6") {
        more.extend(["--snapshot-catchup-entries", "10"]);
    }
    let etcd = Etcd::start(release, "one", address, &url, &cluster, &more);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = format!("http://{}", listener.local_addr().unwrap());
    let add = json!({ "peerURLs": [ours], "isLearner": true });
    let added = ask(
        &etcd.client_url,
        Method::POST,
        "/v3/cluster/member/add",
        add,
    )
    .await;
    let cluster: u64 = added["header"]["cluster_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let their_id = added["header"]["member_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let options = Options {
        cluster,
        version: release.version.to_owned(),
        ..Options::new(id(&added["member"]))
    };
    let member = Member::at(listener, options);
    member.add_at(their_id, &etcd.peer_url());
    (etcd, member, their_id)
}

/// Answers as a follower that accepts everything until `done`; `refuse` answers that the log is empty.
async fn follow(
    member: &mut Member,
    log: &mut Log,
    refuse: bool,
    mut done: impl FnMut(&Log, &Message) -> bool,
) {
    loop {
        let received = member.message().await;
        let (from, to) = (received.from, member.id);
        assert_eq!(received.to, to);
        let answer = |kind| Message {
            term: received.term,
            ..message(kind, to, from)
        };
        if received.r#type == i32::from(MessageType::MsgHeartbeat) {
            let context = received.context.clone();
            let response = answer(MessageType::MsgHeartbeatResp);
            member.peers.send(vec![Message {
                context,
                ..response
            }]);
        } else if received.r#type == i32::from(MessageType::MsgApp) {
            log.appends += 1;
            log.term = received.term;
            let mut response = answer(MessageType::MsgAppResp);
            response.index = received.index;
            if refuse || received.index > log.last {
                response.reject = true;
                response.reject_hint = if refuse { 0 } else { log.last };
            } else {
                for entry in &received.entries {
                    assert_eq!(
                        entry.index,
                        response.index + 1,
                        "entries follow on each other"
                    );
                    response.index = entry.index;
                    log.data
                        .extend_from_slice(entry.data.as_deref().unwrap_or_default());
                }
                log.last = response.index;
            }
            member.peers.send(vec![response]);
        }
        if done(log, &received) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_leader_streams_to_us_and_exchanges_snapshots_with_us() {
    for release in releases() {
        let (etcd, mut member, leader) = joined(&release).await;
        member.has_streams_to(leader).await;
        eventually("we reach it", || {
            member.peers.active_since(leader).is_some()
        })
        .await;

        // Appends.
        let mut log = Log::default();
        put(&etcd, "found/by/us", 300).await;
        let key = b"found/by/us";
        let arrived = |log: &Log, _: &Message| log.data.windows(key.len()).any(|w| w == key);
        follow(&mut member, &mut log, false, arrived).await;
        assert!(log.last > 3 && log.appends > 0);
        let posted = member.requested("POST /raft ");

        // A snapshot from it: it has forgotten what we claim to lack.
        put_many(
            &etcd,
            if release.version.starts_with("3.6") {
                200
            } else {
                5_200
            },
        )
        .await;
        let is_snapshot = |_: &Log, m: &Message| m.r#type == i32::from(MessageType::MsgSnap);
        let mut received = None;
        follow(&mut member, &mut log, true, |log, m| {
            if is_snapshot(log, m) {
                received = Some(m.clone());
            }
            received.is_some()
        })
        .await;
        let metadata = received.unwrap().snapshot.unwrap().metadata;
        assert_eq!(metadata.conf_state.learners, [member.id]);
        let path = member
            .dir
            .path()
            .join(format!("{:016x}.snap.db", metadata.index));
        check_database(&path);

        // What lies between was streamed.
        assert_eq!(member.requested("POST /raft "), posted);
        assert_eq!(member.requested("POST /raft/snapshot 204"), 1);

        // And one to it, which a leader takes and pays no attention to.
        let sent = database(3 << 20);
        let mut to_them = snapshot(member.id, leader);
        to_them.term = log.term;
        let mut metadata = to_them.snapshot.unwrap().metadata;
        metadata.index = 3;
        to_them.snapshot = Some(Snapshot {
            metadata,
            ..Snapshot::default()
        });
        let state = export(sent.len(), Cursor::new(sent.clone()));
        member.peers.send_snapshot(to_them, state);
        assert_eq!(member.report().await, Report::Snapshot(leader, true));
        let theirs = etcd
            .dir
            .path()
            .join("data/member/snap/0000000000000003.snap.db");
        assert!(std::fs::read(theirs).unwrap() == sent);

        // It goes on without a complaint, and then lets us go.
        put(&etcd, "after", 10).await;
        etcd.assert_content();
        let remove = json!({ "ID": member.id.to_string() });
        ask(
            &etcd.client_url,
            Method::POST,
            "/v3/cluster/member/remove",
            remove,
        )
        .await;
        assert_eq!(member.report().await, Report::RemovedFromCluster);
    }
}

/// The database is one that etcdutl opens.
fn check_database(path: &std::path::Path) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes[16..20], 0xED0C_DAED_u32.to_le_bytes());
    let Some(dir) = std::env::var_os("VARVE_ETCD_DIR") else {
        return;
    };
    let status = Command::new(std::path::Path::new(&dir).join("etcdutl"))
        .args(["snapshot", "status", "-w", "json"])
        .arg(path)
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert!(json["totalKey"].as_u64().unwrap() > 100, "{json}");
}
