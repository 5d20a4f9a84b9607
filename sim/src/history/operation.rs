//! One client's call and what came of it.

use std::fmt;

use bytes::Bytes;

/// An instant: any numbers that order calls and answers; equal ones count as concurrent.
pub type Stamp = u64;

/// Keys that a call is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Span {
    /// One key.
    Key(Bytes),
    /// All keys that begin with this; with nothing, all.
    Prefix(Bytes),
}

impl Span {
    /// Whether a key is meant.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::Key(own) => own == key,
            Self::Prefix(prefix) => key.starts_with(prefix),
        }
    }
}

/// A pair as it is stored. Revisions and leases are as etcd's, 0 means none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// The key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// The revision that made it.
    pub create_revision: i64,
    /// The revision that changed it last.
    pub mod_revision: i64,
    /// Puts since it was made.
    pub version: i64,
    /// The lease it hangs on.
    pub lease: i64,
}

/// A change that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Stores a value that nobody else puts there.
    Put {
        /// Where.
        key: Bytes,
        /// What.
        value: Bytes,
        /// The lease to hang it on, or 0.
        lease: i64,
    },
    /// Removes keys.
    Delete(Span),
}

impl Write {
    /// Whether it may concern a key.
    pub fn touches(&self, at: &[u8]) -> bool {
        match self {
            Self::Put { key, .. } => key == at,
            Self::Delete(span) => span.contains(at),
        }
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A put or a delete.
    Write(Write),
    /// A read.
    Range {
        /// Of what.
        span: Span,
        /// Whether the member may answer from what it has.
        serializable: bool,
        /// As of a revision, or 0 for now.
        at: i64,
    },
    /// If every key was last changed at the given revision (0: is absent), writes; otherwise reads the
    /// compared keys.
    Txn {
        /// Keys and the revisions expected.
        compare: Vec<(Bytes, i64)>,
        /// What is done if all are as expected.
        then: Vec<Write>,
    },
}

impl Call {
    /// What it changes if it succeeds.
    pub fn writes(&self) -> &[Write] {
        match self {
            Self::Write(write) => std::slice::from_ref(write),
            Self::Range { .. } => &[],
            Self::Txn { then, .. } => then,
        }
    }

    /// Whether it is a read that need not be of now.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Range { serializable, at, .. } if *serializable || *at != 0)
    }
}

/// What a successful call told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The put is done.
    Put,
    /// So many keys were removed.
    Deleted(u64),
    /// The pairs a range found, by key.
    Pairs(Vec<Stored>),
    /// A transaction's comparisons held; its writes removed so many keys, besides what they put.
    Then(u64),
    /// A comparison did not hold: those compared keys that exist, in the order of the comparisons.
    Else(Vec<Stored>),
}

/// A success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The revision of the answer's header.
    pub revision: i64,
    /// What was seen.
    pub seen: Seen,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Ok(Answer),
    /// It has no effect, and never will have.
    Failed,
    /// It may have taken effect, or still may.
    Unknown,
}

/// A call and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Whose it is.
    pub client: u64,
    /// What was asked for.
    pub call: Call,
    /// Not later than anybody else could hear of it.
    pub invoked: Stamp,
    /// Not earlier than the client knew of the outcome.
    pub completed: Stamp,
    /// The outcome.
    pub outcome: Outcome,
}

impl Operation {
    /// The answer, if there is one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Ok(answer) => Some(answer),
            Outcome::Failed | Outcome::Unknown => None,
        }
    }

    /// Whether its client knows that it changed something, and so made a revision.
    pub fn changed(&self) -> bool {
        match self.answer().map(|answer| &answer.seen) {
            Some(Seen::Put) => true,
            Some(Seen::Deleted(count)) => *count > 0,
            Some(Seen::Then(count)) => *count > 0 || self.puts().next().is_some(),
            Some(Seen::Pairs(_) | Seen::Else(_)) | None => false,
        }
    }

    /// The keys and values it puts if it succeeds.
    pub fn puts(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.call.writes().iter().filter_map(|write| match write {
            Write::Put { key, value, .. } => Some((key, value)),
            Write::Delete(_) => None,
        })
    }
}

/// Bytes of a key or value that are shown.
const SHOWN_BYTES: usize = 40;

/// Bytes as text where they are text, the beginning of what is long.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN_BYTES)];
        let more = if shown.len() < self.0.len() { ".." } else { "" };
        write!(f, "{}{more}", shown.escape_ascii())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{}", Text(key)),
            Self::Prefix(prefix) => write!(f, "{}*", Text(prefix)),
        }
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            value,
            create_revision,
            mod_revision,
            version,
            lease,
        } = self;
        let (key, value) = (Text(key), Text(value));
        write!(
            f,
            "{key}={value} (created {create_revision}, changed {mod_revision}, version {version}"
        )?;
        if *lease != 0 {
            write!(f, ", lease {lease:x}")?;
        }
        f.write_str(")")
    }
}

/// Pairs, one after the other.
pub(super) fn pairs<'a>(pairs: impl IntoIterator<Item = &'a Stored>) -> String {
    let pairs: Vec<String> = pairs.into_iter().map(Stored::to_string).collect();
    format!("[{}]", pairs.join(", "))
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value, lease } => {
                write!(f, "put {}={}", Text(key), Text(value))?;
                if *lease != 0 {
                    write!(f, " lease {lease:x}")?;
                }
                Ok(())
            }
            Self::Delete(span) => write!(f, "delete {span}"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(write) => write!(f, "{write}"),
            Self::Range {
                span,
                serializable,
                at,
            } => {
                f.write_str(if *serializable { "peek " } else { "read " })?;
                write!(f, "{span}")?;
                if *at != 0 {
                    write!(f, " at {at}")?;
                }
                Ok(())
            }
            Self::Txn { compare, then } => {
                f.write_str("if")?;
                for (key, revision) in compare {
                    write!(f, " {}@{revision}", Text(key))?;
                }
                for write in then {
                    write!(f, " {write}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            client,
            call,
            invoked,
            completed,
            outcome,
        } = self;
        write!(f, "client {client} [{invoked}..{completed}] {call}: ")?;
        match outcome {
            Outcome::Failed => f.write_str("refused"),
            Outcome::Unknown => f.write_str("unknown"),
            Outcome::Ok(Answer { revision, seen }) => {
                match seen {
                    Seen::Put => f.write_str("done"),
                    Seen::Deleted(count) => write!(f, "{count} deleted"),
                    Seen::Pairs(found) => f.write_str(&pairs(found)),
                    Seen::Then(count) => write!(f, "held, {count} deleted"),
                    Seen::Else(found) => write!(f, "did not hold, {}", pairs(found)),
                }?;
                write!(f, ", revision {revision}")
            }
        }
    }
}
