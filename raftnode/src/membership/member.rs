//! A member of the cluster, in the JSON that etcd stores and puts into conf changes.
//!
//! Source: etcd `server/etcdserver/api/membership/member.go`.
use serde::{Deserialize, Deserializer, Serialize};

/// One member. Field order is the order of etcd's JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Member id; a JSON number that may exceed 2^53.
    pub id: u64,
    /// Where its peers reach it.
    #[serde(rename = "peerURLs", default, deserialize_with = "null_as_empty")]
    pub peer_urls: Vec<String>,
    /// A learner receives the log but does not vote.
    #[serde(rename = "isLearner", default, skip_serializing_if = "is_false")]
    pub is_learner: bool,
    /// Human name; empty until the member has published itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where clients reach it; empty until the member has published itself.
    #[serde(
        rename = "clientURLs",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub client_urls: Vec<String>,
}

/// What the consensus layer needs of a member: the `raftAttributes` node of the v2 store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftAttributes {
    /// Where its peers reach it.
    #[serde(rename = "peerURLs", default, deserialize_with = "null_as_empty")]
    pub peer_urls: Vec<String>,
    /// A learner receives the log but does not vote.
    #[serde(rename = "isLearner", default, skip_serializing_if = "is_false")]
    pub is_learner: bool,
}

/// What a member publishes of itself: the `attributes` node of the v2 store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Human name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where clients reach it.
    #[serde(
        rename = "clientURLs",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub client_urls: Vec<String>,
}

/// The context of a conf change: the member and whether this is a learner's promotion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfChangeContext {
    /// The member that is added, promoted or updated.
    #[serde(flatten)]
    pub member: Member,
    /// A learner that becomes a voter; only its id is given then.
    #[serde(rename = "isPromote", default, skip_serializing_if = "is_false")]
    pub is_promote: bool,
}

impl Member {
    /// The part the v2 store keeps as `raftAttributes`.
    pub fn raft_attributes(&self) -> RaftAttributes {
        RaftAttributes {
            peer_urls: self.peer_urls.clone(),
            is_learner: self.is_learner,
        }
    }

    /// The part the v2 store keeps as `attributes`.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            name: self.name.clone(),
            client_urls: self.client_urls.clone(),
        }
    }

    /// Whether the member has told the cluster its name and client URLs.
    pub fn is_started(&self) -> bool {
        !self.name.is_empty()
    }
}

/// JSON text of a value that always serialises (plain structs of strings and numbers).
pub fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("a struct of strings and integers serialises")
}

// serde's `skip_serializing_if` hands over a reference.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde fixes this signature"
)]
fn is_false(b: &bool) -> bool {
    !*b
}

/// Go writes a nil slice as `null`.
fn null_as_empty<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(d)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
