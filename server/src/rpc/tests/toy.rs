//! A store just good enough to have every shape of call, and a server around it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinHandle;
use varve_proto::etcdserverpb::watch_request::RequestUnion;
use varve_proto::etcdserverpb::{
    AlarmResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader,
    SnapshotResponse, WatchRequest, WatchResponse,
};
use varve_proto::mvccpb::{Event, KeyValue};

use crate::rpc::{
    ConnOptions, EncodedMessage, Endpoint, HttpBody, HttpHandler, Method, Peer, RequestCtx,
    RequestStream, ResponseSink, RpcError, Services, Status, decode,
};

/// Bytes of a snapshot: more than windows and queues hold.
pub(super) const SNAPSHOT_BYTES: usize = 40 << 20;

/// Reading this key never ends.
pub(super) const HANG: &str = "hang";

/// Reading this key takes until [`Toy::release`] is notified.
pub(super) const WAIT: &str = "wait";

pub(super) struct Toy {
    pairs: Mutex<BTreeMap<Bytes, Bytes>>,
    events: broadcast::Sender<Event>,
    pub(super) entered: Notify,
    pub(super) release: Notify,
    pub(super) dropped: Arc<Notify>,
    pub(super) blobs_sent: Mutex<usize>,
}

impl Toy {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            pairs: Mutex::default(),
            events: broadcast::channel(100).0,
            entered: Notify::new(),
            release: Notify::new(),
            dropped: Arc::default(),
            blobs_sent: Mutex::default(),
        })
    }

    fn header() -> Option<ResponseHeader> {
        Some(ResponseHeader {
            revision: 7,
            ..ResponseHeader::default()
        })
    }

    async fn range(&self, request: RangeRequest) -> Result<EncodedMessage, Status> {
        if request.key.is_empty() {
            return Err(RpcError::EmptyKey.into());
        }
        if request.key == HANG {
            let _told = Told(Arc::clone(&self.dropped));
            self.entered.notify_one();
            return std::future::pending().await;
        }
        if request.key == WAIT {
            self.entered.notify_one();
            self.release.notified().await;
        }
        let pairs = self.pairs.lock();
        let kvs: Vec<KeyValue> = pairs
            .iter()
            .filter(|(key, _)| {
                **key == request.key || (**key > request.key && **key < request.range_end)
            })
            .map(|(key, value)| KeyValue {
                key: key.clone(),
                value: value.clone(),
                mod_revision: 7,
                ..KeyValue::default()
            })
            .collect();
        let count = i64::try_from(kvs.len()).unwrap();
        let response = RangeResponse {
            header: Self::header(),
            kvs,
            more: false,
            count,
        };
        Ok(EncodedMessage::encode(&response))
    }

    fn put(&self, request: PutRequest) -> EncodedMessage {
        let kv = KeyValue {
            key: request.key.clone(),
            value: request.value.clone(),
            ..KeyValue::default()
        };
        self.pairs.lock().insert(request.key, request.value);
        // Nobody may be watching.
        drop(self.events.send(Event {
            kv: Some(kv),
            ..Event::default()
        }));
        EncodedMessage::encode(&PutResponse {
            header: Self::header(),
            prev_kv: None,
        })
    }

    fn delete(&self, request: &DeleteRangeRequest) -> EncodedMessage {
        let deleted = self.pairs.lock().remove(&request.key).map_or(0, |_| 1);
        let header = Self::header();
        EncodedMessage::encode(&DeleteRangeResponse {
            header,
            deleted,
            prev_kvs: Vec::new(),
        })
    }

    async fn watch(
        &self,
        mut requests: RequestStream,
        responses: ResponseSink,
    ) -> Result<(), Status> {
        let mut events = self.events.subscribe();
        let mut open = true;
        loop {
            let response = tokio::select! {
                request = requests.next(), if open => {
                    let Some(request) = request else {
                        // The client may half-close and go on listening.
                        open = false;
                        continue;
                    };
                    let request: WatchRequest = decode(request?)?;
                    match request.request_union {
                        Some(RequestUnion::CancelRequest(_)) => {
                            return Err(RpcError::WatchCanceled.into());
                        }
                        _ => WatchResponse { created: true, ..WatchResponse::default() },
                    }
                }
                event = events.recv() => {
                    let events = vec![event.unwrap()];
                    WatchResponse { events, ..WatchResponse::default() }
                }
            };
            responses.send(EncodedMessage::encode(&response)).await?;
        }
    }

    async fn snapshot(&self, responses: ResponseSink) -> Result<(), Status> {
        let _told = Told(Arc::clone(&self.dropped));
        let mut hash = Sha256::new();
        let blob = Bytes::from(vec![0x5a; 32 * 1024]);
        let mut remaining_bytes = SNAPSHOT_BYTES as u64;
        while remaining_bytes > 0 {
            hash.update(&blob);
            remaining_bytes -= blob.len() as u64;
            let part = SnapshotResponse {
                remaining_bytes,
                blob: blob.clone(),
                ..SnapshotResponse::default()
            };
            responses.send(EncodedMessage::encode(&part)).await?;
            *self.blobs_sent.lock() += 1;
        }
        let blob = Bytes::copy_from_slice(&hash.finalize());
        let end = SnapshotResponse {
            blob,
            ..SnapshotResponse::default()
        };
        Ok(responses.send(EncodedMessage::encode(&end)).await?)
    }
}

