//! CPU per unary call: `rpc` beside tonic, each alone in a process, the same client against both.
//!
//! `cargo bench -p varve-server --bench rpc_echo [-- calls]`. The servers answer at once from a
//! constant, so what is measured is framing, routing and HTTP/2. Rounds alternate between the two, and
//! the medians are compared; load comes from this process and is not counted.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use varve_proto::etcdserverpb::kv_server::{Kv, KvServer};
use varve_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RangeStreamResponse, ResponseHeader, TxnRequest,
    TxnResponse,
};
use varve_proto::mvccpb::KeyValue;
use varve_proto::prost::Message;
use varve_server::rpc::{
    ConnOptions, EncodedMessage, Endpoint, HttpBody, HttpHandler, Method, Peer, RequestCtx,
    RequestStream, ResponseSink, Services, Status, decode,
};

/// Names the server to be, in a child process.
const ROLE: &str = "VARVE_RPC_ECHO_SERVE";

const ROUNDS: usize = 5;

fn put_response() -> PutResponse {
    let header = ResponseHeader {
        cluster_id: 1 << 60,
        member_id: 1 << 61,
        revision: 9,
        raft_term: 2,
    };
    PutResponse {
        header: Some(header),
        prev_kv: None,
    }
}

fn range_response(key: Bytes) -> RangeResponse {
    let kv = KeyValue {
        key,
        value: Bytes::from_static(&[0x61; 256]),
        create_revision: 4,
        mod_revision: 8,
        version: 3,
        lease: 0,
    };
    RangeResponse {
        header: put_response().header,
        kvs: vec![kv],
        more: false,
        count: 1,
    }
}

struct Ours;

impl Services for Ours {
    async fn unary(&self, ctx: RequestCtx, message: Bytes) -> Result<EncodedMessage, Status> {
        if ctx.method == Method::Put {
            let request: PutRequest = decode(message)?;
            assert!(!request.key.is_empty());
            Ok(EncodedMessage::encode(&put_response()))
        } else {
            let request: RangeRequest = decode(message)?;
            Ok(EncodedMessage::encode(&range_response(request.key)))
        }
    }

    async fn streaming(
        self: Arc<Self>,
        _ctx: RequestCtx,
        _requests: RequestStream,
        _responses: ResponseSink,
    ) -> Result<(), Status> {
        Err(Status::unknown("not measured"))
    }
}

struct NoHttp;

impl HttpHandler for NoHttp {
    fn handle(
        &self,
        _request: Request<Incoming>,
        _peer: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<HttpBody>> + Send + '_>> {
        let body = Full::default()
            .map_err(|never| match never {})
            .boxed_unsync();
        Box::pin(async { Response::new(body) })
    }
}

struct Theirs;

type TonicResult<T> = Result<tonic::Response<T>, tonic::Status>;

#[tonic::async_trait]
impl Kv for Theirs {
    type RangeStreamStream = tokio_stream::Empty<Result<RangeStreamResponse, tonic::Status>>;

    async fn range(&self, request: tonic::Request<RangeRequest>) -> TonicResult<RangeResponse> {
        Ok(tonic::Response::new(range_response(
            request.into_inner().key,
        )))
    }

    async fn put(&self, request: tonic::Request<PutRequest>) -> TonicResult<PutResponse> {
        assert!(!request.get_ref().key.is_empty());
        Ok(tonic::Response::new(put_response()))
    }

    async fn range_stream(
        &self,
        _request: tonic::Request<RangeRequest>,
    ) -> TonicResult<Self::RangeStreamStream> {
        Ok(tonic::Response::new(tokio_stream::empty()))
    }

    async fn delete_range(
        &self,
        _request: tonic::Request<DeleteRangeRequest>,
    ) -> TonicResult<DeleteRangeResponse> {
        Err(tonic::Status::unknown("not measured"))
    }

    async fn txn(&self, _request: tonic::Request<TxnRequest>) -> TonicResult<TxnResponse> {
        Err(tonic::Status::unknown("not measured"))
    }

