//! A message as a tree of named values, decoded from its bytes by a schema.
//!
//! Stricter than a decoder that serves a program: a known field of the wrong wire type is an error, as
//! for the codec of etcd up to 3.6, which is how a request of the v2 store is told from the others.
use super::schema::{Field, Kind, Message, Presence};

/// Nesting beyond this is refused, so that bytes from disk cannot exhaust the stack.
const MAX_DEPTH: usize = 100;

/// A decoded message; values in the order of the schema, repeated ones in the order they came.
#[derive(Clone, Debug)]
pub(super) struct Tree<'a> {
    pub(super) values: Vec<(&'static Field, Value<'a>)>,
    /// Numbers of fields the schema does not know.
    pub(super) unknown: Vec<u64>,
}

/// A value of a field.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Unsigned(u64),
    Signed(i64),
    Bool(bool),
    Bytes(&'a [u8]),
    Text(&'a [u8]),
    Enum(i64, &'static [&'static str]),
    Message(Tree<'a>),
}

/// The bytes are not a message of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Tree<'a> {
    pub(super) fn decode(schema: &Message, bytes: &'a [u8]) -> Result<Self, Malformed> {
        decode(schema, bytes, 0)
    }

    /// The last value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.values
            .iter()
            .rev()
            .find(|(field, _)| field.name == name)
            .map(|(_, value)| value)
    }

    /// The bytes of a field; none when it is absent.
    pub(super) fn bytes(&self, name: &str) -> &'a [u8] {
        match self.get(name) {
            Some(Value::Bytes(bytes) | Value::Text(bytes)) => bytes,
            _ => &[],
        }
    }

    /// Calls `visit` on this message and on every one in it.
    pub(super) fn walk(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        for (_, value) in &self.values {
            if let Value::Message(inner) = value {
                inner.walk(visit);
            }
        }
    }
}

impl Value<'_> {
    fn is_zero(&self) -> bool {
        match self {
            Self::Unsigned(n) => *n == 0,
            Self::Signed(n) | Self::Enum(n, _) => *n == 0,
            Self::Bool(b) => !b,
            Self::Bytes(b) | Self::Text(b) => b.is_empty(),
            Self::Message(_) => false,
        }
    }
}

fn decode<'a>(schema: &Message, bytes: &'a [u8], depth: usize) -> Result<Tree<'a>, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed);
    }
    let mut input = Input { bytes };
    let mut found: Vec<(usize, &'static Field, Value<'a>)> = Vec::new();
    let mut unknown = Vec::new();
    while !input.bytes.is_empty() {
        let tag = input.varint()?;
        let (number, wire) = (tag >> 3, tag & 7);
        if number == 0 {
            return Err(Malformed);
        }
        let Some((position, field)) = schema.find(number) else {
            input.skip(wire)?;
            unknown.push(number);
            continue;
        };
        let value = value(field.kind, wire, &mut input, depth)?;
        found.push((position, field, value));
    }
    found.sort_by_key(|(position, _, _)| *position);
    let mut values: Vec<(&'static Field, Value<'a>)> = Vec::with_capacity(found.len());
    for (_, field, value) in found {
        // Of a field that is there once the last counts.
        if field.presence != Presence::Repeated {
            values.pop_if(|(last, _)| last.number == field.number);
        }
        values.push((field, value));
    }
    values.retain(|(field, value)| field.presence != Presence::Plain || !value.is_zero());
    Ok(Tree { values, unknown })
}

fn value<'a>(
    kind: Kind,
    wire: u64,
    input: &mut Input<'a>,
    depth: usize,
) -> Result<Value<'a>, Malformed> {
    match (kind, wire) {
        (Kind::Unsigned, 0) => input.varint().map(Value::Unsigned),
        (Kind::Signed, 0) => Ok(Value::Signed(input.varint()?.cast_signed())),
        (Kind::Bool, 0) => Ok(Value::Bool(input.varint()? != 0)),
        (Kind::Enum(names), 0) => Ok(Value::Enum(input.varint()?.cast_signed(), names)),
        (Kind::Bytes, 2) => input.delimited().map(Value::Bytes),
        (Kind::Text, 2) => input.delimited().map(Value::Text),
        (Kind::Message(schema), 2) => {
            decode(schema, input.delimited()?, depth + 1).map(Value::Message)
        }
        _ => Err(Malformed),
    }
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.bytes.split_first().ok_or(Malformed)?;
            self.bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if *first < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn delimited(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.varint()?;
        self.take(len)
    }

    fn skip(&mut self, wire: u64) -> Result<(), Malformed> {
        match wire {
            0 => self.varint().map(drop),
            1 => self.take(8).map(drop),
            2 => self.delimited().map(drop),
            5 => self.take(4).map(drop),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests;
