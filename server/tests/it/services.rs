//! Lease, Maintenance, Cluster and the operational endpoints as a client sees them. What holds for a
//! real etcd 3.5.1 as well is checked against both (`VARVE_TEST_BINARY`).

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Endpoint;
use varve_proto::etcdserverpb::alarm_request::AlarmAction;
use varve_proto::etcdserverpb::auth_client::AuthClient;
use varve_proto::etcdserverpb::cluster_client::ClusterClient;
use varve_proto::etcdserverpb::{
    AlarmRequest, AlarmType, AuthEnableRequest, CompactionRequest, DefragmentRequest,
    HashKvRequest, HashRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, MemberListRequest, MoveLeaderRequest, PutRequest, SnapshotRequest,
    StatusRequest,
};

use crate::client::{Client, assert_refused, block_on, delete, get, put, revision};
use crate::harness::{Member, Server, is_varve, scratch};

fn with_server(body: impl AsyncFn(&mut Client, &Server)) {
    let dir = scratch();
    let server = Member::new(dir.path()).start();
    block_on(async {
        let mut client = Client::connect(&server).await;
        body(&mut client, &server).await;
    });
    server.stop();
}

#[test]
fn a_lease_is_kept_alive_until_it_is_gone_which_is_no_error() {
    with_server(async |client, _| {
        let id = client.grant(100, 0).await;
        assert!(id > 0);
        let (requests, receiver) = mpsc::channel(4);
        // An etcd begins to answer with its first message only.
        requests.send(LeaseKeepAliveRequest { id }).await.unwrap();
        let opened = client
            .lease
            .lease_keep_alive(ReceiverStream::new(receiver))
            .await;
        let mut answers = opened.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap().ttl, 100);
        for (id, ttl) in [(12345, 0), (id, 100)] {
            requests.send(LeaseKeepAliveRequest { id }).await.unwrap();
            let answer = answers.message().await.unwrap().unwrap();
            assert_eq!((answer.id, answer.ttl), (id, ttl));
            assert_eq!(revision(answer.header), 1);
        }
        client
            .lease
            .lease_revoke(LeaseRevokeRequest { id })
            .await
            .unwrap();
        requests.send(LeaseKeepAliveRequest { id }).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().ttl, 0);
        // The client ends the stream, and so does the server.
        drop(requests);
        assert!(answers.message().await.unwrap().is_none());
    });
}

#[test]
fn leases_are_listed_soonest_first_and_name_their_keys() {
    with_server(async |client, _| {
        let long = client.grant(1000, 7).await;
        let short = client.grant(100, 9).await;
        for key in ["b", "a"] {
            client
                .kv
                .put(PutRequest {
                    lease: short,
                    ..put(key, "v")
                })
                .await
                .unwrap();
        }
        let listed = client
            .lease
            .lease_leases(LeaseLeasesRequest {})
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            listed.leases.iter().map(|l| l.id).collect::<Vec<_>>(),
            [short, long]
        );
        let ask = |id, keys| LeaseTimeToLiveRequest { id, keys };
        let info = client
            .lease
            .lease_time_to_live(ask(short, true))
            .await
            .unwrap()
            .into_inner();
        let mut keys = info.keys.clone();
        keys.sort();
        assert_eq!(
            (info.id, info.granted_ttl, keys),
            (short, 100, vec!["a".into(), "b".into()])
        );
        assert!((0..=100).contains(&info.ttl), "{}", info.ttl);
        let info = client
            .lease
            .lease_time_to_live(ask(short, false))
            .await
            .unwrap()
            .into_inner();
        assert!(info.keys.is_empty());
        let gone = client
            .lease
            .lease_time_to_live(ask(4711, true))
            .await
            .unwrap()
            .into_inner();
        assert_eq!((gone.id, gone.ttl, gone.granted_ttl), (4711, -1, 0));
        // Revoking deletes the keys, all in one revision.
        let revoked = client
            .lease
            .lease_revoke(LeaseRevokeRequest { id: short })
            .await
            .unwrap();
        assert_eq!(revision(revoked.into_inner().header), 4);
        assert_eq!(
            client.kv.range(get("a")).await.unwrap().into_inner().count,
            0
        );
    });
}

