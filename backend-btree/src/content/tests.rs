use bytes::Bytes;
use proptest::prelude::*;

use super::{Child, Content, Fill, Item, Items};

fn items(sizes: &[usize]) -> Vec<Item> {
    let item = |(i, size): (usize, &usize)| Item {
        flags: 0,
        key: Bytes::from(format!("{i:06}")),
        value: Bytes::from(vec![7; *size]),
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
    let appended = content.clone().split(fill);
    // 16 + 10 * 100 bytes fit a page of 1024.
    assert!(
        appended[..9].iter().all(|p| p.len() == 10),
        "{:?}",
        appended.iter().map(Content::len).collect::<Vec<_>>()
    );
    content.appended = false;
    let between = content.split(fill);
    assert!(between.len() > 10 && between.iter().all(|p| p.size() <= 1024 && p.size() > 512));
}

#[test]
fn a_branch_keeps_two_children_whatever_their_keys() {
    let children = (0..7u8)
        .map(|i| Child {
            key: Bytes::from(vec![i; 3000]),
            page: u64::from(i) + 2,
        })
        .collect();
    let fill = Fill {
        page_size: 1024,
        append_percent: 90,
    };
    let pieces = Content::branch(children).split(fill);
    assert!(pieces.iter().all(|p| p.len() >= 2));
    assert_eq!(pieces.iter().map(Content::len).sum::<usize>(), 7);
}

proptest! {
    /// Pieces hold all elements in order, fit their page, and none is empty.
    #[test]
    fn a_split_loses_nothing_and_fits(
        sizes in prop::collection::vec(0..1500usize, 1..200),
        appended: bool, percent in 50..=100usize,
    ) {
        let fill = Fill { page_size: 1024, append_percent: percent };
        let all = items(&sizes);
        let mut content = Content::leaf(all.clone());
        content.appended = appended;
        let mut joined = Vec::new();
        for piece in content.split(fill) {
            prop_assert!(piece.len() > 0);
            prop_assert!(piece.size() <= 1024 || piece.len() == 1);
            prop_assert_eq!(piece.encode(5, 1024).len() % 1024, 0);
            let Items::Leaf(items) = piece.items else { panic!("a leaf splits into leaves") };
            joined.extend(items);
        }
        prop_assert_eq!(joined, all);
    }
}
