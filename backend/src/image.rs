//! A bbolt file image of any engine's snapshot, built left to right.
//!
//! Made by `export` of engines whose own format is another one; read on the exporting thread. Two passes
//! over the snapshot: the first lays out pages (leaves full, one after the other, then the branches above
//! them, bucket by bucket, the bucket of buckets last), the second produces the bytes. Memory: one key
//! per leaf and the branch pages.
//!
//! # Not here
//! Nested buckets: the engine contract has none.
use std::sync::Arc;

use bytes::Bytes;

use crate::bbolt::{
    BUCKET_FLAG, BucketHeader, ELEMENT_LEN, HEADER_LEN, META_LEN, Meta, NO_FREELIST, PageBuilder,
};
use crate::{Direction, Error, Export, KeyRange, Result, Snapshot};

#[cfg(test)]
mod tests;

const PAGE: usize = 4096;

/// An image of one snapshot, as [`Engine::export`](crate::Engine::export) hands it out.
#[derive(Debug)]
pub struct ImageExport {
    snapshot: Arc<dyn Snapshot>,
    parts: Vec<Part>,
    next_part: usize,
    buffer: Vec<u8>,
    buffer_at: usize,
    len: u64,
}

/// A stretch of the image.
#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    Leaf { bucket: Bytes, plan: LeafPlan },
}

#[derive(Debug, Clone)]
struct LeafPlan {
    page: u64,
    first: Bytes,
    count: usize,
}

/// What the layout of one bucket needs to know of a leaf while it grows.
#[derive(Default)]
struct OpenLeaf {
    first: Bytes,
    count: usize,
    size: usize,
}

struct Layout {
    parts: Vec<Part>,
    next_page: u64,
}

impl ImageExport {
    /// Lays the image out; reads the whole snapshot once.
    pub fn new(snapshot: Arc<dyn Snapshot>) -> Result<Self> {
        let mut layout = Layout {
            parts: Vec::new(),
            next_page: 2,
        };
        let mut roots = Vec::new();
        for name in snapshot.buckets()? {
            let value = layout.bucket(&*snapshot, &name)?;
            roots.push((name, value));
        }
        let root = layout.bucket_of_buckets(&roots)?;
        let mut head = vec![0; 2 * PAGE];
        for txid in [2, 1] {
            let meta = Meta {
                page_size: u32::try_from(PAGE).expect("4096 fits"),
                root,
                sequence: 0,
                freelist: NO_FREELIST,
                high_water: layout.next_page,
                txid,
            };
            let at = if meta.slot() == 0 { 0 } else { PAGE };
            head[at..at + META_LEN].copy_from_slice(&meta.encode(meta.slot()));
        }
        layout.parts.insert(0, Part::Bytes(head));
        let len = layout.next_page * PAGE as u64;
        Ok(Self {
            snapshot,
            parts: layout.parts,
            next_part: 0,
            buffer: Vec::new(),
            buffer_at: 0,
            len,
        })
    }

    /// Produces the bytes of the next part; `false` at the end.
    fn fill(&mut self) -> Result<bool> {
        let Some(part) = self.parts.get_mut(self.next_part) else {
            return Ok(false);
        };
        self.next_part += 1;
        self.buffer_at = 0;
        self.buffer = match part {
            Part::Bytes(bytes) => std::mem::take(bytes),
            Part::Leaf { bucket, plan } => leaf_bytes(&*self.snapshot, bucket, plan)?,
        };
        Ok(true)
    }
}

impl Export for ImageExport {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        while self.buffer_at == self.buffer.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let left = &self.buffer[self.buffer_at..];
        let n = left.len().min(buf.len());
        buf[..n].copy_from_slice(&left[..n]);
        self.buffer_at += n;
        Ok(n)
    }
}

/// The pairs of a leaf, read again.
fn leaf_pairs(
    snapshot: &dyn Snapshot,
    bucket: &[u8],
    plan: &LeafPlan,
) -> Result<Vec<(Bytes, Bytes)>> {
    let range = KeyRange::from(plan.first.clone());
    let mut scan = snapshot.scan_bucket_name(bucket, &range, Direction::Forward)?;
    let mut pairs = Vec::with_capacity(plan.count);
    while pairs.len() < plan.count {
        let pair = scan.next()?;
        pairs.push(pair.ok_or_else(|| Error::invalid("a snapshot changed while it was exported"))?);
    }
    Ok(pairs)
}

fn leaf_builder(pairs: &[(Bytes, Bytes)], flags: u32) -> Result<PageBuilder> {
    let count = u16::try_from(pairs.len())
        .map_err(|_| Error::invalid(format!("{} pairs on one page", pairs.len())))?;
    let data = pairs.iter().map(|(k, v)| k.len() + v.len()).sum();
    let mut builder = PageBuilder::leaf(count, data);
    for (key, value) in pairs {
        builder.push_leaf(flags, key, value);
    }
    Ok(builder)
}

