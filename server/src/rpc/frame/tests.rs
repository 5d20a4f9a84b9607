#![allow(clippy::indexing_slicing, reason = "a failed index fails the test")]

use std::convert::Infallible;

use http_body::Frame;
use http_body_util::StreamBody;
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1000;

type Chunks = Vec<Result<Frame<Bytes>, Infallible>>;

fn reader(
    chunks: Vec<Bytes>,
    encoding: Option<&'static str>,
) -> MessageReader<impl Body<Data = Bytes> + Unpin> {
    let mut headers = HeaderMap::new();
    if let Some(encoding) = encoding {
        headers.insert("grpc-encoding", http::HeaderValue::from_static(encoding));
    }
    let chunks: Chunks = chunks
        .into_iter()
        .map(|chunk| Ok(Frame::data(chunk)))
        .collect();
    MessageReader::new(
        StreamBody::new(futures_util::stream::iter(chunks)),
        &headers,
        LIMIT,
    )
}

/// Everything a body of these chunks gives, and how it ends.
fn read(chunks: Vec<Bytes>, encoding: Option<&'static str>) -> (Vec<Bytes>, Option<Status>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut reader = reader(chunks, encoding);
        let mut messages = Vec::new();
        loop {
            match reader.next().await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, None),
                Err(status) => {
                    assert_eq!(reader.next().await, Ok(None), "something follows an error");
                    return (messages, Some(status));
                }
            }
        }
    })
}

fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flags];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

proptest! {
    /// However the bytes are cut into chunks, the messages are the same.
    #[test]
    fn messages_do_not_depend_on_the_chunks(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let all: Vec<u8> = messages.iter().flat_map(|message| frame(0, message)).collect();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(all.len() + 1)).collect();
        ends.extend([0, all.len()]);
        ends.sort_unstable();
        let chunks =
            ends.windows(2).map(|ends| Bytes::copy_from_slice(&all[ends[0]..ends[1]])).collect();
        let (read, end) = read(chunks, None);
        prop_assert_eq!(end, None);
        prop_assert_eq!(read, messages);
    }
}

#[test]
fn a_body_cut_anywhere_is_an_unexpected_end() {
    let whole = frame(0, b"0123456789");
    for length in 1..whole.len() {
        let (messages, end) = read(vec![Bytes::copy_from_slice(&whole[..length])], None);
        assert_eq!(
            (messages.len(), end),
            (0, Some(Status::internal("unexpected EOF")))
        );
    }
}

#[test]
fn a_message_above_the_limit_is_refused_by_its_prefix() {
    let (_, end) = read(vec![frame(0, &[0; LIMIT])[..5].to_vec().into()], None);
    assert_eq!(
        end,
        Some(Status::internal("unexpected EOF")),
        "at the limit"
    );
    let (_, end) = read(vec![Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff])], None);
    let text = "grpc: received message larger than max (4294967295 vs. 1000)";
    assert_eq!(end, Some(Status::new(Code::ResourceExhausted, text)));
}

#[test]
fn compression_is_refused_in_grpc_gos_words() {
    let refusal = |flags, encoding| read(vec![frame(flags, b"x").into()], encoding).1.unwrap();
    let gzip = refusal(1, Some("gzip"));
    assert_eq!(gzip.code(), Code::Unimplemented);
    assert_eq!(
        gzip.message(),
        "grpc: Decompressor is not installed for grpc-encoding \"gzip\""
    );
    let none = refusal(1, None);
    assert_eq!(none.code(), Code::Internal);
    assert_eq!(
        none.message(),
        "grpc: compressed flag set with identity or empty encoding"
    );
    assert_eq!(
        refusal(7, None).message(),
        "grpc: received unexpected payload format 7"
    );
    // The encoding alone harms nothing.
    assert_eq!(read(vec![frame(0, b"x").into()], Some("gzip")).1, None);
}

#[test]
fn a_message_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from(frame(0, &[7; 100]));
    let (messages, _) = read(vec![chunk.clone()], None);
    assert_eq!(messages[0].as_ptr(), chunk[5..].as_ptr());
}

#[test]
fn a_unary_call_has_one_message() {
    let single = |chunks: Vec<Bytes>| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async { reader(chunks, None).single().await })
    };
    assert_eq!(single(vec![frame(0, b"x").into()]).unwrap(), "x");
    let none = single(vec![]).unwrap_err();
    assert!(
        none.message().contains("received no request message"),
        "{none}"
    );
    let two = single(vec![frame(0, b"x").into(), frame(0, b"y").into()]).unwrap_err();
    assert!(
        two.message().contains("received multiple request messages"),
        "{two}"
    );
}
