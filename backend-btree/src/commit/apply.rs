//! One pass of sorted changes over a tree: each node on the way is read once.
use varve_backend::bbolt::BUCKET_FLAG;
use varve_backend::{Error, Result};

use super::{Change, Tx, change, direct};
use crate::content::{Child, Content, Item, Items, Slice, pair_len};
use crate::freelist::Run;
use crate::page::{MAX_DEPTH, Node};
use crate::split::{Fill, Plan, save_pages};

#[cfg(test)]
mod tests;

/// A child while its parent is rebuilt.
enum Slot<'c> {
    Clean(Child<'c>),
    Dirty(Content<'c>),
}

/// What changes make of a node.
enum Outcome<'c> {
    /// It stays as it is.
    Same,
    /// It is replaced.
    New(Content<'c>),
    /// It is full and stays as it is; this comes behind it.
    Behind(Content<'c>),
}

pub(super) type ChangeSlice<'c> = &'c [(&'c [u8], Change<'c>)];

/// How many changes come before a key. Few do, of the many that a batch may have: looked for in doubling
/// steps.
fn count_before(changes: ChangeSlice<'_>, key: &[u8]) -> usize {
    let is_before = |change: &(&[u8], Change<'_>)| *change.0 < *key;
    let (mut low, mut step) = (0, 1);
    while changes.get(low + step - 1).is_some_and(is_before) {
        low += step;
        step *= 2;
    }
    let high = (low + step - 1).min(changes.len());
    low + changes[low..high].partition_point(is_before)
}

impl<'a> Tx<'a> {
    /// Applies sorted changes to the tree at `root`; `None` when they change nothing.
    pub(super) fn apply<'c>(
        &mut self,
        root: u64,
        changes: ChangeSlice<'c>,
        fill: u8,
    ) -> Result<Option<Content<'c>>>
    where
        'a: 'c,
    {
        if changes.is_empty() {
            return Ok(None);
        }
        Ok(match self.apply_at(root, changes, fill, 0)? {
            Outcome::Same => None,
            Outcome::New(content) => Some(content),
            Outcome::Behind(content) => {
                let node = self.pages.node(root)?;
                let mut children = vec![Child {
                    key: node.slice(&node.leaf(0)?.key),
                    page: root,
                }];
                children.extend(self.write(content, fill)?);
                let mut content = Content::branch(children);
                content.appended = true;
                Some(content)
            }
        })
    }

    fn apply_at<'c>(
        &mut self,
        id: u64,
        changes: ChangeSlice<'c>,
        fill: u8,
        depth: usize,
    ) -> Result<Outcome<'c>>
    where
        'a: 'c,
    {
        let node = self.pages.node(id)?;
        if depth >= MAX_DEPTH {
            return Err(node.corrupt(0, "tree depth", format!("at most {MAX_DEPTH}"), "more"));
        }
        let outcome = if node.is_branch() {
            self.branch(&node, changes, fill, depth)?
        } else {
            leaf(&node, changes, Some(self.fill(fill)))?
        };
        if let Outcome::New(_) = outcome {
            self.release(Run {
                start: id,
                len: node.page_count(),
            });
        }
        Ok(outcome)
    }

    fn branch<'c>(
        &mut self,
        node: &Node<'a>,
        mut changes: ChangeSlice<'c>,
        fill: u8,
        depth: usize,
    ) -> Result<Outcome<'c>>
    where
        'a: 'c,
    {
        let Items::Branch(children) = Content::load(node, 0)?.items else {
            return Err(node.corrupt(8, "page type", "branch", "leaf"));
        };
        let (before, mut touched, mut only_last) = (children.len(), false, true);
        let mut slots = Vec::with_capacity(before + 1);
        let mut children = children.into_iter().peekable();
        while let Some(child) = children.next() {
            let mine = match children.peek() {
                Some(next) => count_before(changes, &next.key),
                None => changes.len(),
            };
            let (now, later) = changes.split_at(mine);
            changes = later;
            // With a clean sibling before it, what comes behind the last leaf merges with nothing.
            let alone = !touched && !slots.is_empty() && children.peek().is_none();
            if alone && depth + 1 < MAX_DEPTH && !now.is_empty() {
                let last = self.pages.node(child.page)?;
                if let Some(tail) = self.tail(&last, now, fill)? {
                    touched = true;
                    if tail.stays {
                        slots.push(Slot::Clean(child));
                    }
                    slots.extend(tail.written.into_iter().map(Slot::Clean));
                    continue;
                }
            }
            let outcome = if now.is_empty() {
                Outcome::Same
            } else {
                self.apply_at(child.page, now, fill, depth + 1)?
            };
            if !matches!(outcome, Outcome::Same) {
                touched = true;
                only_last &= children.peek().is_none();
            }
            match outcome {
                Outcome::Same => slots.push(Slot::Clean(child)),
                Outcome::New(content) => slots.push(Slot::Dirty(content)),
                Outcome::Behind(content) => {
                    slots.extend([Slot::Clean(child), Slot::Dirty(content)]);
                }
            }
        }
        if !touched {
            return Ok(Outcome::Same);
        }
        let mut slots = self.merge(slots)?;
        if depth == 0 && slots.len() == 1 {
            // The root has one child left: that child is the root now.
            match slots.remove(0) {
                Slot::Dirty(content) => return Ok(Outcome::New(content)),
                clean @ Slot::Clean(_) => slots.push(clean),
            }
        }
        let mut children = Vec::with_capacity(before + 4);
        for slot in slots {
            match slot {
                Slot::Clean(child) => children.push(child),
                Slot::Dirty(content) => children.extend(self.write(content, fill)?),
            }
        }
        let shrunk = children.len() < before;
        let mut content = Content::branch(children);
        content.shrunk = shrunk;
        content.appended = only_last && !shrunk;
        content.grown = !only_last && !shrunk;
        Ok(Outcome::New(content))
    }

    /// Drops empty nodes and merges thin ones with their neighbours, as many as it takes.
    fn merge<'c>(&mut self, slots: Vec<Slot<'c>>) -> Result<Vec<Slot<'c>>>
    where
        'a: 'c,
    {
        let mut out: Vec<Slot<'c>> = Vec::with_capacity(slots.len());
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
    /// anyway if both fit one page, or if their elements are large and together take fewer pages.
    fn should_merge(&self, left: &Slot<'_>, right: &Slot<'_>) -> bool {
        let page_size = self.pages.page_size;
        let thin = |slot: &Slot<'_>| match slot {
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
            (Slot::Dirty(left), Slot::Dirty(right)) if left.shrunk || right.shrunk => {
                let (a, b) = (left.size(), right.size());
                let pages = a.div_ceil(page_size) + b.div_ceil(page_size);
                a + b <= page_size * 9 / 10
                    || save_pages(a + b, left.len() + right.len(), pages, page_size)
            }
            _ => false,
        }
    }

    fn take_slot<'c>(&mut self, slot: Slot<'c>) -> Result<Content<'c>>
    where
        'a: 'c,
    {
        match slot {
            Slot::Dirty(content) => Ok(content),
            Slot::Clean(child) => self.take_child(child.page),
        }
    }

    /// Reads a child of the newest commit to rewrite it: its page is let go of.
    pub(super) fn take_child(&mut self, page: u64) -> Result<Content<'a>> {
        let node = self.pages.node(page)?;
        let content = Content::load(&node, 0)?;
        self.release(Run {
            start: page,
            len: node.page_count(),
        });
        Ok(content)
    }
}

