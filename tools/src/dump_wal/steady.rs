//! The records of a log that somebody may be writing to.
//!
//! A member that runs writes while we read: its newest record may be there in part, and for a moment look
//! like anything. What looks wrong is therefore read again; it counts when it is still there, in the same
//! place.
//!
//! # Invariants
//! 1. Every record is given once, in order, however often the log is read again.
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use varve_wal::{ReadOnly, Record, Records, SegmentName};

use super::{Place, file_name};
use crate::console::{Console, Progress};

/// How often the end of a log may move on before we take it as it is: somebody is writing.
const ATTEMPTS: u32 = 10;

/// Records a segment begins with before any that may be torn: they are synced before it gets its name.
const HEAD_RECORDS: u64 = 2;

/// Why reading ended before the end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The last record is unfinished, as after a crash.
    Torn(String),
    /// The last record is being written.
    Growing(String),
    Damage(String),
}

impl Stop {
    /// A record does not fit those before it.
    pub(super) fn at(record: &Record, flaw: &str) -> Self {
        let (segment, offset) = (record.segment.display(), record.offset);
        Self::Damage(format!("record at {segment}:{offset}: {flaw}"))
    }

    /// Says where and why reading ended; false for damage.
    pub(super) fn report(&self, console: &mut Console<'_>) -> Result<bool> {
        match self {
            Self::Torn(why) => {
                console.note(&format_args!("the log ends in an unfinished record: {why}"))?;
                Ok(true)
            }
            Self::Growing(why) => {
                console.note(&format_args!("the log is being written: {why}"))?;
                Ok(true)
            }
            Self::Damage(why) => {
                console.complain(&format_args!("nothing after this can be trusted: {why}"))?;
                Ok(false)
            }
        }
    }
}

/// Iterates over the records; ends after the last one or the first [`Stop`].
pub(super) struct Steady<'a> {
    open: Box<dyn Fn() -> varve_wal::Result<ReadOnly> + 'a>,
    segments: Vec<(SegmentName, Box<Path>)>,
    records: Records,
    /// Where the newest record given stands.
    last: Option<(Arc<Path>, u64)>,
    /// Records given of that segment.
    in_segment: u64,
    /// What was wrong when the log was read last.
    suspect: Option<String>,
    attempts: u32,
    /// What the directory lacks behind the last segment.
    missing: Option<String>,
    progress: Progress,
    ended: bool,
}

impl<'a> Steady<'a> {
    /// Reads what `open` opens, in `place`.
    pub(super) fn new(
        place: &Place,
        console: &Console<'_>,
        open: impl Fn() -> varve_wal::Result<ReadOnly> + 'a,
    ) -> Result<Self> {
        let reader = open()?;
        let segments = segments(&reader);
        // A segment that a purge has just removed counts nothing.
        let bytes = |path| place.fs.metadata(path).map_or(0, |meta| meta.len_bytes);
        let total_bytes = segments.iter().map(|(_, path)| bytes(path)).sum();
        Ok(Self {
            records: reader.records()?,
            open: Box::new(open),
            segments,
            last: None,
            in_segment: 0,
            suspect: None,
            attempts: 0,
            missing: place.missing.clone(),
            progress: console.progress(total_bytes),
            ended: false,
        })
    }

    /// The segments that are read, oldest first.
    pub(super) fn segments(&self) -> &[(SegmentName, Box<Path>)] {
        &self.segments
    }

    fn is_past_last(&self, record: &Record) -> bool {
        // Names of segments sort as their sequences do.
        self.last
            .as_ref()
            .is_none_or(|(segment, offset)| (&record.segment, record.offset) > (segment, *offset))
    }

    fn give(&mut self, record: Record) -> Result<Record, Stop> {
        let new_segment = self
            .last
            .as_ref()
            .is_none_or(|(segment, _)| *segment != record.segment);
        if new_segment {
            if let Some(empty) = self.empty_segment_before(&record.segment) {
                return Err(Stop::Damage(empty));
            }
            self.in_segment = 0;
        }
        self.in_segment += 1;
        self.last = Some((Arc::clone(&record.segment), record.offset));
        self.progress.advance(record.frame_bytes);
        Ok(record)
    }

