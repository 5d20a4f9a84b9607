use super::{
    BranchElement, BucketHeader, LEAF, LeafElement, META_LEN, Meta, PageBuilder, PageHeader,
};

fn meta() -> Meta {
    Meta {
        page_size: 4096,
        root: 3,
        sequence: 0,
        freelist: 2,
        high_water: 4,
        txid: 1,
    }
}

#[test]
fn a_meta_survives_its_encoding() {
    assert_eq!(Meta::decode(&meta().encode(1)), Ok(meta()));
}

#[test]
fn every_flipped_bit_of_a_meta_body_is_noticed() {
    let good = meta().encode(0);
    for at in 16..META_LEN {
        for bit in 0..8 {
            let mut bad = good;
            bad[at] ^= 1 << bit;
            assert!(Meta::decode(&bad).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_meta_cut_anywhere_is_refused() {
    let good = meta().encode(0);
    for len in 0..META_LEN {
        assert!(Meta::decode(&good[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn records_survive_their_encoding_and_are_refused_when_cut() {
    let header = PageHeader {
        id: 7,
        flags: LEAF,
        count: 3,
        overflow: 2,
    };
    let leaf = LeafElement {
        flags: 1,
        pos: 2,
        key_len: 3,
        value_len: 4,
    };
    let branch = BranchElement {
        pos: 1,
        key_len: 2,
        child: 3,
    };
    let bucket = BucketHeader {
        root: 5,
        sequence: 6,
    };
    assert_eq!(PageHeader::decode(&header.encode()), Some(header));
    assert_eq!(LeafElement::decode(&leaf.encode()), Some(leaf));
    assert_eq!(BranchElement::decode(&branch.encode()), Some(branch));
    assert_eq!(BucketHeader::decode(&bucket.encode()), Some(bucket));
    for len in 0..16 {
        assert_eq!(PageHeader::decode(&header.encode()[..len]), None);
        assert_eq!(LeafElement::decode(&leaf.encode()[..len]), None);
        assert_eq!(BranchElement::decode(&branch.encode()[..len]), None);
        assert_eq!(BucketHeader::decode(&bucket.encode()[..len]), None);
    }
}

#[test]
fn a_page_is_laid_out_elements_first() {
    let mut builder = PageBuilder::leaf(2, 6);
    builder.push_leaf(0, b"a", b"1");
    builder.push_leaf(0, b"bb", b"22");
    let page = builder.finish(9, 64);
    assert_eq!(page.len(), 64);
    assert_eq!(&page[48..54], b"a1bb22");
    let second = LeafElement::decode(&page[32..]).unwrap();
    assert_eq!(usize::try_from(second.pos).unwrap() + 32, 50);
    assert_eq!(PageHeader::decode(&page).unwrap().overflow, 0);
}

#[test]
fn elements_in_rows_are_laid_out_as_one_by_one() {
    let mut single = PageBuilder::leaf(3, 9);
    single.push_leaf(0, b"a", b"1");
    single.push_leaf(1, b"bb", b"");
    single.push_leaf(0, b"c", b"2222");
    let mut rows = PageBuilder::leaf(3, 9);
    rows.push_leaves([(0, 1, 1), (1, 2, 0)].into_iter(), b"a1bb");
    rows.push_leaves([(0, 1, 4)].into_iter(), b"c2222");
    assert_eq!(rows.finish(7, 512), single.finish(7, 512));
}