#[test]
fn an_alarm_stops_writes_that_grow_until_it_is_disarmed() {
    const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";
    with_server(async |client, server| {
        client.put("k", "1").await;
        let status = client
            .maintenance
            .status(StatusRequest {})
            .await
            .unwrap()
            .into_inner();
        let member_id = status.header.unwrap().member_id;
        let alarm = |action: AlarmAction, kind: AlarmType| AlarmRequest {
            action: action.into(),
            member_id,
            alarm: kind.into(),
        };
        let raised = client
            .maintenance
            .alarm(alarm(AlarmAction::Activate, AlarmType::Nospace))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(raised.alarms.len(), 1);
        assert_eq!(revision(raised.header), 2);
        let answer = client.kv.put(put("k", "2")).await;
        assert_refused(answer, Code::ResourceExhausted, NO_SPACE);
        let answer = client
            .lease
            .lease_grant(varve_proto::etcdserverpb::LeaseGrantRequest { ttl: 9, id: 0 })
            .await;
        assert_refused(answer, Code::ResourceExhausted, NO_SPACE);
        client.kv.delete_range(delete("k")).await.unwrap();
        let status = client
            .maintenance
            .status(StatusRequest {})
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            status.errors,
            [format!("memberID:{member_id} alarm:NOSPACE ")]
        );
        assert_eq!(server.get("/health"), None);
        assert!(server.get("/health?exclude=NOSPACE").is_some());
        let listed = client
            .maintenance
            .alarm(AlarmRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(listed.alarms[0].member_id, member_id);
        // Disarming another member's alarm does nothing.
        let other = AlarmRequest {
            member_id: 1,
            ..alarm(AlarmAction::Deactivate, AlarmType::Nospace)
        };
        assert!(
            client
                .maintenance
                .alarm(other)
                .await
                .unwrap()
                .into_inner()
                .alarms
                .is_empty()
        );
        assert_refused(
            client.kv.put(put("k", "2")).await,
            Code::ResourceExhausted,
            NO_SPACE,
        );
        let off = alarm(AlarmAction::Deactivate, AlarmType::Nospace);
        assert_eq!(
            client
                .maintenance
                .alarm(off)
                .await
                .unwrap()
                .into_inner()
                .alarms
                .len(),
            1
        );
        assert_eq!(client.put("k", "3").await, 4);
        assert!(server.get("/health").is_some());
    });
}

#[test]
fn the_status_is_this_members_own() {
    with_server(async |client, server| {
        client.put("k", "1").await;
        let status = client
            .maintenance
            .status(StatusRequest {})
            .await
            .unwrap()
            .into_inner();
        let header = status.header.unwrap();
        assert_eq!(header.revision, 2);
        assert_eq!(
            (status.leader, status.raft_term),
            (header.member_id, header.raft_term)
        );
        assert!(status.raft_index >= status.raft_applied_index && status.raft_applied_index > 0);
        assert!(status.db_size >= status.db_size_in_use && status.db_size_in_use > 0);
        assert!(!status.is_learner && status.errors.is_empty());
        // What only 3.6 has.
        assert_eq!(
            (status.storage_version.as_str(), status.db_size_quota),
            ("", 0)
        );
        assert_eq!(status.downgrade_info, None);
        let version = server.get("/version").unwrap();
        let expected = format!(
            r#"{{"etcdserver":"{}","etcdcluster":"3.5.0"}}"#,
            status.version
        );
        assert_eq!(version, expected);
    });
}

#[test]
fn hashes_depend_on_the_data_alone() {
    with_server(async |client, _| {
        for value in ["1", "2", "3"] {
            client.put("k", value).await;
        }
        let hash = async |client: &mut Client, revision| {
            let request = HashKvRequest { revision };
            client
                .maintenance
                .hash_kv(request)
                .await
                .map(tonic::Response::into_inner)
        };
        let newest = hash(client, 0).await.unwrap();
        assert_eq!((newest.compact_revision, newest.hash_revision), (-1, 0));
        assert_eq!(revision(newest.header), 4);
        assert_eq!(hash(client, 4).await.unwrap().hash, newest.hash);
        let older = hash(client, 3).await.unwrap();
        assert_ne!(older.hash, newest.hash);
        client
            .kv
            .compact(CompactionRequest {
                revision: 3,
                physical: true,
            })
            .await
            .unwrap();
        assert_eq!(hash(client, 0).await.unwrap().compact_revision, 3);
        let text = "etcdserver: mvcc: required revision is a future revision";
        assert_refused(hash(client, 9).await, Code::OutOfRange, text);
        let text = "etcdserver: mvcc: required revision has been compacted";
        assert_refused(hash(client, 2).await, Code::OutOfRange, text);
        // The whole backend's hash does not change by asking.
        let whole = async |client: &mut Client| {
            client
                .maintenance
                .hash(HashRequest {})
                .await
                .unwrap()
                .into_inner()
                .hash
        };
        assert_eq!(whole(client).await, whole(client).await);
    });
}

#[test]
fn a_snapshot_comes_in_blobs_and_ends_with_their_digest() {
    with_server(async |client, _| {
        for n in 0..50 {
            let value = vec![b'v'; 4000].into();
            client
                .kv
                .put(PutRequest {
                    value,
                    ..put(&format!("k{n}"), "")
                })
                .await
                .unwrap();
        }
        let mut stream = client
            .maintenance
            .snapshot(SnapshotRequest {})
            .await
            .unwrap()
            .into_inner();
        let mut messages = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            assert_eq!((message.header, message.version.as_str()), (None, ""));
            messages.push(message);
        }
        let digest = messages.pop().unwrap();
        assert_eq!((digest.blob.len(), digest.remaining_bytes), (32, 0));
        let total: u64 = messages.iter().map(|m| m.blob.len() as u64).sum();
        assert!(total > 200_000, "{total}");
        let mut hasher = Sha256::new();
        let mut left = total;
        for message in &messages {
            hasher.update(&message.blob);
            left -= message.blob.len() as u64;
            assert_eq!(message.remaining_bytes, left);
            assert!(message.blob.len() == 32 * 1024 || left == 0);
        }
        assert_eq!(hasher.finalize().as_slice(), digest.blob);
    });
}

