//! The compact text form of protobuf messages, as etcd's log tool prints it.
use std::fmt::Write as _;

use super::tree::{Tree, Value};
use crate::go_text::octal_quoted;

/// The compact text form: `name:value ` for each field, `name:<...> ` for a message.
pub(super) fn compact(tree: &Tree<'_>) -> String {
    let mut out = String::new();
    write_tree(&mut out, tree);
    out
}

fn write_tree(out: &mut String, tree: &Tree<'_>) {
    for (field, value) in &tree.values {
        out.push_str(field.name);
        out.push(':');
        match value {
            Value::Unsigned(n) => push(out, n),
            Value::Signed(n) => push(out, n),
            Value::Bool(b) => push(out, b),
            Value::Bytes(bytes) | Value::Text(bytes) => out.push_str(&octal_quoted(bytes)),
            Value::Enum(number, names) => match enum_name(*number, names) {
                Some(name) => out.push_str(name),
                None => push(out, number),
            },
            Value::Message(inner) => {
                out.push('<');
                write_tree(out, inner);
                out.push('>');
            }
        }
        out.push(' ');
    }
    for number in &tree.unknown {
        push(out, format_args!("unknown_field_{number} "));
    }
}

pub(super) fn enum_name(number: i64, names: &[&'static str]) -> Option<&'static str> {
    usize::try_from(number)
        .ok()
        .and_then(|at| names.get(at).copied())
}

fn push(out: &mut String, what: impl std::fmt::Display) {
    write!(out, "{what}").expect("a String takes everything");
}
