//! What a watch delivered, against the ledger.
//!
//! A watch of keys from a revision must deliver exactly the ledger's changes of those keys from there on:
//! in order, none left out, none twice, all of a revision in one response, with the pair as it was before
//! if that was asked for. A watch that was broken off and resumed behind the last revision seen is
//! another one; whatever member serves them, they meet without a gap because each equals the ledger.

use super::ledger::{Event, Ledger};
use super::operation::{Span, Stored};
use crate::check::{Checked, Property, Violation};

/// A change as a watch delivered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The change.
    pub event: Event,
    /// The pair before it, where the watch asked for that and there was one.
    pub previous: Option<Stored>,
}

/// One response, not that to the watch's creation: its header promises nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The revision of its header.
    pub revision: i64,
    /// Its changes; none in a notification of progress.
    pub notices: Vec<Notice>,
}

/// One watch on one member, from its creation to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Whose, and at which member, for messages.
    pub name: String,
    /// What is watched.
    pub span: Span,
    /// The first revision asked for.
    pub from: i64,
    /// Whether the pairs before the changes were asked for.
    pub with_previous: bool,
    /// What came.
    pub batches: Vec<Batch>,
    /// It was seen to be up to date with this revision, or 0: nothing up to there may be missing. (A
    /// notification of progress says so by itself.)
    pub reached: i64,
}

impl Watch {
    /// Changes delivered.
    pub fn events(&self) -> usize {
        self.batches.iter().map(|batch| batch.notices.len()).sum()
    }

    /// The revision to resume at: behind everything seen.
    pub fn resume(&self) -> i64 {
        let seen = self.batches.iter().map(|batch| match batch.notices.last() {
            Some(notice) => notice.event.revision() + 1,
            None => batch.revision + 1,
        });
        seen.max().unwrap_or_default().max(self.from)
    }
}

/// Holds a watch against the ledger.
pub fn check(watch: &Watch, ledger: &Ledger) -> Checked {
    let mut expected = ledger
        .revisions()
        .skip_while(|(revision, _)| *revision < watch.from)
        .flat_map(|(_, events)| events)
        .filter(|event| watch.span.contains(event.key()))
        .peekable();
    let object = |what: String| {
        let what = format!(
            "{} ({} from {}): {what}",
            watch.name, watch.span, watch.from
        );
        Err(Violation::new(Property::Watch, what))
    };
    let mut last = 0;
    for batch in &watch.batches {
        for notice in &batch.notices {
            let event = &notice.event;
            match expected.next() {
                Some(next) if next == event => {}
                Some(next) => {
                    return object(format!(
                        "after {last} comes {event}; next in the store is {next}"
                    ));
                }
                None => {
                    return object(format!(
                        "after {last} comes {event}; the store has no further change"
                    ));
                }
            }
            last = event.revision();
            let before = ledger.get(event.key(), last - 1);
            let before = before.filter(|_| watch.with_previous);
            if notice.previous.as_ref() != before {
                let shown = super::operation::pairs(&notice.previous);
                let before = super::operation::pairs(before);
                return object(format!("{event} shows {shown} before it, not {before}"));
            }
        }
        let same = |event: &&Event| !batch.notices.is_empty() && event.revision() == last;
        if let Some(torn) = expected.peek().filter(|event| same(event)) {
            return object(format!("revision {last} is torn: {torn} is not with it"));
        }
        if batch.revision < last {
            return object(format!(
                "the header says {}, the event {last}",
                batch.revision
            ));
        }
        let progress = batch.notices.is_empty();
        if let Some(missing) = expected
            .peek()
            .filter(|event| progress && event.revision() <= batch.revision)
        {
            return object(format!(
                "progress to {} is told, {missing} did not come",
                batch.revision
            ));
        }
    }
    match expected.peek() {
        Some(missing) if missing.revision() <= watch.reached => object(format!(
            "it ends after {last}, it should have reached {}: {missing} did not come",
            watch.reached
        )),
        _ => Ok(()),
    }
}