    /// The word for a segment without records between the newest record and the segment `next`.
    fn empty_segment_before(&self, next: &Path) -> Option<String> {
        let after_last = self
            .segments
            .iter()
            .skip_while(|(_, path)| self.last.as_ref().is_some_and(|(last, _)| **path <= **last));
        let mut between = after_last.take_while(|(_, path)| **path < *next);
        between.next().map(|(_, path)| {
            format!(
                "{} holds no record at offset 0: a segment begins with a checksum",
                path.display()
            )
        })
    }

    /// Reads the log again and goes to where it was; what is wrong now, if that is what was wrong before.
    fn look_again(&mut self, error: varve_wal::Error) -> Result<(), Stop> {
        let text = error.to_string();
        let persists = self.suspect.as_ref() == Some(&text);
        self.attempts += 1;
        if persists || self.attempts > ATTEMPTS {
            return Err(self.stop(&error, persists));
        }
        self.suspect = Some(text);
        let again = (self.open)().and_then(|reader| Ok((segments(&reader), reader.records()?)));
        match again {
            Ok((segments, records)) => {
                (self.segments, self.records) = (segments, records);
                Ok(())
            }
            Err(_) => Err(self.stop(&error, true)),
        }
    }

    fn stop(&self, error: &varve_wal::Error, persists: bool) -> Stop {
        use varve_wal::Error::{CrcMismatch, Malformed, UnexpectedEof, UnknownRecord};
        // An empty segment is why the next one does not go on where the last one ended.
        if let CrcMismatch { file, .. }
        | Malformed { file, .. }
        | UnexpectedEof { file, .. }
        | UnknownRecord { file, .. } = error
            && persists
            && let Some(empty) = self.empty_segment_before(file)
        {
            return Stop::Damage(empty);
        }
        let at_segment_head = match error {
            UnexpectedEof { file, offset, .. } => {
                let in_last = self.last.as_ref().is_some_and(|(last, _)| **last == **file);
                *offset == 0 || !in_last || self.in_segment < HEAD_RECORDS
            }
            _ => false,
        };
        match error {
            e if !persists => Stop::Growing(e.to_string()),
            e if !e.is_repairable() => Stop::Damage(e.to_string()),
            e if at_segment_head => Stop::Damage(format!(
                "{e}; the head of a segment is on disk before the segment has its name"
            )),
            e => Stop::Torn(e.to_string()),
        }
    }

    fn at_end(&mut self) -> Option<Stop> {
        self.ended = true;
        let empty = self.segments.last().and_then(|(_, path)| {
            let (dir, name) = (path.parent()?, path.file_name()?.to_owned());
            let mut behind = name;
            behind.push("~");
            self.empty_segment_before(&dir.join(behind))
        });
        empty.or_else(|| self.missing.clone()).map(Stop::Damage)
    }
}

impl Iterator for Steady<'_> {
    type Item = Result<Record, Stop>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let item = match self.records.next() {
                None => return self.at_end().map(Err),
                Some(Ok(record)) if !self.is_past_last(&record) => continue,
                Some(Ok(record)) => self.give(record),
                Some(Err(e)) => match self.look_again(e) {
                    Ok(()) => continue,
                    Err(stop) => Err(stop),
                },
            };
            self.ended = item.is_err();
            return Some(item);
        }
        None
    }
}

fn segments(reader: &ReadOnly) -> Vec<(SegmentName, Box<Path>)> {
    reader
        .segments()
        .map(|(name, path)| (name, path.into()))
        .collect()
}

/// The word for a gap in the sequence of segments.
pub(super) fn gap(before: &Path, after: &Path) -> String {
    format!(
        "{} is followed by {}: what stood between is missing",
        before.display(),
        file_name(after)
    )
}
