//! One pass of sorted changes over a tree: each node on the way is read once.
use varve_backend::bbolt::BUCKET_FLAG;
use varve_backend::{Error, Result};

use super::{Change, Changes, Tx};
use crate::content::{Child, Content, Item, Items};
use crate::freelist::Run;
use crate::page::{MAX_DEPTH, Node};

/// A child while its parent is rebuilt.
enum Slot {
    Clean(Child),
    Dirty(Content),
}

type ChangeSlice<'c> = &'c [(bytes::Bytes, Change)];

impl Tx<'_> {
    /// Applies sorted changes to the tree at `root`; `None` when they change nothing.
    pub(super) fn apply(
        &mut self,
        root: u64,
        changes: &Changes,
        fill: u8,
    ) -> Result<Option<Content>> {
        if changes.is_empty() {
            return Ok(None);
        }
        self.apply_at(root, changes, fill, 0)
    }

    fn apply_at(
        &mut self,
        id: u64,
        changes: ChangeSlice<'_>,
        fill: u8,
        depth: usize,
    ) -> Result<Option<Content>> {
        let node = self.pages.node(id)?;
        if depth >= MAX_DEPTH {
            return Err(node.corrupt(0, "tree depth", format!("at most {MAX_DEPTH}"), "more"));
        }
        let content = if node.is_branch() {
            self.branch(&node, changes, fill, depth)?
        } else {
            leaf(&node, changes)?
        };
        if content.is_some() {
            self.release(Run {
                start: id,
                len: node.page_count(),
            });
        }
        Ok(content)
    }

    fn branch(
        &mut self,
        node: &Node<'_>,
        mut changes: ChangeSlice<'_>,
        fill: u8,
        depth: usize,
    ) -> Result<Option<Content>> {
        let Items::Branch(children) = Content::load(node)?.items else {
            return Err(node.corrupt(8, "page type", "branch", "leaf"));
        };
        let (before, mut touched, mut only_last) = (children.len(), false, true);
        let mut slots = Vec::with_capacity(before + 1);
        let mut children = children.into_iter().peekable();
        while let Some(child) = children.next() {
            let mine = match children.peek() {
                Some(next) => changes.partition_point(|(key, _)| *key < next.key),
                None => changes.len(),
            };
            let (now, later) = changes.split_at(mine);
            changes = later;
            let content = if now.is_empty() {
                None
            } else {
                self.apply_at(child.page, now, fill, depth + 1)?
            };
            slots.push(match content {
                Some(content) => {
                    touched = true;
                    only_last &= children.peek().is_none();
                    Slot::Dirty(content)
                }
                None => Slot::Clean(child),
            });
        }
        if !touched {
            return Ok(None);
        }
        let mut slots = self.merge(slots)?;
        if depth == 0 && slots.len() == 1 {
            // The root has one child left: that child is the root now.
            match slots.remove(0) {
                Slot::Dirty(content) => return Ok(Some(content)),
                clean @ Slot::Clean(_) => slots.push(clean),
            }
        }
        let mut children = Vec::with_capacity(before + 4);
        for slot in slots {
            match slot {
                Slot::Clean(child) => children.push(child),
                Slot::Dirty(content) => children.extend(self.write(content, fill)),
            }
        }
        let shrunk = children.len() < before;
        let mut content = Content::branch(children);
        content.shrunk = shrunk;
        content.appended = only_last && !shrunk;
        Ok(Some(content))
    }

    /// Drops empty nodes and merges thin ones with their neighbours, as many as it takes.
    fn merge(&mut self, slots: Vec<Slot>) -> Result<Vec<Slot>> {
        let mut out: Vec<Slot> = Vec::with_capacity(slots.len());
        for slot in slots {
            if let Slot::Dirty(content) = &slot
                && content.len() == 0
            {
                continue;
            }
            match out.pop() {
                Some(left) if self.should_merge(&left, &slot) => {
                    let mut left = self.take_slot(left)?;
                    if !left.append(self.take_slot(slot)?) {
                        let at = self.pages.offset(0);
                        let path = &self.pages.path;
                        let (expected, found) = ("siblings of one kind", "a leaf beside a branch");
                        return Err(crate::page::corrupt(
                            path,
                            at,
                            "tree level",
                            expected,
                            found,
                        ));
                    }
                    out.push(Slot::Dirty(left));
                }
                Some(left) => out.extend([left, slot]),
                None => out.push(slot),
            }
        }
        Ok(out)
    }

    /// A thin node is merged with any neighbour, a half-full one with a neighbour that is rewritten
    /// anyway if both fit one page.
    fn should_merge(&self, left: &Slot, right: &Slot) -> bool {
        let page_size = self.pages.page_size;
        let thin = |slot: &Slot| match slot {
            Slot::Clean(_) => false,
            Slot::Dirty(content) => {
                (content.shrunk && content.size() <= page_size / 4)
                    || (content.is_branch() && content.len() < 2)
            }
        };
        if thin(left) || thin(right) {
            return true;
        }
        match (left, right) {
            (Slot::Dirty(left), Slot::Dirty(right)) => {
                (left.shrunk || right.shrunk) && left.size() + right.size() <= page_size * 9 / 10
            }
            _ => false,
        }
    }

    fn take_slot(&mut self, slot: Slot) -> Result<Content> {
        match slot {
            Slot::Dirty(content) => Ok(content),
            Slot::Clean(child) => self.take_child(child.page),
        }
    }

    /// Reads a child of the newest commit to rewrite it: its page is let go of.
    pub(super) fn take_child(&mut self, page: u64) -> Result<Content> {
        let node = self.pages.node(page)?;
        let content = Content::load(&node)?;
        self.release(Run {
            start: page,
            len: node.page_count(),
        });
        Ok(content)
    }
}

