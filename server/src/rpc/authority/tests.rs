use super::*;

/// What etcdctl 3.4 sent for `endpoint status` to an etcd on port 44378, and the same with a legal
/// authority of the same length: recorded, then changed by hand in the two bytes that matter.
const SETTINGS: &str = "000000040000000000";
const SETTINGS_ACK: &str = "000000040100000000";
const STATUS: &str = "0000770104000000018386459760a924882d9dcb6571afa066a925a87510ac6e48d36a3f\
    41909d29aee30c044eae05c0b86e34d32ebd5f8b1d75d0620d263d4c4d65647a8b9acac8b4c7602bb2caecff\
    40027465864d833505b11f40899acac8b24d494f6a7f8669f7c4f32e5b408d25062d495875996ee5b1063d5f\
    03332e34";
const DATA: &str = "0000050001000000010000000000";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn session(frames: &[&str]) -> Vec<u8> {
    let mut all = PREFACE.to_vec();
    for frame in frames {
        all.extend(bytes(frame));
    }
    all
}

/// What comes out when the bytes arrive in these pieces, and the state at the end.
fn passed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, State) {
    let mut stream = UrlAuthority::new(());
    let mut out = Vec::new();
    for piece in pieces {
        stream.input.extend_from_slice(piece);
        stream.scan();
        out.extend_from_slice(&stream.output.split());
    }
    out.extend_from_slice(&stream.input);
    (out, stream.state)
}

#[test]
fn a_url_as_authority_becomes_a_legal_one_however_the_bytes_arrive() {
    let sent = session(&[SETTINGS, SETTINGS_ACK, STATUS, DATA, STATUS]);
    let legal = STATUS.replace("9d29aee30c", "9d29aeeacb");
    let expected = session(&[SETTINGS, SETTINGS_ACK, &legal, DATA, &legal]);
    for split in 0..sent.len() {
        let (head, tail) = sent.split_at(split);
        assert_eq!(
            passed([head, tail]),
            (expected.clone(), State::Frame { rewrote: true })
        );
    }
    assert_eq!(passed(sent.chunks(1)).0, expected);
}

#[test]
fn the_preface_and_frames_without_headers_are_never_held_back() {
    let mut stream = UrlAuthority::new(());
    stream.input.extend_from_slice(&session(&[SETTINGS]));
    stream.scan();
    assert_eq!(stream.output, session(&[SETTINGS]));
    stream.input.extend_from_slice(&bytes(STATUS)[..50]);
    stream.scan();
    assert_eq!(
        stream.output,
        session(&[SETTINGS]),
        "a request is held until it is whole"
    );
}

#[test]
fn other_connections_pass_unchanged_and_are_not_looked_at_again() {
    // An authority that is plain text, and legal.
    let mut legal = bytes("0000000104000000018286");
    legal.extend([0x41, 6]);
    legal.extend(b"host:1");
    legal[2] = u8::try_from(legal.len() - FRAME_HEAD_BYTES).unwrap();
    let mut sent = PREFACE.to_vec();
    sent.extend(&legal);
    sent.extend(bytes(STATUS));
    for split in 0..sent.len() {
        let (head, tail) = sent.split_at(split);
        assert_eq!(passed([head, tail]), (sent.clone(), State::Through));
    }
    let http1 = b"POST / HTTP/1.1\r\nhost: http://x\r\n\r\n";
    assert_eq!(passed([&http1[..]]), (http1.to_vec(), State::Through));
}

#[test]
fn plain_text_is_rewritten_too_behind_padding_and_priority() {
    let mut payload = vec![3, 0, 0, 0, 0, 9];
    payload.extend([0x01, 14]);
    payload.extend(b"http://1.2.3:4");
    payload.extend([0; 3]);
    assert!(rewrite_block(&mut payload, FLAG_PADDED | FLAG_PRIORITY));
    assert_eq!(&payload[8..22], b"httpB--1.2.3:4");
}

#[test]
fn whatever_a_block_holds_nothing_but_an_authority_is_changed() {
    let whole = bytes(STATUS)[FRAME_HEAD_BYTES..].to_vec();
    for cut in 0..whole.len() {
        for flags in [0, FLAG_PADDED, FLAG_PRIORITY] {
            let mut block = whole[..cut].to_vec();
            let rewrote = rewrite_block(&mut block, flags);
            assert!(rewrote || block == whole[..cut]);
        }
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut before = whole.clone();
            before[at] ^= 1 << bit;
            let mut after = before.clone();
            let rewrote = rewrite_block(&mut after, 0);
            let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert!(changed == if rewrote { 2 } else { 0 }, "{at} {bit}");
        }
    }
}

#[test]
fn numbers_are_read_as_in_the_rfc() {
    // RFC 7541, C.1: 10 and 1337 with a prefix of five bits, 42 with one of eight.
    assert_eq!(number(&[0x0a], 0, 5), Some((10, 1)));
    assert_eq!(number(&[0x1f, 0x9a, 0x0a], 0, 5), Some((1337, 3)));
    assert_eq!(number(&[0, 42], 1, 8), Some((42, 2)));
    assert_eq!(number(&[0x1f, 0x9a], 0, 5), None);
    assert_eq!(number(&[0x1f, 0xff, 0xff, 0xff, 0xff, 1], 0, 5), None);
}
