//! Entries that change who belongs to the cluster: conf changes, published attributes, versions.
//!
//! Source: etcd `server/etcdserver/api/membership/cluster.go` and `apply_v2.go`.
use bytes::Bytes;
use varve_mvcc::{WriteTxn, schema};
use varve_proto::etcdserverpb::{InternalRaftRequest, Request};
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{ConfChange, ConfChangeSingle, ConfChangeV2, ConfState, Entry};
use varve_raftnode::membership::{Attributes, Cluster, MembershipChange, MembershipError, to_json};
use varve_raftnode::{Fatal, Reconfigure};

use super::outcome::Applied;
use super::state::Applier;
use crate::compat;
use crate::rpc::{RpcError, Status};

impl Applier {
    pub(super) fn is_membership(request: &InternalRaftRequest) -> bool {
        request.cluster_version_set.is_some()
            || request.cluster_member_attr_set.is_some()
            || request.downgrade_info_set.is_some()
    }

    /// Requests 1300 to 1302 of the v3 log.
    pub(super) fn membership_request(
        &mut self,
        entry: &Entry,
        request: InternalRaftRequest,
    ) -> Result<(), Fatal> {
        let id = request.header.as_ref().map_or(request.id, |h| h.id);
        if let Some(set) = request.cluster_version_set {
            self.set_version(entry, &set.ver)?;
        } else if let Some(set) = request.cluster_member_attr_set {
            let own = set.member_attributes.unwrap_or_default();
            let attributes = Attributes {
                name: own.name,
                client_urls: own.client_urls,
            };
            self.set_attributes(entry, set.member_id, &attributes);
        } else if let Some(set) = request.downgrade_info_set {
            let record = format!(
                r#"{{"target-version":{},"enabled":{}}}"#,
                serde_json::Value::from(set.ver),
                set.enabled
            );
            self.write(entry, |txn| {
                txn.put_raw(
                    schema::CLUSTER,
                    Bytes::from_static(b"downgrade"),
                    record.into(),
                );
            });
        }
        self.parts.waiters.complete(id, Ok(Applied::Empty));
        Ok(())
    }

    /// A v2 request: the two that members themselves write, and reads, which change nothing.
    pub(super) fn v2_request(&mut self, entry: &Entry, request: &Request) -> Result<(), Fatal> {
        let path = request.path.as_str();
        match request.method.as_str() {
            "PUT" if path == "/0/version" => self.set_version(entry, &request.val)?,
            "PUT" => {
                let id = path
                    .strip_prefix("/0/members/")
                    .and_then(|p| p.strip_suffix("/attributes"))
                    .and_then(|hex| u64::from_str_radix(hex, 16).ok());
                let Some(id) = id else {
                    return Err(v2_unsupported(entry, request));
                };
                let attributes: Attributes = serde_json::from_str(&request.val).map_err(|e| {
                    format!("entry {}: member attributes do not parse: {e}", entry.index)
                })?;
                self.set_attributes(entry, id, &attributes);
            }
            // etcd 3.4's health check reads through the log; SYNC expires v2 keys, of which there are
            // none that this member would have accepted.
            "QGET" | "SYNC" => self.advance(entry),
            _ => return Err(v2_unsupported(entry, request)),
        }
        self.parts.waiters.complete(request.id, Ok(Applied::Empty));
        Ok(())
    }

    /// A change of raft's configuration. One that does not fit the members is applied as a change of
    /// nothing, so that every member's configuration stays the same.
    pub(super) fn conf_change(
        &mut self,
        entry: &Entry,
        raft: &mut dyn Reconfigure,
    ) -> Result<(), Fatal> {
        let data = entry.data.clone().unwrap_or_default();
        let change = ConfChange::decode(data).map_err(|e| {
            format!(
                "entry {}: the conf change does not decode: {e}",
                entry.index
            )
        })?;
        let is_new = self.is_new(entry.index);
        let verdict = if is_new {
            self.parts.cluster.read().validate(&change)
        } else {
            self.log_cluster.validate(&change)
        };
        let mut single = ConfChangeSingle {
            r#type: change.r#type,
            node_id: change.node_id,
        };
        if let Err(error) = verdict {
            tracing::warn!(index = entry.index, %error, "a conf change was rejected");
            single.node_id = 0;
        }
        let raft_change = ConfChangeV2 {
            changes: vec![single],
            ..ConfChangeV2::default()
        };
        let conf_state = raft.apply_conf_change(entry.index, raft_change)?;
        if let Err(error) = verdict {
            self.advance(entry);
            let refused = refusal(error);
            self.parts.waiters.complete(change.id, Err(refused));
            return Ok(());
        }
        self.log_cluster.apply(&change)?;
        if self.parts.v2_is_authority && !is_new {
            *self.parts.cluster.write() = self.log_cluster.clone();
            self.parts.links.sync(&self.log_cluster);
        }
        if !is_new {
            return Ok(());
        }
        let applied = self.parts.cluster.write().apply(&change)?;
        self.write(entry, |txn| {
            store_change(txn, &applied);
            let json = conf_state_json(&conf_state);
            txn.put_raw(schema::META, Bytes::from_static(b"confState"), json.into());
        });
        {
            let cluster = self.parts.cluster.read();
            self.parts.links.sync(&cluster);
            log_change(&applied, cluster.local_id);
        }
        self.parts.waiters.complete(change.id, Ok(Applied::Empty));
        Ok(())
    }

