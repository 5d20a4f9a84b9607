//! The two encodings of a change, what it asks for, and the short notation of tests and logs.

use bytes::Bytes;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry,
    EntryType,
};

use super::ConfChangeError;

/// What both kinds of configuration change have in common.
pub trait ConfChangeExt {
    /// The change as the newer kind, which says all that the older can.
    fn to_v2(&self) -> ConfChangeV2;

    /// The entry that carries the change: its type, and its payload in the kind it came in.
    fn to_entry(&self) -> Entry;
}

impl ConfChangeExt for ConfChange {
    fn to_v2(&self) -> ConfChangeV2 {
        ConfChangeV2 {
            transition: ConfChangeTransition::Auto as i32,
            changes: vec![ConfChangeSingle {
                r#type: self.r#type,
                node_id: self.node_id,
            }],
            context: self.context.clone(),
        }
    }

    fn to_entry(&self) -> Entry {
        entry(
            EntryType::EntryConfChange,
            Some(self.encode_to_vec().into()),
        )
    }
}

impl ConfChangeExt for ConfChangeV2 {
    fn to_v2(&self) -> ConfChangeV2 {
        self.clone()
    }

    fn to_entry(&self) -> Entry {
        entry(
            EntryType::EntryConfChangeV2,
            Some(self.encode_to_vec().into()),
        )
    }
}

fn entry(kind: EntryType, data: Option<Bytes>) -> Entry {
    Entry {
        r#type: kind as i32,
        data,
        ..Entry::default()
    }
}

/// The entry that leaves a joint configuration on the leader's own initiative.
///
/// Without payload, which decodes as the empty change, it weighs nothing, so that no limit on
/// uncommitted entries can refuse it.
pub(crate) fn leave_joint_entry() -> Entry {
    entry(EntryType::EntryConfChangeV2, None)
}

/// The change an entry carries; `None` for an entry of another type.
pub(crate) fn decode_entry(entry: &Entry) -> Result<Option<ConfChangeV2>, ConfChangeError> {
    let data = entry.data.clone().unwrap_or_default();
    let undecodable =
        |error: varve_proto::prost::DecodeError| ConfChangeError::Undecodable(error.to_string());
    match EntryType::try_from(entry.r#type) {
        Ok(EntryType::EntryConfChange) => {
            let change = ConfChange::decode(data).map_err(undecodable)?;
            Ok(Some(change.to_v2()))
        }
        Ok(EntryType::EntryConfChangeV2) => {
            ConfChangeV2::decode(data).map(Some).map_err(undecodable)
        }
        Ok(EntryType::EntryNormal) | Err(_) => Ok(None),
    }
}

/// How a change is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In one step.
    Simple,
    /// By a joint configuration, which the leader ends by itself or not.
    EnterJoint { auto_leave: bool },
    /// By ending the joint configuration.
    LeaveJoint,
}

/// How `change` is to be carried out. More than one change, or an explicit wish, takes a joint
/// configuration; the empty change ends one.
pub(crate) fn mode(change: &ConfChangeV2) -> Result<Mode, ConfChangeError> {
    let transition = ConfChangeTransition::try_from(change.transition)
        .map_err(|_| ConfChangeError::UnknownTransition(change.transition))?;
    Ok(match (transition, change.changes.len()) {
        (ConfChangeTransition::Auto, 0) => Mode::LeaveJoint,
        (ConfChangeTransition::Auto, 1) => Mode::Simple,
        (ConfChangeTransition::Auto | ConfChangeTransition::JointImplicit, _) => {
            Mode::EnterJoint { auto_leave: true }
        }
        (ConfChangeTransition::JointExplicit, _) => Mode::EnterJoint { auto_leave: false },
    })
}

/// Reads changes in short notation: `v1 l2 r3 u4` makes 1 a voter and 2 a learner, removes 3 and
/// updates 4.
///
/// # Errors
/// The part that is not understood, as text.
pub fn parse_conf_changes(text: &str) -> Result<Vec<ConfChangeSingle>, String> {
    text.split_whitespace()
        .map(|token| {
            let kind = match token.as_bytes() {
                [] | [_] => return Err(format!("unknown token {token}")),
                [b'v', ..] => ConfChangeType::ConfChangeAddNode,
                [b'l', ..] => ConfChangeType::ConfChangeAddLearnerNode,
                [b'r', ..] => ConfChangeType::ConfChangeRemoveNode,
                [b'u', ..] => ConfChangeType::ConfChangeUpdateNode,
                _ => return Err(format!("unknown input: {token}")),
            };
            let node_id = token[1..]
                .parse()
                .map_err(|error| format!("{token}: {error}"))?;
            Ok(ConfChangeSingle {
                r#type: kind as i32,
                node_id,
            })
        })
        .collect()
}
