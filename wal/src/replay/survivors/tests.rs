use super::*;

/// A block of `len` bytes, and entries of one byte each from its beginning.
fn block(len: usize, count: usize) -> (Bytes, BlockId, Vec<Entry>) {
    let block = Bytes::from(vec![7; len]);
    let entries = (0..count).map(|at| Entry {
        index: at as u64 + 1,
        data: Some(block.slice(at..=at)),
        ..Entry::default()
    });
    (block.clone(), BlockId::of(&block), entries.collect())
}

/// How many of the entries show a part of `block`.
fn borrowed(entries: &[Entry], block: &Bytes) -> usize {
    let within = block.as_ptr_range();
    let data = entries.iter().flat_map(|entry| &entry.data);
    data.filter(|data| within.contains(&data.as_ptr())).count()
}

/// Gives entries to a [`Survivors`] as a replay does.
fn take(survivors: &mut Survivors, block: BlockId, new: Vec<Entry>, entries: &mut Vec<Entry>) {
    for entry in new {
        survivors.begin(block, entries);
        entries.push(entry);
    }
}

#[test]
fn few_entries_of_a_block_get_memory_of_their_own() {
    for (count, kept) in [(99, 0), (100, 100)] {
        let (block, id, new) = block(800, count);
        let (mut survivors, mut entries) = (Survivors::default(), Vec::new());
        take(&mut survivors, id, new.clone(), &mut entries);
        survivors.end(&mut entries);
        assert_eq!(borrowed(&entries, &block), kept, "{count}");
        assert_eq!(entries, new);
    }
}

#[test]
fn each_block_is_judged_by_itself() {
    let (sparse, sparse_id, few) = block(800, 10);
    let (full, full_id, many) = block(800, 700);
    let (mut survivors, mut entries) = (Survivors::default(), Vec::new());
    take(&mut survivors, sparse_id, few, &mut entries);
    take(&mut survivors, full_id, many, &mut entries);
    survivors.end(&mut entries);
    assert_eq!(
        (borrowed(&entries, &sparse), borrowed(&entries, &full)),
        (0, 700)
    );
}

#[test]
fn entries_that_were_replaced_do_not_count() {
    let (block, id, many) = block(800, 700);
    let (mut survivors, mut entries) = (Survivors::default(), Vec::new());
    take(&mut survivors, id, many, &mut entries);
    entries.truncate(5);
    survivors.cut_to(5);
    survivors.end(&mut entries);
    assert_eq!((entries.len(), borrowed(&entries, &block)), (5, 0));
}
