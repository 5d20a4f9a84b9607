//! Text for people: entries, messages, `Ready`s, in the notation of etcd's tests.
//!
//! For logs, tools and the conformance corpora; nothing parses it.

use std::fmt::Write as _;

use varve_proto::raftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry,
    EntryType, HardState, Message, MessageType, Snapshot,
};

use crate::confchange::decode_entry;
use crate::message::{
    LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, NONE, is_empty_snapshot, snapshot_of,
};
use crate::ready::{Ready, SoftState};

/// Turns an entry's payload into text.
pub type EntryFormatter<'a> = &'a dyn Fn(&[u8]) -> String;

/// The name of an enum value, or its number if this version does not know it.
fn name_or_number<E: TryFrom<i32>>(value: i32, name: fn(&E) -> &'static str) -> String {
    E::try_from(value).map_or_else(|_| value.to_string(), |known| name(&known).to_owned())
}

/// A message type's name, or its number.
pub fn describe_message_type(value: i32) -> String {
    name_or_number(value, MessageType::as_str_name)
}

/// `Term:2 Vote:1 Commit:11`, the vote only if there is one.
pub fn describe_hard_state(state: &HardState) -> String {
    let vote = if state.vote == NONE {
        String::new()
    } else {
        format!(" Vote:{}", state.vote)
    };
    format!("Term:{}{vote} Commit:{}", state.term, state.commit)
}

/// `Lead:1 State:StateLeader`
pub fn describe_soft_state(state: &SoftState) -> String {
    format!("Lead:{} State:{}", state.lead, state.role)
}

/// `[1 2 3]`
fn list(ids: &[u64]) -> String {
    let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
    format!("[{}]", ids.join(" "))
}

/// `Voters:[1 2] VotersOutgoing:[] Learners:[] LearnersNext:[] AutoLeave:false`
pub fn describe_conf_state(state: &ConfState) -> String {
    format!(
        "Voters:{} VotersOutgoing:{} Learners:{} LearnersNext:{} AutoLeave:{}",
        list(&state.voters),
        list(&state.voters_outgoing),
        list(&state.learners),
        list(&state.learners_next),
        state.auto_leave,
    )
}

/// `Index:11 Term:1 ConfState:..`
pub fn describe_snapshot(snapshot: &Snapshot) -> String {
    let metadata = &snapshot.metadata;
    let conf_state = describe_conf_state(&metadata.conf_state);
    format!(
        "Index:{} Term:{} ConfState:{conf_state}",
        metadata.index, metadata.term
    )
}

