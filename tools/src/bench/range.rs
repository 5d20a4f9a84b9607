//! `varve-bench range`.

use bytes::Bytes;
use tonic::Status;
use tonic::transport::Channel;
use varve_proto::etcdserverpb::RangeRequest;
use varve_proto::etcdserverpb::kv_client::KvClient;

use super::args::{Consistency, Global, RangeArgs};
use super::connect::{MAX_ANSWER_BYTES, connect_all, per_client};
use super::keys::{KeySpace, Random};
use super::load::{Load, Operation};
use super::measure;
use super::report::Report;

/// Keys of a page with `--paginate`: what the Kubernetes watch cache asks for, and etcd's
/// benchmark with it.
const PAGE_KEYS: i64 = 10_000;

struct Range {
    kv: KvClient<Channel>,
    request: RangeRequest,
    how: How,
}

enum How {
    Unary,
    Stream,
    Pages,
    /// One random key per request.
    Keys(KeySpace, Random),
}

impl Operation for Range {
    async fn call(&mut self, _number: u64) -> Result<(), Status> {
        let mut request = self.request.clone();
        match &mut self.how {
            How::Pages => return pages(&mut self.kv, request).await,
            How::Stream => {
                let mut stream = self.kv.range_stream(request).await?.into_inner();
                while stream.message().await?.is_some() {}
                return Ok(());
            }
            How::Keys(keys, random) => request.key = keys.random_key(random),
            How::Unary => {}
        }
        self.kv.range(request).await?;
        Ok(())
    }
}

/// Reads the range page by page, all at the revision of the first.
async fn pages(kv: &mut KvClient<Channel>, mut request: RangeRequest) -> Result<(), Status> {
    request.limit = PAGE_KEYS;
    loop {
        let page = kv.range(request.clone()).await?.into_inner();
        let Some(last) = page.kvs.last().filter(|_| page.more) else {
            return Ok(());
        };
        request.key = [&last.key[..], &[0]].concat().into();
        if request.revision == 0 {
            request.revision = page.header.unwrap_or_default().revision;
        }
    }
}

pub(super) async fn run(global: &Global, args: &RangeArgs) -> anyhow::Result<Vec<Report>> {
    let keys = match args.key_space_size {
        0 => None,
        size => Some(KeySpace::new("", args.key_size, size)?),
    };
    let request = request(args);
    let load = Load::new(global, args.total, args.rate)?;
    let channels = connect_all(global).await?;
    let mut random = Random::new(global.seed);
    let mut clients = per_client(global.clients, &channels, |channel, _| Range {
        kv: KvClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES),
        request: request.clone(),
        how: match (args.stream, args.paginate) {
            (true, _) => How::Stream,
            (_, true) => How::Pages,
            _ => How::Unary,
        },
    });
    if let Some(keys) = keys {
        for client in &mut clients {
            client.how = How::Keys(keys.clone(), random.fork());
        }
    }
    let name = match args.consistency {
        Consistency::Linearizable => "range-linearizable",
        Consistency::Serializable => "range-serializable",
    };
    Ok(vec![measure(name, global, load, clients).await?])
}

fn request(args: &RangeArgs) -> RangeRequest {
    let mut key = Bytes::copy_from_slice(args.key.as_deref().unwrap_or_default().as_bytes());
    let mut range_end = Bytes::copy_from_slice(args.end.as_deref().unwrap_or_default().as_bytes());
    if args.prefix {
        range_end = prefix_end(&key);
        if key.is_empty() {
            key = Bytes::from_static(&[0]);
        }
    }
    RangeRequest {
        key,
        range_end,
        limit: args.limit,
        serializable: args.consistency == Consistency::Serializable,
        keys_only: args.keys_only,
        count_only: args.count_only,
        ..Default::default()
    }
}

/// The first key after all keys with this prefix; one zero byte, etcd's "no end", when there is
/// none.
fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(&[0])
}

#[cfg(test)]
mod tests;
