//! Which pages the tree reaches.
//!
//! Run once when a file is opened for writing (its free pages are the ones nothing reaches) and when a
//! bucket is deleted. Reads branch pages and the element headers of leaves, never keys or values, except
//! in the bucket of buckets.
use varve_backend::Result;
use varve_backend::bbolt::FREELIST;

use crate::freelist::Run;
use crate::page::{MAX_DEPTH, Node, Pages, corrupt};

/// A set of page ids below a high-water mark.
#[derive(Debug)]
pub(crate) struct PageSet {
    words: Vec<u64>,
    limit: u64,
}

impl PageSet {
    pub(crate) fn new(limit: u64) -> Self {
        let words = usize::try_from(limit.div_ceil(64)).unwrap_or(usize::MAX);
        Self {
            words: vec![0; words],
            limit,
        }
    }

    fn place(id: u64) -> (usize, u64) {
        (
            usize::try_from(id / 64).unwrap_or(usize::MAX),
            1 << (id % 64),
        )
    }

    /// Adds an id below the limit; `false` when it was in the set.
    pub(crate) fn insert(&mut self, id: u64) -> bool {
        let (word, bit) = Self::place(id);
        let fresh = self.words[word] & bit == 0;
        self.words[word] |= bit;
        fresh
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        let (word, bit) = Self::place(id);
        self.words[word] & bit != 0
    }

    /// Maximal runs of ids from 2 on that are not in the set.
    pub(crate) fn gaps(&self) -> Vec<Run> {
        let mut gaps: Vec<Run> = Vec::new();
        let mut id = 2;
        while id < self.limit {
            if id.is_multiple_of(64) && self.words[Self::place(id).0] == u64::MAX {
                id += 64;
                continue;
            }
            if !self.contains(id) {
                match gaps.last_mut() {
                    Some(last) if last.end() == id => last.len += 1,
                    _ => gaps.push(Run { start: id, len: 1 }),
                }
            }
            id += 1;
        }
        gaps
    }
}

/// Adds the pages of a run to the set; a page that is there already is damage.
pub(crate) fn claim(pages: &Pages, seen: &mut PageSet, run: Run) -> Result<()> {
    for id in run.start..run.end() {
        if !seen.insert(id) {
            let at = pages.offset(id);
            return Err(corrupt(
                &pages.path,
                at,
                "page",
                "one reference",
                format!("a second to {id}"),
            ));
        }
    }
    Ok(())
}

/// Calls `visit` with every page run of the tree below `root`, nested buckets included.
pub(crate) fn each_run(
    pages: &Pages,
    root: u64,
    visit: &mut dyn FnMut(Run) -> Result<()>,
) -> Result<()> {
    let mut todo = vec![(root, 0)];
    while let Some((id, depth)) = todo.pop() {
        let node = pages.node(id)?;
        visit(Run {
            start: id,
            len: node.page_count(),
        })?;
        if depth >= MAX_DEPTH {
            return Err(node.corrupt(0, "tree depth", format!("at most {MAX_DEPTH}"), "more"));
        }
        push_children(&node, depth, &mut todo)?;
    }
    Ok(())
}

fn push_children(node: &Node<'_>, depth: usize, todo: &mut Vec<(u64, usize)>) -> Result<()> {
    for index in (0..node.count()).rev() {
        if node.is_branch() {
            todo.push((node.branch(index)?.1, depth + 1));
            continue;
        }
        if !node.flags(index)?.is_bucket() {
            continue;
        }
        let entry = node.leaf(index)?;
        match node.bucket_header(&entry)?.root {
            // An inline bucket has no buckets inside, but a file may claim so.
            0 => {
                if depth >= MAX_DEPTH {
                    let expected = format!("at most {MAX_DEPTH}");
                    return Err(node.corrupt(0, "bucket depth", expected, "more"));
                }
                push_children(&node.bucket_root(&entry)?, depth + 1, todo)?;
            }
            root => todo.push((root, depth + 1)),
        }
    }
    Ok(())
}

/// The pages of a persisted freelist, checked as far as its header goes.
pub(crate) fn freelist_run(pages: &Pages, id: u64) -> Result<Run> {
    let at = pages.offset(id);
    if id < 2 || id >= pages.high_water {
        let expected = format!("2 to {}", pages.high_water.saturating_sub(1));
        return Err(corrupt(&pages.path, at, "freelist page", expected, id));
    }
    let page = pages.source.read(at, pages.page_size)?;
    let header = varve_backend::bbolt::PageHeader::decode(&page)
        .filter(|h| h.id == id && h.flags == FREELIST)
        .ok_or_else(|| {
            corrupt(
                &pages.path,
                at,
                "freelist page",
                "a freelist",
                "another page",
            )
        })?;
    let run = Run {
        start: id,
        len: u64::from(header.overflow) + 1,
    };
    if run.end() > pages.high_water {
        let expected = format!("pages below {}", pages.high_water);
        return Err(corrupt(
            &pages.path,
            at + 12,
            "freelist overflow",
            expected,
            run.end(),
        ));
    }
    Ok(run)
}
