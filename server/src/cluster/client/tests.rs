//! Properties of requests to members.
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Answers one connection with `answer` and returns what was asked.
async fn serve(listener: TcpListener, answer: &'static [u8]) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = vec![0; 4096];
    let n = stream.read(&mut asked).await.unwrap();
    asked.truncate(n);
    stream.write_all(answer).await.unwrap();
    asked
}

fn client() -> PeerClient {
    let timings = varve_raftnode::PeerTimings::new(Duration::from_secs(1));
    PeerClient::new(varve_raftnode::PeerClient::new(None, timings))
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn an_answer_arrives_whole_with_status_and_headers() {
    let (listener, url) = listen().await;
    let client = client();
    let answer = b"HTTP/1.1 412 Precondition Failed\r\nX-Etcd-Cluster-ID: ab\r\nContent-Length: 4\r\n\r\nno!\n";
    let asking = client.get(&url, "/members", Duration::from_mins(1));
    let (asked, answer) = tokio::join!(serve(listener, answer), asking);
    let answer = answer.unwrap();
    assert!(asked.starts_with(b"GET /members HTTP/1.1\r\n"));
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(answer.header("x-etcd-cluster-id"), Some("ab"));
    assert_eq!(answer.text(), "no!");
}

#[tokio::test]
async fn nobody_there_a_silent_peer_and_a_broken_answer_are_errors() {
    let client = client();
    let (listener, url) = listen().await;
    let silent = client.get(&url, "/", Duration::from_millis(1)).await;
    assert!(matches!(silent, Err(PeerError::NoAnswer(_))), "{silent:?}");
    drop(listener);
    let gone = client.get(&url, "/", Duration::from_mins(1)).await;
    assert!(matches!(gone, Err(PeerError::NoAnswer(_))), "{gone:?}");
    let (listener, url) = listen().await;
    let asking = client.get(&url, "/", Duration::from_mins(1));
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let (_, broken) = tokio::join!(serve(listener, half), asking);
    assert!(broken.is_err());
    let bad = client.get("tcp://x:1", "/", Duration::from_mins(1)).await;
    assert!(bad.is_err());
}