/// Merges changes into the page of an inline bucket; `None` when they change nothing.
pub(super) fn inline<'c>(node: &Node<'c>, changes: ChangeSlice<'c>) -> Result<Option<Content<'c>>> {
    Ok(match leaf(node, changes, None)? {
        Outcome::New(content) => Some(content),
        Outcome::Same | Outcome::Behind(_) => None,
    })
}

/// Merges changes into a leaf. With `fill` a leaf that is full already stays when all that changes comes
/// behind it.
fn leaf<'c>(
    node: &Node<'c>,
    changes: &[(&'c [u8], Change<'c>)],
    fill: Option<Fill>,
) -> Result<Outcome<'c>> {
    if let Some(((_, Change::Puts(puts)), before)) = changes.split_last() {
        let puts = puts.iter().map(|(key, op)| change((key, op)));
        let all: Vec<_> = before.iter().cloned().chain(puts).collect();
        return leaf(node, &all, fill);
    }
    if !direct::is_off()
        && !node.is_branch()
        && changes.iter().all(|(_, c)| matches!(c, Change::Delete))
    {
        return without(node, changes);
    }
    if !changes_something(node, changes)? {
        return Ok(Outcome::Same);
    }
    let content = Content::load(node, changes.len())?;
    let size = content.size();
    let Items::Leaf(old) = content.items else {
        return Err(node.corrupt(8, "page type", "leaf", "branch"));
    };
    let appended = match (old.last(), changes.first()) {
        (Some(last), Some((first, _))) => **first > last.key[..],
        _ => true,
    };
    if appended && !old.is_empty() {
        return append(old, size, changes, fill);
    }
    let mut items = Vec::with_capacity(old.len() + changes.len());
    let (mut shrunk, mut grown) = (false, false);
    let mut old = old.into_iter().peekable();
    for &(key, ref change) in changes {
        while let Some(item) = old.next_if(|item| item.key[..] < *key) {
            items.push(item);
        }
        let replaced = old.next_if(|item| item.key[..] == *key);
        match change {
            Change::Move => items.extend(replaced),
            Change::Delete => {
                shrunk |= replaced.is_some();
                refuse_bucket(replaced.as_ref(), 0)?;
            }
            Change::DeleteBucket => shrunk |= replaced.is_some(),
            Change::Puts(_) => unreachable!("puts behind all keys were listed above"),
            Change::Put { flags, value } => {
                refuse_bucket(replaced.as_ref(), *flags)?;
                grown |= replaced.is_none_or(|old| old.value.len() < value.len());
                items.push(Item {
                    flags: *flags,
                    key: Slice::Lent(key),
                    value: value.clone(),
                });
            }
        }
    }
    items.extend(old);
    let mut content = Content::leaf(items);
    content.shrunk = shrunk;
    content.appended = appended;
    content.grown = grown;
    Ok(Outcome::New(content))
}

