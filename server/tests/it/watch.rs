//! Watch as a client sees it. Every test also holds for a real etcd 3.5.1 (`VARVE_TEST_BINARY`).

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use varve_proto::etcdserverpb::watch_create_request::FilterType;
use varve_proto::etcdserverpb::watch_request::RequestUnion;
use varve_proto::etcdserverpb::{
    CompactionRequest, PutRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest,
    WatchRequest, WatchResponse,
};
use varve_proto::mvccpb::Event;
use varve_proto::mvccpb::event::EventType;
use varve_proto::prost::Message as _;

use crate::client::{Client, block_on, delete, op_delete, op_put, put, revision, txn};
use crate::harness::{Member, scratch};

/// Runs `body` against a fresh server with these further flags.
fn with_server(flags: &[&str], body: impl AsyncFn(&mut Client)) {
    let dir = scratch();
    let mut member = Member::new(dir.path());
    member
        .flags
        .extend(flags.iter().map(|flag| (*flag).to_owned()));
    let server = member.start();
    block_on(async {
        let mut client = Client::connect(&server).await;
        body(&mut client).await;
    });
    server.stop();
}

/// One watch stream. An etcd begins to answer with its first message only, so the answer is waited
/// for when one is read.
struct Stream {
    requests: mpsc::Sender<WatchRequest>,
    opening: Option<JoinHandle<Streaming<WatchResponse>>>,
    responses: Option<Streaming<WatchResponse>>,
}

impl Stream {
    fn open(client: &Client) -> Self {
        let (requests, receiver) = mpsc::channel(16);
        let mut watch = client.watch.clone();
        let opening = tokio::spawn(async move {
            let opened = watch.watch(ReceiverStream::new(receiver)).await;
            opened.unwrap().into_inner()
        });
        Self {
            requests,
            opening: Some(opening),
            responses: None,
        }
    }

    async fn ask(&self, request: RequestUnion) {
        self.requests
            .send(WatchRequest {
                request_union: Some(request),
            })
            .await
            .unwrap();
    }

    async fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.ask(RequestUnion::CreateRequest(request)).await;
        let created = self.next().await;
        assert!(created.created && created.events.is_empty(), "{created:?}");
        created
    }

    async fn cancel(&self, watch_id: i64) {
        self.ask(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }))
            .await;
    }

    async fn next(&mut self) -> WatchResponse {
        if let Some(opening) = self.opening.take() {
            self.responses = Some(opening.await.unwrap());
        }
        let responses = self.responses.as_mut().unwrap();
        responses
            .message()
            .await
            .unwrap()
            .expect("the stream ended")
    }

    /// Events of one watcher, over as many responses as it takes.
    async fn events(&mut self, watch_id: i64, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            let response = self.next().await;
            assert_eq!(response.watch_id, watch_id, "{response:?}");
            let last = response
                .events
                .last()
                .map_or(0, |e| e.kv.as_ref().unwrap().mod_revision);
            assert!(
                revision(response.header) >= last,
                "the header is behind the events"
            );
            events.extend(response.events);
        }
        events
    }
}

fn prefix(text: &str) -> WatchCreateRequest {
    let mut end = text.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    WatchCreateRequest {
        key: Bytes::copy_from_slice(text.as_bytes()),
        range_end: end.into(),
        ..WatchCreateRequest::default()
    }
}

fn show(events: &[Event]) -> Vec<String> {
    let show = |event: &Event| {
        let kv = event.kv.as_ref().unwrap();
        let key = String::from_utf8_lossy(&kv.key);
        let before = event.prev_kv.as_ref().map_or(String::new(), |kv| {
            format!(" was {}", String::from_utf8_lossy(&kv.value))
        });
        match event.r#type() {
            EventType::Put => {
                let value = String::from_utf8_lossy(&kv.value);
                format!("{} {key}={value}{before}", kv.mod_revision)
            }
            EventType::Delete => format!("{} {key} gone{before}", kv.mod_revision),
        }
    };
    events.iter().map(show).collect()
}

#[test]
fn watchers_are_numbered_from_zero_and_answers_name_the_revision() {
    with_server(&[], async |client| {
        client.put("a", "1").await;
        let mut stream = Stream::open(client);
        for id in 0..3 {
            let created = stream.create(prefix("a")).await;
            assert_eq!((created.watch_id, created.canceled), (id, false));
            assert_eq!(revision(created.header), 2);
        }
        // The client may choose; the next free number follows.
        let chosen = stream
            .create(WatchCreateRequest {
                watch_id: 3,
                ..prefix("a")
            })
            .await;
        assert_eq!(chosen.watch_id, 3);
        assert_eq!(stream.create(prefix("a")).await.watch_id, 4);
    });
}

