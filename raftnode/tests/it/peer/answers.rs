//! What every kind of request is answered: by ours as the protocol says, by real members the same.
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{Message, MessageType};
use varve_raftnode::{PeerClient, PeerTimings, ReceiveError};

use super::etcd::{Etcd, ask, free_address, id, releases};
use super::member::{Member, Options, message};
use super::snapshots::snapshot;

const STRANGER: u64 = 0x5555;
/// Of an answer; the others say nothing about the protocol.
const HEADERS: [&str; 5] = [
    "allow",
    "content-type",
    "x-content-type-options",
    "x-etcd-cluster-id",
    "x-server-version",
];

/// Who is asked, and who a peer of its is.
#[derive(Clone, Debug)]
struct Asked {
    url: String,
    local: u64,
    peer: u64,
    cluster: u64,
}

/// A question; `with` changes the headers that every member sends.
struct Case {
    name: &'static str,
    method: Method,
    path: String,
    with: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn case(name: &'static str, method: Method, path: impl Into<String>) -> Case {
    Case {
        name,
        method,
        path: path.into(),
        with: vec![],
        body: vec![],
    }
}

impl Case {
    fn with(mut self, header: &'static str, value: impl ToString) -> Self {
        self.with.push((header, value.to_string()));
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

fn framed(message: &Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    [&(body.len() as u64).to_be_bytes()[..], &body].concat()
}

fn cases(asked: &Asked) -> Vec<Case> {
    let (get, post) = (|| Method::GET, || Method::POST);
    let to_us = message(MessageType::MsgHeartbeatResp, STRANGER, asked.local);
    let to_nobody = message(MessageType::MsgHeartbeatResp, STRANGER, 0x77);
    let stream = format!("/raft/stream/msgapp/{:x}", asked.peer);
    vec![
        case("a message by GET", get(), "/raft"),
        case("no headers", post(), "/raft").with("x-server-version", ""),
        case("an old release", post(), "/raft").with("x-server-version", "2.3.8"),
        case("a release that wants newer ones", post(), "/raft")
            .with("x-min-cluster-version", "9.0.0"),
        case("another cluster", post(), "/raft").with("x-etcd-cluster-id", "1234"),
        case("no cluster", post(), "/raft").with("x-etcd-cluster-id", ""),
        case("a newer release, and no message", post(), "/raft")
            .with("x-server-version", "3.9.0")
            .body(*b"\xff\xff"),
        case("a message for another", post(), "/raft").body(to_nobody.encode_to_vec()),
        case("a message", post(), "/raft").body(to_us.encode_to_vec()),
        case("a stream by POST", post(), stream.clone()),
        case("a stream of another cluster", get(), stream.clone()).with("x-etcd-cluster-id", "1"),
        case("a stream of an old release", get(), stream.clone()).with("x-server-version", ""),
        case(
            "a stream of another kind",
            get(),
            format!("/raft/stream/other/{:x}", asked.peer),
        ),
        case(
            "a stream of the first kind",
            get(),
            format!("/raft/stream/{:x}", asked.peer),
        ),
        case("a stream with a slash", get(), format!("{stream}/")),
        case("a stream for no id", get(), "/raft/stream/message/xyz"),
        case("a stream for a signed id", get(), "/raft/stream/message/+1"),
        case(
            "a stream for a stranger",
            get(),
            format!("/raft/stream/message/{STRANGER:x}"),
        ),
        case("a stream of another member", get(), stream.clone()).with("x-raft-to", "77"),
        case("a stream of nobody", get(), stream).with("x-raft-to", ""),
        case("a snapshot by GET", get(), "/raft/snapshot"),
        case("a snapshot of another cluster", post(), "/raft/snapshot")
            .with("x-etcd-cluster-id", "1"),
        case("a snapshot that is none", post(), "/raft/snapshot")
            .body(*b"\0\0\0\0\0\0\0\x02\xff\xff"),
        case("a snapshot that ends early", post(), "/raft/snapshot")
            .body(*b"\0\0\0\0\0\0\0\x09\x08"),
        case(
            "a snapshot that is another message",
            post(),
            "/raft/snapshot",
        )
        .body(framed(&to_us)),
        case("a snapshot for another", post(), "/raft/snapshot")
            .body([framed(&snapshot(STRANGER, 0x77)), vec![7; 100]].concat()),
        case("nothing under raft", get(), "/raft/"),
        case("nothing there", get(), "/raft/other"),
        case("a probe", get(), "/raft/probing"),
        case("a probe by POST", post(), "/raft/probing"),
    ]
}

/// Asks all of it; one line for each answer.
async fn answers(asked: &Asked) -> Vec<String> {
    let client = PeerClient::new(None, PeerTimings::new(Duration::from_secs(1)));
    let mut lines = Vec::new();
    for case in cases(asked) {
        let mut request = Request::new(Bytes::from(case.body));
        *request.method_mut() = case.method;
        *request.uri_mut() = case.path.parse().unwrap();
        let headers = request.headers_mut();
        let defaults = [
            ("x-server-from", format!("{STRANGER:x}")),
            ("x-server-version", "3.5.1".to_owned()),
            ("x-min-cluster-version", "3.0.0".to_owned()),
            ("x-etcd-cluster-id", format!("{:x}", asked.cluster)),
            ("x-raft-to", format!("{:x}", asked.local)),
        ];
        for (header, value) in defaults.into_iter().chain(case.with) {
            headers.insert(header, value.parse().unwrap());
            if value.is_empty() {
                headers.remove(header);
            }
        }
        let answer = client
            .request(
                std::slice::from_ref(&asked.url),
                request,
                Duration::from_secs(30),
            )
            .await
            .unwrap();
        let headers: Vec<String> = HEADERS
            .iter()
            .filter_map(|name| {
                Some(format!(
                    "{name}={}",
                    answer.headers().get(*name)?.to_str().ok()?
                ))
            })
            .collect();
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        // Reasons in brackets are each one's own words, and so is the time of a probe.
        let body = body.split(['(', ',']).next().unwrap_or_default().to_owned();
        let ours = format!(
            "{} {} {body:?} {}",
            case.name,
            answer.status().as_u16(),
            headers.join(" ")
        );
        lines.push(ours);
    }
    lines
}

async fn ours(options: Options, peer: u64) -> (Member, Asked) {
    let cluster = options.cluster;
    let member = Member::with(options).await;
    member.add_at(peer, "http://127.0.0.1:1");
    let asked = Asked {
        url: member.url.clone(),
        local: member.id,
        peer,
        cluster,
    };
    (member, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_as_the_protocol_says() {
    let (member, asked) = ours(Options::new(0xa1), 0xb2).await;
    let refuse = ReceiveError::NotForUs;
    let signed = "x-etcd-cluster-id=cdf818194e3a8c32";
    let text = "content-type=text/plain; charset=utf-8 x-content-type-options=nosniff";
    let version = "x-server-version=3.5.1";
    // The host judges where a message belongs.
    *member.host.refuse.lock() = Some(refuse);
    let lines = answers(&asked).await;
    let expected = |name: &str, rest: String| {
        let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(*line, format!("{name} {rest}"));
    };
    expected(
        "a message by GET",
        format!("405 \"Method Not Allowed\\n\" allow=POST {text}"),
    );
    expected(
        "no headers",
        format!("412 \"incompatible version\\n\" {text} {signed}"),
    );
    expected(
        "another cluster",
        format!("412 \"cluster ID mismatch\\n\" {text} {signed}"),
    );
    expected(
        "a newer release, and no message",
        format!("400 \"error unmarshalling raft message\\n\" {text} {signed}"),
    );
    expected(
        "a message for another",
        format!(
            "403 \"{{\\\"message\\\":\\\"cannot process message to mismatch member\\\"}}\" content-type=application/json {signed}"
        ),
    );
    expected(
        "a stream by POST",
        format!("405 \"Method Not Allowed\\n\" allow=GET {text}"),
    );
    expected(
        "a stream of another kind",
        format!("404 \"invalid path\\n\" {text} {signed} {version}"),
    );
    expected(
        "a stream for no id",
        format!("404 \"invalid from\\n\" {text} {signed} {version}"),
    );
    expected(
        "a stream for a stranger",
        format!("404 \"error sender not found\\n\" {text} {signed} {version}"),
    );
    expected(
        "a stream of another member",
        format!("412 \"to field mismatch\\n\" {text} {signed} {version}"),
    );
    expected(
        "a snapshot that is another message",
        format!("400 \"wrong raft message type\\n\" {text} {signed}"),
    );
    expected(
        "a snapshot that is none",
        format!("400 \"failed to decode raft message \" {text} {signed}"),
    );
    expected(
        "a probe",
        "200 \"{\\\"OK\\\":true\" content-type=text/plain; charset=utf-8".to_owned(),
    );
    *member.host.refuse.lock() = None;
    let lines = answers(&asked).await;
    let line = lines
        .iter()
        .find(|line| line.starts_with("a message 2"))
        .unwrap();
    assert_eq!(*line, format!("a message 204 \"\" {signed}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_members_answer_every_request_as_ours_do() {
    for release in releases() {
        // Of two members one runs: the other is known, and not there.
        let (one, two) = (free_address(), free_address());
        let (one_url, two_url) = (format!("http://{one}"), format!("http://{two}"));
        let cluster = format!("one={one_url},two={two_url}");
        let etcd = Etcd::start(&release, "one", one, &one_url, &cluster, &[]);
        let members = ask(&one_url, Method::GET, "/members", serde_json::Value::Null).await;
        let with = |url: &str| {
            let members = members.as_array().unwrap().iter();
            id(members.clone().find(|m| m["peerURLs"][0] == *url).unwrap())
        };
        let (local, peer) = (with(&one_url), with(&two_url));
        let client = PeerClient::new(None, PeerTimings::new(Duration::from_secs(1)));
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = "/members".parse().unwrap();
        let answer = client
            .request(
                std::slice::from_ref(&one_url),
                request,
                Duration::from_secs(5),
            )
            .await
            .unwrap();
        let id = answer.headers()["x-etcd-cluster-id"].to_str().unwrap();
        let real = Asked {
            url: one_url,
            local,
            peer,
            cluster: u64::from_str_radix(id, 16).unwrap(),
        };
        let options = Options {
            cluster: real.cluster,
            version: release.version.to_owned(),
            ..Options::new(local)
        };
        let (member, asked) = ours(options, peer).await;
        let (theirs, mut found) = (answers(&real).await, answers(&asked).await);
        // What is for another is for the host to refuse, and releases do it differently: 3.5.1 takes it,
        // 3.6.5 fails, and 403 stands in between.
        for refusal in [ReceiveError::NotForUs, ReceiveError::Other("no".to_owned())] {
            *member.host.refuse.lock() = Some(refusal);
            let refused = answers(&asked).await;
            for ((line, refused), theirs) in found.iter_mut().zip(refused).zip(&theirs) {
                let for_another = ["a message for another", "a snapshot for another"];
                if for_another.iter().any(|name| line.starts_with(name)) && *theirs == refused {
                    *line = refused;
                }
            }
        }
        assert_eq!(theirs.len(), 30);
        for (theirs, ours) in theirs.iter().zip(&found) {
            assert_eq!(theirs, ours, "etcd {} and ours", release.version);
        }
        assert!(!etcd.log().contains("panic"), "{}", etcd.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_coming_is_given_up() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let read = Duration::from_millis(200);
    let (member, asked) = ours(
        Options {
            read,
            ..Options::new(0xa1)
        },
        0xb2,
    )
    .await;
    for (path, what) in [
        ("/raft", "error reading"),
        ("/raft/snapshot", "failed to decode"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(member.address)
            .await
            .unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-Server-Version: 3.5.1\r\n\
             X-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-Id: {:x}\r\n\r\nsome of it",
            asked.cluster
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let len = super::member::within(stream.read(&mut answer))
            .await
            .unwrap();
        let answer = String::from_utf8_lossy(&answer[..len]);
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains(what),
            "{answer}"
        );
    }
}
