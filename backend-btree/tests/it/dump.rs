//! What tools print: pages and trees as they are in the file.
use bytes::Bytes;
use varve_backend::bbolt::NO_FREELIST;
use varve_backend::{Batch, Engine};
use varve_backend_btree::{BtreeOptions, LeafValue, PageContent, PageKind};
use varve_vfs::SimFs;

use crate::common::{KEY, META, open, small_pages};
use crate::crafted::nested;

/// A store of some hundred keys with every fourth page's worth deleted again.
fn filled(options: BtreeOptions) -> varve_backend_btree::BtreeEngine {
    let db = open(&SimFs::new().shared(), "/db".as_ref(), options);
    let mut batch = Batch::new();
    for n in 0..600u64 {
        let value = Bytes::from(vec![7; if n == 300 { 3000 } else { 40 }]);
        batch.put(KEY, Bytes::copy_from_slice(&n.to_be_bytes()), value);
    }
    batch.put(META, "a".into(), "b".into());
    db.commit(&batch).unwrap();
    let mut batch = Batch::new();
    for n in (0..600u64).filter(|n| n % 8 < 2 || *n > 500) {
        batch.delete(KEY, Bytes::copy_from_slice(&n.to_be_bytes()));
    }
    db.commit(&batch).unwrap();
    db
}

#[test]
fn the_listing_of_pages_covers_the_file_once_and_agrees_with_check() {
    for freelist_sync in [false, true] {
        let db = filled(BtreeOptions {
            freelist_sync,
            ..small_pages()
        });
        let snapshot = db.btree_snapshot();
        let (pages, report) = (snapshot.pages().unwrap(), db.check());
        assert!(report.is_sound(), "{:?}", report.errors);
        let mut next = 0;
        for page in &pages {
            assert_eq!(page.id, next);
            next += page.overflow + 1;
        }
        assert_eq!(next * 512, db.sizes().total_bytes);
        let of = |kind| pages.iter().filter(move |p| p.kind == kind);
        let used = pages.iter().filter(|p| p.kind != PageKind::Free);
        let used: u64 = used.map(|p| p.overflow + 1).sum();
        assert_eq!(used, report.used_pages + 2);
        assert_eq!(of(PageKind::Free).count() as u64, report.free_pages);
        assert_eq!(of(PageKind::Meta).count(), 2);
        assert_eq!(
            of(PageKind::Freelist).count(),
            usize::from(freelist_sync),
            "a freelist page only when it is synced"
        );
        assert!(of(PageKind::Leaf).any(|p| p.overflow > 0), "a large value");
        // Each page says the same of itself.
        for page in used_pages(&pages) {
            let dump = snapshot.page(page.id).unwrap();
            let (kind, count) = match &dump.content {
                PageContent::Meta(_) => (PageKind::Meta, 0),
                PageContent::Freelist(ids) => (PageKind::Freelist, ids.len()),
                PageContent::Branch(children) => (PageKind::Branch, children.len()),
                PageContent::Leaf(items) => (PageKind::Leaf, items.len()),
            };
            assert_eq!((kind, count as u64), (page.kind, page.count));
            assert!(dump.used_bytes <= dump.bytes);
        }
    }
}

fn used_pages(
    pages: &[varve_backend_btree::PageInfo],
) -> impl Iterator<Item = &varve_backend_btree::PageInfo> {
    pages.iter().filter(|p| p.kind != PageKind::Free)
}

#[test]
fn a_walk_over_the_trees_meets_every_page_and_counts_every_key() {
    let db = filled(small_pages());
    let (snapshot, report) = (db.btree_snapshot(), db.check());
    let (mut ids, mut keys, mut first_keys) = (Vec::new(), 0, Vec::new());
    snapshot
        .tree(&mut |page| {
            ids.extend(page.id);
            if page.kind == PageKind::Leaf && !page.bucket.is_empty() {
                keys += page.count as u64;
            }
            if page.bucket == [Bytes::from_static(b"key")] && page.kind == PageKind::Leaf {
                first_keys.extend(page.first_key);
            }
            true
        })
        .unwrap();
    assert_eq!(keys, report.keys);
    assert!(first_keys.is_sorted() && first_keys.len() > 10);
    ids.sort_unstable();
    let listed: Vec<u64> = snapshot
        .pages()
        .unwrap()
        .iter()
        .filter(|p| matches!(p.kind, PageKind::Branch | PageKind::Leaf))
        .map(|p| p.id)
        .collect();
    assert_eq!(ids, listed);
    let mut seen = 0;
    snapshot
        .tree(&mut |_| {
            seen += 1;
            seen < 3
        })
        .unwrap();
    assert_eq!(seen, 3, "the visitor stops the walk");
}

#[test]
fn dumps_show_buckets_inside_of_buckets() {
    let db = open(&nested(), "/db".as_ref(), small_pages());
    let snapshot = db.btree_snapshot();
    let mut trees = Vec::new();
    snapshot
        .tree(&mut |page| {
            trees.push((page.bucket.len(), page.id, page.count));
            true
        })
        .unwrap();
    assert_eq!(
        trees,
        [
            (0, Some(2), 1),
            (1, Some(3), 3),
            (2, None, 1),
            (2, Some(4), 1)
        ]
    );
    let PageContent::Leaf(items) = snapshot.page(3).unwrap().content else {
        panic!("page 3 is a leaf");
    };
    assert_eq!(
        items,
        [
            ("a".into(), LeafValue::Value("1".into())),
            (
                "inner".into(),
                LeafValue::InlineBucket {
                    sequence: 7,
                    pairs: vec![("x".into(), "y".into())]
                }
            ),
            (
                "paged".into(),
                LeafValue::Bucket {
                    root: 4,
                    sequence: 7
                }
            ),
        ]
    );
    let PageContent::Meta(meta) = snapshot.page(0).unwrap().content else {
        panic!("page 0 is a meta");
    };
    assert_eq!((meta.root, meta.freelist), (2, NO_FREELIST));
    let refused = snapshot.page(5).unwrap_err().to_string();
    assert!(refused.contains("the file has 5 pages"), "{refused}");
}