#[test]
fn a_watcher_that_cannot_be_is_created_and_cancelled_at_once_with_the_reason() {
    with_server(&[], async |client| {
        let mut stream = Stream::open(client);
        assert_eq!(
            stream
                .create(WatchCreateRequest {
                    watch_id: 7,
                    ..prefix("a")
                })
                .await
                .watch_id,
            7
        );
        let key = |key: &'static str, end: &'static str| WatchCreateRequest {
            key: Bytes::from_static(key.as_bytes()),
            range_end: Bytes::from_static(end.as_bytes()),
            ..WatchCreateRequest::default()
        };
        for (request, reason) in [
            (
                WatchCreateRequest {
                    watch_id: 7,
                    ..prefix("b")
                },
                "mvcc: duplicate watch ID provided on the WatchStream",
            ),
            (key("b", "a"), "mvcc: watcher range is empty"),
            (key("b", "b"), "mvcc: watcher range is empty"),
        ] {
            let refused = stream.create(request).await;
            assert_eq!((refused.watch_id, refused.canceled), (-1, true), "{reason}");
            assert_eq!(refused.cancel_reason, reason);
        }
    });
}

#[test]
fn events_come_in_order_with_filters_and_previous_pairs_as_asked() {
    with_server(&[], async |client| {
        let mut all = Stream::open(client);
        let mut puts = Stream::open(client);
        let mut deletes = Stream::open(client);
        let mut before = Stream::open(client);
        let filtered = |filter: FilterType| WatchCreateRequest {
            filters: vec![filter.into()],
            ..prefix("k")
        };
        all.create(prefix("k")).await;
        puts.create(filtered(FilterType::Nodelete)).await;
        deletes.create(filtered(FilterType::Noput)).await;
        before
            .create(WatchCreateRequest {
                prev_kv: true,
                ..prefix("k")
            })
            .await;

        client.put("k1", "a").await;
        client.put("other", "x").await;
        client.put("k1", "b").await;
        let ops = [
            op_put(put("k2", "c")),
            op_put(put("k3", "d")),
            op_delete(delete("k1")),
        ];
        client.kv.txn(txn(ops)).await.unwrap();

        let everything = ["2 k1=a", "4 k1=b", "5 k2=c", "5 k3=d", "5 k1 gone"];
        assert_eq!(show(&all.events(0, 5).await), everything);
        assert_eq!(show(&puts.events(0, 4).await), everything[..4]);
        assert_eq!(show(&deletes.events(0, 1).await), everything[4..]);
        let with_previous = [
            "2 k1=a",
            "4 k1=b was a",
            "5 k2=c",
            "5 k3=d",
            "5 k1 gone was b",
        ];
        assert_eq!(show(&before.events(0, 5).await), with_previous);

        // From a revision of the past, the same again; a transaction stays in one response.
        let mut past = Stream::open(client);
        past.create(WatchCreateRequest {
            start_revision: 4,
            ..prefix("k")
        })
        .await;
        assert_eq!(show(&past.events(0, 4).await), everything[1..]);
        // From the future, nothing until then.
        let mut future = Stream::open(client);
        future
            .create(WatchCreateRequest {
                start_revision: 8,
                ..prefix("k")
            })
            .await;
        for value in ["e", "f", "g"] {
            client.put("k9", value).await;
        }
        assert_eq!(show(&future.events(0, 1).await), ["8 k9=g"]);
    });
}

#[test]
fn an_empty_key_means_the_first_one_and_a_zero_byte_as_end_means_all_from_there() {
    with_server(&[], async |client| {
        let mut stream = Stream::open(client);
        let all = WatchCreateRequest {
            range_end: Bytes::from_static(b"\0"),
            ..WatchCreateRequest::default()
        };
        stream.create(all).await;
        client.put("anything", "1").await;
        assert_eq!(show(&stream.events(0, 1).await), ["2 anything=1"]);
    });
}

