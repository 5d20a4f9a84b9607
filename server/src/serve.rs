//! A whole server: listeners, the member behind them, and the stop.
//!
//! Called by `main` on the main thread with the logger up. Listeners are bound before anything of the
//! data directory is touched, as etcd does, so that a port in use leaves the directory alone.
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use varve_raftnode::{work_before_sleep, write_before_sleep};

use crate::api::{Api, CoreProbe};
use crate::cluster::{corruption, versions};
use crate::config::{Config, Scheme, Url};
use crate::core::Core;
use crate::events::Ending;
use crate::http::{HttpListener, Listener, Operations};
use crate::metrics::Metrics;
use crate::peer_http::{NoServices, PeerHttp, PeerListener};
use crate::rpc::{ConnOptions, Endpoint, RpcError};
use crate::start::{Running, StartError, start};
use crate::{compactor, lease_expiry, publish, quota_alarm};

/// How long connections may take to finish their requests once the server stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Between two attempts to tell the cluster of this member.
const PUBLISH_PAUSE: Duration = Duration::from_millis(100);
/// Pending connections the kernel keeps for a listener.
const BACKLOG: i32 = 1024;
/// Room a request may take beyond `--max-request-bytes`, for what surrounds the payload.
const REQUEST_OVERHEAD_BYTES: usize = 512 << 10;

/// Runs a server until a signal or a failure ends it.
///
/// # Errors
/// [`StartError`] when it cannot start, or when the member had to stop by itself.
pub fn run(config: Config) -> Result<(), StartError> {
    let failed = |e| StartError::Other(format!("could not start the runtime: {e}"));
    let mut clients = Builder::new_multi_thread();
    clients.enable_all().thread_name("tokio");
    // Other members have a thread of their own: clients do not keep them waiting, and a message wakes
    // no second thread that then finds nothing to do.
    let mut peers = Builder::new_multi_thread();
    peers.worker_threads(1).enable_all().thread_name("peers");
    // Both work on what they bring the member, instead of waking another thread for it. Clients do not wait
    // for the disk meanwhile.
    let clients = clients.on_thread_park(work_before_sleep).build();
    let peers = peers.on_thread_park(write_before_sleep).build();
    let (clients, peers) = (clients.map_err(failed)?, peers.map_err(failed)?);
    let listeners = Listeners::bind(&config, clients.handle(), peers.handle())?;
    let metrics = Arc::new(Metrics::new(&config));
    let running = start(config, metrics, peers.handle())?;
    let outcome = clients.block_on(serve(&running, listeners, peers.handle()));
    // Streams that outlived the drain are cut with their runtime.
    clients.shutdown_timeout(Duration::from_secs(1));
    peers.shutdown_timeout(Duration::from_secs(1));
    let stopped = running.stop();
    outcome.and(stopped)
}

struct Listeners {
    client: Vec<TcpListener>,
    peer: Vec<PeerListener>,
    metrics: Vec<TcpListener>,
}

impl Listeners {
    /// Sockets belong to the runtime in whose context they are made.
    fn bind(config: &Config, clients: &Handle, peers: &Handle) -> Result<Self, StartError> {
        let peer = {
            let _context = peers.enter();
            bind_peers(config)?
        };
        let _context = clients.enter();
        let bind = |urls: &[Url]| {
            let mut bound = Vec::new();
            for url in urls {
                bound.extend(listen(url, config)?);
            }
            Ok::<_, StartError>(bound)
        };
        Ok(Self {
            peer,
            client: bind(&config.listen_client_urls)?,
            metrics: bind(&config.listen_metrics_urls)?,
        })
    }
}

fn bind_peers(config: &Config) -> Result<Vec<PeerListener>, StartError> {
    let tls = match &config.peer_tls {
        Some(files) => Some(files.server()?),
        None => None,
    };
    let mut bound = Vec::new();
    for url in &config.listen_peer_urls {
        let secure = url.scheme() == Scheme::Https;
        if tls.is_some() && !secure {
            tracing::warn!(peer_url = %url,
                "scheme is HTTP while key and cert files are present; ignoring key and cert files");
        }
        for listener in listen(url, config)? {
            bound.push(PeerListener {
                listener,
                tls: tls.clone().filter(|_| secure),
                write_timeout: config.raft_write_timeout,
            });
        }
    }
    Ok(bound)
}

