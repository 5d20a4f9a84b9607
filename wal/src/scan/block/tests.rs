use super::*;

fn filled(shelf: &Shelf, byte: u8) -> Bytes {
    let mut block = shelf.take().unwrap();
    block.fill(byte);
    block.share(BLOCK_BYTES)
}

#[test]
fn a_block_is_filled_again_only_when_nobody_shows_a_part_of_it() {
    let shelf = Shelf::default();
    let whole = filled(&shelf, 1);
    let at = whole.as_ptr();
    let part = whole.slice(100..200);
    drop(whole);
    let other = filled(&shelf, 2);
    assert_ne!(other.as_ptr(), at);
    assert_eq!(part, [1; 100][..]);
    drop(part);
    let again = filled(&shelf, 3);
    assert_eq!(again.as_ptr(), at, "it came back with its last part");
    assert_eq!((other[0], again[0]), (2, 3));
}

#[test]
fn a_part_outlives_the_shelf() {
    let shelf = Shelf::default();
    let part = filled(&shelf, 7).slice(BLOCK_BYTES - 3..);
    drop(shelf);
    assert_eq!(part, [7; 3][..]);
}

#[test]
fn no_more_than_a_few_blocks_wait() {
    let shelf = Shelf::default();
    let blocks: Vec<_> = (0..2 * SPARE).map(|_| filled(&shelf, 0)).collect();
    drop(blocks);
    assert_eq!(shelf.0.lock().unwrap().len(), SPARE);
}