#[test]
fn defragmentation_and_moving_to_oneself_answer_without_a_header() {
    with_server(async |client, _| {
        client.put("k", "1").await;
        let done = client
            .maintenance
            .defragment(DefragmentRequest {})
            .await
            .unwrap();
        assert_eq!(done.into_inner().header, None);
        assert_eq!(
            client.kv.range(get("k")).await.unwrap().into_inner().count,
            1
        );
        let status = client
            .maintenance
            .status(StatusRequest {})
            .await
            .unwrap()
            .into_inner();
        let to = |target_id| MoveLeaderRequest { target_id };
        let moved = client
            .maintenance
            .move_leader(to(status.leader))
            .await
            .unwrap();
        assert_eq!(moved.into_inner().header, None);
        let answer = client.maintenance.move_leader(to(1)).await;
        assert_refused(
            answer,
            Code::FailedPrecondition,
            "etcdserver: bad leader transferee",
        );
    });
}

#[test]
fn members_are_listed_without_a_revision() {
    with_server(async |_, server| {
        let channel = Endpoint::from_shared(server.url())
            .unwrap()
            .connect()
            .await
            .unwrap();
        let mut cluster = ClusterClient::new(channel);
        for linearizable in [false, true] {
            let request = MemberListRequest { linearizable };
            let list = cluster.member_list(request).await.unwrap().into_inner();
            let header = list.header.unwrap();
            assert_eq!((header.revision, list.members.len()), (0, 1));
            let member = &list.members[0];
            assert_eq!((member.id, member.name.as_str()), (header.member_id, "s1"));
            assert_eq!(member.client_urls, [server.url()]);
        }
    });
}

#[test]
fn what_is_not_served_yet_says_so() {
    if !is_varve() {
        return;
    }
    with_server(async |_, server| {
        let channel = Endpoint::from_shared(server.url())
            .unwrap()
            .connect()
            .await
            .unwrap();
        let answer = AuthClient::new(channel)
            .auth_enable(AuthEnableRequest {})
            .await;
        let text = "etcdserverpb.Auth.AuthEnable is not supported yet by this version of varve";
        assert_refused(answer, Code::Unimplemented, text);
    });
}

/// The value of the series with exactly this name and these labels.
fn metric(metrics: &str, series: &str) -> String {
    let found = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found
        .unwrap_or_else(|| panic!("no {series} in {metrics}"))
        .to_owned()
}

#[test]
fn metrics_count_what_was_done() {
    with_server(async |client, server| {
        client.put("a", "1").await;
        client.put("b", "1").await;
        client.kv.delete_range(delete("a")).await.unwrap();
        assert!(client.kv.put(put("", "1")).await.is_err());
        client.grant(100, 0).await;
        let text = server.get("/metrics").unwrap();
        let put = r#"grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary""#;
        for (series, expected) in [
            (format!("grpc_server_started_total{{{put}}}"), "3"),
            (
                format!(r#"grpc_server_handled_total{{grpc_code="OK",{put}}}"#),
                "2",
            ),
            (
                format!(r#"grpc_server_handled_total{{grpc_code="InvalidArgument",{put}}}"#),
                "1",
            ),
            (format!("grpc_server_msg_sent_total{{{put}}}"), "2"),
            ("etcd_mvcc_put_total".to_owned(), "2"),
            ("etcd_mvcc_delete_total".to_owned(), "1"),
            ("etcd_debugging_mvcc_keys_total".to_owned(), "1"),
            ("etcd_debugging_mvcc_current_revision".to_owned(), "4"),
            ("etcd_debugging_mvcc_compact_revision".to_owned(), "-1"),
            ("etcd_debugging_lease_granted_total".to_owned(), "1"),
            (
                r#"etcd_cluster_version{cluster_version="3.5"}"#.to_owned(),
                "1",
            ),
            ("etcd_server_has_leader".to_owned(), "1"),
            ("etcd_server_is_leader".to_owned(), "1"),
            ("etcd_server_leader_changes_seen_total".to_owned(), "1"),
            (
                "etcd_server_quota_backend_bytes".to_owned(),
                "2.147483648e+09",
            ),
        ] {
            let number: f64 = metric(&text, &series).parse().unwrap();
            let expected: f64 = expected.parse().unwrap();
            assert!(
                (number - expected).abs() < 0.5,
                "{series}: {number}, expected {expected}"
            );
        }
    });
}