    async fn compact(
        &self,
        _request: tonic::Request<CompactionRequest>,
    ) -> TonicResult<CompactionResponse> {
        Err(tonic::Status::unknown("not measured"))
    }
}

/// The child's life: prints its address, serves until it is killed.
async fn serve(role: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    if role == "ours" {
        let endpoint = Endpoint::new(Arc::new(Ours), Arc::new(NoHttp), ConnOptions::default());
        let (_keep, stop) = watch::channel(false);
        endpoint.serve(listener, stop).await;
    } else {
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let incoming = tokio_stream::StreamExt::map(incoming, |stream| {
            stream.inspect(|stream| stream.set_nodelay(true).unwrap())
        });
        // The same windows as ours.
        tonic::transport::Server::builder()
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .serve_with_incoming(KvServer::new(Theirs), incoming)
            .await
            .unwrap();
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            address: line.trim().parse().unwrap(),
        }
    }

    /// Processor time of all threads so far, in seconds.
    fn cpu(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanoseconds = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap();
            stat.split_whitespace()
                .next()
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };
        tasks.map(|task| nanoseconds(task.unwrap())).sum::<f64>() / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::from(&[0, 0, 0, 0, u8::try_from(message.encoded_len()).unwrap()][..]);
    message.encode_raw(&mut frame);
    frame.freeze()
}

/// `calls` calls over `connections` connections with `depth` of them under way on each.
async fn load(
    address: SocketAddr,
    path: &str,
    frame: &Bytes,
    calls: usize,
    connections: usize,
    depth: usize,
) {
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        for _ in 0..depth {
            let mut send = send.clone();
            let (uri, frame) = (format!("http://{address}{path}"), frame.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..calls / connections / depth {
                    let request = Request::post(&uri)
                        .version(Version::HTTP_2)
                        .header("content-type", "application/grpc")
                        .header("te", "trailers")
                        .header("user-agent", "grpc-go/1.41.0")
                        .body(Full::new(frame.clone()))
                        .unwrap();
                    let response = send.send_request(request).await.unwrap();
                    let body = response.into_body().collect().await.unwrap();
                    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn measure(calls: usize) {
    let key = Bytes::from_static(b"/registry/pods/default/some-pod");
    let put = framed(&PutRequest {
        key: key.clone(),
        value: vec![0x62; 64].into(),
        ..Default::default()
    });
    let range = framed(&RangeRequest {
        key,
        ..Default::default()
    });
    println!("server CPU per call in us, median of {ROUNDS} rounds of {calls} calls");
    for (name, path, frame) in [
        ("put", "/etcdserverpb.KV/Put", &put),
        ("range", "/etcdserverpb.KV/Range", &range),
    ] {
        for (connections, depth) in [(1, 1), (4, 16), (1, 64)] {
            let servers = [Server::start("ours"), Server::start("tonic")];
            let mut cpu = [Vec::new(), Vec::new()];
            let mut wall = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for (i, server) in servers.iter().enumerate() {
                    let (cpu_before, begin) = (server.cpu(), Instant::now());
                    load(server.address, path, frame, calls, connections, depth).await;
                    let per_call = 1e6 / f64::from(u32::try_from(calls).expect("a few thousand"));
                    wall[i].push(begin.elapsed().as_secs_f64() * per_call);
                    cpu[i].push((server.cpu() - cpu_before) * per_call);
                }
            }
            let [ours, tonic] = cpu.map(|mut values| median(&mut values));
            let [our_wall, tonic_wall] = wall.map(|mut values| median(&mut values));
            println!(
                "{name:5} {connections} conn x {depth:2}: ours {ours:6.2}  tonic {tonic:6.2}  \
                 ratio {:.2}   (wall {our_wall:6.2} / {tonic_wall:6.2})",
                ours / tonic
            );
        }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    if let Ok(role) = std::env::var(ROLE) {
        runtime.block_on(serve(&role));
        return;
    }
    let calls = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(40_000);
    runtime.block_on(measure(calls));
}
