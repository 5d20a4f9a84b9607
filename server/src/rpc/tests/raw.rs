//! What no client library sends, and what of the answers none of them shows.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use varve_proto::etcdserverpb::{PutRequest, PutResponse};
use varve_proto::prost::Message;

use super::toy::{self, HANG, Served, run};
use crate::rpc::{ConnOptions, EncodedMessage, Peer};

/// Connects over a pipe in memory: any byte stream will do.
async fn connect(served: &Served) -> SendRequest<Full<Bytes>> {
    let (client, server) = tokio::io::duplex(1 << 16);
    let endpoint = Arc::clone(&served.endpoint);
    let stop = served.stop.subscribe();
    tokio::spawn(endpoint.serve_connection(server, Peer::default(), stop));
    let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(client))
        .await
        .unwrap();
    tokio::spawn(connection);
    send
}

fn request(path: &str) -> http::request::Builder {
    Request::post(format!("http://toy{path}"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
}

fn framed(message: &impl Message) -> Full<Bytes> {
    let (head, tail) = EncodedMessage::encode(message).into_segments().unwrap();
    assert!(tail.is_empty());
    Full::from(head)
}

fn put() -> Full<Bytes> {
    framed(&PutRequest {
        key: "k".into(),
        ..PutRequest::default()
    })
}

/// Status, headers, data and trailers of the answer.
async fn ask(
    served: &Served,
    request: Request<Full<Bytes>>,
) -> (StatusCode, HeaderMap, Bytes, Option<HeaderMap>) {
    let mut send = connect(served).await;
    let response = send.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    (parts.status, parts.headers, body.to_bytes(), trailers)
}

fn with_server(test: impl AsyncFnOnce(Served)) {
    run(async { test(toy::serve(ConnOptions::default()).await).await });
}

#[test]
fn a_good_answer_has_its_status_in_the_trailers() {
    with_server(async |served| {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
        ] {
            let mut request = request("/etcdserverpb.KV/Put").body(put()).unwrap();
            request
                .headers_mut()
                .insert("content-type", content_type.parse().unwrap());
            let (status, headers, data, trailers) = ask(&served, request).await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(headers.len(), 1, "{headers:?}");
            assert_eq!(headers["content-type"], "application/grpc");
            assert_eq!(data[0], 0);
            assert_eq!(
                PutResponse::decode(&data[5..])
                    .unwrap()
                    .header
                    .unwrap()
                    .revision,
                7
            );
            assert_eq!(trailers.unwrap()["grpc-status"], "0");
        }
    });
}

/// Without data an answer is headers alone.
#[test]
fn a_refusal_has_its_status_in_the_headers() {
    with_server(async |served| {
        let refused = async |request| {
            let (status, headers, data, trailers) = ask(&served, request).await;
            assert!(data.is_empty() && trailers.is_none());
            let field = |name: &str| headers[name].to_str().unwrap().to_owned();
            (status.as_u16(), field("grpc-status"), field("grpc-message"))
        };
        let unknown = |text: &str| (200, "12".to_owned(), text.to_owned());
        assert_eq!(
            refused(request("/etcdserverpb.KV/Foo").body(put()).unwrap()).await,
            unknown("unknown method Foo for service etcdserverpb.KV")
        );
        assert_eq!(
            refused(request("/a.B/C").body(put()).unwrap()).await,
            unknown("unknown service a.B")
        );
        let get = request("/etcdserverpb.KV/Put")
            .method("GET")
            .body(Full::default())
            .unwrap();
        let (status, code, _) = refused(get).await;
        assert_eq!((status, code.as_str()), (405, "13"));
        let timeout = request("/etcdserverpb.KV/Put")
            .header("grpc-timeout", "1")
            .body(put());
        let (status, _, text) = refused(timeout.unwrap()).await;
        assert_eq!(status, 400);
        assert_eq!(
            text,
            "malformed grpc-timeout: transport: timeout string is too short: \"1\""
        );
        let empty = request("/etcdserverpb.KV/Put")
            .body(Full::default())
            .unwrap();
        let (_, code, text) = refused(empty).await;
        assert_eq!(code, "13");
        assert!(text.contains("received no request message"), "{text}");
        let garbage = Full::from(vec![0, 0, 0, 0, 2, 0x0a, 9]);
        let (_, code, text) = refused(request("/etcdserverpb.KV/Put").body(garbage).unwrap()).await;
        assert_eq!(code, "13");
        assert!(
            text.starts_with("grpc: error unmarshalling request: "),
            "{text}"
        );
    });
}

#[test]
fn a_deadline_ends_a_call() {
    with_server(async |served| {
        for timeout in ["0n", "10m"] {
            let body = framed(&varve_proto::etcdserverpb::RangeRequest {
                key: HANG.into(),
                ..Default::default()
            });
            let request = request("/etcdserverpb.KV/Range")
                .header("grpc-timeout", timeout)
                .body(body);
            let (_, headers, ..) = ask(&served, request.unwrap()).await;
            assert_eq!(headers["grpc-status"], "4");
            assert_eq!(headers["grpc-message"], "context deadline exceeded");
        }
        // The second reached its handler and took it along.
        served.toy.dropped.notified().await;

        let request = request("/etcdserverpb.Watch/Watch").header("grpc-timeout", "10m");
        let (.., trailers) = ask(&served, request.body(Full::default()).unwrap()).await;
        assert_eq!(trailers.unwrap()["grpc-status"], "4");
    });
}

#[test]
fn what_is_not_grpc_goes_to_the_http_handler() {
    with_server(async |served| {
        let plain = Request::get("http://toy/health")
            .body(Full::default())
            .unwrap();
        let (status, _, data, _) = ask(&served, plain).await;
        assert_eq!(
            (status, &data[..]),
            (StatusCode::OK, &b"HTTP/2.0 /health"[..])
        );
        let web = request("/x").header("content-type", "application/grpc-web");
        let mut web = web.body(Full::default()).unwrap();
        web.headers_mut()
            .insert("content-type", "application/grpc-web".parse().unwrap());
        assert_eq!(&ask(&served, web).await.2[..], b"HTTP/2.0 /x");

        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let request = b"GET /version HTTP/1.1\r\nhost: toy\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("HTTP/1.1 /version"), "{answer}");
    });
}
