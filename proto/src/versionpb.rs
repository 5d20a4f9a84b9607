//! Which etcd release brought which message, field and enum value of the raft log.
//!
//! Before a data directory is handed to an older release, the log since the last snapshot must hold
//! nothing newer; [`required_release`] says what an entry holds. Pure, any thread.

mod table;
/// Included rather than a file of its own, so that formatting leaves the generator's text alone.
mod generated {
    include!("gen/versionpb.rs");
}

use crate::Error;
use crate::wire::{Field, Fields, Value};
use generated::{ENUMS, MESSAGES, ROOT};
pub use table::Release;
use table::{Kind, Message};

/// Field of the root that asks for a release of its own, in tests of downgrades.
const DOWNGRADE_VERSION_TEST: u32 = 9900;

/// The oldest release that understands an encoded `InternalRaftRequest`.
///
/// Fields that nobody knows count for nothing: there is no telling what they need.
pub fn required_release(request: &[u8]) -> Result<Release, Error> {
    let mut required = Release::new(3, 0);
    if let Some(root) = MESSAGES.get(ROOT) {
        visit(root, request, &mut required)?;
    }
    for field in Fields::new(request) {
        let field = field?;
        if field.number == DOWNGRADE_VERSION_TEST {
            required = required.max(asked_for(field.bytes()?)?);
        }
    }
    Ok(required)
}

/// Messages within messages wait on a list rather than on the call stack, so that no depth of nesting
/// overflows it. Each byte of a field's key and length is looked at once.
fn visit(message: &Message, bytes: &[u8], required: &mut Release) -> Result<(), Error> {
    let mut levels = vec![(message, bytes)];
    while let Some((message, bytes)) = levels.pop() {
        *required = (*required).max(message.since);
        for field in Fields::new(bytes) {
            let field = field?;
            let Some(known) = message
                .fields
                .iter()
                .find(|known| known.number == field.number)
            else {
                continue;
            };
            *required = (*required).max(known.since);
            match known.kind {
                Kind::Plain => {}
                Kind::Message(index) => {
                    if let Some(inner) = MESSAGES.get(index) {
                        levels.push((inner, field.bytes()?));
                    }
                }
                Kind::Enum(index) => *required = (*required).max(of_value(index, &field)),
            }
        }
    }
    Ok(())
}

fn of_value(index: usize, field: &Field<'_>) -> Release {
    let Some(known) = ENUMS.get(index) else {
        return Release::new(3, 0);
    };
    let value = match field.value {
        Value::Varint(value) => known.values.iter().find(|(number, _)| *number == value),
        _ => None,
    };
    value.map_or(known.since, |(_, since)| known.since.max(*since))
}

/// `ver` of a `DowngradeVersionTestRequest`; a text that is no version asks for nothing.
fn asked_for(message: &[u8]) -> Result<Release, Error> {
    let mut release = Release::new(3, 0);
    for field in Fields::new(message) {
        let field = field?;
        if field.number == 1
            && let Some(asked) = Release::parse(field.bytes()?)
        {
            release = asked;
        }
    }
    Ok(release)
}

#[cfg(test)]
mod tests;