fn listen(url: &Url, config: &Config) -> Result<Vec<TcpListener>, StartError> {
    let failed = |source| StartError::Listen {
        url: url.to_string(),
        source,
    };
    if !matches!(url.scheme(), Scheme::Http | Scheme::Https) {
        return Err(StartError::Unsupported(format!("{url} is a unix socket")));
    }
    let addresses: Vec<SocketAddr> = (url.host(), url.port())
        .to_socket_addrs()
        .map_err(failed)?
        .collect();
    // `localhost` has two addresses; one of them may not exist on this machine.
    let mut bound = Vec::new();
    let mut last = None;
    for address in addresses {
        match listen_on(address, config) {
            Ok(listener) => bound.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(failed(error)),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) if bound.is_empty() => Err(failed(error)),
        _ => Ok(bound),
    }
}

fn listen_on(address: SocketAddr, config: &Config) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // As Go's listeners: a port is free again at once after a restart.
    socket.set_reuse_address(true)?;
    if config.socket_reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn serve(
    running: &Running,
    listeners: Listeners,
    peer_runtime: &Handle,
) -> Result<(), StartError> {
    let core = Arc::clone(&running.core);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signal_error)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(signal_error)?;
    let mut ending = running.ending.clone();
    let mut tasks = Tasks::default();

    let Listeners {
        client,
        peer,
        metrics,
    } = listeners;
    let checked = async {
        if core.config().corruption.initial {
            corruption::initial(&core)
                .await
                .map_err(StartError::Other)?;
        }
        // Peers first: without them there may be no leader to join.
        accept_peers(&core, (peer, peer_runtime), running, &mut tasks);
        tasks.own.spawn(lease_expiry::run(Arc::clone(&core)));
        tasks.own.spawn(quota_alarm::run(Arc::clone(&core)));
        tasks.own.spawn(versions::run(Arc::clone(&core)));
        join(&core).await
    };
    let joined = tokio::select! {
        joined = checked => joined.map(|()| None),
        _ = interrupt.recv() => Ok(Some("interrupt")),
        _ = terminate.recv() => Ok(Some("terminated")),
        ended = ending.wait_for(Option::is_some) => ended_with(ended.ok()),
    };
    let why = match joined {
        Ok(None) => {
            tasks.own.spawn(compactor::run(Arc::clone(&core)));
            spawn_checks(&core, &mut tasks.own);
            accept(&core, client, metrics, running, &mut tasks.own);
            announce(&core);
            tokio::select! {
                _ = interrupt.recv() => Ok(Some("interrupt")),
                _ = terminate.recv() => Ok(Some("terminated")),
                ended = ending.wait_for(Option::is_some) => ended_with(ended.ok()),
            }
        }
        early => early,
    };
    match why {
        Ok(signal) => {
            core.leave_leadership().await;
            stop(running, tasks, signal.unwrap_or("removed")).await
        }
        Err(error) => {
            stop(running, tasks, "failed").await?;
            Err(error)
        }
    }
}

/// The checks that were asked for.
fn spawn_checks(core: &Arc<Core>, tasks: &mut JoinSet<()>) {
    let checks = core.config().corruption;
    if let Some(every) = checks.periodic {
        tasks.spawn(corruption::run_periodic(Arc::clone(core), every));
    }
    if let Some(every) = checks.compact_hash {
        tasks.spawn(corruption::run_compact_hash(Arc::clone(core), every));
    }
}

/// Waits for a leader, then tells the cluster of this member, until it has heard.
async fn join(core: &Core) -> Result<(), StartError> {
    let stopped = || StartError::Other("the member stopped before it had a leader".to_owned());
    loop {
        core.wait_leader().await.map_err(|_| stopped())?;
        match publish::attributes(core).await {
            Ok(()) => break,
            Err(error) if error.message() == RpcError::Stopped.text() => return Err(stopped()),
            Err(error) => {
                tracing::warn!(%error, "failed to publish local member to cluster through raft");
                // A refusal comes at once; a time-out has waited long enough.
                tokio::time::sleep(PUBLISH_PAUSE).await;
            }
        }
    }
    tracing::info!(
        local_member_id = %format_args!("{:x}", core.member_id()),
        "published local member to cluster through raft"
    );
    versions::settle(core).await;
    Ok(())
}

