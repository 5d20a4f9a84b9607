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
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::{Api, CoreProbe};
use crate::config::{Config, Scheme, Url};
use crate::core::Core;
use crate::http::{HttpListener, Listener, Operations};
use crate::metrics::Metrics;
use crate::peer_http::{NoServices, PeerHttp};
use crate::rpc::{ConnOptions, Endpoint};
use crate::start::{Running, StartError, start};
use crate::{compactor, lease_expiry, publish};

/// How long connections may take to finish their requests once the server stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Pending connections the kernel keeps for a listener.
const BACKLOG: i32 = 1024;
/// Room a request may take beyond `--max-request-bytes`, for what surrounds the payload.
const REQUEST_OVERHEAD_BYTES: usize = 512 << 10;

/// Runs a server until a signal or a failure ends it.
///
/// # Errors
/// [`StartError`] when it cannot start, or when the member had to stop by itself.
pub fn run(config: Config) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("tokio")
        .build()
        .map_err(|e| StartError::Other(format!("could not start the runtime: {e}")))?;
    let listeners = {
        let _context = runtime.enter();
        Listeners::bind(&config)?
    };
    let metrics = Arc::new(Metrics::new(&config));
    let running = start(config, metrics)?;
    let outcome = runtime.block_on(serve(&running, listeners));
    // Streams that outlived the drain are cut with the runtime.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let stopped = running.stop();
    outcome.and(stopped)
}

struct Listeners {
    client: Vec<TcpListener>,
    peer: Vec<TcpListener>,
    metrics: Vec<TcpListener>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, StartError> {
        let bind = |urls: &[Url]| {
            let mut bound = Vec::new();
            for url in urls {
                bound.extend(listen(url, config)?);
            }
            Ok::<_, StartError>(bound)
        };
        Ok(Self {
            peer: bind(&config.listen_peer_urls)?,
            client: bind(&config.listen_client_urls)?,
            metrics: bind(&config.listen_metrics_urls)?,
        })
    }
}

fn listen(url: &Url, config: &Config) -> Result<Vec<TcpListener>, StartError> {
    let failed = |source| StartError::Listen {
        url: url.to_string(),
        source,
    };
    if url.scheme() != Scheme::Http {
        return Err(StartError::Unsupported(format!("{url} is not an http URL")));
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

async fn serve(running: &Running, listeners: Listeners) -> Result<(), StartError> {
    let core = Arc::clone(&running.core);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signal_error)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(signal_error)?;
    let mut failure = running.failure.clone();

    tokio::select! {
        joined = join(&core) => joined?,
        _ = interrupt.recv() => return stop(running, JoinSet::new(), "interrupt").await,
        _ = terminate.recv() => return stop(running, JoinSet::new(), "terminated").await,
        failed = failure.wait_for(Option::is_some) => return Err(failed_with(failed.ok())),
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(lease_expiry::run(Arc::clone(&core)));
    tasks.spawn(compactor::run(Arc::clone(&core)));
    accept(&core, listeners, running, &mut tasks);
    announce(&core);

    let why = tokio::select! {
        _ = interrupt.recv() => "interrupt",
        _ = terminate.recv() => "terminated",
        failed = failure.wait_for(Option::is_some) => {
            let error = failed_with(failed.ok());
            stop(running, tasks, "failed").await?;
            return Err(error);
        }
    };
    stop(running, tasks, why).await
}

/// Waits for a leader, then tells the cluster of this member.
async fn join(core: &Core) -> Result<(), StartError> {
    let mut leader = core.leader_watch();
    let led = leader
        .wait_for(|(leader, _)| *leader != 0)
        .await
        .map(|_| ());
    led.map_err(|_| StartError::Other("the member stopped before it had a leader".to_owned()))?;
    let failed = |error| StartError::Other(format!("could not publish this member: {error}"));
    publish::attributes(core).await.map_err(failed)?;
    publish::cluster_version(core).await.map_err(failed)
}

fn accept(core: &Arc<Core>, listeners: Listeners, running: &Running, tasks: &mut JoinSet<()>) {
    let config = core.config();
    let options = ConnOptions {
        max_receive_bytes: config.max_request_bytes + REQUEST_OVERHEAD_BYTES,
        max_concurrent_streams: Some(config.max_concurrent_streams),
        keepalive_interval: config.grpc_keepalive_interval,
        keepalive_timeout: config.grpc_keepalive_timeout.unwrap_or(Duration::MAX),
        drain_timeout: DRAIN,
    };
    let probe = Arc::new(CoreProbe::new(Arc::clone(core)));
    let operations = Arc::new(Operations::new(probe, Arc::clone(core.metrics()), config));
    let http = |listener| Arc::new(HttpListener::new(Arc::clone(&operations), listener));
    let stop = || running.shutdown.subscribe();

    let api = Arc::new(Api::new(Arc::clone(core)));
    let clients = Endpoint::new(api, http(Listener::Client), options.clone());
    for listener in listeners.client {
        tasks.spawn(Arc::clone(&clients).serve(listener, stop()));
    }
    let none = Arc::new(NoServices);
    let metrics = Endpoint::new(Arc::clone(&none), http(Listener::Metrics), options.clone());
    for listener in listeners.metrics {
        tasks.spawn(Arc::clone(&metrics).serve(listener, stop()));
    }
    let peers = Endpoint::new(none, Arc::new(PeerHttp::new(Arc::clone(core))), options);
    for listener in listeners.peer {
        tasks.spawn(Arc::clone(&peers).serve(listener, stop()));
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

async fn stop(
    running: &Running,
    mut tasks: JoinSet<()>,
    why: &'static str,
) -> Result<(), StartError> {
    tracing::info!(signal = why, "stopping");
    running.shutdown.send_replace(true);
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN + Duration::from_secs(2), all_ended)
        .await
        .is_err()
    {
        tracing::warn!("some requests did not end in time and are cut");
    }
    Ok(())
}

fn failed_with(failure: Option<watch::Ref<'_, Option<String>>>) -> StartError {
    let text = failure.and_then(|f| f.clone());
    StartError::Other(text.unwrap_or_else(|| "the member stopped".to_owned()))
}

fn signal_error(error: io::Error) -> StartError {
    StartError::Other(format!("could not listen for signals: {error}"))
}
