//! From one segment to the next.
//!
//! # Failure model
//! The order is: the old segment is cut to the end of the log and synced; the new one gets its head
//! under a temporary name and is synced; it is renamed; the directory is synced. A crash before the
//! rename is durable leaves the old segment as the newest, whole; after it, both. There is no moment
//! in which a segment that is not the newest has an unsynced byte.
use std::sync::Arc;

use varve_proto::raftpb::HardState;

use super::Appender;
use crate::dir::Segment;
use crate::error::{Error, Result};
use crate::pipeline::Prepared;

/// Every segment begins with the checksum so far and the metadata.
const HEAD_RECORDS: u64 = 2;

impl Appender {
    /// Closes the newest segment and begins another.
    pub(super) fn cut(&mut self) -> Result<()> {
        let done = self.end_segment().and_then(|()| self.begin_segment());
        self.or_poison(done)
    }

    fn end_segment(&mut self) -> Result<()> {
        let tail = self.tail();
        tail.file
            .set_len(self.offset)
            .map_err(Error::io_at("cut", &tail.path, self.offset))?;
        // The length has changed, even if no byte has.
        self.unsynced = true;
        self.sync()
    }

    /// Writes, durably, what the newest segment lacks of its head, having `records` of it.
    pub(crate) fn complete_head(&mut self, records: u64) -> Result<()> {
        if records >= HEAD_RECORDS {
            return Ok(());
        }
        self.encode_head(records);
        self.flush()?;
        self.sync()
    }

    /// Encodes the records that begin a segment, without the first `there`.
    fn encode_head(&mut self, there: u64) {
        if there == 0 {
            self.encoder.crc_record();
        }
        self.encoder.metadata(&self.metadata);
        if self.state != HardState::default() {
            self.encoder.state(&self.state);
        }
    }

    fn begin_segment(&mut self) -> Result<()> {
        let Prepared {
            path: temporary,
            file,
        } = self.pipeline.take()?;
        self.encode_head(0);
        let head = self.encoder.bytes();
        let head_bytes = head.len() as u64;
        file.write_all_at(head, 0)
            .map_err(Error::io_at("write", &temporary, 0))?;
        if !self.options.unsafe_no_fsync {
            file.sync_data().map_err(Error::io("sync", &temporary))?;
        }
        let name = self
            .tail()
            .name
            .after(self.last_index)
            .ok_or_else(|| Error::NoSegment {
                dir: self.dir.clone(),
                index: self.last_index,
            })?;
        let path = Arc::from(name.path_in(&self.dir));
        self.fs
            .rename(&temporary, &path)
            .map_err(Error::io("rename", &temporary))?;
        self.fs
            .sync_dir(&self.dir)
            .map_err(Error::io("sync", &self.dir))?;
        self.encoder.clear();
        self.segments.push(Segment { name, path, file });
        self.offset = head_bytes;
        Ok(())
    }
}
