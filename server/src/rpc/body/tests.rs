use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::*;
use crate::rpc::{Code, MessageBuilder, ResponseSink};

fn message(content: &[u8]) -> EncodedMessage {
    let mut builder = MessageBuilder::with_capacity(0);
    builder.push(Bytes::copy_from_slice(content));
    builder.finish()
}

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(test)
}

async fn all(mut body: ResponseBody) -> (Vec<Bytes>, HeaderMap) {
    let mut data = Vec::new();
    loop {
        let frame = body.frame().await.unwrap().unwrap();
        match frame.into_data() {
            Ok(piece) => data.push(piece),
            Err(frame) => {
                assert!(
                    body.frame().await.is_none(),
                    "something follows the trailers"
                );
                return (data, frame.into_trailers().unwrap());
            }
        }
    }
}

#[test]
fn a_unary_body_is_its_pieces_and_trailers() {
    run(async {
        let tail = vec![Bytes::from_static(b"b"), Bytes::from_static(b"c")];
        let (data, trailers) = all(ResponseBody::unary(Bytes::from_static(b"a"), tail)).await;
        assert_eq!(data, ["a", "b", "c"]);
        assert_eq!(trailers["grpc-status"], "0");
        assert!(ResponseBody::empty().is_end_stream());
    });
}

#[test]
fn a_stream_gives_everything_sent_before_its_handler_ended() {
    run(async {
        let (sink, receiver) = ResponseSink::new();
        let kept = sink.clone();
        let handler = tokio::spawn(async move {
            for content in [b"1", b"2", b"3"] {
                sink.send(message(content)).await?;
            }
            Err(Status::new(Code::OutOfRange, "enough"))
        });
        let (data, trailers) = all(ResponseBody::streaming(receiver, handler)).await;
        let whole: Vec<u8> = data.concat();
        let wanted = [b"1", b"2", b"3"].map(|content| [&[0, 0, 0, 0, 1][..], content].concat());
        assert_eq!(whole, wanted.concat());
        assert_eq!(trailers["grpc-status"], "11");
        assert_eq!(trailers["grpc-message"], "enough");
        // A sink that outlives the handler sends no more.
        assert!(kept.send(message(b"4")).await.is_err());
    });
}

#[test]
fn waiting_messages_share_a_frame_up_to_its_size() {
    run(async {
        let (sink, receiver) = ResponseSink::new();
        for size in [10, 10, GATHER_BYTES, 10, 10] {
            sink.send(message(&vec![0; size])).await.unwrap();
        }
        drop(sink);
        let handler = tokio::spawn(async { Ok(()) });
        let (data, _) = all(ResponseBody::streaming(receiver, handler)).await;
        let sizes: Vec<usize> = data.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [35, GATHER_BYTES, 30]);
    });
}

#[test]
fn dropping_the_body_ends_the_handler() {
    struct Signal(Option<oneshot::Sender<()>>);
    impl Drop for Signal {
        fn drop(&mut self) {
            self.0.take().unwrap().send(()).unwrap();
        }
    }
    run(async {
        let (dropped, was_dropped) = oneshot::channel();
        let signal = Signal(Some(dropped));
        let (sink, receiver) = ResponseSink::new();
        let handler = tokio::spawn(async move {
            let _signal = signal;
            std::future::pending().await
        });
        drop(ResponseBody::streaming(receiver, handler));
        was_dropped.await.unwrap();
        sink.closed().await;
    });
}

#[test]
fn a_full_sink_gives_the_message_back() {
    let (sink, receiver) = ResponseSink::new();
    while sink.try_send(message(b"x")).is_ok() {}
    let refused = sink.try_send(message(b"y"));
    assert!(
        matches!(refused, Err(crate::rpc::TrySendError::Full(_))),
        "{refused:?}"
    );
    drop(receiver);
    let refused = sink.try_send(message(b"y"));
    assert!(
        matches!(refused, Err(crate::rpc::TrySendError::Closed)),
        "{refused:?}"
    );
}
