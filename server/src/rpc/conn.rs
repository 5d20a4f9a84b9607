//! Listeners and connections: HTTP/1 and HTTP/2 on one port.
//!
//! One task per connection on the caller's runtime, which runs the connection's calls as well
//! (`tasks`).
//!
//! # Failure model
//!
//! A connection's errors end that connection. Errors of `accept` that concern one connection are
//! passed over; lack of file descriptors or memory makes the listener pause, never stop.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::authority::UrlAuthority;
use super::body::{HttpBody, ResponseBody};
use super::context::Peer;
use super::service::{self, Services};
use super::tasks::StreamTasks;

/// HTTP/2 receive window of a stream: more than a request of default size needs, so that none
/// waits for a window update.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// Receive window of a connection, shared by its streams; also the most that unread requests of one
/// connection hold.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Pause after `accept` failed for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Idle time before the kernel probes a connection.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Serves what is not gRPC.
pub trait HttpHandler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<HttpBody>> + Send + '_>>;
}

/// Limits and timers of connections.
#[derive(Debug, Clone)]
pub struct ConnOptions {
    /// Longest message taken from a client, in bytes.
    pub max_receive_bytes: usize,
    /// HTTP/2 streams a connection may have open; `None` is no limit.
    pub max_concurrent_streams: Option<u32>,
    /// Idle time after which an HTTP/2 connection is pinged; `None` for never.
    pub keepalive_interval: Option<Duration>,
    /// How long the answer to that ping may take.
    pub keepalive_timeout: Duration,
    /// How long open calls may go on once the server stops.
    pub drain_timeout: Duration,
}

impl Default for ConnOptions {
    /// etcd's defaults: requests of 1.5 MiB and 512 KiB on top, pings after two hours.
    fn default() -> Self {
        Self {
            max_receive_bytes: 1536 * 1024 + 512 * 1024,
            max_concurrent_streams: None,
            keepalive_interval: Some(Duration::from_hours(2)),
            keepalive_timeout: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(7),
        }
    }
}

/// Services and HTTP handler behind any number of listeners.
pub struct Endpoint<S> {
    services: Arc<S>,
    http: Arc<dyn HttpHandler>,
    options: ConnOptions,
}

impl<S> fmt::Debug for Endpoint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<S: Services> Endpoint<S> {
    /// An endpoint that serves nobody yet.
    pub fn new(services: Arc<S>, http: Arc<dyn HttpHandler>, options: ConnOptions) -> Arc<Self> {
        Arc::new(Self {
            services,
            http,
            options,
        })
    }

    /// How a connection is served; its streams run where `executor` runs them.
    fn builder(&self, executor: StreamTasks) -> Builder<StreamTasks> {
        let mut builder = Builder::new(executor);
        builder.http1().timer(TokioTimer::new());
        builder
            .http2()
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(self.options.max_concurrent_streams)
            .keep_alive_interval(self.options.keepalive_interval)
            .keep_alive_timeout(self.options.keepalive_timeout)
            // grpc-go sends no date, and no client of etcd looks at one.
            .auto_date_header(false);
        builder
    }

    /// Serves `listener` until `stop` becomes true or its sender is gone, then lets open calls end
    /// for at most the drain timeout.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let mut stopped = pin!(stopped(stop.clone()));
        loop {
            tokio::select! {
                () = &mut stopped => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        let endpoint = Arc::clone(&self);
                        let stop = stop.clone();
                        connections.spawn(async move {
                            endpoint.serve_tcp(stream, address, stop).await;
                        });
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections, trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                // Takes finished tasks out of the set.
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.drain_timeout, drained)
            .await
            .is_err()
        {
            tracing::warn!(
                connections = connections.len(),
                "cutting connections still in use"
            );
            connections.shutdown().await;
        }
    }

    async fn serve_tcp(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        stop: watch::Receiver<bool>,
    ) {
        let options = SockRef::from(&stream);
        let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE);
        let set = options
            .set_tcp_nodelay(true)
            .and_then(|()| options.set_tcp_keepalive(&keepalive));
        if let Err(error) = set {
            // Only a connection that is already broken refuses these.
            tracing::debug!(%error, %address, "cannot set socket options");
            return;
        }
        let peer = Peer {
            address: Some(address),
            common_name: None,
        };
        self.serve_connection(stream, peer, stop).await;
    }

    /// Serves one connection over any byte stream until its end, or until `stop` and then as long
    /// as it has calls open.
    pub async fn serve_connection<I>(
        self: Arc<Self>,
        io: I,
        peer: Peer,
        stop: watch::Receiver<bool>,
    ) where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let endpoint = Arc::clone(&self);
            let peer = peer.clone();
            async move { Ok::<_, Infallible>(endpoint.answer(request, peer).await) }
        });
        let tasks = StreamTasks::default();
        let builder = self.builder(tasks.clone());
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(UrlAuthority::new(io)), service);
        let mut connection = pin!(connection);
        let mut running = tasks.running();
        let ended = tokio::select! {
            biased;
            ended = running.beside(connection.as_mut()) => ended,
            () = stopped(stop) => {
                connection.as_mut().graceful_shutdown();
                running.beside(connection).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, ?peer, "connection failed");
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<ResponseBody> {
        if service::is_grpc(&request) {
            let services = Arc::clone(&self.services);
            service::call(services, self.options.max_receive_bytes, peer, request).await
        } else {
            self.http
                .handle(request, peer)
                .await
                .map(ResponseBody::http)
        }
    }
}

/// Waits for `stop`, or for the loss of whoever could say it.
async fn stopped(mut stop: watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Errors of `accept` that say something about the connection it would have given.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
