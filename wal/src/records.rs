//! The records of a run of segments, in order, each under the checksum of all before it.
//!
//! Everything that reads a log goes through here: replay, repair, verification, tools. It never
//! writes, so it can stop at any record. What a frame is that is not a record is decided in `torn.rs`.
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::dir::Segment;
use crate::error::{Error, Result};
use crate::format::{LENGTH_BYTES, RecordKind};
use crate::parse::{self, Parsed};
use crate::scan::{BlockId, Frame, LARGE_BYTES, Scan, Step};

mod torn;

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

/// A record that does not say which segment it stands in: that of [`Records::path`].
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) kind: RecordKind,
    pub(crate) crc: u32,
    pub(crate) data: Bytes,
    pub(crate) frame: Frame,
    /// The memory that `data` keeps alive.
    pub(crate) block: BlockId,
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

    /// The segment being read.
    pub(crate) fn path(&self) -> &Arc<Path> {
        &self.scan().segment().path
    }

    #[inline]
    pub(crate) fn next_located(&mut self) -> Result<Option<Located>> {
        loop {
            let Some(scan) = &mut self.scan else {
                return Ok(None);
            };
            match scan.next()? {
                Step::Frame(frame) => {
                    let record = self.decode(frame)?;
                    self.check_place(&record)?;
                    self.read += 1;
                    self.whole_to = frame.end();
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
    fn check_place(&self, record: &Located) -> Result<()> {
        let in_place = match self.read {
            0 => record.kind == RecordKind::Crc,
            1 => record.kind == RecordKind::Metadata,
            _ => !matches!(record.kind, RecordKind::Crc | RecordKind::Metadata),
        };
        if in_place {
            return Ok(());
        }
        Err(self.malformed(record.frame.offset, "type out of place"))
    }

    #[inline]
    fn decode(&mut self, frame: Frame) -> Result<Located> {
        if frame.len.body_bytes() > LARGE_BYTES {
            self.check_large(frame)?;
        }
        let scan = self
            .scan
            .as_mut()
            .expect("a frame is decoded while its segment is read");
        let Some(body) = scan.body(frame)? else {
            return Err(self.unfinished(frame.offset, "the file ends in a record")?);
        };
        let record = &body[..body.len() - pad(frame)];
        let parsed = match parse::record(record) {
            Ok(parsed) => parsed,
            Err(flaw) => {
                let gap = torn::has_zero_sector(frame.body_at(), body);
                return Err(self.unparsable(frame, flaw, gap)?);
            }
        };
        let kind = RecordKind::from_number(parsed.kind);
        if kind == Some(RecordKind::Crc) {
            return self.crc_record(frame, &parsed);
        }
        let range = parsed.data.unwrap_or_default();
        let found = crc32c::crc32c_append(self.crc, &record[range.clone()]);
        if found != parsed.crc {
            let gap = torn::has_zero_sector(frame.body_at(), body);
            return Err(self.wrong_crc(frame, parsed.crc, found, gap)?);
        }
        let data = scan.share(frame, range);
        let block = scan.block_id();
        let Some(kind) = kind else {
            let file = self.path().to_path_buf();
            return Err(Error::UnknownRecord {
                file,
                offset: frame.offset,
                found: parsed.kind,
            });
        };
        // The stored value, which is the same: so the next record's sum need not wait for this one's.
        self.crc = parsed.crc;
        Ok(Located {
            kind,
            crc: parsed.crc,
            data,
            frame,
            block,
        })
    }

    /// A crc record takes the chain over from the segment before; the first one read sets it.
    fn crc_record(&mut self, frame: Frame, parsed: &Parsed) -> Result<Located> {
        if parsed.data.is_some() {
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
        Ok(Located {
            kind: RecordKind::Crc,
            crc: parsed.crc,
            data: Bytes::new(),
            frame,
            // It keeps none.
            block: BlockId::default(),
        })
    }

    fn scan(&self) -> &Scan {
        self.scan
            .as_ref()
            .expect("a record is decoded while its segment is read")
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
        let next = self.next_located();
        if next.is_err() {
            self.scan = None;
        }
        let located = next.transpose()?;
        Some(located.map(|record| Record {
            kind: record.kind,
            crc: record.crc,
            data: record.data,
            segment: Arc::clone(self.path()),
            offset: record.frame.offset,
            frame_bytes: LENGTH_BYTES as u64 + record.frame.len.body_bytes(),
        }))
    }
}

fn pad(frame: Frame) -> usize {
    usize::try_from(frame.len.pad_bytes).expect("padding is below 8")
}
