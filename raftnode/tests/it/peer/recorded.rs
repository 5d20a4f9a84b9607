//! The traffic of real clusters: everything their members say to each other decodes with our codecs and,
//! encoded again, is what they said.
//!
//! Three members talk through links that record. While they do, values from nothing to half a mebibyte
//! are put through a follower and the leader, one member is killed and comes back so far behind that it
//! is sent a snapshot, and the leader is killed.
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{Message, MessageType};
use varve_raftnode::{AppendDecoder, AppendEncoder, Frame, MessageDecoder, Output};

use super::etcd::{Etcd, Release, ask, free_address, put, put_many, releases};
use super::proxy::{Conversation, Proxy};

/// What was found in a recording.
#[derive(Debug, Default)]
struct Found {
    appends: usize,
    /// Of those, the ones in short form.
    short_appends: usize,
    messages: usize,
    heartbeats: usize,
    posts: usize,
    snapshots: usize,
    /// By the numbers of their types.
    kinds: std::collections::BTreeSet<i32>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_real_members_say_comes_back_from_our_codecs_byte_for_byte() {
    for release in releases() {
        let conversations = record(&release).await;
        let mut found = Found::default();
        for conversation in &conversations {
            read(conversation, &release, &mut found);
        }
        println!(
            "etcd {}: {} connections, {found:?}",
            release.version,
            conversations.len()
        );
        assert!(
            found.appends > 300 && found.short_appends > 200,
            "{found:?}"
        );
        assert!(found.messages > 300 && found.heartbeats > 10, "{found:?}");
        assert!(found.snapshots >= 1, "{found:?}");
        use MessageType::*;
        let kinds = [
            MsgProp,
            MsgApp,
            MsgAppResp,
            MsgHeartbeat,
            MsgHeartbeatResp,
            MsgSnap,
        ];
        let votes = [
            MsgPreVote,
            MsgPreVoteResp,
            MsgVote,
            MsgVoteResp,
            MsgReadIndex,
            MsgReadIndexResp,
        ];
        for kind in kinds.into_iter().chain(votes) {
            assert!(
                found.kinds.contains(&kind.into()),
                "no {kind:?} in {found:?}"
            );
        }
    }
}

async fn record(release: &Release) -> Vec<Conversation> {
    let names = ["one", "two", "three"];
    let real: Vec<_> = names.iter().map(|_| free_address()).collect();
    let links: Vec<Proxy> = real.iter().map(|&address| Proxy::new(address)).collect();
    links.iter().for_each(Proxy::record);
    let cluster: Vec<String> = names
        .iter()
        .zip(&links)
        .map(|(name, link)| format!("{name}={}", link.url()))
        .collect();
    let cluster = cluster.join(",");
    // Snapshots soon: 3.6 can also forget entries soon, 3.5 keeps 5,000 of them.
    let is_3_6 = release.version.starts_with("3.6");
    let more: &[&str] = if is_3_6 {
        &["--snapshot-count", "50", "--snapshot-catchup-entries", "50"]
    } else {
        &["--snapshot-count", "50"]
    };
    let mut members: Vec<Etcd> = (0..3)
        .map(|i| Etcd::start(release, names[i], real[i], &links[i].url(), &cluster, more))
        .collect();

    for len in [0, 10, 1000, 500 << 10] {
        for member in &members {
            put(member, &format!("key/{len}"), len).await;
            // A read through every member: the followers ask the leader.
            let json = serde_json::json!({ "key": super::etcd::base64(b"key/10") });
            ask(&member.client_url, Method::POST, "/v3/kv/range", json).await;
        }
    }
    let leader = leader(&members).await;
    let behind = (leader + 1) % 3;
    members[behind].kill();
    put_many(&members[leader], if is_3_6 { 400 } else { 5_300 }).await;
    members[behind].restart();
    put(&members[behind], "back", 100).await;
    // Another leader is elected among those that are left.
    members[leader].kill();
    put(&members[behind], "new leader", 100).await;
    put_many(&members[behind], 100).await;
    for member in &members {
        member.assert_content();
    }
    links.iter().flat_map(Proxy::conversations).collect()
}

/// The place of the leader in the list.
async fn leader(members: &[Etcd]) -> usize {
    let status = |member: &Etcd| {
        let url = member.client_url.clone();
        async move {
            ask(
                &url,
                Method::POST,
                "/v3/maintenance/status",
                serde_json::json!({}),
            )
            .await
        }
    };
    let leader: Value = status(&members[0]).await["leader"].clone();
    for (place, member) in members.iter().enumerate() {
        if status(member).await["header"]["member_id"] == leader {
            return place;
        }
    }
    panic!("nobody leads");
}

/// One HTTP message of a recording.
struct Http<'c> {
    first_line: &'c str,
    body: Vec<u8>,
    /// Whether the body is all there: a recording ends somewhere, and so do connections.
    whole: bool,
}

/// Takes the first message off; `None` when even its head is not all there.
fn http<'c>(bytes: &mut &'c [u8], has_body: impl Fn(&str) -> bool) -> Option<Http<'c>> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    *bytes = &bytes[end + 4..];
    let (first_line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let header = |name: &str| {
        let mut headers = headers
            .split("\r\n")
            .filter_map(|line| line.split_once(": "));
        headers
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    };
    let (mut body, mut whole) = (Vec::new(), true);
    if header("transfer-encoding") == Some("chunked") {
        whole = chunks(bytes, &mut body);
    } else if has_body(first_line) {
        let len: usize = header("content-length").map_or(0, |len| len.parse().unwrap());
        whole = len <= bytes.len();
        let (taken, rest) = bytes.split_at(len.min(bytes.len()));
        body.extend_from_slice(taken);
        *bytes = rest;
    }
    Some(Http {
        first_line,
        body,
        whole,
    })
}

