use varve_proto::etcdserverpb::{ResponseHeader, WatchResponse};
use varve_proto::mvccpb::{Event, KeyValue};
use varve_proto::prost::Message as _;

use super::*;

const HEADER: Header = Header {
    cluster_id: 9,
    member_id: 8,
    raft_term: 7,
};

fn event(value_len: usize) -> Event {
    let kv = KeyValue {
        key: Bytes::from_static(b"k"),
        mod_revision: 5,
        value: vec![0; value_len].into(),
        ..KeyValue::default()
    };
    Event {
        kv: Some(kv),
        ..Event::default()
    }
}

fn stored(event: &Event) -> Bytes {
    event.encode_to_vec().into()
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        cluster_id: 9,
        member_id: 8,
        revision,
        raft_term: 7,
    })
}

#[test]
fn a_response_is_what_prost_would_write() {
    let events = vec![event(3), event(50_000), event(0)];
    let shared = events.iter().map(stored).collect();
    let answer = Answer {
        watch_id: 4,
        revision: 6,
        ..Answer::default()
    };
    let expected = WatchResponse {
        header: header(6),
        watch_id: 4,
        events,
        ..WatchResponse::default()
    };
    assert_eq!(
        response(&HEADER, &answer, shared).to_bytes(),
        expected.encode_to_vec()
    );

    let answer = Answer {
        watch_id: -1,
        created: true,
        canceled: true,
        compact_revision: 3,
        cancel_reason: "because".to_owned(),
        fragment: true,
        revision: 0,
    };
    let expected = WatchResponse {
        header: header(0),
        watch_id: -1,
        created: true,
        canceled: true,
        compact_revision: 3,
        cancel_reason: "because".to_owned(),
        fragment: true,
        events: vec![],
    };
    let message = response(&HEADER, &answer, Vec::new());
    assert_eq!(message.to_bytes(), expected.encode_to_vec());
    assert_eq!(message.len(), answer.len(&HEADER));
}

#[test]
fn fragments_stay_below_the_limit_and_keep_every_event_in_order() {
    let answer = Answer {
        watch_id: 1,
        revision: 2,
        fragment: true,
        ..Answer::default()
    };
    let sizes = [10, 400, 10, 2000, 10, 10, 600, 600];
    let events: Vec<Bytes> = sizes.iter().map(|n| stored(&event(*n))).collect();
    for limit in [1, 100, 500, 1000, 1500, 4000, 100_000] {
        let pieces: Vec<Vec<Bytes>> = split(&HEADER, &answer, events.clone(), limit).collect();
        for piece in &pieces {
            let len = response(&HEADER, &answer, piece.clone()).len();
            assert!(len < limit || piece.len() == 1, "{len} of {limit}");
        }
        assert_eq!(pieces.concat(), events);
        if limit == 100_000 {
            assert_eq!(pieces.len(), 1);
        }
    }
    let none: Vec<Vec<Bytes>> = split(&HEADER, &answer, Vec::new(), 100).collect();
    assert_eq!(none, [Vec::<Bytes>::new()]);
}
