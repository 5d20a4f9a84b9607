//! varve-bench from the outside: exit codes and messages. Against a server it is run by
//! `benches/compare.sh`, whose figures come from it.

use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_varve-bench"))
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn a_server_that_is_not_there_is_a_message_and_exit_code_1() {
    // A port of ours that nobody listens on: bound, and closed again.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let endpoint = format!("127.0.0.1:{port}");
    let output = bench(&["put", "--total", "1", "--endpoints", &endpoint]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains(&format!("connecting to {endpoint}")),
        "{message}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn contradicting_flags_are_refused_before_anything_is_sent() {
    for (args, word) in [
        (&["txn-put", "--txn-ops", "3"][..], "--key-space-size"),
        (
            &["put", "--key-size", "1", "--key-space-size", "1000"],
            "--key-size",
        ),
        (&["put", "--endpoints", "https://localhost:1"], "https"),
    ] {
        let output = bench(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(word), "{args:?}: {message}");
    }
    assert_eq!(bench(&["put", "--no-such-flag"]).status.code(), Some(2));
}