/// Bytes as a quoted string; what is not printable is escaped.
pub fn quote(data: &[u8]) -> String {
    let mut out = String::from("\"");
    let control = |out: &mut String, byte: u8| match byte {
        0x07 => out.push_str("\\a"),
        0x08 => out.push_str("\\b"),
        0x0c => out.push_str("\\f"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        0x0b => out.push_str("\\v"),
        other => push(out, format_args!("\\x{other:02x}")),
    };
    for chunk in data.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\\' => out.extend(['\\', char]),
                _ if char.is_ascii_control() => control(&mut out, char as u8),
                _ if char.is_control() => push(&mut out, format_args!("\\u{:04x}", char as u32)),
                _ => out.push(char),
            }
        }
        for byte in chunk.invalid() {
            push(&mut out, format_args!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// Appends; writing to a string cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a String does not fail");
}

/// `v1 l2 r3 u4`: what [`crate::parse_conf_changes`] reads.
pub fn describe_conf_changes(changes: &[ConfChangeSingle]) -> String {
    let changes: Vec<_> = changes
        .iter()
        .map(|change| {
            let kind = match ConfChangeType::try_from(change.r#type) {
                Ok(ConfChangeType::ConfChangeAddNode) => "v",
                Ok(ConfChangeType::ConfChangeAddLearnerNode) => "l",
                Ok(ConfChangeType::ConfChangeRemoveNode) => "r",
                Ok(ConfChangeType::ConfChangeUpdateNode) => "u",
                Err(_) => "unknown",
            };
            format!("{kind}{}", change.node_id)
        })
        .collect();
    changes.join(" ")
}

/// A configuration change with its transition and context.
pub fn describe_conf_change(change: &ConfChangeV2) -> String {
    let transition = name_or_number(change.transition, ConfChangeTransition::as_str_name);
    let mut out = format!("transition:{transition}");
    for single in &change.changes {
        let kind = name_or_number(single.r#type, ConfChangeType::as_str_name);
        push(
            &mut out,
            format_args!(" changes:{{type:{kind} node_id:{}}}", single.node_id),
        );
    }
    if let Some(context) = change
        .context
        .as_ref()
        .filter(|context| !context.is_empty())
    {
        push(&mut out, format_args!(" context:{}", quote(context)));
    }
    out
}

/// `1/12 EntryNormal "payload"`
pub fn describe_entry(entry: &Entry, format: EntryFormatter<'_>) -> String {
    let kind = name_or_number(entry.r#type, EntryType::as_str_name);
    let content = match decode_entry(entry) {
        Ok(Some(change)) => describe_conf_changes(&change.changes),
        Ok(None) if entry.r#type == EntryType::EntryNormal as i32 => {
            format(entry.data.as_deref().unwrap_or_default())
        }
        Ok(None) => String::new(),
        Err(error) => error.to_string(),
    };
    let gap = if content.is_empty() { "" } else { " " };
    format!("{}/{} {kind}{gap}{content}", entry.term, entry.index)
}

/// One line per entry.
pub fn describe_entries(entries: &[Entry], format: EntryFormatter<'_>) -> String {
    entries
        .iter()
        .map(|entry| describe_entry(entry, format) + "\n")
        .collect()
}

fn target(id: u64) -> String {
    match id {
        NONE => "None".to_owned(),
        LOCAL_APPEND_THREAD => "AppendThread".to_owned(),
        LOCAL_APPLY_THREAD => "ApplyThread".to_owned(),
        _ => format!("{id:x}"),
    }
}

/// `1->2 MsgApp Term:1 Log:1/11 Commit:11 Entries:[1/12 EntryNormal "payload"]`; over several lines if
/// there are several entries or responses.
pub fn describe_message(message: &Message, format: EntryFormatter<'_>) -> String {
    indented(message, "", format)
}

fn indented(message: &Message, indent: &str, format: EntryFormatter<'_>) -> String {
    let mut out = format!(
        "{indent}{}->{} {} Term:{} Log:{}/{}",
        target(message.from),
        target(message.to),
        describe_message_type(message.r#type),
        message.term,
        message.log_term,
        message.index
    );
    if message.reject {
        push(
            &mut out,
            format_args!(" Rejected (Hint: {})", message.reject_hint),
        );
    }
    if message.commit != 0 {
        push(&mut out, format_args!(" Commit:{}", message.commit));
    }
    if message.vote != 0 {
        push(&mut out, format_args!(" Vote:{}", message.vote));
    }
    match message.entries.as_slice() {
        [] => {}
        [entry] => push(
            &mut out,
            format_args!(" Entries:[{}]", describe_entry(entry, format)),
        ),
        entries => {
            out.push_str(" Entries:[");
            for entry in entries {
                push(
                    &mut out,
                    format_args!("\n{indent}  {}", describe_entry(entry, format)),
                );
            }
            push(&mut out, format_args!("\n{indent}]"));
        }
    }
    if let Some(snapshot) = snapshot_of(message) {
        push(
            &mut out,
            format_args!("\n{indent}  Snapshot: {}", describe_snapshot(snapshot)),
        );
    }
    if !message.responses.is_empty() {
        out.push_str(" Responses:[");
        let deeper = format!("{indent}  ");
        for response in &message.responses {
            out.push('\n');
            out.push_str(&indented(response, &deeper, format));
        }
        push(&mut out, format_args!("\n{indent}]"));
    }
    out
}

/// Everything a [`Ready`] asks for, over several lines.
pub fn describe_ready(ready: &Ready, format: EntryFormatter<'_>) -> String {
    let mut out = String::new();
    if let Some(state) = &ready.soft_state {
        push(&mut out, format_args!("{}\n", describe_soft_state(state)));
    }
    if let Some(state) = &ready.hard_state {
        push(
            &mut out,
            format_args!("HardState {}\n", describe_hard_state(state)),
        );
    }
    if !ready.read_states.is_empty() {
        let states: Vec<_> = ready
            .read_states
            .iter()
            .map(|state| {
                let ctx: Vec<_> = state.request_ctx.iter().map(u8::to_string).collect();
                format!("{{{} [{}]}}", state.index, ctx.join(" "))
            })
            .collect();
        push(
            &mut out,
            format_args!("ReadStates [{}]\n", states.join(" ")),
        );
    }
    if !ready.entries.is_empty() {
        push(
            &mut out,
            format_args!("Entries:\n{}", describe_entries(&ready.entries, format)),
        );
    }
    if let Some(snapshot) = ready
        .snapshot
        .as_ref()
        .filter(|snapshot| !is_empty_snapshot(snapshot))
    {
        push(
            &mut out,
            format_args!("Snapshot {}\n", describe_snapshot(snapshot)),
        );
    }
    if !ready.committed_entries.is_empty() {
        let entries = describe_entries(&ready.committed_entries, format);
        push(&mut out, format_args!("CommittedEntries:\n{entries}"));
    }
    if !ready.messages.is_empty() {
        out.push_str("Messages:\n");
        for message in &ready.messages {
            push(
                &mut out,
                format_args!("{}\n", describe_message(message, format)),
            );
        }
    }
    if out.is_empty() {
        return "<empty Ready>".to_owned();
    }
    format!("Ready MustSync={}:\n{out}", ready.must_sync)
}

#[cfg(test)]
mod tests;
