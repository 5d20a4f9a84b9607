//! Giving space back without a pause: pages at the end of the file move down in ordinary commits.
//!
//! Called by every commit (within a budget) and by [`Engine::reclaim`](varve_backend::Engine::reclaim),
//! under the writer lock.
//!
//! A page is moved by rewriting the path from its bucket's root to it, which copy-on-write does anyway;
//! the copies go to the lowest free pages. When the last pages of the file are free, the next meta says
//! so (a lower high-water mark) and the file is cut behind what both metas need.
//!
//! # Failure model
//! Every step is a commit like any other; between them the file is a valid bbolt file. Cutting the file
//! removes bytes that no valid meta and no reader can reach; a crash before it only leaves them there.
use std::sync::atomic::Ordering;

use bytes::Bytes;
use varve_backend::{Batch, Error, Reclaimed, Result};

use super::{BtreeEngine, Write, Writer};
use crate::commit::Tx;
use crate::out::grown_len;
use crate::page::{MAX_DEPTH, Node, Pages};
use crate::readers::State;

/// Moving starts when at least this share of the pages is free, in percent; below it, the freedom is
/// what the next commits need. Pages filled to nine tenths, this and the room to grow keep a file that
/// was thinned out within 1.3 times what lives in it.
const WORTH_MOVING_PERCENT: u64 = 6;
/// Files with fewer free pages are left alone.
const MIN_FREE_PAGES: u64 = 16;
/// Free pages that must be there per page to be moved: for it and for branches above it.
const PAGES_PER_MOVE: usize = 4;
/// Pages looked at per page that may be moved.
const LOOKS_PER_MOVE: usize = 4;
/// Pages moved per commit by `reclaim`.
const RECLAIM_BUDGET: usize = 256;
/// Commits of `reclaim` without any gain after which it stops (readers may pin the tail).
const FRUITLESS_COMMITS: u32 = 3;
/// Buckets asked whether a page is theirs.
const MAX_BUCKETS: usize = 64;

impl Tx<'_> {
    /// Leaves out the free pages at the end of the file.
    pub(super) fn lower_high_water(&mut self) {
        while let Some(mark) = self.free_tail() {
            self.high_water = mark;
        }
    }
}

impl BtreeEngine {
    /// Pages worth moving with the next commit, as `(bucket, key)`. Half of the free pages stay free for
    /// what comes next.
    pub(super) fn pick_moves(&self, writer: &mut Writer) -> Vec<(Bytes, Bytes)> {
        let state = self.registry.newest();
        let (free, all) = (writer.free.free_pages(), state.meta.high_water);
        let budget = self.options.move_pages_per_commit;
        if budget == 0 || free < MIN_FREE_PAGES || free * 100 < all * WORTH_MOVING_PERCENT {
            return Vec::new();
        }
        find_moves(&state, writer, budget, all - free / 2)
    }

    /// Moves pages down and cuts the file until nothing more is gained.
    pub(super) fn reclaim_space(&self) -> Result<Reclaimed> {
        let bytes_before = self.file_len.load(Ordering::Relaxed);
        let mut fruitless = 0;
        loop {
            // The lock is released between commits: writers get their turn.
            let mut writer = self.writer.lock();
            self.refuse_if_unusable(&writer)?;
            let before = self.registry.newest();
            writer.free.release(&self.registry.open());
            let moves = if writer.free.free_pages() == 0 {
                Vec::new()
            } else {
                let used = before.meta.high_water - writer.free.free_pages();
                find_moves(&before, &mut writer, RECLAIM_BUDGET, used)
            };
            let committed =
                self.commit_with(&mut writer, &Batch::new(), moves, Write::IfChanged)?;
            let after = self.registry.newest();
            if after.meta.high_water >= before.meta.high_water {
                fruitless += 1;
            } else {
                fruitless = 0;
            }
            if !committed || fruitless >= FRUITLESS_COMMITS {
                if writer.previous_high_water > after.meta.high_water {
                    // The other meta still names a higher mark; one more meta and it does not.
                    self.commit_with(&mut writer, &Batch::new(), Vec::new(), Write::Always)?;
                }
                let newest = self.registry.newest().meta.high_water;
                let mark = newest.max(writer.previous_high_water);
                self.cut(&mut writer, mark * self.page_size)?;
                break;
            }
        }
        Ok(Reclaimed {
            bytes_before,
            bytes_after: self.file_len.load(Ordering::Relaxed),
        })
    }

