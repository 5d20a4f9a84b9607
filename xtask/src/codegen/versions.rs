//! The table of which release brought what, from the options of `versionpb`.
//!
//! Only what an entry of the raft log can hold: everything reachable from its root message.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail};
use protox::prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor,
};

const ROOT: &str = "etcdserverpb.InternalRaftRequest";

/// The Rust text of the table.
pub(super) fn table(pool: &DescriptorPool) -> Result<String> {
    let root = pool
        .get_message_by_name(ROOT)
        .with_context(|| format!("no message {ROOT}"))?;
    let mut messages = BTreeMap::new();
    let mut enums = BTreeMap::new();
    reach(&root, &mut messages, &mut enums);
    let message_index = |name: &str| messages.keys().position(|key| key == name);
    let enum_index = |name: &str| enums.keys().position(|key| key == name);

    let mut text = String::from("use super::table::{Enum, Field, Kind, Message, Release};\n\n");
    let start = message_index(ROOT).context("the root is not among the messages")?;
    writeln!(text, "pub(super) const ROOT: usize = {start};\n")?;
    writeln!(text, "pub(super) static MESSAGES: &[Message] = &[")?;
    for (name, message) in &messages {
        let since = release(pool, "versionpb.etcd_version_msg", &message.options())?;
        writeln!(text, "    // {name}")?;
        writeln!(
            text,
            "    Message {{\n        since: {since},\n        fields: &["
        )?;
        for field in message.fields() {
            let since = release(pool, "versionpb.etcd_version_field", &field.options())?;
            let kind = kind(&field, message_index, enum_index)?;
            if kind == "Kind::Plain" && since == BASE {
                continue;
            }
            let number = field.number();
            writeln!(
                text,
                "            Field {{ number: {number}, since: {since}, kind: {kind} }},"
            )?;
        }
        writeln!(text, "        ],\n    }},")?;
    }
    writeln!(text, "];\n\npub(super) static ENUMS: &[Enum] = &[")?;
    for (name, enumeration) in &enums {
        let since = release(pool, "versionpb.etcd_version_enum", &enumeration.options())?;
        writeln!(text, "    // {name}")?;
        writeln!(
            text,
            "    Enum {{\n        since: {since},\n        values: &["
        )?;
        for value in enumeration.values() {
            let since = release(pool, "versionpb.etcd_version_enum_value", &value.options())?;
            if since != BASE {
                writeln!(text, "            ({}, {since}),", value.number())?;
            }
        }
        writeln!(text, "        ],\n    }},")?;
    }
    text.push_str("];\n");
    Ok(text)
}

fn reach(
    message: &MessageDescriptor,
    messages: &mut BTreeMap<String, MessageDescriptor>,
    enums: &mut BTreeMap<String, EnumDescriptor>,
) {
    if messages
        .insert(message.full_name().to_owned(), message.clone())
        .is_some()
    {
        return;
    }
    for field in message.fields() {
        match field.kind() {
            Kind::Message(inner) => reach(&inner, messages, enums),
            Kind::Enum(inner) => {
                enums.insert(inner.full_name().to_owned(), inner);
            }
            _ => {}
        }
    }
}

fn kind(
    field: &FieldDescriptor,
    message_index: impl Fn(&str) -> Option<usize>,
    enum_index: impl Fn(&str) -> Option<usize>,
) -> Result<String> {
    Ok(match field.kind() {
        Kind::Message(inner) => {
            let index = message_index(inner.full_name()).context("a message out of reach")?;
            format!("Kind::Message({index})")
        }
        Kind::Enum(inner) => {
            let index = enum_index(inner.full_name()).context("an enum out of reach")?;
            format!("Kind::Enum({index})")
        }
        _ => "Kind::Plain".to_owned(),
    })
}

/// What has no option has been there since the first release of the API.
const BASE: &str = "Release::new(3, 0)";

fn release(pool: &DescriptorPool, extension: &str, options: &DynamicMessage) -> Result<String> {
    let extension = pool
        .get_extension_by_name(extension)
        .with_context(|| format!("no extension {extension}"))?;
    if !options.has_extension(&extension) {
        return Ok(BASE.to_owned());
    }
    let value = options.get_extension(&extension);
    let text = value.as_str().context("a version is a string")?;
    let numbers = text
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse::<u8>().ok()?, minor.parse::<u8>().ok()?)));
    let Some((major, minor)) = numbers else {
        bail!("{text:?} is no <major>.<minor>")
    };
    Ok(format!("Release::new({major}, {minor})"))
}