    fn set_version(&mut self, entry: &Entry, version: &str) -> Result<(), Fatal> {
        compat::check_cluster_version(self.parts.compat, version)?;
        self.log_cluster.set_version(version);
        if self.parts.v2_is_authority || self.is_new(entry.index) {
            self.parts.cluster.write().set_version(version);
        }
        let storage_version = compat::storage_version_for(self.parts.compat, version);
        // With a storage version the buckets become the authority on membership: complete them.
        let members: Vec<_> = self.parts.cluster.read().members().cloned().collect();
        self.write(entry, |txn| {
            txn.put_raw(
                schema::CLUSTER,
                Bytes::from_static(b"clusterVersion"),
                Bytes::copy_from_slice(version.as_bytes()),
            );
            if let Some(storage) = storage_version {
                for member in members {
                    store_change(txn, &MembershipChange::Saved(member));
                }
                txn.put_raw(
                    schema::META,
                    Bytes::from_static(b"storageVersion"),
                    Bytes::from_static(storage.as_bytes()),
                );
            }
        });
        self.set_checkpoint_persistence();
        if self.is_new(entry.index) {
            tracing::info!(cluster_version = version, "set the cluster version");
        }
        Ok(())
    }

    fn set_attributes(&mut self, entry: &Entry, id: u64, attributes: &Attributes) {
        self.log_cluster.set_attributes(id, attributes.clone());
        let is_new = self.is_new(entry.index);
        let member = if self.parts.v2_is_authority || is_new {
            let mut cluster: parking_lot::RwLockWriteGuard<'_, Cluster> =
                self.parts.cluster.write();
            cluster.set_attributes(id, attributes.clone()).cloned()
        } else {
            None
        };
        self.write(entry, |txn| {
            if let Some(member) = member {
                store_change(txn, &MembershipChange::Saved(member));
            }
        });
    }

    /// Writes into the backend what a new entry changes there, together with its index.
    fn write(&self, entry: &Entry, change: impl FnOnce(&mut WriteTxn<'_>)) {
        if !self.is_new(entry.index) {
            return;
        }
        let mut txn = self.parts.store.write();
        change(&mut txn);
        txn.set_applied(entry.index, entry.term);
        txn.end();
    }
}

/// Puts a member, or the fact that it is gone, into its bucket.
pub(crate) fn store_change(txn: &mut WriteTxn<'_>, change: &MembershipChange) {
    match change {
        MembershipChange::Saved(member) => {
            let key = Bytes::from(format!("{:x}", member.id));
            txn.put_raw(schema::MEMBERS, key, to_json(member).into());
        }
        MembershipChange::Removed(id) => {
            let key = Bytes::from(format!("{id:x}"));
            txn.delete_raw(schema::MEMBERS, key.clone());
            txn.put_raw(schema::MEMBERS_REMOVED, key, Bytes::from_static(b"removed"));
        }
    }
}

/// Go's JSON of a `ConfState`: empty lists left out, `auto_leave` always there.
fn conf_state_json(state: &ConfState) -> String {
    let mut json = serde_json::Map::new();
    for (name, ids) in [
        ("voters", &state.voters),
        ("learners", &state.learners),
        ("voters_outgoing", &state.voters_outgoing),
        ("learners_next", &state.learners_next),
    ] {
        if !ids.is_empty() {
            json.insert(name.to_owned(), ids.clone().into());
        }
    }
    json.insert("auto_leave".to_owned(), state.auto_leave.into());
    serde_json::Value::Object(json).to_string()
}

fn log_change(change: &MembershipChange, local_id: u64) {
    let local_member_id = format_args!("{local_id:x}").to_string();
    match change {
        MembershipChange::Saved(member) => {
            tracing::info!(
                local_member_id,
                member_id = %format_args!("{:x}", member.id),
                peer_urls = member.peer_urls.join(","),
                is_learner = member.is_learner,
                "added, promoted or updated member"
            );
        }
        MembershipChange::Removed(id) => {
            tracing::info!(local_member_id, member_id = %format_args!("{id:x}"), "removed member");
        }
    }
}

/// What the client gets whose change does not fit the members
/// (etcd `server/etcdserver/api/v3rpc/util.go`).
fn refusal(error: MembershipError) -> Status {
    match error {
        MembershipError::IdRemoved | MembershipError::IdNotFound => RpcError::MemberNotFound.into(),
        MembershipError::IdExists => RpcError::MemberExist.into(),
        MembershipError::PeerUrlExists => RpcError::PeerUrlExist.into(),
        MembershipError::MemberNotLearner => RpcError::MemberNotLearner.into(),
        MembershipError::TooManyLearners => RpcError::TooManyLearners.into(),
        other => Status::unknown(other.to_string()),
    }
}

fn v2_unsupported(entry: &Entry, request: &Request) -> Fatal {
    format!(
        "entry {} is a {} of the v2 API on {}, which this version of varve does not support yet; \
         let etcd take a snapshot past it first",
        entry.index, request.method, request.path
    )
    .into()
}
