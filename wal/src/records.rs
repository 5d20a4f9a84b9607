//! The records of a run of segments, in order, each under the checksum of all before it.
//!
//! Everything that reads a log goes through here: replay, repair, verification, tools. It never
//! writes, so it can stop at any record.
//!
//! # Failure model
//! A crash leaves the newest segment with an unfinished tail: a sector of 512 bytes was written or was
//! not. A record is taken for torn, [`Error::UnexpectedEof`], when the file ends inside it, or when it
//! does not hold together and some sector's part of it is all zero, the state of reserved space. A
//! record that is whole under another length than its frame says is a damaged length, not a tear, and
//! is never cut off: the records after it may have been acknowledged.
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::dir::Segment;
use crate::error::{Error, Result};
use crate::format::{LENGTH_BYTES, RecordKind, SECTOR_BYTES};
use crate::parse::{self, Flaw, Parsed};
use crate::scan::{Frame, Scan, Step};

/// One record of a log, whose checksum has been verified.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it holds.
    pub kind: RecordKind,
    /// Checksum of the log up to and including this record.
    pub crc: u32,
    /// The data; empty in a crc record.
    pub data: Bytes,
    /// The segment it stands in.
    pub segment: Arc<Path>,
    /// Where its frame begins.
    pub offset: u64,
    /// Bytes of the frame: length field, record and padding.
    pub frame_bytes: u64,
}

/// Iterates over the records of a log; ends after the last whole record or the first error.
#[derive(Debug)]
pub struct Records {
    segments: std::vec::IntoIter<Segment>,
    scan: Option<Scan>,
    /// End of the last whole record in the segment being read.
    whole_to: u64,
    /// How many records of that segment have been read.
    read: u64,
    crc: u32,
}

/// Where a log that was read to its end may be continued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// In the newest segment.
    pub(crate) offset: u64,
    pub(crate) crc: u32,
}

impl Records {
    pub(crate) fn new(segments: Vec<Segment>) -> Result<Self> {
        let mut segments = segments.into_iter();
        let scan = segments.next().map(Scan::new).transpose()?;
        Ok(Self {
            segments,
            scan,
            whole_to: 0,
            read: 0,
            crc: 0,
        })
    }

    /// End of the last whole record in the segment being read, and the checksum there.
    pub(crate) fn end(&self) -> End {
        End {
            offset: self.whole_to,
            crc: self.crc,
        }
    }

    /// How many of the two records that begin every segment the one being read has.
    pub(crate) fn head_records(&self) -> u64 {
        self.read.min(2)
    }

    fn is_last(&self) -> bool {
        self.segments.as_slice().is_empty()
    }

    pub(crate) fn next_record(&mut self) -> Result<Option<Record>> {
        loop {
            let Some(scan) = &mut self.scan else {
                return Ok(None);
            };
            match scan.next()? {
                Step::Frame(frame) => {
                    let record = self.decode(frame)?;
                    self.check_place(&record)?;
                    self.read += 1;
                    self.whole_to = record.offset + record.frame_bytes;
                    return Ok(Some(record));
                }
                Step::Short { what } => return Err(self.unfinished(self.whole_to, what)?),
                Step::BadLength => {
                    return Err(self.malformed(self.whole_to, "length field"));
                }
                Step::End => match self.segments.next() {
                    Some(segment) => {
                        self.scan = Some(Scan::new(segment)?);
                        self.whole_to = 0;
                        self.read = 0;
                    }
                    None => return Ok(None),
                },
            }
        }
    }

    /// A segment begins with the checksum and the metadata, and has no more of either: the type of a
    /// record is not under its checksum, its place tells.
    fn check_place(&self, record: &Record) -> Result<()> {
        let in_place = match self.read {
            0 => record.kind == RecordKind::Crc,
            1 => record.kind == RecordKind::Metadata,
            _ => !matches!(record.kind, RecordKind::Crc | RecordKind::Metadata),
        };
        if in_place {
            return Ok(());
        }
        Err(self.malformed(record.offset, "type out of place"))
    }

    fn decode(&mut self, frame: Frame) -> Result<Record> {
        let body = &frame.body[..frame.body.len() - pad(&frame)];
        let parsed = match parse::record(body) {
            Ok(parsed) => parsed,
            Err(flaw) => return Err(self.unparsable(&frame, flaw)?),
        };
        let data = parsed.data.clone().map(|range| frame.body.slice(range));
        let kind = RecordKind::from_number(parsed.kind);
        if kind == Some(RecordKind::Crc) {
            return self.crc_record(&frame, &parsed, data.as_ref());
        }
        let data = data.unwrap_or_default();
        let found = crc32c::crc32c_append(self.crc, &data);
        if found != parsed.crc {
            if let Some(torn) = self.torn(&frame)? {
                return Err(torn);
            }
            let file = self.path().to_path_buf();
            return Err(Error::CrcMismatch {
                file,
                offset: frame.offset,
                expected: parsed.crc,
                found,
            });
        }
        let Some(kind) = kind else {
            let file = self.path().to_path_buf();
            return Err(Error::UnknownRecord {
                file,
                offset: frame.offset,
                found: parsed.kind,
            });
        };
        self.crc = found;
        Ok(self.record(kind, found, data, &frame))
    }

