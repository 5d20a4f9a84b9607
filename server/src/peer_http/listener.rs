//! The peer listener: TLS where the URL says so, and a limit on writes that get nowhere.
//!
//! One task per connection (tokio). Reads have no limit: whoever opened a stream says nothing more.
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use varve_raftnode::{DeadlineIo, DirectIo, ServerTls};

use super::{NoServices, PeerHttp};
use crate::rpc::{ConnOptions, Endpoint, Peer};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Idle time before the kernel probes a connection.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// Pause after `accept` failed for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections may go on once the server stops: streams between members never end by themselves.
const DRAIN: Duration = Duration::from_millis(100);

/// A bound peer URL.
#[derive(Debug)]
pub(crate) struct PeerListener {
    pub(crate) listener: TcpListener,
    /// How connections are made secure; `None` for an http URL.
    pub(crate) tls: Option<ServerTls>,
    /// Time that a write may wait.
    pub(crate) write_timeout: Duration,
}

impl PeerListener {
    /// Accepts until `stop` becomes true.
    pub(crate) async fn serve(
        self,
        handler: PeerHttp,
        options: ConnOptions,
        stop: watch::Receiver<bool>,
    ) {
        let mut connections = JoinSet::new();
        let mut stopping = stop.clone();
        let mut stopped = pin!(async move {
            // A dropped sender means the same.
            drop(stopping.wait_for(|stop| *stop).await);
        });
        loop {
            tokio::select! {
                () = &mut stopped => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        let connection = Connection {
                            address,
                            tls: self.tls.clone(),
                            write_timeout: self.write_timeout,
                            handler: handler.clone(),
                            options: options.clone(),
                        };
                        connections.spawn(connection.serve(stream, stop.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections of members, trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                // Takes finished tasks out of the set.
                Some(_) = connections.join_next() => {}
            }
        }
        tokio::time::sleep(DRAIN).await;
        connections.shutdown().await;
    }
}

struct Connection {
    address: SocketAddr,
    tls: Option<ServerTls>,
    write_timeout: Duration,
    handler: PeerHttp,
    options: ConnOptions,
}

impl Connection {
    async fn serve(self, stream: TcpStream, stop: watch::Receiver<bool>) {
        let options = SockRef::from(&stream);
        let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE);
        let set = options
            .set_tcp_nodelay(true)
            .and_then(|()| options.set_tcp_keepalive(&keepalive));
        if set.is_err() {
            // Only a connection that is already broken refuses these.
            return;
        }
        let peer = Peer {
            address: Some(self.address),
            common_name: None,
        };
        let limit = Some(self.write_timeout);
        let endpoint = |handler: PeerHttp| {
            Endpoint::new(Arc::new(NoServices), Arc::new(handler), self.options)
        };
        let Some(tls) = self.tls else {
            let stream = DirectIo::new(stream);
            let endpoint = endpoint(self.handler.over(stream.socket()));
            let io = DeadlineIo::new(stream, None, limit);
            return endpoint.serve_connection(io, peer, stop).await;
        };
        let accepting = tls.accept(stream, Some(self.address.ip()));
        let rejected = match tokio::time::timeout(HANDSHAKE, accepting).await {
            Ok(Ok(stream)) => {
                let io = DeadlineIo::new(stream, None, limit);
                return endpoint(self.handler)
                    .serve_connection(io, peer, stop)
                    .await;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no handshake within {HANDSHAKE:?}"),
        };
        tracing::warn!(
            remote_addr = %self.address,
            error = rejected,
            "rejected connection on peer endpoint"
        );
    }
}
