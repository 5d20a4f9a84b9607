//! The buckets and the keys of bucket `meta`, under etcd's names, and typed access to the numbers.
//!
//! Used by this crate and by the server, on any thread.

use bytes::Bytes;
use varve_backend::{Bucket, Guard, View};

use crate::error::{Error, Result};
use crate::revision::{Revision, RowKey};

/// Every version of every key, by revision.
pub const KEY: Bucket = Bucket::new("key");
/// Numbers that describe the store itself.
pub const META: Bucket = Bucket::new("meta");
/// Leases, by big-endian id.
pub const LEASE: Bucket = Bucket::new("lease");
/// Active alarms; the key is the message.
pub const ALARM: Bucket = Bucket::new("alarm");
/// Whether authentication is on, and its revision.
pub const AUTH: Bucket = Bucket::new("auth");
/// Roles, by name.
pub const AUTH_ROLES: Bucket = Bucket::new("authRoles");
/// Users, by name.
pub const AUTH_USERS: Bucket = Bucket::new("authUsers");
/// Cluster version and downgrade state.
pub const CLUSTER: Bucket = Bucket::new("cluster");
/// Members, by hexadecimal id.
pub const MEMBERS: Bucket = Bucket::new("members");
/// Ids of members that were removed.
pub const MEMBERS_REMOVED: Bucket = Bucket::new("members_removed");

/// All buckets in byte order of their names; opening a store creates the missing ones.
pub const ALL_BUCKETS: [Bucket; 10] = [
    ALARM,
    AUTH,
    AUTH_ROLES,
    AUTH_USERS,
    CLUSTER,
    KEY,
    LEASE,
    MEMBERS,
    MEMBERS_REMOVED,
    META,
];

/// Raft index of the newest entry whose effects are in this commit, u64 big endian.
pub const META_CONSISTENT_INDEX: &str = "consistent_index";
/// Raft term of that entry, u64 big endian (etcd 3.5 and later).
pub const META_TERM: &str = "term";
/// Voters and learners as JSON (etcd 3.5 and later).
pub const META_CONF_STATE: &str = "confState";
/// Version of the schema as text (etcd 3.6 and later).
pub const META_STORAGE_VERSION: &str = "storageVersion";
/// Newest compaction that was accepted, as a row key.
pub const META_SCHEDULED_COMPACT: &str = "scheduledCompactRev";
/// Newest compaction whose rows are gone, as a row key.
pub const META_FINISHED_COMPACT: &str = "finishedCompactRev";

/// Raft index of the newest applied entry, `None` in a store without a raft log.
pub fn consistent_index(view: &View) -> Result<Option<u64>> {
    number(view, META_CONSISTENT_INDEX)
}

/// Raft term of the newest applied entry.
pub fn term(view: &View) -> Result<Option<u64>> {
    number(view, META_TERM)
}

/// Newest compaction revision that was accepted.
pub fn scheduled_compaction(view: &View) -> Result<Option<i64>> {
    revision(view, META_SCHEDULED_COMPACT)
}

/// Newest compaction revision whose rows are gone.
pub fn finished_compaction(view: &View) -> Result<Option<i64>> {
    revision(view, META_FINISHED_COMPACT)
}

fn number(view: &View, key: &'static str) -> Result<Option<u64>> {
    let Some(value) = view.get(META, key.as_bytes())? else {
        return Ok(None);
    };
    let bytes: [u8; 8] = value[..].try_into().map_err(|_| Error::BadMeta {
        key,
        expected: "8 bytes",
        value: value.clone(),
    })?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

fn revision(view: &View, key: &'static str) -> Result<Option<i64>> {
    let Some(value) = view.get(META, key.as_bytes())? else {
        return Ok(None);
    };
    let row = RowKey::decode(&value).map_err(|_| Error::BadMeta {
        key,
        expected: "a row key",
        value: value.clone(),
    })?;
    Ok(Some(row.revision.main))
}

/// Overwrites an often-written number of `meta`.
pub(crate) fn set_number(guard: &mut Guard<'_>, key: &'static str, number: u64) {
    let value = Bytes::copy_from_slice(&number.to_be_bytes());
    guard.put_latest(META, Bytes::from_static(key.as_bytes()), value);
}

/// Overwrites a compaction revision of `meta`.
pub(crate) fn set_compaction(guard: &mut Guard<'_>, key: &'static str, main: i64) {
    let value = RowKey::put(Revision::new(main, 0)).encode();
    guard.put(META, Bytes::from_static(key.as_bytes()), value);
}

/// Key of a lease in bucket `lease`.
pub(crate) fn lease_key(id: i64) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}
