//! The pairs of a bucket, read in pieces: each piece is from one commit, and no piece is long.
//!
//! On a running member the pieces may be from different commits. Every pair given was there when its piece
//! was read; revisions never change, so of bucket `key` only what a compaction deletes meanwhile makes a
//! difference.
use std::collections::VecDeque;

use anyhow::Result;
use bytes::Bytes;
use varve_backend::{Direction, KeyRange, Snapshot as _};
use varve_backend_btree::BtreeSnapshot;

use super::file::DbFile;

/// A piece ends with the pair that reaches one of these.
const PIECE_ROWS: usize = 4096;
const PIECE_BYTES: usize = 8 << 20;

/// Iterates over a bucket.
pub(super) struct Rows<'a> {
    file: &'a DbFile,
    bucket: &'a [u8],
    direction: Direction,
    /// What has not been read.
    rest: KeyRange,
    piece: VecDeque<(Bytes, Bytes)>,
    /// What comes after the piece.
    then: Then,
}

/// What comes after a piece.
#[derive(Debug)]
enum Then {
    More,
    Nothing,
    /// What stands there is damaged.
    Flaw(varve_backend::Error),
}

impl<'a> Rows<'a> {
    /// The pairs of a range; none when there is no such bucket.
    pub(super) fn new(
        file: &'a DbFile,
        bucket: &'a [u8],
        range: KeyRange,
        direction: Direction,
    ) -> Self {
        Self {
            file,
            bucket,
            direction,
            rest: range,
            piece: VecDeque::new(),
            then: Then::More,
        }
    }

    /// The next pair. On damage, what comes before it first, then the error.
    pub(super) fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        if self.piece.is_empty() {
            match std::mem::replace(&mut self.then, Then::Nothing) {
                Then::More => self.read_piece()?,
                Then::Nothing => {}
                Then::Flaw(flaw) => return Err(flaw.into()),
            }
        }
        match self.piece.pop_front() {
            None if !matches!(self.then, Then::Nothing) => self.next(),
            pair => Ok(pair),
        }
    }

    fn read_piece(&mut self) -> Result<()> {
        (self.piece, self.then) = self.file.consistent(|reading| {
            let mut piece = VecDeque::new();
            match self.read_from(&reading.snapshot, &mut piece) {
                Ok(then) => Ok((piece, then)),
                Err(flaw) if flaw.is_corruption() => Ok((piece, Then::Flaw(flaw))),
                Err(e) => Err(e),
            }
        })?;
        if let Some((last, _)) = self.piece.back() {
            match self.direction {
                Direction::Forward => self.rest.start = [last, &b"\0"[..]].concat().into(),
                Direction::Backward => self.rest.end = Some(last.clone()),
            }
        }
        Ok(())
    }

    fn read_from(
        &self,
        snapshot: &BtreeSnapshot,
        piece: &mut VecDeque<(Bytes, Bytes)>,
    ) -> varve_backend::Result<Then> {
        let mut bytes = 0;
        let mut scan = snapshot.scan_bucket_name(self.bucket, &self.rest, self.direction)?;
        while let Some((key, value)) = scan.next()? {
            bytes += key.len() + value.len();
            piece.push_back((key, value));
            if piece.len() >= PIECE_ROWS || bytes >= PIECE_BYTES {
                return Ok(Then::More);
            }
        }
        Ok(Then::Nothing)
    }
}
