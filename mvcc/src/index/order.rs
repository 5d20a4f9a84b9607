//! Sorting many keys that have long beginnings in common.
//!
//! Used when a store is opened. Comparing whole names costs a walk through the same forty bytes for each
//! of a million comparisons; here what a group of keys shares is passed over once, the next eight bytes
//! are sorted as numbers, and only groups that are still equal go on behind them.

use super::keys::common_prefix_len;

#[cfg(test)]
mod tests;

/// Groups up to this size are sorted by whole comparisons.
const SMALL: usize = 12;

/// The numbers of the keys in ascending order of the keys, equal ones in ascending order of the numbers.
pub(super) fn by_key(keys: &[&[u8]]) -> Vec<u32> {
    let count = u32::try_from(keys.len()).expect("keys are sorted in batches");
    let mut order: Vec<(u64, u32)> = (0..count).map(|number| (0, number)).collect();
    sort(&mut order, keys, 0);
    order.into_iter().map(|(_, number)| number).collect()
}

/// The first eight bytes as a number that sorts like them, filled up with zeros.
fn head(bytes: &[u8]) -> u64 {
    if let Some(first) = bytes.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut head = [0; 8];
    head[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(head)
}

/// Sorts a group whose keys are equal in their first `depth` bytes.
fn sort(group: &mut [(u64, u32)], keys: &[&[u8]], depth: usize) {
    let rest = |number: u32| &keys[number as usize][depth..];
    let ends = group.iter().any(|(_, number)| rest(*number).is_empty());
    if group.len() <= SMALL || ends {
        group.sort_unstable_by(|(_, a), (_, b)| rest(*a).cmp(rest(*b)).then(a.cmp(b)));
        return;
    }
    let first = rest(group[0].1);
    let mut shared = first.len();
    for (_, number) in group.iter() {
        shared = common_prefix_len(&first[..shared], rest(*number));
    }
    for (head_of, number) in group.iter_mut() {
        *head_of = head(&rest(*number)[shared..]);
    }
    group.sort_unstable();
    for equal in group.chunk_by_mut(|a, b| a.0 == b.0) {
        if equal.len() > 1 {
            // One that ends here is seen to by the whole comparison.
            let behind = depth + shared + 8;
            let short = equal.iter().map(|(_, n)| keys[*n as usize].len()).min();
            let depth = behind.min(short.unwrap_or(behind));
            sort(equal, keys, depth);
        }
    }
}
