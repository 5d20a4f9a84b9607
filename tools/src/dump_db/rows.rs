//! The pairs of a bucket, read in pieces: each piece is from one commit, and no piece is long.
//!
//! On a running member the pieces may be from different commits. Every pair given was there when its piece
//! was read; revisions never change, so of bucket `key` only what a compaction deletes meanwhile makes a
//! difference.
use std::collections::VecDeque;

use anyhow::Result;
use bytes::Bytes;
use varve_backend::{Direction, KeyRange, Snapshot as _};

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
    ended: bool,
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
            ended: false,
        }
    }

    /// The next pair.
    pub(super) fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        if self.piece.is_empty() && !self.ended {
            self.read_piece()?;
        }
        Ok(self.piece.pop_front())
    }

    fn read_piece(&mut self) -> Result<()> {
        let (piece, ended) = self.file.consistent(|reading| {
            let (mut piece, mut bytes) = (VecDeque::new(), 0);
            let snapshot = &reading.snapshot;
            let mut scan = snapshot.scan_bucket_name(self.bucket, &self.rest, self.direction)?;
            while let Some((key, value)) = scan.next()? {
                bytes += key.len() + value.len();
                piece.push_back((key, value));
                if piece.len() >= PIECE_ROWS || bytes >= PIECE_BYTES {
                    return Ok((piece, false));
                }
            }
            Ok((piece, true))
        })?;
        if let Some((last, _)) = piece.back() {
            match self.direction {
                Direction::Forward => self.rest.start = [last, &b"\0"[..]].concat().into(),
                Direction::Backward => self.rest.end = Some(last.clone()),
            }
        }
        (self.piece, self.ended) = (piece, ended);
        Ok(())
    }
}
