//! A log that is being continued.
//!
//! Owned by one thread, the driver's log thread. A batch is encoded into one buffer, written with one
//! call and, when asked for, synced with one; see [`Appender::save`].
//!
//! # Invariants
//! 1. `offset` is the end of the log in the newest segment, and everything after it there is zero.
//! 2. After a write or a sync failed nothing is written any more: the kernel may have dropped what it
//!    could not write, and only reading the file again can tell.
//!
//! # Failure model
//! A batch that was not synced may be in the log, or a prefix of it, or a torn record that the next
//! open reports. A cut leaves either the old newest segment, complete, or both: see `cut.rs`.
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_vfs::DynFs;

use crate::dir::Segment;
use crate::encode::Encoder;
use crate::error::{Error, Result};
use crate::options::WalOptions;
use crate::pipeline::Pipeline;
use crate::records::End;
use crate::replay::Replay;

mod cut;

/// A batch is handed to the system in pieces of about this many bytes, so that a burst of big entries
/// does not leave a buffer of its size behind.
const WRITE_BYTES: usize = 8 << 20;

/// What one [`Appender::save`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaveStats {
    /// Bytes the batch added to the log, frames included; without the head of a new segment.
    pub written_bytes: u64,
    /// Whether the batch, and everything before it, is durable.
    pub synced: bool,
    /// Whether a new segment was begun.
    pub cut: bool,
}

/// Told when a sync begins and ends; whoever gives it brings the clock.
pub trait SyncObserver: Debug + Send {
    /// A sync of the log is about to be asked for.
    fn sync_begins(&mut self);
    /// The sync is over; `ok` says whether the system reported success.
    fn sync_ended(&mut self, ok: bool);
}

/// Appends to a log; made by [`Wal::create`](crate::Wal::create) and
/// [`Reader::read_all`](crate::Reader::read_all) only.
///
/// Dropping it without [`Appender::close`] is what a crash of the process is to the log.
#[derive(Debug)]
pub struct Appender {
    fs: DynFs,
    dir: PathBuf,
    options: WalOptions,
    /// Held, that is locked, segments; the newest last, and never empty.
    segments: Vec<Segment>,
    offset: u64,
    unsynced: bool,
    encoder: Encoder,
    metadata: Bytes,
    state: HardState,
    last_index: u64,
    pipeline: Pipeline,
    observer: Option<Box<dyn SyncObserver>>,
    poison: Option<String>,
}

impl Appender {
    /// The appender of a log that [`Wal::create`](crate::Wal::create) has just written.
    pub(crate) fn fresh(
        fs: DynFs,
        dir: PathBuf,
        options: WalOptions,
        segment: Segment,
        mut encoder: Encoder,
        metadata: Bytes,
    ) -> Result<Self> {
        let offset = encoder.bytes().len() as u64;
        encoder.clear();
        let pipeline = Pipeline::start(&fs, &dir, options)?;
        Ok(Self {
            fs,
            dir,
            options,
            segments: vec![segment],
            offset,
            unsynced: false,
            encoder,
            metadata,
            state: HardState::default(),
            last_index: 0,
            pipeline,
            observer: None,
            poison: None,
        })
    }

    /// The appender of a log that was read to `end`.
    pub(crate) fn continuing(
        fs: DynFs,
        dir: PathBuf,
        options: WalOptions,
        segments: Vec<Segment>,
        end: End,
        replay: &Replay,
        last_index: u64,
    ) -> Result<Self> {
        let pipeline = Pipeline::start(&fs, &dir, options)?;
        Ok(Self {
            fs,
            dir,
            options,
            segments,
            offset: end.offset,
            unsynced: false,
            encoder: Encoder::continuing(end.crc),
            metadata: replay.metadata.clone(),
            state: replay.hard_state.unwrap_or_default(),
            last_index,
            pipeline,
            observer: None,
            poison: None,
        })
    }

    /// Has `observer` told of every sync from here on.
    pub fn observe_syncs(&mut self, observer: Box<dyn SyncObserver>) {
        self.observer = Some(observer);
    }

