//! Which entries are shown.
use anyhow::{Result, bail};

use super::args::Cli;
use super::request::Request;
use super::schema::requests::INTERNAL_RAFT_REQUEST;
use super::tree::Tree;

/// The names `--entry-type` takes, as in etcd's tool.
pub(super) const ENTRY_TYPES: [&str; 12] = [
    "ConfigChange",
    "Normal",
    "Request",
    "InternalRaftRequest",
    "IRRRange",
    "IRRPut",
    "IRRDeleteRange",
    "IRRTxn",
    "IRRCompaction",
    "IRRLeaseGrant",
    "IRRLeaseRevoke",
    "IRRLeaseCheckpoint",
];

/// What an entry must be to be shown.
#[derive(Debug)]
pub(super) struct Filter {
    entry_types: Vec<String>,
    request_types: Vec<String>,
    key_prefix: Option<Vec<u8>>,
}

impl Filter {
    /// What the command line asks for.
    pub(super) fn of(cli: &Cli) -> Result<Self> {
        let prefix = cli.key_prefix.as_deref();
        Self::new(&cli.entry_type, &cli.request_type, prefix)
    }

    /// Refuses types nobody knows: what is left out by a typing error would look like what is not there.
    pub(super) fn new(
        entry_types: &str,
        request_types: &[String],
        key_prefix: Option<&str>,
    ) -> Result<Self> {
        let entry_types: Vec<_> = entry_types.split(',').map(str::to_owned).collect();
        for name in &entry_types {
            if !ENTRY_TYPES.contains(&name.as_str()) {
                bail!(
                    "{name:?} is no entry type; known are {}",
                    ENTRY_TYPES.join(", ")
                );
            }
        }
        for name in request_types {
            if !is_request_type(name) {
                let known: Vec<_> = request_types_known().collect();
                bail!(
                    "{name:?} is no request type; known are {}",
                    known.join(", ")
                );
            }
        }
        Ok(Self {
            entry_types,
            request_types: request_types.to_vec(),
            key_prefix: key_prefix.map(|prefix| prefix.as_bytes().to_vec()),
        })
    }

    pub(super) fn passes(&self, request: &Request<'_>) -> bool {
        let name = request.type_name();
        self.entry_types
            .iter()
            .any(|wanted| is_of_type(request, wanted))
            && (self.request_types.is_empty() || self.request_types.iter().any(|t| t == name))
            && self
                .key_prefix
                .as_deref()
                .is_none_or(|prefix| touches(request, prefix))
    }
}

/// The names `--request-type` takes: fields of `InternalRaftRequest`, and what is none of them.
fn request_types_known() -> impl Iterator<Item = &'static str> {
    let fields = INTERNAL_RAFT_REQUEST.fields.iter().map(|field| field.name);
    let requests = fields.filter(|name| !["header", "ID"].contains(name));
    requests.chain(["empty", "conf_change", "conf_change_v2", "unknown"])
}

fn is_request_type(name: &str) -> bool {
    request_types_known().any(|known| known == name)
}

/// etcd's tool counts an entry without data as an empty internal request.
fn is_of_type(request: &Request<'_>, wanted: &str) -> bool {
    let field = match wanted {
        "ConfigChange" => {
            return matches!(request, Request::ConfChange(_) | Request::ConfChangeV2(_));
        }
        "Normal" => return !matches!(request, Request::ConfChange(_) | Request::ConfChangeV2(_)),
        "Request" => return matches!(request, Request::V2(_)),
        "InternalRaftRequest" => return matches!(request, Request::Internal(_) | Request::Empty),
        "IRRRange" => "range",
        "IRRPut" => "put",
        "IRRDeleteRange" => "delete_range",
        "IRRTxn" => "txn",
        "IRRCompaction" => "compaction",
        "IRRLeaseGrant" => "lease_grant",
        "IRRLeaseRevoke" => "lease_revoke",
        "IRRLeaseCheckpoint" => "lease_checkpoint",
        _ => return false,
    };
    matches!(request, Request::Internal(tree) if tree.get(field).is_some())
}

/// Whether some key or range of keys in the request lies in what begins with `prefix`; a v2 path
/// counts as a key.
fn touches(request: &Request<'_>, prefix: &[u8]) -> bool {
    match request {
        Request::V2(tree) => tree.bytes("Path").starts_with(prefix),
        Request::Internal(tree) => {
            let mut any = false;
            tree.walk(&mut |message| any |= message_touches(message, prefix));
            any
        }
        _ => false,
    }
}

fn message_touches(message: &Tree<'_>, prefix: &[u8]) -> bool {
    if message.get("key").is_none() {
        return false;
    }
    let (key, end) = (message.bytes("key"), message.bytes("range_end"));
    if key.starts_with(prefix) {
        return true;
    }
    // A range that begins before the prefix reaches it when its end lies beyond; "\0" is no end.
    !end.is_empty() && key < prefix && (end == b"\0" || end > prefix)
}

#[cfg(test)]
mod tests;
