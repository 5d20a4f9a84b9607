//! Connections to the server: `--conns` of them, the clients taking turns over them.

use std::time::Duration;

use anyhow::{Context, bail};
use tonic::transport::{Channel, Endpoint};

use super::args::Global;

/// Flow-control windows: wide enough that a big answer never waits for window updates, which would
/// measure HTTP/2 instead of the server.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// The largest answer taken: gRPC's own bound, so that no list of a benchmark fails on it.
pub(crate) const MAX_ANSWER_BYTES: usize = (1 << 31) - 1;

/// Makes `--conns` connections, each to the next of `--endpoints`.
pub(crate) async fn connect_all(global: &Global) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::with_capacity(global.conns);
    for endpoint in global.endpoints.iter().cycle().take(global.conns) {
        channels.push(connect(endpoint, global.dial_timeout).await?);
    }
    Ok(channels)
}

/// Makes one connection to the first endpoint.
pub(crate) async fn connect_one(global: &Global) -> anyhow::Result<Channel> {
    let first = global.endpoints.first().context("no endpoint given")?;
    connect(first, global.dial_timeout).await
}

async fn connect(endpoint: &str, timeout: Duration) -> anyhow::Result<Channel> {
    let url = match endpoint.split_once("://") {
        None => format!("http://{endpoint}"),
        Some(("http", _)) => endpoint.to_owned(),
        Some((scheme, _)) => bail!("endpoint {endpoint}: scheme {scheme} is not supported"),
    };
    let mut target = Endpoint::from_shared(url)
        .with_context(|| format!("endpoint {endpoint} is not an address"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    if !timeout.is_zero() {
        target = target.connect_timeout(timeout);
    }
    target
        .connect()
        .await
        .with_context(|| format!("connecting to {endpoint}"))
}

/// One item per client, made from the connection that is its turn.
pub(crate) fn per_client<T>(
    clients: usize,
    channels: &[Channel],
    make: impl Fn(Channel, usize) -> T,
) -> Vec<T> {
    let turns = channels.iter().cycle().cloned();
    turns
        .take(clients)
        .enumerate()
        .map(|(i, channel)| make(channel, i))
        .collect()
}
