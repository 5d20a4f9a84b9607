//! Membership as the backend holds it, for directories in which the backend is the authority.
//!
//! From storage version 3.6 on etcd reads members, removed ids and the cluster version from the
//! database; before, the v2 store in `.snap` and the log decide, and the buckets are only copies (that
//! etcd 3.5.1 to 3.5.19 did not even keep up to date).
use varve_backend::{Direction, KeyRange, View};
use varve_mvcc::{Store, schema};
use varve_raftnode::membership::{Cluster, Member};

use crate::start::StartError;

/// The stored membership; `None` when the directory has no storage version.
pub(crate) fn load(
    store: &Store,
    cluster_id: u64,
    local_id: u64,
) -> Result<Option<Cluster>, StartError> {
    if store
        .backend()
        .view()
        .get(schema::META, b"storageVersion")?
        .is_none()
    {
        return Ok(None);
    }
    read(store, cluster_id, local_id).map(Some)
}

/// What the buckets say, whether or not they are the authority.
pub(crate) fn read(store: &Store, cluster_id: u64, local_id: u64) -> Result<Cluster, StartError> {
    let view = store.backend().view();
    let mut cluster = Cluster::new(cluster_id, local_id);
    for (key, value) in all(&view, schema::MEMBERS)? {
        let member: Member = serde_json::from_slice(&value)
            .map_err(|e| malformed("members", &key, &e.to_string()))?;
        cluster.restore_member(member);
    }
    for (key, _) in all(&view, schema::MEMBERS_REMOVED)? {
        let id = std::str::from_utf8(&key)
            .ok()
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .ok_or_else(|| malformed("members_removed", &key, "not a member id"))?;
        cluster.restore_removed(id);
    }
    if let Some(version) = view.get(schema::CLUSTER, b"clusterVersion")? {
        cluster.set_version(&String::from_utf8_lossy(&version));
    }
    Ok(cluster)
}

fn all(
    view: &View,
    bucket: varve_backend::Bucket,
) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, StartError> {
    let mut scan = view.scan(bucket, &KeyRange::all(), Direction::Forward)?;
    let mut pairs = Vec::new();
    while let Some(pair) = scan.next()? {
        pairs.push(pair);
    }
    Ok(pairs)
}

fn malformed(bucket: &str, key: &[u8], why: &str) -> StartError {
    let key = key.escape_ascii();
    StartError::Other(format!("bucket {bucket}, key \"{key}\": {why}"))
}
