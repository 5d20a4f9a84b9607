//! Everything a sound file must satisfy, checked on one snapshot.
//!
//! Called by tools, tests and on demand; reads only and never stops at the first fault.
//!
//! Checked: both metas agree with the format (by opening), every page is referenced once and carries its
//! id, types and element bounds, strictly ascending keys on a page, children within their separators,
//! uniform depth, inline buckets without buckets inside, and a persisted freelist that names exactly the
//! pages nothing reaches.
use bytes::Bytes;
use varve_backend::bbolt::NO_FREELIST;
use varve_backend::{Error, Result};

use crate::freelist::Run;
use crate::page::{MAX_DEPTH, Node, Pages, corrupt};
use crate::snapshot::BtreeSnapshot;
use crate::walk::{PageSet, claim, freelist_run};

/// Faults listed before a check gives up counting.
const MAX_ERRORS: usize = 1000;

/// What a check found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Everything that is wrong, at most a thousand entries.
    pub errors: Vec<Error>,
    /// Buckets, nested ones included.
    pub buckets: u64,
    /// Pairs in all buckets.
    pub keys: u64,
    /// Pages the tree (and a persisted freelist) takes, without the two metas.
    pub used_pages: u64,
    /// Pages below the high-water mark that nothing reaches.
    pub free_pages: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.errors.is_empty()
    }
}

struct Check<'a> {
    pages: &'a Pages,
    seen: PageSet,
    report: CheckReport,
}

pub(crate) fn check(snapshot: &BtreeSnapshot) -> CheckReport {
    let (pages, meta) = (&snapshot.state.pages, &snapshot.state.meta);
    let mut check = Check {
        pages,
        seen: PageSet::new(meta.high_water),
        report: CheckReport::default(),
    };
    if meta.freelist != NO_FREELIST {
        let claimed = freelist_run(pages, meta.freelist).and_then(|run| check.claim(run));
        check.note(claimed);
    }
    let walked = check
        .tree(meta.root)
        .and_then(|()| check.root_holds_buckets(meta.root));
    check.note(walked);
    let free: Vec<u64> = check
        .seen
        .gaps()
        .into_iter()
        .flat_map(|r| r.start..r.end())
        .collect();
    check.report.free_pages = free.len() as u64;
    if meta.freelist != NO_FREELIST {
        let compared = check.compare_freelist(meta.freelist, &free);
        check.note(compared);
    }
    check.report
}

/// What the parent promises of a node's keys.
#[derive(Clone, Default)]
struct Limits {
    from: Option<Bytes>,
    before: Option<Bytes>,
}

