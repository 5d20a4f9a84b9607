//! One end of the transport: a listener, and a host that notes what it hears.
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};
use varve_proto::raftpb::{Entry, Message, MessageType};
use varve_raftnode::{
    DeadlineIo, DirectIo, DirectSocket, PeerConfig, PeerHost, PeerTimings, Peers, ReceiveError,
    TlsFiles,
};
use varve_vfs::RealFs;

pub(crate) const CLUSTER: u64 = 0xcdf8_1819_4e3a_8c32;
pub(crate) const VERSION: &str = "3.5.1";
/// Long enough for anything on a busy machine; only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the transport told its host beside messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Unreachable(u64),
    Snapshot(u64, bool),
    RemovedFromCluster,
}

/// Notes everything.
pub(crate) struct TestHost {
    received: UnboundedSender<Message>,
    reports: UnboundedSender<Report>,
    pub(crate) removed: Mutex<HashSet<u64>>,
    pub(crate) refuse: Mutex<Option<ReceiveError>>,
}

impl PeerHost for TestHost {
    fn receive(&self, message: Message) -> Result<(), ReceiveError> {
        if let Some(error) = self.refuse.lock().clone() {
            return Err(error);
        }
        drop(self.received.send(message));
        Ok(())
    }

    fn is_removed(&self, id: u64) -> bool {
        self.removed.lock().contains(&id)
    }

    fn report_unreachable(&self, id: u64) {
        drop(self.reports.send(Report::Unreachable(id)));
    }

    fn applied(&self) -> u64 {
        0
    }

    fn report_snapshot(&self, id: u64, sent: bool) {
        drop(self.reports.send(Report::Snapshot(id, sent)));
    }

    fn removed_from_cluster(&self) {
        drop(self.reports.send(Report::RemovedFromCluster));
    }
}

/// How a member is made.
pub(crate) struct Options {
    pub(crate) id: u64,
    pub(crate) cluster: u64,
    pub(crate) version: String,
    /// What it says its URL is, if not where it listens.
    pub(crate) advertised: Option<String>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) read: Duration,
}

impl Options {
    pub(crate) fn new(id: u64) -> Self {
        Self {
            id,
            cluster: CLUSTER,
            version: VERSION.to_owned(),
            advertised: None,
            tls: None,
            read: Duration::from_secs(5),
        }
    }
}

/// A member.
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) peers: Peers,
    pub(crate) host: Arc<TestHost>,
    pub(crate) address: SocketAddr,
    pub(crate) url: String,
    pub(crate) dir: TempDir,
    pub(crate) received: UnboundedReceiver<Message>,
    pub(crate) reports: UnboundedReceiver<Report>,
    /// Requests answered so far, by method and path.
    pub(crate) requests: Arc<Mutex<BTreeMap<String, usize>>>,
    server: JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.peers.stop();
        self.server.abort();
    }
}

impl Member {
    pub(crate) async fn start(id: u64) -> Self {
        Self::with(Options::new(id)).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::at(listener, options)
    }

    pub(crate) fn at(listener: TcpListener, options: Options) -> Self {
        let (id, address) = (options.id, listener.local_addr().unwrap());
        let scheme = if options.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let url = format!("{scheme}://{address}");
        let dir = tempfile::tempdir().unwrap();
        let mut timings = PeerTimings::new(Duration::from_secs(1));
        (timings.read, timings.write) = (options.read, options.read);
        let advertised = options.advertised.clone().unwrap_or_else(|| url.clone());
        let config = PeerConfig {
            local_id: options.id,
            cluster_id: options.cluster,
            server_version: options.version.clone(),
            advertised_urls: vec![advertised],
            tls: options.tls.as_ref().map(|files| files.client().unwrap()),
            timings,
            fs: Arc::new(RealFs),
            snap_dir: dir.path().to_path_buf(),
        };
        let peers = Peers::new(config, Handle::current()).unwrap();
        let (to_received, received) = unbounded_channel();
        let (to_reports, reports) = unbounded_channel();
        let host = Arc::new(TestHost {
            received: to_received,
            reports: to_reports,
            removed: Mutex::default(),
            refuse: Mutex::default(),
        });
        peers.bind(host.clone());
        let requests = Arc::new(Mutex::new(BTreeMap::new()));
        let server = tokio::spawn(serve(
            listener,
            peers.clone(),
            Arc::clone(&requests),
            options,
        ));
        Self {
            id,
            peers,
            host,
            address,
            url,
            dir,
            received,
            reports,
            requests,
            server,
        }
    }