    /// Cuts the file after a commit when a good part of it lies behind both metas' marks.
    pub(super) fn trim_if_worth_it(&self, writer: &mut Writer) {
        let newest = self.registry.newest().meta.high_water;
        let need = newest.max(writer.previous_high_water) * self.page_size;
        let room = grown_len(need, self.options.grow_bytes);
        // Twice the room: a file at rest is not cut and grown in turns.
        if self.file_len.load(Ordering::Relaxed) > room + (room - need).max(self.page_size) {
            // The commit itself stands; a file that could not be cut is only longer than needed.
            drop(self.cut(writer, room));
        }
    }

    fn cut(&self, writer: &mut Writer, len: u64) -> Result<()> {
        if self.file_len.load(Ordering::Relaxed) <= len {
            return Ok(());
        }
        // Readers stop looking there before the bytes go away.
        self.file_len.store(len, Ordering::Relaxed);
        self.file.set_len(len).map_err(|e| {
            let error = Error::io("cut", &self.path, e);
            writer.failure = Some(error.clone());
            error
        })
    }
}

/// Owners of up to `budget` pages at or above page `goal` that have room further down. The search goes
/// on where the last one ended; damage met on the way is left to the reads and commits that need the
/// page.
fn find_moves(state: &State, writer: &mut Writer, budget: usize, goal: u64) -> Vec<(Bytes, Bytes)> {
    let goal = goal.max(4);
    // A move rewrites the path above the page as well; copies that find no free page would make the file
    // longer instead of shorter.
    let free = usize::try_from(writer.free.free_pages()).unwrap_or(usize::MAX);
    let budget = budget.min(free / PAGES_PER_MOVE);
    let high_water = state.meta.high_water;
    let mut at = writer
        .search_below
        .filter(|at| *at <= high_water)
        .unwrap_or(high_water);
    let (mut moves, mut looks) = (Vec::new(), 0);
    while at > goal && moves.len() < budget && looks < budget * LOOKS_PER_MOVE {
        at -= 1;
        if let Some(run) = writer.free.run_at(at) {
            at = run.start;
            continue;
        }
        looks += 1;
        if let Ok(Some((owner, len))) = owner_of(state, at)
            && writer.free.fits_below(len, at)
        {
            moves.push(owner);
        }
    }
    writer.search_below = (at > goal).then_some(at);
    moves.dedup();
    moves
}

/// Bucket and first key of the page, if a top-level bucket (or the bucket of buckets, named by an empty
/// name) reaches it, and how many pages it takes. `None` for the middle of a run, for pages of nested
/// buckets, and for pages nothing reaches.
fn owner_of(state: &State, id: u64) -> Result<Option<((Bytes, Bytes), u64)>> {
    let pages = &state.pages;
    // Not every page is a tree page: inner pages of a run hold any bytes.
    let Ok(header) = pages.header(id) else {
        return Ok(None);
    };
    let Some(key) = first_key(pages, id) else {
        return Ok(None);
    };
    let len = u64::from(header.overflow) + 1;
    let root = pages.node(state.meta.root)?;
    if leads_to(pages, pages.node(state.meta.root)?, &key, id)? {
        return Ok(Some(((Bytes::new(), key), len)));
    }
    let mut cursor = crate::cursor::Cursor::at_or_after(pages, root, &[])?;
    let mut asked = 0;
    while let Some((node, index)) = cursor.current() {
        asked += 1;
        if asked > MAX_BUCKETS {
            break;
        }
        let entry = node.leaf(index)?;
        if entry.is_bucket() && node.bucket_header(&entry)?.root != 0 {
            let name = Bytes::copy_from_slice(node.bytes(&entry.key));
            if leads_to(pages, node.bucket_root(&entry)?, &key, id)? {
                return Ok(Some(((name, key), len)));
            }
        }
        cursor.forward()?;
    }
    Ok(None)
}

/// The first key of a page that looks like a tree page; damage means it is none.
fn first_key(pages: &Pages, id: u64) -> Option<Bytes> {
    let node = pages.node(id).ok()?;
    if node.count() == 0 {
        return None;
    }
    node.key(0).ok().map(Bytes::copy_from_slice)
}

/// Whether the path to a key passes through a page.
fn leads_to(pages: &Pages, root: Node<'_>, key: &[u8], id: u64) -> Result<bool> {
    let mut node = root;
    for _ in 0..MAX_DEPTH {
        if node.id() == id {
            return Ok(true);
        }
        if !node.is_branch() {
            return Ok(false);
        }
        let child = node.child_for(key)?;
        node = pages.node(node.branch(child)?.1)?;
    }
    Ok(false)
}
