//! Making a connection to a member.
use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::error::PeerError;
use super::tls::PeerTls;
use super::url::PeerUrl;

/// As etcd's: finds out about hosts that vanished.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// A connection of any kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Connects within `timeout`, TLS handshake included.
pub(crate) async fn dial(
    url: &PeerUrl,
    tls: Option<&PeerTls>,
    timeout: Duration,
) -> Result<Box<dyn Io>, PeerError> {
    let connected = tokio::time::timeout(timeout, connect(url, tls)).await;
    connected.unwrap_or_else(|_| {
        Err(PeerError::Dial {
            url: url.to_string(),
            source: io::ErrorKind::TimedOut.into(),
        })
    })
}

async fn connect(url: &PeerUrl, tls: Option<&PeerTls>) -> Result<Box<dyn Io>, PeerError> {
    let failed = |source| PeerError::Dial {
        url: url.to_string(),
        source,
    };
    let Some(path) = url.socket() else {
        let stream = tcp(url).await.map_err(failed)?;
        return secure(url, tls, stream).await;
    };
    let stream = UnixStream::connect(path).await.map_err(failed)?;
    secure(url, tls, stream).await
}

async fn tcp(url: &PeerUrl) -> io::Result<TcpStream> {
    let address = url.host_port().ok_or(io::ErrorKind::InvalidInput)?;
    let stream = TcpStream::connect(address).await?;
    // Messages are small and each one is waited for.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

async fn secure<S: Io + 'static>(
    url: &PeerUrl,
    tls: Option<&PeerTls>,
    stream: S,
) -> Result<Box<dyn Io>, PeerError> {
    if !url.is_tls() {
        return Ok(Box::new(stream));
    }
    let tls = tls.ok_or_else(|| PeerError::NoTls {
        url: url.to_string(),
    })?;
    let host = url.host_port().map_or("localhost", |(host, _)| host);
    let secured = tls
        .connect(host, stream)
        .await
        .map_err(|source| PeerError::Dial {
            url: url.to_string(),
            source,
        })?;
    Ok(Box::new(secured))
}
