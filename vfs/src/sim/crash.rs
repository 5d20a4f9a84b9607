//! Images a loss of power could leave.
//!
//! The journal of a disk is, for each file, the changes no sync has covered, and for the directories
//! the changes of names no directory sync has covered. An image is the durable state plus some of the
//! journal; the rule says which part.
use std::collections::{BTreeMap, BTreeSet};

use super::content::{Content, SECTOR_BYTES};
use super::disk::Disk;
use super::inode::{DataOp, FileNode, Pending};
use super::names::{Entries, Ino, Names, ROOT};
use super::rng::Rng;

/// Which unsynced changes an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashRule {
    /// None: only what was synced.
    LoseUnsynced,
    /// All of them: the write-back had just finished.
    KeepAll,
    /// Any: each unsynced sector of 512 bytes, each change of a length, each change of names is kept or
    /// lost on its own, in any combination; a length may have grown over sectors that are lost. A sector
    /// holds what it held after one of the writes to it, never a later write without an earlier one.
    Subset,
    /// Each file's changes reached the medium in order up to some point, names up to some other, and
    /// the write at that point is torn: any of its sectors may be there.
    Torn,
}

impl CrashRule {
    /// Every rule, for tests that try them all.
    pub const ALL: [Self; 4] = [Self::LoseUnsynced, Self::KeepAll, Self::Subset, Self::Torn];
}

/// Draws an image of `disk`.
pub(super) fn image(disk: &Disk, rule: CrashRule, seed: u64) -> Disk {
    let mut rng = Rng::new(seed);
    let tree = surviving_names(&disk.names, rule, &mut rng);
    let mut image = Disk {
        last_ino: disk.last_ino,
        ..Disk::default()
    };
    // Files are drawn in the order of their numbers, whatever their names became, so that one
    // file's draw does not depend on another's name.
    for (ino, file) in &disk.files {
        let content = surviving_content(file, rule, &mut rng);
        image
            .files
            .insert(*ino, FileNode::settled(content, file.mode));
    }
    image.names.current = tree.clone();
    image.names.durable = tree;
    image.names.modes.clone_from(&disk.names.modes);
    drop_unreachable(&mut image);
    image
}

fn surviving_names(names: &Names, rule: CrashRule, rng: &mut Rng) -> BTreeMap<Ino, Entries> {
    let mut tree = names.durable.clone();
    let kept = match rule {
        CrashRule::LoseUnsynced => 0,
        CrashRule::KeepAll | CrashRule::Subset => names.pending.len(),
        CrashRule::Torn => cut(names.pending.len(), rng),
    };
    for op in &names.pending[..kept] {
        if rule != CrashRule::Subset || rng.coin() {
            op.apply(&mut tree);
        }
    }
    tree
}

fn surviving_content(file: &FileNode, rule: CrashRule, rng: &mut Rng) -> Content {
    match rule {
        CrashRule::LoseUnsynced => file.durable.clone(),
        CrashRule::KeepAll => file.current.clone(),
        CrashRule::Subset => {
            let mut content = file.durable.clone();
            let mut lost = BTreeSet::new();
            for pending in &file.pending {
                apply_in_part(&pending.op, &mut content, &mut lost, rng);
            }
            content
        }
        CrashRule::Torn => {
            let mut content = file.durable.clone();
            let whole = cut(file.pending.len(), rng);
            for Pending { op, .. } in &file.pending[..whole] {
                op.apply(&mut content);
            }
            if let Some(torn) = file.pending.get(whole) {
                apply_in_part(&torn.op, &mut content, &mut BTreeSet::new(), rng);
            }
            content
        }
    }
}

/// A number of changes from none to all.
fn cut(len: usize, rng: &mut Rng) -> usize {
    let bound = len as u64 + 1;
    usize::try_from(rng.below(bound)).expect("not above a length")
}

/// Applies what reached the medium. A sector goes there whole, as the cache has it by then: one that is
/// `lost`, a write to it not being there, holds no later write either.
fn apply_in_part(op: &DataOp, content: &mut Content, lost: &mut BTreeSet<u64>, rng: &mut Rng) {
    match op {
        DataOp::Write { offset, bytes } => {
            let mut done = 0;
            while done < bytes.len() {
                let at = offset + done as u64;
                let room = SECTOR_BYTES - at % SECTOR_BYTES;
                let left = &bytes[done..];
                let n = usize::try_from(room).map_or(left.len(), |room| room.min(left.len()));
                let (drawn, sector) = (rng.below(4), at / SECTOR_BYTES);
                if drawn > 1 {
                    lost.insert(sector);
                }
                match drawn {
                    0 | 1 if !lost.contains(&sector) => content.write(&left[..n], at),
                    2 => content.grow_to(at + n as u64),
                    _ => {}
                }
                done += n;
            }
        }
        DataOp::SetLen(_) | DataOp::GrowTo(_) => {
            if rng.coin() {
                op.apply(content);
            }
        }
    }
}

/// Takes away what no name reaches, as a file system check would.
fn drop_unreachable(image: &mut Disk) {
    let mut reached = vec![ROOT];
    let mut at = 0;
    while at < reached.len() {
        if let Some(entries) = image.names.current.get(&reached[at]) {
            reached.extend(entries.values());
        }
        at += 1;
    }
    reached.sort_unstable();
    let alive = |ino: &Ino| reached.binary_search(ino).is_ok();
    image.files.retain(|ino, _| alive(ino));
    image.names.current.retain(|ino, _| alive(ino));
    image.names.durable.retain(|ino, _| alive(ino));
    image.names.modes.retain(|ino, _| alive(ino));
}
