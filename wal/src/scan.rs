//! Frames of one segment, read in blocks.
//!
//! A block is read once and shared: the records of a replay borrow from it instead of copying. What a
//! length field claims is not believed before it was looked at: see [`LARGE_BYTES`].
use bytes::{Bytes, BytesMut};
use varve_vfs::File;

use crate::dir::Segment;
use crate::error::{Error, Result};
use crate::format::{FrameLen, LENGTH_BYTES, SECTOR_BYTES};

mod ahead;
mod block;

use ahead::Ahead;

/// Bytes read at a time; a longer record is read whole. Fits the second-level cache, since what was read
/// is looked at next.
const BLOCK_BYTES: usize = 256 << 10;
/// A record above this size is verified piece by piece before memory is taken for it: a damaged length
/// may claim as much as the file is long.
pub(crate) const LARGE_BYTES: u64 = 4 << 20;

/// One frame: where it begins and what its length field says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    pub(crate) len: FrameLen,
}

impl Frame {
    /// Where the record begins.
    pub(crate) fn body_at(self) -> u64 {
        self.offset + LENGTH_BYTES as u64
    }

    /// Where the next frame begins.
    pub(crate) fn end(self) -> u64 {
        self.body_at() + self.len.body_bytes()
    }
}

/// What stands at the reader's place.
#[derive(Debug)]
pub(crate) enum Step {
    /// A frame that lies within the file.
    Frame(Frame),
    /// End of the file, or a length of zero.
    End,
    /// The file ends within a frame.
    Short { what: &'static str },
    /// A length field no encoder writes.
    BadLength,
}

/// A log that goes on this far into a segment is read ahead from there; a short one, in a segment
/// whose space is mostly reserved, is not worth a thread.
const ALONE_BYTES: u64 = 1 << 20;

/// A block of memory, told from every other of which a part is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockId {
    address: usize,
    pub(crate) len_bytes: usize,
}

impl BlockId {
    pub(crate) fn of(block: &Bytes) -> Self {
        Self {
            address: block.as_ptr().addr(),
            len_bytes: block.len(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Scan {
    segment: Segment,
    len_bytes: u64,
    /// Where the next frame begins.
    at: u64,
    block: Bytes,
    block_at: u64,
    ahead: Option<Ahead>,
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
            ahead: None,
        })
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Length of the segment when it was opened.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// What stands at the reader's place; goes past it when it is a frame.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Step> {
        let head = self.peek(self.at, LENGTH_BYTES)?;
        if head.is_empty() {
            return Ok(Step::End);
        }
        let Ok(field) = <[u8; LENGTH_BYTES]>::try_from(head) else {
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
        let frame = Frame {
            offset: self.at,
            len,
        };
        if len.body_bytes() > self.len_bytes.saturating_sub(frame.body_at()) {
            return Ok(Step::Short {
                what: "its length goes past the end of the file",
            });
        }
        self.at = frame.end();
        Ok(Step::Frame(frame))
    }

    /// The record of a frame and its padding; `None` when the file ends before it does.
    #[inline]
    pub(crate) fn body(&mut self, frame: Frame) -> Result<Option<&[u8]>> {
        let Ok(wanted) = usize::try_from(frame.len.body_bytes()) else {
            return Ok(None);
        };
        let body = self.peek(frame.body_at(), wanted)?;
        Ok((body.len() == wanted).then_some(body))
    }

    /// Part of what [`Scan::body`] has just shown of `frame`, to be kept.
    #[inline]
    pub(crate) fn share(&self, frame: Frame, part: std::ops::Range<usize>) -> Bytes {
        let body_in_block = usize::try_from(frame.body_at() - self.block_at)
            .expect("the body was shown, so it lies in the block");
        self.block
            .slice(body_in_block + part.start..body_in_block + part.end)
    }

    /// The block that holds what was shared last.
    pub(crate) fn block_id(&self) -> BlockId {
        BlockId::of(&self.block)
    }

    /// Up to `wanted` bytes from `offset` on; fewer only at the end of the file.
    #[inline]
    pub(crate) fn peek(&mut self, offset: u64, wanted: usize) -> Result<&[u8]> {
        let start = match self.in_block(offset, wanted) {
            Some(start) => start,
            None => self.load(offset, wanted)?,
        };
        let end = wanted.saturating_add(start).min(self.block.len());
        Ok(&self.block[start..end])
    }

    /// Where in the block these bytes begin, when it has all of them.
    fn in_block(&self, offset: u64, wanted: usize) -> Option<usize> {
        let start = usize::try_from(offset.checked_sub(self.block_at)?).ok()?;
        let rest = self.block.len().checked_sub(start)?;
        (rest >= wanted).then_some(start)
    }

    /// Makes a block the current one that has these bytes, or as many as there are, and says where in
    /// it they begin.
    fn load(&mut self, offset: u64, wanted: usize) -> Result<usize> {
        if self.ahead.is_none() && self.at >= ALONE_BYTES {
            self.ahead = Ahead::start(&self.segment.file, offset, self.len_bytes);
        }
        let block = self
            .ahead
            .as_ref()
            .and_then(|ahead| ahead.block_beyond(offset));
        if let Some(block) = block {
            (self.block, self.block_at) = (block.bytes, block.at);
            if let Some(start) = self.in_block(offset, wanted) {
                return Ok(start);
            }
        }
        self.read_block(offset, wanted.max(BLOCK_BYTES))?;
        Ok(0)
    }

    /// Shows `len` bytes from `offset` on piece by piece, without keeping them: each piece but the last
    /// ends with a sector. Whether the file has them all.
    pub(crate) fn stream(
        &self,
        offset: u64,
        len: u64,
        mut show: impl FnMut(u64, &[u8]),
    ) -> Result<bool> {
        let mut buf = vec![0; BLOCK_BYTES];
        let end = offset.saturating_add(len);
        let mut at = offset;
        while at < end {
            let beyond_sector = usize::try_from(at % SECTOR_BYTES).expect("below 512");
            let room = BLOCK_BYTES - beyond_sector;
            let wanted = usize::try_from(end - at).map_or(room, |left| left.min(room));
            let got = self.fill(&mut buf[..wanted], at)?;
            if got < wanted {
                return Ok(false);
            }
            show(at, &buf[..got]);
            at += got as u64;
        }
        Ok(true)
    }

    fn read_block(&mut self, offset: u64, wanted: usize) -> Result<()> {
        let left = self.len_bytes.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(wanted, |left| left.min(wanted));
        // A block that nobody has kept a part of is used again.
        let mut buf = match std::mem::take(&mut self.block).try_into_mut() {
            Ok(buf) if buf.capacity() >= wanted => buf,
            _ => BytesMut::zeroed(wanted),
        };
        buf.resize(wanted, 0);
        let len = self.fill(&mut buf, offset)?;
        buf.truncate(len);
        self.block = buf.freeze();
        self.block_at = offset;
        Ok(())
    }

    fn fill(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        fill(self.segment.file.as_ref(), buf, offset).map_err(Error::io_at(
            "read",
            &self.segment.path,
            offset,
        ))
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
