use bytes::Bytes;
use proptest::prelude::*;

use super::{Child, Content, Item, Slice, pair_len};
use crate::split::Fill;

fn items(sizes: &[usize]) -> Vec<Item<'static>> {
    let item = |(i, size): (usize, &usize)| Item {
        flags: 0,
        key: Slice::Kept(Bytes::from(format!("{i:06}"))),
        value: Slice::Kept(Bytes::from(vec![7; *size])),
    };
    sizes.iter().enumerate().map(item).collect()
}

#[test]
fn appended_pages_are_filled_and_others_leave_room() {
    let fill = Fill {
        page_size: 1024,
        append_percent: 100,
    };
    let mut content = Content::leaf(items(&[78; 100]));
    content.appended = true;
    let appended = content.cut(fill);
    // 16 + 10 * 100 bytes fit a page of 1024.
    assert!(
        appended[..9].iter().all(|p| p.range.len() == 10),
        "{appended:?}"
    );
    content.appended = false;
    content.grown = true;
    let between = content.cut(fill);
    assert!(between.len() > 10 && between.iter().all(|p| p.size <= 1024 && p.size > 512));
}

#[test]
fn a_branch_keeps_two_children_whatever_their_keys() {
    let children = (0..7u8)
        .map(|i| Child {
            key: Slice::Kept(Bytes::from(vec![i; 3000])),
            page: u64::from(i) + 2,
        })
        .collect();
    let fill = Fill {
        page_size: 1024,
        append_percent: 90,
    };
    let pieces = Content::branch(children).cut(fill);
    assert!(pieces.iter().all(|p| p.range.len() >= 2));
    assert_eq!(pieces.iter().map(|p| p.range.len()).sum::<usize>(), 7);
}

proptest! {
    /// Pieces hold all elements in order, know their size, waste little, and none is empty.
    #[test]
    fn a_cut_loses_nothing_and_fits(
        sizes in prop::collection::vec(0..1500usize, 1..200),
        appended: bool, grown: bool, percent in 50..=100usize,
    ) {
        let fill = Fill { page_size: 1024, append_percent: percent };
        let all = items(&sizes);
        let mut content = Content::leaf(all.clone());
        content.appended = appended;
        content.grown = grown;
        let mut next = 0;
        for piece in content.cut(fill) {
            prop_assert_eq!(piece.range.start, next);
            next = piece.range.end;
            prop_assert!(!piece.range.is_empty());
            let size = 16 + all[piece.range.clone()]
                .iter()
                .map(|i| pair_len(&i.key, &i.value))
                .sum::<usize>();
            prop_assert_eq!(piece.size, size);
            let pages = size.div_ceil(1024);
            prop_assert!(pages == 1 || piece.range.len() == 1 || (pages <= 8 && (appended || !grown)));
            let image = content.encode(&piece, vec![1; 3], 5, 1024);
            prop_assert_eq!(image.len(), 3 + pages * 1024);
        }
        prop_assert_eq!(next, all.len());
    }
}