/// Merges changes into a leaf; `None` when they change nothing.
pub(super) fn leaf(node: &Node<'_>, changes: ChangeSlice<'_>) -> Result<Option<Content>> {
    if !changes_something(node, changes)? {
        return Ok(None);
    }
    let Items::Leaf(old) = Content::load(node)?.items else {
        return Err(node.corrupt(8, "page type", "leaf", "branch"));
    };
    let appended = match (old.last(), changes.first()) {
        (Some(last), Some((first, _))) => *first > last.key,
        _ => true,
    };
    let mut items = Vec::with_capacity(old.len() + changes.len());
    let mut shrunk = false;
    let mut old = old.into_iter().peekable();
    for (key, change) in changes {
        while let Some(item) = old.next_if(|item| item.key < *key) {
            items.push(item);
        }
        let replaced = old.next_if(|item| item.key == *key);
        match change {
            Change::Move => items.extend(replaced),
            Change::Delete => {
                shrunk |= replaced.is_some();
                refuse_bucket(replaced.as_ref(), 0)?;
            }
            Change::DeleteBucket => shrunk |= replaced.is_some(),
            Change::Put { flags, value } => {
                refuse_bucket(replaced.as_ref(), *flags)?;
                items.push(Item {
                    flags: *flags,
                    key: key.clone(),
                    value: value.clone(),
                });
            }
        }
    }
    items.extend(old);
    let mut content = Content::leaf(items);
    content.shrunk = shrunk;
    content.appended = appended;
    Ok(Some(content))
}

/// A plain put or delete on a key that holds a bucket (or the other way round) would lose its pages.
fn refuse_bucket(old: Option<&Item>, new_flags: u32) -> Result<()> {
    match old {
        Some(item) if item.flags & BUCKET_FLAG != new_flags & BUCKET_FLAG => {
            let what = format!("key {} holds a nested bucket", item.key.escape_ascii());
            Err(Error::invalid(what))
        }
        _ => Ok(()),
    }
}

/// Whether any change is more than a deletion of what is not there.
fn changes_something(node: &Node<'_>, changes: ChangeSlice<'_>) -> Result<bool> {
    for (key, change) in changes {
        match change {
            Change::Put { .. } | Change::Move => return Ok(true),
            Change::Delete | Change::DeleteBucket => {
                if node.search(key)?.is_ok() {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}