    /// A crc record takes the chain over from the segment before; the first one read sets it.
    fn crc_record(
        &mut self,
        frame: &Frame,
        parsed: &Parsed,
        data: Option<&Bytes>,
    ) -> Result<Record> {
        if data.is_some() {
            return Err(self.malformed(frame.offset, "a crc record with data"));
        }
        if self.crc != 0 && self.crc != parsed.crc {
            return Err(Error::CrcMismatch {
                file: self.path().to_path_buf(),
                offset: frame.offset,
                expected: parsed.crc,
                found: self.crc,
            });
        }
        self.crc = parsed.crc;
        Ok(self.record(RecordKind::Crc, parsed.crc, Bytes::new(), frame))
    }

    fn record(&self, kind: RecordKind, crc: u32, data: Bytes, frame: &Frame) -> Record {
        Record {
            kind,
            crc,
            data,
            segment: Arc::clone(self.path()),
            offset: frame.offset,
            frame_bytes: LENGTH_BYTES as u64 + frame.len.body_bytes(),
        }
    }

    /// The error for a frame that is not a record.
    fn unparsable(&mut self, frame: &Frame, flaw: Flaw) -> Result<Error> {
        if let Some(torn) = self.torn(frame)? {
            return Ok(torn);
        }
        match flaw {
            // A tear leaves zeros; a record whose fields outrun it without any is nothing we know.
            // etcd up to 3.6 cuts it off nevertheless, and so do we when nothing whole is lost.
            Flaw::Truncated => self.unfinished(frame.offset, "a field goes past its end"),
            Flaw::Invalid(what) => Ok(self.malformed(frame.offset, what)),
        }
    }

    /// The error for a frame that a crash tore, if that is what happened.
    fn torn(&mut self, frame: &Frame) -> Result<Option<Error>> {
        if !self.is_last() || !has_zero_sector(frame) {
            return Ok(None);
        }
        self.unfinished(frame.offset, "a sector of it was not written")
            .map(Some)
    }

    /// The error for what looks like the unfinished record at `offset`.
    fn unfinished(&mut self, offset: u64, what: &'static str) -> Result<Error> {
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

    /// Whether the record at `offset` carries its own checksum when its frame's length is set aside.
    fn whole_under_another_length(&mut self, offset: u64) -> Result<bool> {
        // Room for the fields before the data: two tags, a type, a crc, and the data's tag and length.
        const HEAD_MAX: usize = 32;
        let crc = self.crc;
        let Some(scan) = &mut self.scan else {
            return Ok(false);
        };
        let body_at = offset + LENGTH_BYTES as u64;
        let mut wanted = HEAD_MAX;
        loop {
            let bytes = scan.peek(body_at, wanted)?;
            match parse::leading_record(&bytes) {
                Ok((parsed, len)) => {
                    let framed = scan.peek(offset, LENGTH_BYTES)?;
                    let own = crate::format::FrameLen::of_record(len as u64).encode();
                    let data = parsed
                        .data
                        .map(|range| bytes.slice(range))
                        .unwrap_or_default();
                    let sound = crc32c::crc32c_append(crc, &data) == parsed.crc;
                    return Ok(sound && framed[..] != own.to_le_bytes()[..]);
                }
                // Twice as much each time: a length that lies costs at most the file.
                Err(Flaw::Truncated) if bytes.len() == wanted => wanted *= 2,
                Err(_) => return Ok(false),
            }
        }
    }

    fn path(&self) -> &Arc<Path> {
        &self
            .scan
            .as_ref()
            .expect("a record is decoded from the segment being read")
            .segment()
            .path
    }

    fn malformed(&self, offset: u64, what: &'static str) -> Error {
        Error::Malformed {
            file: self.path().to_path_buf(),
            offset,
            what,
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_record();
        if next.is_err() {
            self.scan = None;
        }
        next.transpose()
    }
}

fn pad(frame: &Frame) -> usize {
    usize::try_from(frame.len.pad_bytes).expect("padding is below 8")
}

/// Whether some sector holds nothing but zeros of the record and its padding.
fn has_zero_sector(frame: &Frame) -> bool {
    let body_at = frame.offset + LENGTH_BYTES as u64;
    let first = SECTOR_BYTES - body_at % SECTOR_BYTES;
    let first = usize::try_from(first).map_or(frame.body.len(), |n| n.min(frame.body.len()));
    let (head, rest) = frame.body.split_at(first);
    let sector = usize::try_from(SECTOR_BYTES).expect("512");
    std::iter::once(head)
        .chain(rest.chunks(sector))
        .any(|chunk| !chunk.is_empty() && chunk.iter().all(|b| *b == 0))
}
