//! Files made by hand: structures we never write, and ones nobody should.
use bytes::Bytes;
use varve_backend::bbolt::{BUCKET_FLAG, BucketHeader, META_LEN, Meta, NO_FREELIST, PageBuilder};
use varve_backend::{Batch, Bucket, Direction, Engine, ErrorKind, KeyRange, Snapshot};
use varve_backend_btree::{BtreeEngine, BtreeOptions, Element};
use varve_vfs::{DynFs, OpenOptions, SimFs};

use crate::common::{KEY, content, open, small_pages};

const PAGE: usize = 512;
const OUTER: Bucket = Bucket::new("outer");

/// A file of the given pages (2 and on) with its root at page 2.
fn file(pages: &[Vec<u8>]) -> DynFs {
    let high_water = 2 + pages.iter().map(|p| p.len() as u64 / 512).sum::<u64>();
    let mut bytes = vec![0; 2 * PAGE];
    for txid in [1, 2] {
        let meta = Meta {
            page_size: 512,
            root: 2,
            sequence: 0,
            freelist: NO_FREELIST,
            high_water,
            txid,
        };
        let at = PAGE * usize::from(txid == 1);
        bytes[at..at + META_LEN].copy_from_slice(&meta.encode(meta.slot()));
    }
    for page in pages {
        bytes.extend_from_slice(page);
    }
    let fs = SimFs::new().shared();
    fs.open("/db".as_ref(), OpenOptions::create())
        .unwrap()
        .write_all_at(&bytes, 0)
        .unwrap();
    fs
}

fn bucket_value(root: u64, inline: &[u8]) -> Vec<u8> {
    [&BucketHeader { root, sequence: 7 }.encode()[..], inline].concat()
}

/// A leaf whose elements are `(flags, key, value)`.
fn leaf(id: u64, elements: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
    let data = elements.iter().map(|(_, k, v)| k.len() + v.len()).sum();
    let mut builder = PageBuilder::leaf(u16::try_from(elements.len()).unwrap(), data);
    for (flags, key, value) in elements {
        builder.push_leaf(*flags, key, value);
    }
    if id == 0 {
        builder.finish_inline()
    } else {
        builder.finish(id, PAGE)
    }
}

fn branch(id: u64, children: &[(&[u8], u64)]) -> Vec<u8> {
    let data = children.iter().map(|(k, _)| k.len()).sum();
    let mut builder = PageBuilder::branch(u16::try_from(children.len()).unwrap(), data);
    for (key, page) in children {
        builder.push_branch(key, *page);
    }
    builder.finish(id, PAGE)
}

/// outer { a = 1, inner { x = y (inline) }, paged { p = q (page 4) } }
pub(crate) fn nested() -> DynFs {
    let inline = leaf(0, &[(0, b"x", b"y")]);
    let root = leaf(2, &[(BUCKET_FLAG, b"outer", &bucket_value(3, &[]))]);
    let outer = leaf(
        3,
        &[
            (0, b"a", b"1"),
            (BUCKET_FLAG, b"inner", &bucket_value(0, &inline)),
            (BUCKET_FLAG, b"paged", &bucket_value(4, &[])),
        ],
    );
    file(&[root, outer, leaf(4, &[(0, b"p", b"q")])])
}

fn walk(db: &BtreeEngine, path: &[&[u8]]) -> Vec<Element> {
    let mut all = Vec::new();
    let exists = db.btree_snapshot().walk(path, &mut |element| {
        all.push(element);
        true
    });
    assert!(exists.unwrap());
    all
}

#[test]
fn nested_buckets_can_be_walked_and_are_no_pairs() {
    let fs = nested();
    let db = open(&fs, "/db".as_ref(), small_pages());
    let report = db.check();
    assert!(report.is_sound(), "{:?}", report.errors);
    assert_eq!((report.buckets, report.keys, report.used_pages), (3, 3, 3));
    assert_eq!(walk(&db, &[]), [Element::Bucket("outer".into())]);
    let outer = walk(&db, &[b"outer"]);
    assert_eq!(
        outer,
        [
            Element::Pair("a".into(), "1".into()),
            Element::Bucket("inner".into()),
            Element::Bucket("paged".into())
        ]
    );
    assert_eq!(
        walk(&db, &[b"outer", b"inner"]),
        [Element::Pair("x".into(), "y".into())]
    );
    assert_eq!(
        walk(&db, &[b"outer", b"paged"]),
        [Element::Pair("p".into(), "q".into())]
    );
    assert!(
        !db.btree_snapshot()
            .walk(&[b"outer", b"none"], &mut |_| true)
            .unwrap()
    );
    let snapshot = db.snapshot().unwrap();
    assert_eq!(snapshot.get(OUTER, b"inner").unwrap(), None);
    let mut scan = snapshot
        .scan(OUTER, &KeyRange::all(), Direction::Backward)
        .unwrap();
    assert_eq!(scan.next().unwrap(), Some(("a".into(), "1".into())));
    assert_eq!(scan.next().unwrap(), None);
}

