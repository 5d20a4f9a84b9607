//! Both ways to write, on real sockets.
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

async fn pair() -> (DirectIo, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (far, near) = tokio::join!(TcpStream::connect(address), listener.accept());
    let near = near.unwrap().0;
    near.writable().await.unwrap();
    (DirectIo::new(near), far.unwrap())
}

fn write(socket: &DirectSocket, chunk: &'static [u8]) -> Direct {
    socket.write(|| Bytes::from_static(chunk))
}

#[tokio::test]
async fn the_way_past_http_is_open_only_between_a_flush_and_what_comes_next() {
    let (mut io, mut far) = pair().await;
    let socket = io.socket();
    let shut = || socket.write(|| unreachable!("nothing is encoded in vain"));
    assert_eq!(shut(), Direct::Refused, "HTTP has not begun");
    io.write_all(b"head,").await.unwrap();
    assert_eq!(shut(), Direct::Refused, "HTTP may have more");
    io.flush().await.unwrap();
    assert_eq!(write(&socket, b"one,"), Direct::Written);
    assert_eq!(write(&socket, b"two,"), Direct::Written);
    socket.hold();
    assert_eq!(shut(), Direct::Refused, "HTTP was given something");
    io.write_all(b"three,").await.unwrap();
    assert_eq!(shut(), Direct::Refused);
    io.flush().await.unwrap();
    assert_eq!(write(&socket, b"four."), Direct::Written);
    io.shutdown().await.unwrap();
    assert_eq!(shut(), Direct::Refused, "it is over");
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "head,one,two,three,four.");
}

/// Writes past HTTP until the socket takes no whole chunk any more.
#[tokio::test]
async fn the_rest_of_a_chunk_comes_before_anything_else() {
    let (mut io, mut far) = pair().await;
    let socket = io.socket();
    io.flush().await.unwrap();
    let chunk = |n: u8| Bytes::from(vec![n; 100_003]);
    let mut sent = Vec::new();
    let begun = (0..=u8::MAX).find(|n| {
        let outcome = socket.write(|| chunk(*n));
        if outcome != Direct::Refused {
            sent.extend_from_slice(&chunk(*n));
        }
        outcome == Direct::Begun
    });
    // Sockets take what they like; should this one end between two chunks, nothing is left over.
    if begun.is_some() {
        assert_eq!(write(&socket, b"later"), Direct::Refused);
        let early = tokio::time::timeout(Duration::from_millis(10), io.flush());
        early.await.expect_err("the socket is full");
    }
    sent.extend_from_slice(b"http");
    let writing = async {
        io.write_all(b"http").await.unwrap();
        io.flush().await.unwrap();
        // Until the socket is known to take more.
        while write(&socket, b"last") != Direct::Written {
            tokio::task::yield_now().await;
        }
        drop(io);
    };
    let mut got = Vec::new();
    let (read, ()) = tokio::join!(far.read_to_end(&mut got), writing);
    read.unwrap();
    sent.extend_from_slice(b"last");
    assert!(got == sent, "{} bytes of {}", got.len(), sent.len());
    assert_eq!(write(&socket, b"gone"), Direct::Refused);
}
