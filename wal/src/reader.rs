//! A log that is being read in order to be continued.
//!
//! The driver opens it at start-up, on its own thread, and gets the [`Appender`] from the reading.
use std::path::PathBuf;
use std::sync::Arc;

use varve_proto::walpb::Snapshot;
use varve_vfs::DynFs;

use crate::appender::Appender;
use crate::dir::{self, Segment};
use crate::error::{Error, Result};
use crate::options::WalOptions;
use crate::records::{End, Records};
use crate::replay::{Accumulator, Replay};

/// Locked segments from the start snapshot on; [`Reader::read_all`] is the only way on.
#[derive(Debug)]
pub struct Reader {
    fs: DynFs,
    dir: PathBuf,
    options: WalOptions,
    start: Snapshot,
    segments: Vec<Segment>,
}

impl Reader {
    pub(crate) fn open(
        fs: &DynFs,
        dir: PathBuf,
        start: &Snapshot,
        options: WalOptions,
    ) -> Result<Self> {
        let names = dir::from_index(fs.as_ref(), &dir, start.index)?;
        let segments = dir::open_locked(fs, &dir, &names)?;
        Ok(Self {
            fs: Arc::clone(fs),
            dir,
            options,
            start: start.clone(),
            segments,
        })
    }

    /// Reads to the end and hands over an appender that continues there.
    ///
    /// What stands after the end of the log in the newest segment is replaced by zeros. A newest segment
    /// without its head (a file system that lost its content although the name survived, which only
    /// happens to logs that are never synced) gets it anew. Errors: a log without metadata belongs to
    /// nobody and is [`Error::Malformed`]; a torn tail is [`Error::UnexpectedEof`] with [`Error::is_repairable`] true; the caller may then drop
    /// this, call [`Wal::repair`](crate::Wal::repair) once, and open again.
    pub fn read_all(self) -> Result<(Replay, Appender)> {
        let mut records = Records::new(self.segments.clone())?;
        let mut accumulator = Accumulator::new(&self.start);
        while let Some(record) = records.next_located()? {
            accumulator.add(record, records.path())?;
        }
        let end = records.end();
        let head_records = records.head_records();
        if !accumulator.has_metadata() {
            let file = self.tail().path.to_path_buf();
            return Err(Error::Malformed {
                file,
                offset: end.offset,
                what: "the log ends before its metadata",
            });
        }
        let mut last_index = accumulator.last_index;
        if accumulator.matched() {
            last_index = last_index.max(self.start.index);
        }
        let replay = accumulator.finish();
        self.clear_tail(end)?;
        let mut appender = Appender::continuing(
            self.fs,
            self.dir,
            self.options,
            self.segments,
            end,
            &replay,
            last_index,
        )?;
        appender.complete_head(head_records)?;
        Ok((replay, appender))
    }

    fn tail(&self) -> &Segment {
        self.segments
            .last()
            .expect("a log without segments is not opened")
    }

    /// Makes everything after the end of the log zero, durably: a torn record of the future is told
    /// from a damaged one by the zeros it was to be written over.
    fn clear_tail(&self, end: End) -> Result<()> {
        let tail = self.tail();
        let was = tail.file.len().map_err(Error::io("measure", &tail.path))?;
        let io = |op| Error::io_at(op, &tail.path, end.offset);
        tail.file.set_len(end.offset).map_err(io("cut"))?;
        tail.file
            .allocate(was.max(self.options.segment_size_bytes))
            .map_err(io("reserve space in"))?;
        if self.options.unsafe_no_fsync {
            return Ok(());
        }
        tail.file.sync_data().map_err(io("sync"))
    }
}
