use std::time::SystemTime;

use super::{answer, read};

#[test]
fn our_answer_is_read_back_and_so_is_gos() {
    let before = SystemTime::now();
    let answered = read(&answer().into()).unwrap();
    assert!(before <= answered && answered <= SystemTime::now());
    let of_go = r#"{"OK":true,"Now":"2026-11-21T10:37:00.123456789+01:00"}"#;
    assert!(read(&of_go.into()).is_ok());
    for bad in [
        "",
        "{}",
        r#"{"OK":false,"Now":"2026-11-21T10:37:00Z"}"#,
        r#"{"OK":true,"Now":"noon"}"#,
    ] {
        assert!(read(&bad.into()).is_err(), "{bad}");
    }
}
