//! tonic's clients and etcdctl.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_stream::StreamExt;
use tonic::transport::Channel;
use varve_proto::etcdserverpb::kv_client::KvClient;
use varve_proto::etcdserverpb::lease_client::LeaseClient;
use varve_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use varve_proto::etcdserverpb::watch_client::WatchClient;
use varve_proto::etcdserverpb::watch_request::RequestUnion;
use varve_proto::etcdserverpb::{
    PutRequest, RangeRequest, SnapshotRequest, WatchCancelRequest, WatchCreateRequest, WatchRequest,
};
use varve_proto::v3lockpb::{UnlockRequest, lock_client::LockClient};

use super::toy::{self, HANG, SNAPSHOT_BYTES, Served, WAIT, run};
use crate::rpc::ConnOptions;

async fn channel(served: &Served) -> Channel {
    let url = format!("http://{}", served.address);
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

fn put(key: &str, value: Vec<u8>) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

fn range(key: &str) -> RangeRequest {
    RangeRequest {
        key: key.to_owned().into(),
        ..RangeRequest::default()
    }
}

#[test]
fn what_is_put_is_read() {
    run(async {
        let served = toy::serve(ConnOptions::default()).await;
        let mut kv = KvClient::new(channel(&served).await).max_decoding_message_size(64 << 20);
        for size in [0, 1, 4096, 20_000, 2 * 1024 * 1024 - 100] {
            kv.put(put("k", vec![1; size])).await.unwrap();
            let response = kv.range(range("k")).await.unwrap().into_inner();
            assert_eq!(response.kvs[0].value.len(), size);
            assert_eq!(response.header.unwrap().revision, 7);
        }
    });
}

#[test]
fn errors_arrive_with_code_and_text() {
    run(async {
        let served = toy::serve(ConnOptions::default()).await;
        let channel = channel(&served).await;
        let mut kv = KvClient::new(channel.clone());
        let status = kv.range(range("")).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert_eq!(status.message(), "etcdserver: key is not provided");

        let status = kv.put(put("k", vec![0; 3 << 20])).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        assert_eq!(
            status.message(),
            "grpc: received message larger than max (3145736 vs. 2097152)"
        );

        let status = LockClient::new(channel)
            .unlock(UnlockRequest::default())
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (tonic::Code::Unknown, "no such toy")
        );
    });
}

#[test]
fn a_watch_hears_of_puts_and_ends_with_a_status() {
    run(async {
        let served = toy::serve(ConnOptions::default()).await;
        let channel = channel(&served).await;
        let (requests, queue) = tokio::sync::mpsc::channel(4);
        let send = |request_union| {
            let requests = requests.clone();
            async move {
                let request_union = Some(request_union);
                requests.send(WatchRequest { request_union }).await.unwrap();
            }
        };
        let queue = tokio_stream::wrappers::ReceiverStream::new(queue);
        let mut responses = WatchClient::new(channel.clone())
            .watch(queue)
            .await
            .unwrap()
            .into_inner();
        send(RequestUnion::CreateRequest(WatchCreateRequest::default())).await;
        assert!(responses.next().await.unwrap().unwrap().created);

        let mut kv = KvClient::new(channel);
        for i in 0..50 {
            kv.put(put(&format!("k{i}"), vec![i])).await.unwrap();
        }
        for i in 0..50 {
            let response = responses.next().await.unwrap().unwrap();
            assert_eq!(response.events[0].kv.as_ref().unwrap().key, format!("k{i}"));
        }
        send(RequestUnion::CancelRequest(WatchCancelRequest {
            watch_id: 0,
        }))
        .await;
        let status = responses.next().await.unwrap().unwrap_err();
        assert_eq!(status.message(), "etcdserver: watch canceled");
    });
}

#[test]
fn a_client_that_sent_its_last_message_is_still_answered() {
    run(async {
        let served = toy::serve(ConnOptions::default()).await;
        let mut lease = LeaseClient::new(channel(&served).await);
        let requests = tokio_stream::iter(
            (1..=40).map(|id| varve_proto::etcdserverpb::LeaseKeepAliveRequest { id }),
        );
        let responses = lease.lease_keep_alive(requests).await.unwrap().into_inner();
        let ids: Vec<i64> = responses
            .map(|response| response.unwrap().id)
            .collect()
            .await;
        assert_eq!(ids, (1..=40).collect::<Vec<i64>>());
    });
}

