use bytes::Bytes;

use crate::bbolt::{Meta, PageHeader};
use crate::{Batch, Bucket, Engine, MemoryEngine};

const A: Bucket = Bucket::new("a");
const B: Bucket = Bucket::new("b");

fn image(engine: &MemoryEngine, step: usize) -> Vec<u8> {
    let mut export = engine.export().unwrap();
    let mut image = Vec::new();
    let mut buf = vec![0; step];
    loop {
        let n = export.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        image.extend_from_slice(&buf[..n]);
    }
    assert_eq!(image.len() as u64, export.len());
    image
}

#[test]
fn an_image_has_the_announced_length_whatever_the_reads() {
    let engine = MemoryEngine::new();
    assert_eq!(image(&engine, 1000).len(), 3 * 4096);
    let mut batch = Batch::new();
    batch.create_bucket(A);
    for n in 0..3000u32 {
        batch.put(
            B,
            Bytes::copy_from_slice(&n.to_be_bytes()),
            Bytes::from(vec![1; 100]),
        );
    }
    batch.put(B, Bytes::from_static(b"zz"), Bytes::from(vec![2; 10_000]));
    engine.commit(&batch).unwrap();
    let whole = image(&engine, 1 << 20);
    assert_eq!(whole, image(&engine, 777));
    // Both metas are valid, the first is the newer one, and each page carries its number.
    let (first, second) = (
        Meta::decode(&whole).unwrap(),
        Meta::decode(&whole[4096..]).unwrap(),
    );
    assert_eq!((first.txid, second.txid), (2, 1));
    let mut id = 2;
    while id < first.high_water {
        let at = usize::try_from(id).unwrap() * 4096;
        let header = PageHeader::decode(&whole[at..]).unwrap();
        assert_eq!(header.id, id);
        id += 1 + u64::from(header.overflow);
    }
    assert_eq!(id, first.high_water);
}
