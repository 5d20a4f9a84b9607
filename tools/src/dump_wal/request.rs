//! What an entry asks for.
use prost::Message as _;
use varve_proto::raftpb::{ConfChange, ConfChangeType, ConfChangeV2, Entry};

use super::schema::requests::{INTERNAL_RAFT_REQUEST, V2_REQUEST};
use super::tree::{Tree, Value};
use crate::go_text::go_quoted;

/// An entry, taken apart.
#[derive(Debug)]
pub(super) enum Request<'a> {
    /// The entry a leader opens its term with, or any other without data.
    Empty,
    ConfChange(ConfChange),
    ConfChangeV2(ConfChangeV2),
    Internal(Tree<'a>),
    /// A request of the v2 store.
    V2(Tree<'a>),
    /// Bytes that are none of these.
    Unknown,
}

impl<'a> Request<'a> {
    pub(super) fn of(entry: &'a Entry) -> Self {
        let data = entry.data.as_deref().unwrap_or_default();
        match entry.r#type {
            1 => ConfChange::decode(data).map_or(Self::Unknown, Self::ConfChange),
            2 => ConfChangeV2::decode(data).map_or(Self::Unknown, Self::ConfChangeV2),
            _ if data.is_empty() => Self::Empty,
            _ => match Tree::decode(&INTERNAL_RAFT_REQUEST, data) {
                Ok(tree) => Self::Internal(tree),
                Err(_) => Tree::decode(&V2_REQUEST, data).map_or(Self::Unknown, Self::V2),
            },
        }
    }

    /// One word for the request: the name of its field in `InternalRaftRequest`, or of its class.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::ConfChange(_) => "conf_change",
            Self::ConfChangeV2(_) => "conf_change_v2",
            Self::V2(_) => "v2",
            Self::Unknown => "unknown",
            Self::Internal(tree) => {
                let message = tree.values.iter().find(|(field, value)| {
                    field.name != "header" && matches!(value, Value::Message(_))
                });
                message.map_or("unknown", |(field, _)| field.name)
            }
        }
    }
}

/// etcd's word for a kind of change.
pub(super) fn change_name(kind: i32) -> String {
    ConfChangeType::try_from(kind).map_or_else(|_| kind.to_string(), |k| k.as_str_name().to_owned())
}

/// What stands in the context of a change: the member as JSON, or the bytes when they are something
/// else.
pub(super) fn context(change: &ConfChange) -> Option<serde_json::Value> {
    let bytes = change
        .context
        .as_deref()
        .filter(|bytes| !bytes.is_empty())?;
    let parsed = serde_json::from_slice(bytes);
    Some(parsed.unwrap_or_else(|_| serde_json::Value::String(go_quoted(bytes))))
}
