//! The changes of one transaction, turned into events at most once each.

use bytes::Bytes;

use crate::error::Result;
use crate::record;
use crate::revision::RowKey;

/// One write of a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub row: RowKey,
    pub key: Bytes,
    /// The row's value, as stored.
    pub stored: Bytes,
}

/// A change and its encodings, made when somebody first wants them.
#[derive(Debug)]
pub(crate) struct SharedEvent<'a> {
    change: &'a Change,
    plain: Option<Bytes>,
    with_previous: Option<Bytes>,
}

impl<'a> SharedEvent<'a> {
    pub(crate) fn new(change: &'a Change) -> Self {
        Self {
            change,
            plain: None,
            with_previous: None,
        }
    }

    fn encode(&self, previous: Option<&Bytes>) -> Bytes {
        let Change { row, key, stored } = self.change;
        record::event(*row, stored, key, previous)
    }

    fn plain(&mut self) -> Bytes {
        if let Some(event) = &self.plain {
            return event.clone();
        }
        let event = self.encode(None);
        self.plain.insert(event).clone()
    }

    /// The event, with the pair before it (which `look_up` finds) if asked for.
    pub(crate) fn encoded(
        &mut self,
        with_previous: bool,
        look_up: &mut dyn FnMut(&Change) -> Result<Option<Bytes>>,
    ) -> Result<Bytes> {
        if !with_previous {
            return Ok(self.plain());
        }
        if let Some(event) = &self.with_previous {
            return Ok(event.clone());
        }
        let event = match look_up(self.change)? {
            Some(previous) => self.encode(Some(&previous)),
            None => self.plain(),
        };
        Ok(self.with_previous.insert(event).clone())
    }
}