#[test]
fn commits_keep_nested_buckets_and_refuse_to_overwrite_them() {
    let fs = nested();
    let db = open(&fs, "/db".as_ref(), small_pages());
    for put in [true, false] {
        let mut batch = Batch::new();
        batch.put(KEY, "k".into(), "v".into());
        if put {
            batch.put(OUTER, "paged".into(), "gone".into());
        } else {
            batch.delete(OUTER, "paged".into());
        }
        let error = db.commit(&batch).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Invalid { .. }), "{error}");
        assert!(
            !db.snapshot().unwrap().has_bucket(KEY).unwrap(),
            "refused whole"
        );
    }
    let mut batch = Batch::new();
    (0..100u32).for_each(|n| batch.put(OUTER, n.to_be_bytes().to_vec().into(), "v".into()));
    db.commit(&batch).unwrap();
    assert_eq!(
        walk(&db, &[b"outer", b"paged"]),
        [Element::Pair("p".into(), "q".into())]
    );
    assert_eq!(db.check().keys, 103);
    let mut batch = Batch::new();
    batch.delete_bucket(OUTER);
    db.commit(&batch).unwrap();
    let report = db.check();
    assert!(report.is_sound() && report.keys == 0);
    assert_eq!(
        report.used_pages, 1,
        "the pages of nested buckets are free too"
    );
}

/// Everything a reader may do with a file must end, with an error somewhere.
fn refused_everywhere(fs: &DynFs, expected: &str) {
    let error = BtreeEngine::open(fs.clone(), "/db", small_pages()).err();
    let read_only = BtreeOptions {
        read_only: true,
        ..small_pages()
    };
    let db = open(fs, "/db".as_ref(), read_only);
    let report = db.check();
    let said: Vec<String> = report
        .errors
        .iter()
        .map(ToString::to_string)
        .chain(error.map(|e| e.to_string()))
        .chain(content(&db.btree_snapshot()).err().map(|e| e.to_string()))
        .collect();
    assert!(!report.is_sound());
    assert!(
        said.iter().any(|s| s.contains(expected)),
        "{expected} is not in {said:?}"
    );
    // Lookups may succeed beside the damage, but they end.
    for key in [&b"a"[..], b"m", b"zz"] {
        drop(db.btree_snapshot().get(KEY, key));
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let snapshot = db.snapshot().unwrap();
        if let Ok(mut scan) = snapshot.scan(KEY, &KeyRange::all(), direction) {
            while let Ok(Some(_)) = scan.next() {}
        }
    }
}

fn with_key_bucket(pages: Vec<Vec<u8>>) -> DynFs {
    let root = leaf(2, &[(BUCKET_FLAG, b"key", &bucket_value(3, &[]))]);
    file(&[vec![root], pages].concat())
}

#[test]
fn a_branch_that_leads_back_to_itself_ends() {
    let fs = with_key_bucket(vec![
        branch(3, &[(b"a", 3), (b"m", 4)]),
        leaf(4, &[(0, b"m", b"1")]),
    ]);
    refused_everywhere(&fs, "second");
}

#[test]
fn a_page_used_twice_is_refused() {
    let fs = with_key_bucket(vec![
        branch(3, &[(b"a", 4), (b"m", 4)]),
        leaf(4, &[(0, b"a", b"1")]),
    ]);
    refused_everywhere(&fs, "one reference");
}

#[test]
fn keys_out_of_order_are_refused() {
    let fs = with_key_bucket(vec![leaf(3, &[(0, b"b", b"1"), (0, b"a", b"2")])]);
    refused_everywhere(&fs, "key order");
    let across = vec![
        branch(3, &[(b"a", 4), (b"m", 5)]),
        leaf(4, &[(0, b"a", b"1"), (0, b"z", b"1")]),
        leaf(5, &[(0, b"m", b"1")]),
    ];
    refused_everywhere(&with_key_bucket(across), "key order");
}

#[test]
fn an_element_that_points_out_of_its_page_is_refused() {
    let mut page = leaf(3, &[(0, b"a", b"1")]);
    page[16 + 12..16 + 16].copy_from_slice(&10_000u32.to_le_bytes());
    refused_everywhere(&with_key_bucket(vec![page]), "inside the page");
}

#[test]
fn a_reference_past_the_mark_is_refused() {
    let fs = with_key_bucket(vec![
        branch(3, &[(b"a", 4), (b"m", 99)]),
        leaf(4, &[(0, b"a", b"1")]),
    ]);
    refused_everywhere(&fs, "page reference");
}

#[test]
fn a_value_among_the_buckets_is_refused() {
    let fs = file(&[leaf(2, &[(0, b"key", b"not a bucket")])]);
    let db = open(&fs, "/db".as_ref(), small_pages());
    assert!(!db.check().is_sound());
    let mut batch = Batch::new();
    batch.put(KEY, "k".into(), Bytes::new());
    assert!(db.commit(&batch).unwrap_err().is_corruption());
}
