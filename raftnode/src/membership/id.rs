//! Member and cluster ids, computed as etcd computes them.
//!
//! Source: etcd `server/etcdserver/api/membership/{member,cluster}.go`; checked against the golden
//! data directories in `tests`.
use sha1::{Digest, Sha1};

/// The id of a member: the first eight bytes, big-endian, of SHA-1 over its peer URLs (sorted and
/// joined without a separator), the cluster token, and, for members added at run time, the decimal
/// unix time in seconds.
pub fn member_id(peer_urls: &[String], token: &str, unix_seconds: Option<u64>) -> u64 {
    let mut sorted: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut hash = Sha1::new();
    for url in sorted {
        hash.update(url.as_bytes());
    }
    hash.update(token.as_bytes());
    if let Some(seconds) = unix_seconds {
        hash.update(seconds.to_string().as_bytes());
    }
    first_eight(&hash.finalize())
}

/// The id of a cluster: the first eight bytes, big-endian, of SHA-1 over the ids of its initial
/// members, ascending, eight bytes big-endian each. It never changes afterwards.
pub fn cluster_id(initial_members: impl IntoIterator<Item = u64>) -> u64 {
    let mut ids: Vec<u64> = initial_members.into_iter().collect();
    ids.sort_unstable();
    let mut hash = Sha1::new();
    for id in ids {
        hash.update(id.to_be_bytes());
    }
    first_eight(&hash.finalize())
}

fn first_eight(digest: &[u8]) -> u64 {
    digest
        .iter()
        .take(8)
        .fold(0, |acc, b| acc << 8 | u64::from(*b))
}

#[cfg(test)]
mod tests;