impl Check<'_> {
    fn note(&mut self, result: Result<()>) {
        if let Err(error) = result
            && self.report.errors.len() < MAX_ERRORS
        {
            self.report.errors.push(error);
        }
    }

    fn claim(&mut self, run: Run) -> Result<()> {
        self.report.used_pages += run.len;
        claim(self.pages, &mut self.seen, run)
    }

    /// Checks the tree at a page. Each page is entered once, so any graph is walked in finite time.
    fn tree(&mut self, root: u64) -> Result<()> {
        let mut leaf_depth = None;
        self.page(root, &Limits::default(), 0, &mut leaf_depth)
    }

    /// The format keeps values only inside of buckets.
    fn root_holds_buckets(&self, root: u64) -> Result<()> {
        let mut cursor =
            crate::cursor::Cursor::at_or_after(self.pages, self.pages.node(root)?, &[])?;
        while let Some((node, index)) = cursor.current() {
            if !node.flags(index)?.is_bucket() {
                let (at, found) = (16 + 16 * index, node.key(index)?.escape_ascii());
                return Err(node.corrupt(at, "bucket of buckets", "buckets only", found));
            }
            cursor.forward()?;
        }
        Ok(())
    }

    fn page(
        &mut self,
        id: u64,
        limits: &Limits,
        depth: usize,
        leaf_depth: &mut Option<usize>,
    ) -> Result<()> {
        let node = self.pages.node(id)?;
        self.claim(Run {
            start: id,
            len: node.page_count(),
        })?;
        if depth >= MAX_DEPTH {
            return Err(node.corrupt(0, "tree depth", format!("at most {MAX_DEPTH}"), "more"));
        }
        keys(&node, limits)?;
        if !node.is_branch() {
            if depth > 0 && node.count() == 0 {
                return Err(node.corrupt(10, "leaf below a branch", "at least one key", "none"));
            }
            if *leaf_depth.get_or_insert(depth) != depth {
                return Err(node.corrupt(0, "leaf depth", "the same everywhere", depth));
            }
            return self.elements(&node, depth);
        }
        for index in 0..node.count() {
            let (key, child) = node.branch(index)?;
            let before = if index + 1 < node.count() {
                Some(Bytes::copy_from_slice(node.key(index + 1)?))
            } else {
                limits.before.clone()
            };
            let from = Some(Bytes::copy_from_slice(node.bytes(&key)));
            let checked = self.page(child, &Limits { from, before }, depth + 1, leaf_depth);
            self.note(checked);
        }
        Ok(())
    }

    /// The elements of a leaf: pairs are counted, buckets are entered.
    fn elements(&mut self, leaf: &Node<'_>, depth: usize) -> Result<()> {
        for index in 0..leaf.count() {
            let entry = leaf.leaf(index)?;
            if !entry.is_bucket() {
                self.report.keys += 1;
                continue;
            }
            self.report.buckets += 1;
            let header = leaf.bucket_header(&entry)?;
            let checked = if header.root != 0 {
                self.tree(header.root)
            } else {
                self.inline(leaf, &entry, depth)
            };
            self.note(checked);
        }
        Ok(())
    }

    fn inline(&mut self, leaf: &Node<'_>, at: &crate::page::LeafEntry, depth: usize) -> Result<()> {
        let inline = leaf.bucket_root(at)?;
        keys(&inline, &Limits::default())?;
        for index in 0..inline.count() {
            if inline.flags(index)?.is_bucket() {
                let at = 16 + 16 * index;
                return Err(inline.corrupt(at, "inline bucket", "pairs only", "a bucket inside"));
            }
        }
        self.elements(&inline, depth + 1)
    }

    fn compare_freelist(&self, page: u64, free: &[u64]) -> Result<()> {
        let listed = crate::persisted::decode(self.pages, page)?;
        let wrong = listed
            .iter()
            .zip(free)
            .find(|(a, b)| a != b)
            .map(|(a, _)| *a);
        if listed.len() != free.len() || wrong.is_some() {
            let expected = format!("the {} pages nothing reaches", free.len());
            let found = match wrong {
                Some(id) => format!("{} ids, the first wrong one is {id}", listed.len()),
                None => format!("{} ids", listed.len()),
            };
            return Err(corrupt(
                &self.pages.path,
                self.pages.offset(page),
                "freelist",
                expected,
                found,
            ));
        }
        Ok(())
    }
}

/// Keys of a node ascend and lie within the separators above.
fn keys(node: &Node<'_>, limits: &Limits) -> Result<()> {
    let mut last: Option<Bytes> = None;
    for index in 0..node.count() {
        let key = Bytes::copy_from_slice(node.key(index)?);
        let bad = |expected: String| {
            Err(node.corrupt(16 + 16 * index, "key order", expected, key.escape_ascii()))
        };
        if let Some(last) = &last
            && key <= *last
        {
            return bad(format!("a key behind {}", last.escape_ascii()));
        }
        if let Some(from) = &limits.from
            && key < *from
        {
            return bad(format!("at least the separator {}", from.escape_ascii()));
        }
        if let Some(before) = &limits.before
            && key >= *before
        {
            return bad(format!(
                "a key before the next separator {}",
                before.escape_ascii()
            ));
        }
        last = Some(key);
    }
    Ok(())
}