#[test]
fn a_watcher_from_before_the_compaction_is_told_so_after_its_creation() {
    with_server(&[], async |client| {
        for value in ["1", "2", "3", "4"] {
            client.put("k", value).await;
        }
        let compaction = CompactionRequest {
            revision: 4,
            physical: true,
        };
        client.kv.compact(compaction).await.unwrap();
        let mut stream = Stream::open(client);
        let created = stream
            .create(WatchCreateRequest {
                start_revision: 3,
                ..prefix("k")
            })
            .await;
        assert!(!created.canceled);
        let canceled = stream.next().await;
        assert_eq!((canceled.watch_id, canceled.canceled), (0, true));
        assert_eq!(
            (canceled.compact_revision, canceled.cancel_reason.as_str()),
            (4, "")
        );
        assert_eq!(revision(canceled.header), 0);
        // The compacted revision itself can still be watched.
        let mut stream = Stream::open(client);
        stream
            .create(WatchCreateRequest {
                start_revision: 4,
                ..prefix("k")
            })
            .await;
        assert_eq!(show(&stream.events(0, 2).await), ["4 k=3", "5 k=4"]);
    });
}

#[test]
fn a_cancelled_watcher_is_answered_once_and_hears_nothing_more() {
    with_server(&[], async |client| {
        let mut stream = Stream::open(client);
        stream.create(prefix("a")).await;
        stream.create(prefix("b")).await;
        stream.cancel(99).await;
        stream.cancel(0).await;
        let canceled = stream.next().await;
        assert_eq!(
            (canceled.watch_id, canceled.canceled, canceled.created),
            (0, true, false)
        );
        assert_eq!(canceled.cancel_reason, "");
        client.put("a", "1").await;
        client.put("b", "1").await;
        assert_eq!(show(&stream.events(1, 1).await), ["3 b=1"]);
    });
}

#[test]
fn a_client_that_closed_its_side_still_hears() {
    with_server(&[], async |client| {
        let mut stream = Stream::open(client);
        stream.create(prefix("k")).await;
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut stream.requests, closed));
        client.put("k", "1").await;
        client.put("k", "2").await;
        assert_eq!(show(&stream.events(0, 2).await), ["2 k=1", "3 k=2"]);
    });
}

#[test]
fn progress_is_answered_for_the_stream_behind_its_events() {
    with_server(&[], async |client| {
        let mut stream = Stream::open(client);
        stream.create(prefix("k")).await;
        client.put("k", "1").await;
        assert_eq!(show(&stream.events(0, 1).await), ["2 k=1"]);
        client.put("elsewhere", "1").await;
        stream
            .ask(RequestUnion::ProgressRequest(WatchProgressRequest {}))
            .await;
        let progress = stream.next().await;
        assert_eq!((progress.watch_id, progress.events.len()), (-1, 0));
        assert_eq!(revision(progress.header), 3);
    });
}

#[test]
fn idle_watchers_that_asked_for_it_hear_of_progress() {
    let flag = "--experimental-watch-progress-notify-interval=300ms";
    with_server(&[flag], async |client| {
        let mut stream = Stream::open(client);
        stream
            .create(WatchCreateRequest {
                progress_notify: true,
                ..prefix("k")
            })
            .await;
        client.put("elsewhere", "1").await;
        // Earlier answers may still show the revision before the put.
        loop {
            let progress = stream.next().await;
            assert_eq!(
                (progress.watch_id, progress.created, progress.canceled),
                (0, false, false)
            );
            assert!(progress.events.is_empty());
            if revision(progress.header) == 2 {
                break;
            }
        }
    });
}

#[test]
fn large_answers_are_split_for_those_who_ask() {
    const LIMIT: usize = (3 << 19) + (512 << 10);
    with_server(&[], async |client| {
        for n in 0..6 {
            let value = vec![b'x'; 700_000].into();
            let request = PutRequest {
                value,
                ..put(&format!("k{n}"), "")
            };
            client.kv.put(request).await.unwrap();
        }
        let mut stream = Stream::open(client);
        let request = WatchCreateRequest {
            start_revision: 2,
            fragment: true,
            ..prefix("k")
        };
        stream.create(request).await;
        let mut keys = Vec::new();
        while keys.len() < 6 {
            let response = stream.next().await;
            assert!(response.encoded_len() < LIMIT, "{}", response.encoded_len());
            assert!(!response.events.is_empty());
            keys.extend(response.events.into_iter().map(|e| e.kv.unwrap().key));
            // The last piece of an answer says that it is the last.
            assert!(!(response.fragment && keys.len() == 6));
        }
        assert_eq!(keys, ["k0", "k1", "k2", "k3", "k4", "k5"]);
    });
}