fn options(core: &Core) -> ConnOptions {
    let config = core.config();
    ConnOptions {
        max_receive_bytes: config.max_request_bytes + REQUEST_OVERHEAD_BYTES,
        max_concurrent_streams: Some(config.max_concurrent_streams),
        keepalive_interval: config.grpc_keepalive_interval,
        keepalive_timeout: config.grpc_keepalive_timeout.unwrap_or(Duration::MAX),
        drain_timeout: DRAIN,
    }
}

fn accept_peers(
    core: &Arc<Core>,
    (listeners, runtime): (Vec<PeerListener>, &Handle),
    running: &Running,
    tasks: &mut Tasks,
) {
    let handler = PeerHttp::new(Arc::clone(core), running.peers.clone());
    for listener in listeners {
        let stop = tasks.stop_peers.subscribe();
        let serving = listener.serve(handler.clone(), options(core), stop);
        tasks.peers.spawn_on(serving, runtime);
    }
}

fn accept(
    core: &Arc<Core>,
    clients: Vec<TcpListener>,
    extra: Vec<TcpListener>,
    running: &Running,
    tasks: &mut JoinSet<()>,
) {
    let options = options(core);
    let config = core.config();
    let probe = Arc::new(CoreProbe::new(Arc::clone(core)));
    let operations = Arc::new(Operations::new(probe, Arc::clone(core.metrics()), config));
    let http = |listener| Arc::new(HttpListener::new(Arc::clone(&operations), listener));
    let stop = || running.shutdown.subscribe();

    let api = Arc::new(Api::new(Arc::clone(core)));
    let endpoint = Endpoint::new(api, http(Listener::Client), options.clone());
    for listener in clients {
        tasks.spawn(Arc::clone(&endpoint).serve(listener, stop()));
    }
    let endpoint = Endpoint::new(Arc::new(NoServices), http(Listener::Metrics), options);
    for listener in extra {
        tasks.spawn(Arc::clone(&endpoint).serve(listener, stop()));
    }
}

fn announce(core: &Core) {
    tracing::info!(
        local_member_id = %format_args!("{:x}", core.member_id()),
        cluster_version = core.cluster_version().unwrap_or_default(),
        server_version = core.config().compat.server_version(),
        "ready to serve client requests"
    );
    for url in &core.config().listen_client_urls {
        tracing::info!(address = %url, "serving client traffic insecurely; this is strongly discouraged!");
    }
    let socket = std::env::var_os("NOTIFY_SOCKET");
    if let Err(error) = crate::notify(socket.as_deref(), "READY=1") {
        tracing::warn!(%error, "could not notify the service manager");
    }
}

/// What runs beside the member's threads. The members are cut off last: requests that are under way need
/// them.
#[derive(Default)]
struct Tasks {
    own: JoinSet<()>,
    peers: JoinSet<()>,
    stop_peers: watch::Sender<bool>,
}

async fn stop(running: &Running, mut tasks: Tasks, why: &'static str) -> Result<(), StartError> {
    tracing::info!(signal = why, "stopping");
    running.shutdown.send_replace(true);
    let all_ended = async { while tasks.own.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN + Duration::from_secs(2), all_ended)
        .await
        .is_err()
    {
        tracing::warn!("some requests did not end in time and are cut");
    }
    tasks.stop_peers.send_replace(true);
    while tasks.peers.join_next().await.is_some() {}
    Ok(())
}

/// How a member that ended by itself ends its process: a removal is a clean end, as in etcd.
fn ended_with(
    ending: Option<watch::Ref<'_, Option<Ending>>>,
) -> Result<Option<&'static str>, StartError> {
    match ending.and_then(|e| e.clone()) {
        Some(Ending::Removed) => {
            tracing::error!("the member has been permanently removed from the cluster");
            Ok(Some("removed"))
        }
        Some(Ending::Failed(text)) => Err(StartError::Other(text)),
        None => Err(StartError::Other("the member stopped".to_owned())),
    }
}

fn signal_error(error: io::Error) -> StartError {
    StartError::Other(format!("could not listen for signals: {error}"))
}