    /// Appends entries and then, unless it is absent or all zero, the hard state.
    ///
    /// One write for the whole batch and, with `must_sync`, one `fdatasync`: then everything saved so
    /// far is durable. When the segment has reached its size a new one is begun, which syncs in any
    /// case. Nothing to save and no `must_sync` costs nothing. Errors are final, see
    /// [`Error::Poisoned`].
    pub fn save<'a>(
        &mut self,
        state: Option<&HardState>,
        entries: impl IntoIterator<Item = &'a Entry>,
        must_sync: bool,
    ) -> Result<SaveStats> {
        self.check_sound()?;
        let state = state.filter(|state| **state != HardState::default());
        let began = self.offset;
        for entry in entries {
            self.encoder.entry(entry);
            self.last_index = entry.index;
            if self.encoder.bytes().len() >= WRITE_BYTES {
                self.flush()?;
            }
        }
        if let Some(state) = state {
            self.encoder.state(state);
            self.state = *state;
        }
        self.flush()?;
        let written_bytes = self.offset - began;
        let cut = written_bytes > 0 && self.offset >= self.options.segment_size_bytes;
        if cut {
            self.cut()?;
        } else if must_sync {
            self.sync()?;
        }
        Ok(SaveStats {
            written_bytes,
            synced: cut || must_sync,
            cut,
        })
    }

    /// Records that the snapshot `snap` exists, durably. Call it when the snapshot itself is durable.
    ///
    /// Errors: [`Error::ConfStateMissing`] for an index above 0 without members.
    pub fn save_snapshot(&mut self, snap: &Snapshot) -> Result<()> {
        self.check_sound()?;
        if snap.index > 0 && snap.conf_state.is_none() {
            return Err(Error::ConfStateMissing { index: snap.index });
        }
        self.encoder.snapshot(snap);
        self.last_index = self.last_index.max(snap.index);
        self.flush()?;
        self.sync()
    }

    /// Makes everything saved so far durable; does nothing when it is already.
    pub fn sync(&mut self) -> Result<()> {
        self.check_sound()?;
        if !self.unsynced || self.options.unsafe_no_fsync {
            return Ok(());
        }
        if let Some(observer) = &mut self.observer {
            observer.sync_begins();
        }
        let tail = self.tail();
        let synced = tail
            .file
            .sync_data()
            .map_err(Error::io_at("sync", &tail.path, self.offset));
        if let Some(observer) = &mut self.observer {
            observer.sync_ended(synced.is_ok());
        }
        self.or_poison(synced)?;
        self.unsynced = false;
        Ok(())
    }

    /// Gives up the segments before the one that may hold the entry at `index`, so that
    /// [`purge`](crate::purge) may remove them.
    pub fn release_to(&mut self, index: u64) -> Result<()> {
        self.check_sound()?;
        let above = self
            .segments
            .iter()
            .position(|segment| segment.name.index >= index);
        // The segment before the first that begins at or above the index may hold it.
        let needed = above.unwrap_or(self.segments.len()).saturating_sub(1);
        self.segments.drain(..needed);
        Ok(())
    }

    /// Syncs what is not yet durable and lets the log go.
    pub fn close(mut self) -> Result<()> {
        self.sync()
    }

    /// Index of the last entry or snapshot recorded; 0 in a log without any.
    pub fn last_index(&self) -> u64 {
        self.last_index
    }

    /// Bytes of log in the newest segment.
    pub fn segment_bytes(&self) -> u64 {
        self.offset
    }

    /// The directory of the log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn tail(&self) -> &Segment {
        self.segments
            .last()
            .expect("an appender holds its newest segment")
    }

    /// Writes what is encoded at the end of the log.
    fn flush(&mut self) -> Result<()> {
        let bytes = self.encoder.bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        let tail = self.tail();
        let len = bytes.len() as u64;
        let written = tail
            .file
            .write_all_at(bytes, self.offset)
            .map_err(Error::io_at("write", &tail.path, self.offset));
        self.or_poison(written)?;
        self.encoder.clear();
        self.unsynced = true;
        self.offset += len;
        self.pipeline.advance(self.offset);
        Ok(())
    }

    fn check_sound(&self) -> Result<()> {
        match &self.poison {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned {
                dir: self.dir.clone(),
                cause: cause.clone(),
            }),
        }
    }

    fn or_poison<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(e) = &result {
            self.poison = Some(e.to_string());
        }
        result
    }
}
