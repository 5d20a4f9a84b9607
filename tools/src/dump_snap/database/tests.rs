use super::*;

fn page(transaction: u64) -> [u8; HEADER + BODY] {
    let mut page = [0; HEADER + BODY];
    page[HEADER..HEADER + 4].copy_from_slice(&MAGIC.to_le_bytes());
    page[HEADER + 4..HEADER + 8].copy_from_slice(&VERSION.to_le_bytes());
    page[HEADER + 8..HEADER + 12].copy_from_slice(&4096_u32.to_le_bytes());
    page[HEADER + 40..HEADER + 48].copy_from_slice(&7_u64.to_le_bytes());
    page[HEADER + 48..HEADER + 56].copy_from_slice(&transaction.to_le_bytes());
    let checksum = fnv1a(&page[HEADER..HEADER + CHECKSUM_AT]);
    page[HEADER + 56..].copy_from_slice(&checksum.to_le_bytes());
    page
}

#[test]
fn a_meta_page_is_read_and_every_flipped_byte_of_its_body_is_noticed() {
    let good = page(3);
    assert_eq!(
        parse(&good),
        Some(Meta {
            page_bytes: 4096,
            pages: 7,
            transaction: 3
        })
    );
    for at in HEADER..good.len() {
        let mut damaged = good;
        damaged[at] ^= 0x10;
        assert_eq!(parse(&damaged), None, "{at}");
    }
}

#[test]
fn the_later_transaction_counts_and_missing_pages_are_flaws() {
    let metas = [parse(&page(4)), parse(&page(3))];
    let whole = Database {
        file_bytes: 7 * 4096,
        metas,
    };
    assert_eq!(whole.current().unwrap().transaction, 4);
    assert_eq!(whole.flaw(), None);
    assert!(
        Database {
            file_bytes: 6 * 4096,
            metas
        }
        .flaw()
        .is_some()
    );
    assert!(
        Database {
            file_bytes: 7 * 4096,
            metas: [metas[0], None]
        }
        .flaw()
        .is_some()
    );
    assert!(
        Database {
            file_bytes: 7 * 4096,
            metas: [None, None]
        }
        .flaw()
        .is_some()
    );
}