fn leaf_bytes(snapshot: &dyn Snapshot, bucket: &[u8], plan: &LeafPlan) -> Result<Vec<u8>> {
    Ok(leaf_builder(&leaf_pairs(snapshot, bucket, plan)?, 0)?.finish(plan.page, PAGE))
}

impl Layout {
    fn take_pages(&mut self, size: usize) -> u64 {
        let page = self.next_page;
        self.next_page += size.div_ceil(PAGE) as u64;
        page
    }

    /// Lays out one bucket and returns the value of its element.
    fn bucket(&mut self, snapshot: &dyn Snapshot, name: &Bytes) -> Result<Bytes> {
        let mut scan = snapshot.scan_bucket_name(name, &KeyRange::all(), Direction::Forward)?;
        let mut open = OpenLeaf {
            size: HEADER_LEN,
            ..OpenLeaf::default()
        };
        let mut leaves: Vec<LeafPlan> = Vec::new();
        while let Some((key, value)) = scan.next()? {
            let size = ELEMENT_LEN + key.len() + value.len();
            if open.count > 0 && open.size + size > PAGE {
                leaves.push(self.close_leaf(&mut open));
            }
            if open.count == 0 {
                open.first = key;
            }
            open.count += 1;
            open.size += size;
        }
        if leaves.is_empty() && open.size <= PAGE / 4 {
            let plan = LeafPlan {
                page: 0,
                first: open.first,
                count: open.count,
            };
            let pairs = leaf_pairs(snapshot, name, &plan)?;
            let mut value = BucketHeader::default().encode().to_vec();
            value.extend_from_slice(&leaf_builder(&pairs, 0)?.finish_inline());
            return Ok(Bytes::from(value));
        }
        leaves.push(self.close_leaf(&mut open));
        let children = leaves
            .iter()
            .map(|leaf| (leaf.first.clone(), leaf.page))
            .collect();
        let parts = leaves.into_iter().map(|plan| Part::Leaf {
            bucket: name.clone(),
            plan,
        });
        self.parts.extend(parts);
        let root = self.branches(children)?;
        Ok(Bytes::copy_from_slice(
            &BucketHeader { root, sequence: 0 }.encode(),
        ))
    }

    fn close_leaf(&mut self, open: &mut OpenLeaf) -> LeafPlan {
        let page = self.take_pages(open.size);
        let done = std::mem::replace(
            open,
            OpenLeaf {
                size: HEADER_LEN,
                ..OpenLeaf::default()
            },
        );
        LeafPlan {
            page,
            first: done.first,
            count: done.count,
        }
    }

    /// Builds the levels above some pages; returns the root.
    fn branches(&mut self, mut children: Vec<(Bytes, u64)>) -> Result<u64> {
        while children.len() > 1 {
            let mut above = Vec::new();
            let mut rest = &children[..];
            while !rest.is_empty() {
                let take = branch_len(rest);
                let (now, later) = rest.split_at(take);
                rest = later;
                let data: usize = now.iter().map(|(key, _)| key.len()).sum();
                let count = u16::try_from(take)
                    .map_err(|_| Error::invalid(format!("{take} children on one page")))?;
                let mut builder = PageBuilder::branch(count, data);
                for (key, page) in now {
                    builder.push_branch(key, *page);
                }
                let page = self.take_pages(HEADER_LEN + take * ELEMENT_LEN + data);
                self.parts.push(Part::Bytes(builder.finish(page, PAGE)));
                above.push((now[0].0.clone(), page));
            }
            children = above;
        }
        Ok(children[0].1)
    }

    fn bucket_of_buckets(&mut self, elements: &[(Bytes, Bytes)]) -> Result<u64> {
        let mut children = Vec::new();
        let mut rest = elements;
        loop {
            let mut size = HEADER_LEN;
            let fits = rest.iter().take_while(|(key, value)| {
                size += ELEMENT_LEN + key.len() + value.len();
                size <= PAGE
            });
            let take = fits.count().max(1).min(rest.len());
            let (now, later) = rest.split_at(take);
            rest = later;
            let data: usize = now.iter().map(|(k, v)| k.len() + v.len()).sum();
            let page = self.take_pages(HEADER_LEN + now.len() * ELEMENT_LEN + data);
            self.parts.push(Part::Bytes(
                leaf_builder(now, BUCKET_FLAG)?.finish(page, PAGE),
            ));
            children.push((
                now.first().map(|(k, _)| k.clone()).unwrap_or_default(),
                page,
            ));
            if rest.is_empty() {
                return self.branches(children);
            }
        }
    }
}

/// How many children go on one branch page: what fits, at least two, and never leaving one alone.
fn branch_len(children: &[(Bytes, u64)]) -> usize {
    let mut size = HEADER_LEN;
    let fits = children
        .iter()
        .take_while(|(key, _)| {
            size += ELEMENT_LEN + key.len();
            size <= PAGE
        })
        .count()
        .max(2)
        .min(children.len());
    match children.len() - fits {
        1 if fits > 2 => fits - 1,
        1 => fits + 1,
        _ => fits,
    }
}
