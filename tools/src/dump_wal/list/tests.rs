use bytes::Bytes;
use proptest::prelude::*;
use varve_proto::raftpb::Entry;

use super::*;
use crate::dump_wal::log::Placed;

fn placed(kind: i32, data: Vec<u8>) -> Placed {
    Placed {
        entry: Entry {
            r#type: kind,
            term: 1,
            index: 1,
            data: Some(Bytes::from(data)),
        },
        segment: std::path::Path::new("segment").into(),
        offset: 0,
    }
}

/// Bytes with a grain of sense: tags and lengths of the messages that entries hold.
fn message_like() -> impl Strategy<Value = Vec<u8>> {
    let field = (0..16_u8, 0..6_u8, prop::collection::vec(any::<u8>(), 0..12));
    prop::collection::vec(field, 0..8).prop_map(|fields| {
        let mut bytes = Vec::new();
        for (number, wire, content) in fields {
            bytes.push(number << 3 | wire);
            if wire == 2 {
                bytes.push(u8::try_from(content.len()).unwrap());
            }
            bytes.extend(content);
        }
        bytes
    })
}

#[test]
fn a_method_that_is_no_word_is_quoted() {
    let shown = |data: &[u8]| {
        let placed = placed(0, data.to_vec());
        describe(&Request::of(&placed.entry), false)
    };
    // A request of the v2 store with a method of one line break, and with none.
    assert_eq!(shown(&[18, 1, 10]), r#"norm	method="\n" path="" val="""#);
    assert_eq!(
        shown(b"\x12\x03PUT\x1a\x02/a"),
        r#"norm	method=PUT path="/a" val="""#
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    // Whatever an entry holds, it is shown on one line, as text and as JSON, and filters look at it.
    #[test]
    fn any_entry_is_described_on_one_line(
        kind in -1..4_i32,
        data in prop_oneof![prop::collection::vec(any::<u8>(), 0..64), message_like()],
    ) {
        let placed = placed(kind, data);
        let request = Request::of(&placed.entry);
        let line = describe(&request, true);
        prop_assert!(!line.contains(['\n', '\r']), "{line:?}");
        let json = crate::dump_wal::json::entry(&placed, &request).to_string();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        let filter = Filter::new("Normal,ConfigChange", &[], Some("k")).unwrap();
        filter.passes(&request);
    }
}