/// Deletes keys of a leaf.
fn without<'c>(node: &Node<'c>, changes: ChangeSlice<'_>) -> Result<Outcome<'c>> {
    let (mut gone, mut from) = (Vec::with_capacity(changes.len()), 0);
    for (key, _) in changes {
        from = match node.search_from(key, from)? {
            Ok(index) => {
                if node.flags(index)?.is_bucket() {
                    return Err(holds_bucket(key));
                }
                gone.push(index);
                index + 1
            }
            Err(index) => index,
        };
    }
    if gone.is_empty() {
        return Ok(Outcome::Same);
    }
    direct::note(direct::Way::Left);
    Ok(Outcome::New(Content::left(node, &gone)?))
}

/// Changes that all come behind the elements of a leaf of `size` bytes.
fn append<'c>(
    mut old: Vec<Item<'c>>,
    size: usize,
    changes: &[(&'c [u8], Change<'c>)],
    fill: Option<Fill>,
) -> Result<Outcome<'c>> {
    let mut new = changes
        .iter()
        .filter_map(|&(key, ref change)| match change {
            Change::Put { flags, value } => Some(Item {
                flags: *flags,
                key: Slice::Lent(key),
                value: value.clone(),
            }),
            Change::Delete | Change::DeleteBucket | Change::Move => None,
            Change::Puts(_) => unreachable!("puts behind all keys were listed before"),
        })
        .peekable();
    let full = match (fill, new.peek()) {
        (Some(fill), Some(next)) => {
            let len = pair_len(&next.key, &next.value);
            size + len > fill.page_size && Plan::appending(fill, size).is_full(size, len)
        }
        _ => false,
    };
    let items = if full {
        new.collect()
    } else {
        old.extend(new);
        old
    };
    let mut content = Content::leaf(items);
    content.appended = true;
    Ok(if full {
        Outcome::Behind(content)
    } else {
        Outcome::New(content)
    })
}

/// A plain put or delete on a key that holds a bucket (or the other way round) would lose its pages.
fn refuse_bucket(old: Option<&Item<'_>>, new_flags: u32) -> Result<()> {
    match old {
        Some(item) if item.flags & BUCKET_FLAG != new_flags & BUCKET_FLAG => {
            Err(holds_bucket(&item.key))
        }
        _ => Ok(()),
    }
}

fn holds_bucket(key: &[u8]) -> Error {
    Error::invalid(format!("key {} holds a nested bucket", key.escape_ascii()))
}

/// Whether any change is more than a deletion of what is not there.
fn changes_something(node: &Node<'_>, changes: ChangeSlice<'_>) -> Result<bool> {
    for (key, change) in changes {
        match change {
            Change::Put { .. } | Change::Puts(_) | Change::Move => return Ok(true),
            Change::Delete | Change::DeleteBucket => {
                if node.search(key)?.is_ok() {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}
