//! Walking the leaves of one bucket in key order, both ways.
//!
//! Used by scans, on the reader's thread; holds no lock.
//!
//! # Invariants
//! 1. The stack leads from the bucket's root to a leaf; only its last node may be a leaf.
//! 2. Keys come strictly ascending (or descending); a file in which they do not (damage, a graph with
//!    cycles or shared pages) ends the walk with an error, so it always ends.
use varve_backend::Result;

use crate::page::{MAX_DEPTH, Node, Pages, SHARES};
use crate::search::{Between, Wanted};

#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    pages: &'a Pages,
    stack: Vec<(Node<'a>, usize)>,
}

impl<'a> Cursor<'a> {
    /// Stands on the first key at or after `key`.
    pub(crate) fn at_or_after(pages: &'a Pages, root: Node<'a>, key: &[u8]) -> Result<Self> {
        let mut cursor = Self {
            pages,
            stack: Vec::with_capacity(4),
        };
        let (wanted, mut between) = (Wanted::new(key), Between::default());
        let mut node = root;
        while node.is_branch() {
            let child = node.child_between(&wanted, &mut between)?;
            if let Ok((_, id)) = node.branch(child) {
                pages.ask(id, between.share(&wanted));
            }
            node = cursor.descend(node, child)?;
        }
        let place = node.search_between(&wanted, &between)?;
        let index = place.unwrap_or_else(|i| i);
        cursor.stack.push((node, index));
        cursor.skip_forward()?;
        Ok(cursor)
    }

    /// Stands on the last key before `key`, or on the last of all.
    pub(crate) fn before(pages: &'a Pages, root: Node<'a>, key: Option<&[u8]>) -> Result<Self> {
        let mut cursor = Self {
            pages,
            stack: Vec::with_capacity(4),
        };
        let mut node = root;
        while node.is_branch() {
            let child = match key {
                Some(key) => node.child_for(key)?,
                None => node.count() - 1,
            };
            node = cursor.descend(node, child)?;
        }
        let index = match key {
            Some(key) => node.search(key)?.unwrap_or_else(|i| i),
            None => node.count(),
        };
        cursor.stack.push((node, index));
        cursor.back()?;
        Ok(cursor)
    }

    fn descend(&mut self, node: Node<'a>, child: usize) -> Result<Node<'a>> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(node.corrupt(0, "tree depth", format!("at most {MAX_DEPTH}"), "more"));
        }
        let (_, id) = node.branch(child)?;
        let next = self.pages.node(id)?;
        self.stack.push((node, child));
        if !next.is_branch() && next.count() == 0 {
            return Err(next.corrupt(10, "leaf below a branch", "at least one key", "none"));
        }
        Ok(next)
    }

    /// The leaf and index it stands on; `None` behind the end.
    pub(crate) fn current(&self) -> Option<(&Node<'a>, usize)> {
        self.stack.last().map(|(node, index)| (node, *index))
    }

    /// Moves to the first key of the next leaf.
    pub(crate) fn next_leaf(&mut self) -> Result<()> {
        if let Some((node, index)) = self.stack.last_mut() {
            *index = node.count();
        }
        self.skip_forward()
    }

    /// Moves to the last key of the leaf before.
    pub(crate) fn previous_leaf(&mut self) -> Result<()> {
        if let Some((_, index)) = self.stack.last_mut() {
            *index = 0;
        }
        self.back()
    }

    /// Asks for the beginning of the next leaf below the same branch, which is in no cache of the processor:
    /// it comes while this leaf is read.
    pub(crate) fn touch_next(&self) {
        if let [.., (branch, index), _] = &self.stack[..]
            && index + 1 < branch.count()
            && let Ok((_, next)) = branch.branch(index + 1)
        {
            // Its first pair stands behind its elements.
            self.pages.ask(next, SHARES / 16);
        }
    }

    pub(crate) fn forward(&mut self) -> Result<()> {
        if let Some((_, index)) = self.stack.last_mut() {
            *index += 1;
        }
        self.skip_forward()
    }

    /// Moves to the next leaf while standing behind the last element of one.
    fn skip_forward(&mut self) -> Result<()> {
        while let Some((node, index)) = self.stack.last() {
            if *index < node.count() {
                if !node.is_branch() {
                    return Ok(());
                }
                let (node, index) = self.stack.pop().expect("the loop saw a last element");
                let mut node = self.descend(node, index)?;
                while node.is_branch() {
                    node = self.descend(node, 0)?;
                }
                self.stack.push((node, 0));
                return Ok(());
            }
            self.stack.pop();
            if let Some((_, index)) = self.stack.last_mut() {
                *index += 1;
            }
        }
        Ok(())
    }

    pub(crate) fn back(&mut self) -> Result<()> {
        while let Some((node, index)) = self.stack.last_mut() {
            if *index > 0 {
                *index -= 1;
                if !node.is_branch() {
                    return Ok(());
                }
                let (node, index) = self.stack.pop().expect("the loop saw a last element");
                let mut node = self.descend(node, index)?;
                while node.is_branch() {
                    let last = node.count() - 1;
                    node = self.descend(node, last)?;
                }
                let last = node.count() - 1;
                self.stack.push((node, last));
                return Ok(());
            }
            self.stack.pop();
        }
        Ok(())
    }
}