/// A client that does not read holds the sender up at windows and queue; one that leaves ends it.
#[test]
fn a_stream_waits_for_its_client_and_ends_with_it() {
    run(async {
        let served = toy::serve(ConnOptions::default()).await;
        let mut maintenance = MaintenanceClient::new(channel(&served).await);
        let mut responses = maintenance
            .snapshot(SnapshotRequest {})
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            responses.next().await.unwrap().unwrap().blob.len(),
            32 * 1024
        );
        drop(responses);
        served.toy.dropped.notified().await;
        let sent = *served.toy.blobs_sent.lock();
        assert!(
            sent < SNAPSHOT_BYTES / (32 * 1024) / 2,
            "{sent} blobs were sent"
        );

        let responses = maintenance
            .snapshot(SnapshotRequest {})
            .await
            .unwrap()
            .into_inner();
        let sizes: Vec<usize> = responses
            .map(|part| part.unwrap().blob.len())
            .collect()
            .await;
        assert_eq!(sizes.iter().sum::<usize>(), SNAPSHOT_BYTES + 32);
        assert_eq!(sizes.last(), Some(&32));
    });
}

#[test]
fn a_call_is_dropped_with_its_client() {
    run(async {
        let served = toy::serve(ConnOptions::default()).await;
        let mut kv = KvClient::new(channel(&served).await);
        let call = tokio::spawn(async move { kv.range(range(HANG)).await });
        served.toy.entered.notified().await;
        call.abort();
        served.toy.dropped.notified().await;
    });
}

#[test]
fn a_stopping_server_finishes_open_calls_and_takes_no_more() {
    run(async {
        let served = toy::serve(ConnOptions::default()).await;
        let mut kv = KvClient::new(channel(&served).await);
        let call = tokio::spawn(async move { (kv.range(range(WAIT)).await, kv) });
        served.toy.entered.notified().await;
        served.stop.send(true).unwrap();
        served.toy.release.notify_one();
        let (answer, kv) = call.await.unwrap();
        answer.unwrap();
        drop(kv);
        served.serving.await.unwrap();
        let refused = tokio::net::TcpStream::connect(served.address).await;
        assert!(refused.is_err(), "{refused:?}");
    });
}

#[test]
fn a_stopping_server_cuts_what_does_not_end() {
    run(async {
        let drain_timeout = std::time::Duration::from_millis(20);
        let served = toy::serve(ConnOptions {
            drain_timeout,
            ..ConnOptions::default()
        })
        .await;
        let mut kv = KvClient::new(channel(&served).await);
        let call = tokio::spawn(async move { kv.range(range(HANG)).await });
        served.toy.entered.notified().await;
        served.stop.send(true).unwrap();
        served.serving.await.unwrap();
        served.toy.dropped.notified().await;
        assert!(call.await.unwrap().is_err());
    });
}

/// etcdctl of each release that the environment names.
fn etcdctls() -> Vec<PathBuf> {
    let directory = std::env::var_os("VARVE_ETCD_DIR").map(|dir| Path::new(&dir).join("etcdctl"));
    let other = std::env::var_os("VARVE_ETCDCTL").map(PathBuf::from);
    directory.into_iter().chain(other).collect()
}

#[test]
fn etcdctl_works_on_it() {
    let etcdctls = etcdctls();
    if etcdctls.is_empty() {
        eprintln!("skipped: neither VARVE_ETCD_DIR nor VARVE_ETCDCTL names an etcdctl");
    }
    run(async {
        let served = toy::serve(ConnOptions::default()).await;
        for etcdctl in etcdctls {
            let address = served.address.to_string();
            tokio::task::spawn_blocking(move || session(&etcdctl, &address))
                .await
                .unwrap();
        }
    });
}

fn session(etcdctl: &Path, address: &str) {
    let ctl = |args: &[&str]| {
        let output = Command::new(etcdctl)
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", address])
            .args(args)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (fine, out, err) = ctl(&["put", "foo", "bar"]);
    assert_eq!((fine, out.as_str()), (true, "OK\n"), "{etcdctl:?}: {err}");
    assert_eq!(ctl(&["get", "foo"]).1, "foo\nbar\n");
    assert_eq!(ctl(&["del", "foo"]).1, "1\n");
    assert_eq!(ctl(&["get", "foo"]).1, "");
    let (_, out, _) = ctl(&["lease", "keep-alive", "--once", "2a"]);
    assert!(out.ends_with("keepalived with TTL(42)\n"), "{out}");
    let (fine, _, err) = ctl(&["endpoint", "health"]);
    assert!(fine, "{err}");
    let (fine, _, err) = ctl(&["lease", "revoke", "2a"]);
    assert!(!fine && err.contains("no such toy"), "{err}");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("snapshot");
    let (fine, _, err) = ctl(&["snapshot", "save", file.to_str().unwrap()]);
    assert!(fine, "{err}");
    assert_eq!(
        std::fs::metadata(&file).unwrap().len(),
        SNAPSHOT_BYTES as u64 + 32
    );
}
