//! Frames of one segment, read in blocks.
//!
//! A block is read once and shared: the records of a replay borrow from it instead of copying.
use bytes::Bytes;
use varve_vfs::File;

use crate::dir::Segment;
use crate::error::{Error, Result};
use crate::format::{FrameLen, LENGTH_BYTES};

/// Bytes read at a time; a longer record is read whole.
const BLOCK_BYTES: usize = 1 << 20;

/// One frame: where it begins, and its record with padding.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    pub(crate) len: FrameLen,
    /// `len.body_bytes()` bytes.
    pub(crate) body: Bytes,
}

/// What stands at the reader's place.
#[derive(Debug)]
pub(crate) enum Step {
    Frame(Frame),
    /// End of the file, or a length of zero.
    End,
    /// The file ends within a frame.
    Short {
        what: &'static str,
    },
    /// A length field no encoder writes.
    BadLength,
}

#[derive(Debug)]
pub(crate) struct Scan {
    segment: Segment,
    len_bytes: u64,
    /// Where the next frame begins.
    at: u64,
    block: Bytes,
    block_at: u64,
}

impl Scan {
    pub(crate) fn new(segment: Segment) -> Result<Self> {
        let len_bytes = segment
            .file
            .len()
            .map_err(Error::io("measure", &segment.path))?;
        Ok(Self {
            segment,
            len_bytes,
            at: 0,
            block: Bytes::new(),
            block_at: 0,
        })
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn next(&mut self) -> Result<Step> {
        let head = self.peek(self.at, LENGTH_BYTES)?;
        if head.is_empty() {
            return Ok(Step::End);
        }
        let Ok(field) = <[u8; LENGTH_BYTES]>::try_from(&*head) else {
            return Ok(Step::Short {
                what: "the file ends in a length field",
            });
        };
        let field = u64::from_le_bytes(field);
        if field == 0 {
            return Ok(Step::End);
        }
        let Some(len) = FrameLen::decode(field) else {
            return Ok(Step::BadLength);
        };
        let body_at = self.at + LENGTH_BYTES as u64;
        if len.body_bytes() > self.len_bytes.saturating_sub(body_at) {
            return Ok(Step::Short {
                what: "its length goes past the end of the file",
            });
        }
        let body_bytes = usize::try_from(len.body_bytes());
        let Ok(body_bytes) = body_bytes else {
            return Ok(Step::Short {
                what: "its length goes past the end of memory",
            });
        };
        let body = self.peek(body_at, body_bytes)?;
        if body.len() < body_bytes {
            return Ok(Step::Short {
                what: "the file ends in a record",
            });
        }
        let frame = Frame {
            offset: self.at,
            len,
            body,
        };
        self.at = body_at + frame.len.body_bytes();
        Ok(Step::Frame(frame))
    }

    /// Up to `wanted` bytes from `offset` on; fewer only at the end of the file.
    pub(crate) fn peek(&mut self, offset: u64, wanted: usize) -> Result<Bytes> {
        if let Some(start) = offset.checked_sub(self.block_at)
            && let Ok(start) = usize::try_from(start)
            && let Some(end) = start.checked_add(wanted)
            && end <= self.block.len()
        {
            return Ok(self.block.slice(start..end));
        }
        self.block = self.load(offset, wanted.max(BLOCK_BYTES))?;
        self.block_at = offset;
        Ok(self.block.slice(..wanted.min(self.block.len())))
    }

    fn load(&self, offset: u64, wanted: usize) -> Result<Bytes> {
        let left = self.len_bytes.saturating_sub(offset);
        let mut buf = vec![0; usize::try_from(left).map_or(wanted, |left| left.min(wanted))];
        let len = fill(self.segment.file.as_ref(), &mut buf, offset).map_err(Error::io_at(
            "read",
            &self.segment.path,
            offset,
        ))?;
        buf.truncate(len);
        Ok(buf.into())
    }
}

/// Reads until the buffer is full or the file ends: a file may shrink while a tool reads it.
fn fill(file: &dyn File, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        let n = file.read_at(&mut buf[done..], offset + done as u64)?;
        if n == 0 {
            break;
        }
        done += n;
    }
    Ok(done)
}