    pub(crate) fn add(&self, other: &Self) {
        self.add_at(other.id, &other.url);
    }

    pub(crate) fn add_at(&self, id: u64, url: &str) {
        self.peers.add_peer(id, &[url.to_owned()]).unwrap();
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Message {
        within(self.received.recv()).await.unwrap()
    }

    /// The next report that is not of an unreachable member.
    pub(crate) async fn report(&mut self) -> Report {
        loop {
            match within(self.reports.recv()).await.unwrap() {
                Report::Unreachable(_) => {}
                report => return report,
            }
        }
    }

    /// Waits until `other` has both its streams from this member.
    pub(crate) async fn has_streams_to(&self, other: u64) {
        for kind in ["msgapp", "message"] {
            let path = format!("GET /raft/stream/{kind}/{other:x} 200");
            eventually(&path, || self.requests.lock().contains_key(&path)).await;
        }
    }

    pub(crate) fn requested(&self, what: &str) -> usize {
        let requests = self.requests.lock();
        let matching = requests.iter().filter(|(path, _)| path.starts_with(what));
        matching.map(|(_, count)| count).sum()
    }
}

async fn serve(
    listener: TcpListener,
    peers: Peers,
    requests: Arc<Mutex<BTreeMap<String, usize>>>,
    options: Options,
) {
    let tls = options.tls.map(|files| files.server().unwrap());
    let mut connections = JoinSet::new();
    loop {
        let (stream, remote) = listener.accept().await.unwrap();
        let (peers, requests, tls) = (peers.clone(), Arc::clone(&requests), tls.clone());
        let read = options.read;
        connections.spawn(async move {
            match tls {
                None => {
                    let stream = DirectIo::new(stream);
                    let way = (remote, Some(stream.socket()));
                    serve_connection(stream, way, peers, requests, read).await;
                }
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream, Some(remote.ip())).await {
                        serve_connection(stream, (remote, None), peers, requests, read).await;
                    }
                }
            }
        });
    }
}

async fn serve_connection<I>(
    io: I,
    (remote, socket): (SocketAddr, Option<DirectSocket>),
    peers: Peers,
    requests: Arc<Mutex<BTreeMap<String, usize>>>,
    read: Duration,
) where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let io = DeadlineIo::new(io, None, Some(read));
    let service = service_fn(|mut request: Request<Incoming>| {
        let (peers, requests) = (peers.clone(), Arc::clone(&requests));
        if let Some(socket) = &socket {
            request.extensions_mut().insert(socket.clone());
        }
        async move {
            let path = format!("{} {}", request.method(), request.uri().path());
            let response = peers.handle(request, Some(remote.ip())).await;
            let answered = format!("{path} {}", response.status().as_u16());
            *requests.lock().entry(answered).or_default() += 1;
            Ok::<_, Infallible>(response)
        }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(io), service);
    drop(served.await);
}

/// Waits for something that comes by itself.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("what was waited for did not come")
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "it did not come to this: {what}");
}

pub(crate) fn message(kind: MessageType, from: u64, to: u64) -> Message {
    Message {
        r#type: kind.into(),
        from,
        to,
        term: 5,
        ..Message::default()
    }
}

/// An append of one entry behind `index`.
pub(crate) fn append(from: u64, to: u64, index: u64, data: Bytes) -> Message {
    let entry = Entry {
        term: 5,
        index: index + 1,
        data: Some(data),
        ..Entry::default()
    };
    Message {
        log_term: 5,
        index,
        commit: index,
        entries: vec![entry],
        ..message(MessageType::MsgApp, from, to)
    }
}
