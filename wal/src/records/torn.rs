//! What a frame is that does not hold a sound record: torn by a crash, or damaged.
//!
//! # Failure model
//! A crash leaves the newest segment with an unfinished tail: a sector of 512 bytes was written or was
//! not. A record is taken for torn, [`Error::UnexpectedEof`], when the file ends inside it, or when it
//! does not hold together and some sector's part of it is all zero, the state of reserved space. A
//! record that is whole under another length than its frame says is a damaged length, not a tear, and
//! is never cut off: the records after it may have been acknowledged.
//!
//! Nothing here takes memory for what a length claims: long records are looked at in pieces.
use super::Records;
use crate::error::{Error, Result};
use crate::format::{FrameLen, LENGTH_BYTES, SECTOR_BYTES};
use crate::parse::{self, Flaw, Head};
use crate::scan::Frame;

impl Records {
    /// Verifies a long record piece by piece; `Ok` only when it is sound, so that it may be read whole.
    pub(super) fn check_large(&mut self, frame: Frame) -> Result<()> {
        let head = match self.head_at(frame)? {
            Ok(head) if head.record_bytes() == frame.len.record_bytes => head,
            flawed => {
                let gap = self.streamed(frame, None)?.has_zero_sector;
                let flaw = flawed.err().unwrap_or(Flaw::Invalid("length of its data"));
                return Err(self.unparsable(frame, flaw, gap)?);
            }
        };
        let seen = self.streamed(frame, Some(head))?;
        if !seen.whole {
            return Err(self.unfinished(frame.offset, "the file ends in a record")?);
        }
        if seen.crc != head.crc {
            return Err(self.wrong_crc(frame, head.crc, seen.crc, seen.has_zero_sector)?);
        }
        Ok(())
    }

    /// The error for a frame that is not a record; `gap`: one of its sectors is all zero.
    pub(super) fn unparsable(&mut self, frame: Frame, flaw: Flaw, gap: bool) -> Result<Error> {
        if gap && self.is_last() {
            return self.unwritten_sector(frame.offset);
        }
        match flaw {
            // A tear leaves zeros; a record whose fields outrun it without any is nothing we know.
            // etcd up to 3.6 cuts it off nevertheless, and so do we when nothing whole is lost.
            Flaw::Truncated => self.unfinished(frame.offset, "a field goes past its end"),
            Flaw::Invalid(what) => Ok(self.malformed(frame.offset, what)),
        }
    }

    /// The error for a record whose checksum is not that of its data; `gap` as above.
    pub(super) fn wrong_crc(
        &mut self,
        frame: Frame,
        expected: u32,
        found: u32,
        gap: bool,
    ) -> Result<Error> {
        if gap && self.is_last() {
            return self.unwritten_sector(frame.offset);
        }
        Ok(Error::CrcMismatch {
            file: self.path().to_path_buf(),
            offset: frame.offset,
            expected,
            found,
        })
    }

    /// The error for what looks like the unfinished record at `offset`.
    pub(super) fn unfinished(&mut self, offset: u64, what: &'static str) -> Result<Error> {
        if self.whole_under_another_length(offset)? {
            return Ok(self.malformed(offset, "length field"));
        }
        let last_segment = self.is_last();
        Ok(Error::UnexpectedEof {
            file: self.path().to_path_buf(),
            offset,
            what,
            last_segment,
        })
    }

    fn unwritten_sector(&mut self, offset: u64) -> Result<Error> {
        self.unfinished(offset, "a sector of it was not written")
    }

    fn is_last(&self) -> bool {
        self.segments.as_slice().is_empty()
    }

    /// Whether the record at `offset` carries its own checksum when its frame's length is set aside.
    fn whole_under_another_length(&mut self, offset: u64) -> Result<bool> {
        let Some(scan) = &mut self.scan else {
            return Ok(false);
        };
        let body_at = offset + LENGTH_BYTES as u64;
        let Ok(head) = parse::head(scan.peek(body_at, Head::MAX_BYTES)?) else {
            return Ok(false);
        };
        if head.record_bytes() > scan.len_bytes().saturating_sub(body_at) {
            return Ok(false);
        }
        let len = FrameLen::of_record(head.record_bytes());
        let there = scan.peek(offset, LENGTH_BYTES)?;
        if there == len.encode().to_le_bytes() {
            return Ok(false);
        }
        let seen = self.streamed(Frame { offset, len }, Some(head))?;
        Ok(seen.whole && seen.crc == head.crc)
    }

    fn head_at(&mut self, frame: Frame) -> Result<Result<Head, Flaw>> {
        match &mut self.scan {
            Some(scan) => Ok(parse::head(scan.peek(frame.body_at(), Head::MAX_BYTES)?)),
            None => Ok(Err(Flaw::Truncated)),
        }
    }

    /// Looks at the record of `frame` piece by piece; without a head its checksum is of no interest.
    fn streamed(&self, frame: Frame, head: Option<Head>) -> Result<Seen> {
        let data = head.map_or(0..0, |head| {
            let at = frame.body_at() + head.before_data;
            at..at.saturating_add(head.data_bytes)
        });
        let mut seen = Seen {
            crc: self.crc,
            has_zero_sector: false,
            whole: true,
        };
        let body_bytes = frame.len.body_bytes();
        seen.whole = self
            .scan()
            .stream(frame.body_at(), body_bytes, |at, piece| {
                seen.has_zero_sector = seen.has_zero_sector || has_zero_sector(at, piece);
                let within = |offset: u64| {
                    let offset = offset.saturating_sub(at);
                    usize::try_from(offset).map_or(piece.len(), |offset| offset.min(piece.len()))
                };
                let part = &piece[within(data.start)..within(data.end)];
                seen.crc = crc32c::crc32c_append(seen.crc, part);
            })?;
        Ok(seen)
    }
}

/// What was seen of a record.
struct Seen {
    crc: u32,
    has_zero_sector: bool,
    whole: bool,
}

/// Whether some sector holds nothing but zeros of these bytes, which begin at `offset` in the file.
pub(super) fn has_zero_sector(offset: u64, bytes: &[u8]) -> bool {
    let sector = usize::try_from(SECTOR_BYTES).expect("512");
    let first = usize::try_from(SECTOR_BYTES - offset % SECTOR_BYTES).expect("up to 512");
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    std::iter::once(head)
        .chain(rest.chunks(sector))
        .any(|chunk| !chunk.is_empty() && chunk.iter().all(|b| *b == 0))
}