/// Takes chunks off until the last; false when that is not there.
fn chunks(bytes: &mut &[u8], body: &mut Vec<u8>) -> bool {
    loop {
        let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") else {
            return false;
        };
        let len = std::str::from_utf8(&bytes[..end]).unwrap();
        let len = usize::from_str_radix(len, 16).unwrap();
        let rest = &bytes[end + 2..];
        let taken = len.min(rest.len());
        body.extend_from_slice(&rest[..taken]);
        if rest.len() < len + 2 {
            *bytes = &[];
            return false;
        }
        *bytes = &rest[len + 2..];
        if len == 0 {
            return true;
        }
    }
}

fn read(conversation: &Conversation, release: &Release, found: &mut Found) {
    let (mut requests, mut answers) = (&conversation.to_target[..], &conversation.from_target[..]);
    while let Some(request) = http(&mut requests, |_| true) {
        let Some(answer) = http(&mut answers, |line| !line.contains(" 204 ")) else {
            return;
        };
        let ok = answer.first_line.contains(" 200 ");
        if request.first_line.starts_with("GET /raft/stream/msgapp/") && ok {
            let ids = stream_ids(request.first_line);
            appends(&answer.body, ids, release, found);
        } else if request.first_line.starts_with("GET /raft/stream/message/") && ok {
            messages(&answer.body, release, found);
        } else if request.first_line.starts_with("POST /raft ") && request.whole {
            let message = Message::decode(&request.body[..]).unwrap();
            assert_eq!(said(&message, release), request.body);
            found.kinds.insert(message.r#type);
            found.posts += 1;
        } else if request.first_line.starts_with("POST /raft/snapshot ") && request.whole {
            snapshot(&request.body, release, found);
        }
    }
}

fn stream_ids(first_line: &str) -> u64 {
    let path = first_line.split(' ').nth(1).unwrap();
    u64::from_str_radix(path.rsplit('/').next().unwrap(), 16).unwrap()
}

/// Our encoding without the field that 3.5 does not have (vote, the last one).
fn said(message: &Message, release: &Release) -> Vec<u8> {
    let mut bytes = message.encode_to_vec();
    if release.version.starts_with("3.5") {
        assert!(bytes.ends_with(&[0x68, 0]));
        bytes.truncate(bytes.len() - 2);
    }
    bytes
}

fn framed(message: &Message, release: &Release) -> Vec<u8> {
    let body = said(message, release);
    [&(body.len() as u64).to_be_bytes()[..], &body].concat()
}

/// Pieces of many lengths, as sockets give them.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = Bytes> {
    let mut lengths = [1, 7, 64, 1500, 16 << 10].into_iter().cycle();
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = lengths.next()?.min(rest.len());
        let (piece, after) = rest.split_at(len);
        rest = after;
        (len > 0).then(|| Bytes::copy_from_slice(piece))
    })
}

fn appends(body: &[u8], dialler: u64, release: &Release, found: &mut Found) {
    // Whoever dialled receives; who sends is not in the short form, and does not matter here.
    let mut decoder = AppendDecoder::new(dialler, 1);
    let mut encoder = AppendEncoder::default();
    let mut again = Vec::new();
    for piece in pieces(body) {
        decoder.push(piece);
        while let Some(frame) = decoder.decode().unwrap() {
            let Frame::Message(message) = frame else {
                found.heartbeats += 1;
                again.push(0);
                continue;
            };
            found.kinds.insert(message.r#type);
            found.appends += 1;
            let mut out = Output::default();
            encoder.encode(&message, &mut out);
            let encoded = std::iter::from_fn(|| out.pop())
                .collect::<Vec<_>>()
                .concat();
            if encoded[0] == 1 {
                found.short_appends += 1;
                again.extend(encoded);
            } else {
                again.push(2);
                again.extend(framed(&message, release));
            }
        }
    }
    // The last frame may be cut off.
    assert!(
        body.starts_with(&again),
        "an append stream differs after {} bytes",
        again.len()
    );
    assert!(body.len() - again.len() < 2 << 20);
}

fn messages(body: &[u8], release: &Release, found: &mut Found) {
    let mut decoder = MessageDecoder::default();
    let mut again = Vec::new();
    for piece in pieces(body) {
        decoder.push(piece);
        while let Some(message) = decoder.decode_message().unwrap() {
            again.extend(framed(&message, release));
            if message.from == 0 {
                assert_eq!(message.r#type, i32::from(MessageType::MsgHeartbeat));
                found.heartbeats += 1;
            } else {
                found.kinds.insert(message.r#type);
                found.messages += 1;
            }
        }
    }
    assert!(
        body.starts_with(&again),
        "a message stream differs after {} bytes",
        again.len()
    );
    assert!(body.len() - again.len() < 2 << 20);
}

fn snapshot(body: &[u8], release: &Release, found: &mut Found) {
    let len = usize::try_from(u64::from_be_bytes(body[..8].try_into().unwrap())).unwrap();
    let (message, database) = body[8..].split_at(len);
    let decoded = Message::decode(message).unwrap();
    assert_eq!(said(&decoded, release), message);
    assert_eq!(decoded.r#type, i32::from(MessageType::MsgSnap));
    assert!(decoded.snapshot.unwrap().metadata.index > 0);
    // bbolt's magic number behind the page's head.
    assert_eq!(database[16..20], 0xED0C_DAED_u32.to_le_bytes());
    assert_eq!(database.len() % 4096, 0);
    found.kinds.insert(decoded.r#type);
    found.snapshots += 1;
}
