//! A client of all services over one connection, and short ways to say requests.

use bytes::Bytes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use varve_proto::etcdserverpb::kv_client::KvClient;
use varve_proto::etcdserverpb::lease_client::LeaseClient;
use varve_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use varve_proto::etcdserverpb::request_op::Request;
use varve_proto::etcdserverpb::watch_client::WatchClient;
use varve_proto::etcdserverpb::{
    DeleteRangeRequest, LeaseGrantRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest, PutRequest,
    RangeRequest, RangeResponse, RequestOp, ResponseHeader, TxnRequest,
};
use varve_proto::mvccpb::KeyValue;

use crate::harness::Server;

/// Clients of every service, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) kv: KvClient<Channel>,
    pub(crate) watch: WatchClient<Channel>,
    pub(crate) lease: LeaseClient<Channel>,
    pub(crate) maintenance: MaintenanceClient<Channel>,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let endpoint = Endpoint::from_shared(server.url()).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            lease: LeaseClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel),
        }
    }

    /// Puts and returns the revision.
    pub(crate) async fn put(&mut self, key: &str, value: &str) -> i64 {
        revision(
            self.kv
                .put(put(key, value))
                .await
                .unwrap()
                .into_inner()
                .header,
        )
    }

    /// All keys at `revision` (0: the newest).
    pub(crate) async fn all(&mut self, revision: i64) -> RangeResponse {
        let request = RangeRequest {
            revision,
            ..everything()
        };
        self.kv.range(request).await.unwrap().into_inner()
    }

    /// Grants a lease and returns its id.
    pub(crate) async fn grant(&mut self, ttl: i64, id: i64) -> i64 {
        let request = LeaseGrantRequest { ttl, id };
        self.lease
            .lease_grant(request)
            .await
            .unwrap()
            .into_inner()
            .id
    }
}

/// Runs a test's asynchronous part.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// What a client can see of a member, apart from times and ids of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) revision: i64,
    pub(crate) kvs: Vec<KeyValue>,
    /// Id, granted time to live and keys of every lease.
    pub(crate) leases: Vec<(i64, i64, Vec<Bytes>)>,
}

impl State {
    pub(crate) async fn of(client: &mut Client) -> Self {
        let all = client.all(0).await;
        let ids = client
            .lease
            .lease_leases(LeaseLeasesRequest {})
            .await
            .unwrap()
            .into_inner();
        let mut leases = Vec::new();
        for id in ids.leases.iter().map(|lease| lease.id) {
            let request = LeaseTimeToLiveRequest { id, keys: true };
            let lease = client
                .lease
                .lease_time_to_live(request)
                .await
                .unwrap()
                .into_inner();
            let mut keys = lease.keys;
            keys.sort_unstable();
            leases.push((id, lease.granted_ttl, keys));
        }
        leases.sort_unstable();
        Self {
            revision: revision(all.header),
            kvs: all.kvs,
            leases,
        }
    }
}

pub(crate) fn revision(header: Option<ResponseHeader>) -> i64 {
    header.unwrap().revision
}

pub(crate) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..Default::default()
    }
}

pub(crate) fn get(key: &str) -> RangeRequest {
    RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    }
}

pub(crate) fn everything() -> RangeRequest {
    let all = Bytes::from_static(b"\0");
    RangeRequest {
        key: all.clone(),
        range_end: all,
        ..Default::default()
    }
}

pub(crate) fn delete(key: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    }
}

pub(crate) fn op_put(put: PutRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestPut(put)),
    }
}

pub(crate) fn op_range(range: RangeRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestRange(range)),
    }
}

pub(crate) fn op_delete(delete: DeleteRangeRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestDeleteRange(delete)),
    }
}

pub(crate) fn op_txn(txn: TxnRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestTxn(txn)),
    }
}

/// An unconditional transaction.
pub(crate) fn txn(success: impl IntoIterator<Item = RequestOp>) -> TxnRequest {
    TxnRequest {
        success: success.into_iter().collect(),
        ..Default::default()
    }
}

/// Expects an error with exactly this code and text.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    message: &str,
) {
    let status = answer.expect_err("it was accepted");
    assert_eq!((status.code(), status.message()), (code, message));
}