impl Services for Toy {
    async fn unary(&self, ctx: RequestCtx, message: Bytes) -> Result<EncodedMessage, Status> {
        match ctx.method {
            Method::Range => self.range(decode(message)?).await,
            Method::Put => Ok(self.put(decode(message)?)),
            Method::DeleteRange => Ok(self.delete(&decode(message)?)),
            Method::Alarm => Ok(EncodedMessage::encode(&AlarmResponse::default())),
            _ => Err(Status::unknown("no such toy")),
        }
    }

    async fn streaming(
        self: Arc<Self>,
        ctx: RequestCtx,
        mut requests: RequestStream,
        responses: ResponseSink,
    ) -> Result<(), Status> {
        match ctx.method {
            Method::Watch => self.watch(requests, responses).await,
            Method::Snapshot => {
                requests.single().await?;
                self.snapshot(responses).await
            }
            Method::LeaseKeepAlive => {
                while let Some(request) = requests.next().await {
                    let LeaseKeepAliveRequest { id } = decode(request?)?;
                    let answer = LeaseKeepAliveResponse {
                        header: Self::header(),
                        id,
                        ttl: 42,
                    };
                    responses.send(EncodedMessage::encode(&answer)).await?;
                }
                Ok(())
            }
            _ => Err(Status::unknown("no such toy")),
        }
    }
}

/// Tells when a handler's future is gone.
struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Answers with the path it was asked for.
struct Echo;

impl HttpHandler for Echo {
    fn handle(
        &self,
        request: Request<Incoming>,
        _peer: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<HttpBody>> + Send + '_>> {
        let text = format!("{:?} {}", request.version(), request.uri().path());
        let body = Full::from(text)
            .map_err(|never| match never {})
            .boxed_unsync();
        Box::pin(async { Response::new(body) })
    }
}

/// A toy behind a listening socket.
pub(super) struct Served {
    pub(super) toy: Arc<Toy>,
    pub(super) endpoint: Arc<Endpoint<Toy>>,
    pub(super) address: SocketAddr,
    pub(super) stop: watch::Sender<bool>,
    pub(super) serving: JoinHandle<()>,
}

pub(super) async fn serve(options: ConnOptions) -> Served {
    let toy = Toy::new();
    let endpoint = Endpoint::new(Arc::clone(&toy), Arc::new(Echo), options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(Arc::clone(&endpoint).serve(listener, stopping));
    Served {
        toy,
        endpoint,
        address,
        stop,
        serving,
    }
}

/// Runs `test` on a runtime of its own.
pub(super) fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}
