//! The fields of the messages a log holds: what a generic decoder needs to print them by name.
//!
//! The tables in `schema/requests.rs` are etcd's `raft_internal.proto` and what it includes, with field
//! names as in the protobuf sources, since those are the names etcd's tools print.

pub(super) mod requests;

/// A message type.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) presence: Presence,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Unsigned,
    Signed,
    Bool,
    Bytes,
    Text,
    /// Names of the values, from 0.
    Enum(&'static [&'static str]),
    Message(&'static Message),
}

/// How often a field may occur, and whether its zero value says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Once; zero is the same as absent.
    Plain,
    /// Once; one of several of which at most one is there, so that its zero counts.
    OneOf,
    /// Any number of times.
    Repeated,
}

const fn field(number: u64, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        presence: Presence::Plain,
    }
}

const fn one_of(number: u64, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        presence: Presence::OneOf,
    }
}

const fn repeated(number: u64, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        presence: Presence::Repeated,
    }
}

impl Message {
    /// The field of a number, with its position in the message.
    pub(super) fn find(&self, number: u64) -> Option<(usize, &'static Field)> {
        self.fields
            .iter()
            .enumerate()
            .find(|(_, field)| field.number == number)
    }
}
