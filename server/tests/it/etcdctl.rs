//! etcdctl 3.5.1 and 3.4, the real ones, against the server: put, get, del, txn, watch, lease.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Member, Server, etcd_351, scratch, skipped};

/// One etcdctl, pointed at one server.
struct Ctl<'a> {
    path: &'a Path,
    server: &'a Server,
}

impl Ctl<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        command
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.server.url()))
            .args(args);
        command
    }

    /// Runs it with `input`, expects success, and returns what it printed.
    #[track_caller]
    fn run_with(&self, args: &[&str], input: &str) -> String {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {text}{errors}");
        text
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        self.run_with(args, "")
    }

    /// Runs it, expects failure, and returns what it printed as its error.
    #[track_caller]
    fn fails(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(!output.status.success(), "{args:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// Runs `body` with the etcdctl at `path` and a fresh server.
fn with_ctl(path: &Path, body: impl FnOnce(&Ctl<'_>)) {
    let dir = scratch();
    let server = Member::new(dir.path()).start();
    body(&Ctl {
        path,
        server: &server,
    });
    server.stop();
}

/// The etcdctl of version 3.4 on the path, as Debian packages it.
fn etcdctl_34() -> Result<PathBuf, String> {
    let path = PathBuf::from("etcdctl");
    let output = Command::new(&path)
        .env("ETCDCTL_API", "3")
        .arg("version")
        .output();
    let output = output.map_err(|error| format!("etcdctl: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("version: 3.4.") {
        Ok(path)
    } else {
        Err(format!("etcdctl is {text}"))
    }
}

fn smoke(ctl: &Ctl<'_>) {
    assert_eq!(ctl.run(&["put", "foo", "bar"]), "OK\n");
    assert_eq!(ctl.run(&["get", "foo"]), "foo\nbar\n");
    assert_eq!(
        ctl.run(&["put", "foo", "baz", "--prev-kv"]),
        "OK\nfoo\nbar\n"
    );
    assert_eq!(
        ctl.run(&["get", "foo", "--rev=2", "--print-value-only"]),
        "bar\n"
    );
    ctl.run(&["put", "a/1", "one"]);
    ctl.run(&["put", "a/2", "two"]);
    assert_eq!(ctl.run(&["get", "a/", "--prefix"]), "a/1\none\na/2\ntwo\n");
    assert_eq!(
        ctl.run(&["get", "a/", "--prefix", "--order=DESCEND", "--limit=1"]),
        "a/2\ntwo\n"
    );
    assert_eq!(
        ctl.run(&["get", "a/", "--prefix", "--keys-only"]),
        "a/1\n\na/2\n\n"
    );
    let json = ctl.run(&["get", "a/", "--prefix", "-w", "json"]);
    assert!(json.contains(r#""count":2"#), "{json}");
    assert_eq!(ctl.run(&["del", "a/", "--prefix"]), "2\n");
    assert_eq!(ctl.run(&["del", "a/", "--prefix"]), "0\n");
    let error = ctl.fails(&["get", "foo", "--rev=99"]);
    assert!(
        error.contains("required revision is a future revision"),
        "{error}"
    );

    let txn = "value(\"foo\") = \"baz\"\n\nput foo qux\nget foo\n\nput foo no\n\n";
    assert_eq!(ctl.run_with(&["txn"], txn), "SUCCESS\n\nOK\n\nfoo\nqux\n");
    assert_eq!(ctl.run_with(&["txn"], txn), "FAILURE\n\nOK\n");
    assert_eq!(ctl.run(&["get", "foo", "--print-value-only"]), "no\n");

    let granted = ctl.run(&["lease", "grant", "600"]);
    let id = granted.split(' ').nth(1).unwrap();
    assert_eq!(granted, format!("lease {id} granted with TTL(600s)\n"));
    ctl.run(&["put", "leased", "v", &format!("--lease={id}")]);
    assert_eq!(
        ctl.run(&["lease", "list"]),
        format!("found 1 leases\n{id}\n")
    );
    let alive = ctl.run(&["lease", "keep-alive", "--once", id]);
    assert_eq!(alive, format!("lease {id} keepalived with TTL(600)\n"));
    let ttl = ctl.run(&["lease", "timetolive", id, "--keys"]);
    assert!(
        ttl.contains("granted with TTL(600s)") && ttl.contains("([leased])"),
        "{ttl}"
    );
    assert_eq!(
        ctl.run(&["lease", "revoke", id]),
        format!("lease {id} revoked\n")
    );
    assert_eq!(ctl.run(&["get", "leased"]), "");
}

/// A watch sees what was written before (`--rev`) and what comes while it runs.
fn watches(ctl: &Ctl<'_>) {
    ctl.run(&["put", "w/1", "before"]);
    let mut watch = ctl
        .command(&["watch", "w/", "--prefix", "--rev=2"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut expect = |want: &[&str]| {
        for &want in want {
            assert_eq!(lines.next().unwrap().unwrap(), want);
        }
    };
    expect(&["PUT", "w/1", "before"]);
    ctl.run(&["put", "w/2", "live"]);
    ctl.run(&["put", "other", "x"]);
    ctl.run(&["del", "w/1"]);
    ctl.run_with(&["txn"], "\nput w/3 a\nput w/4 b\n\n\n");
    expect(&[
        "PUT", "w/2", "live", "DELETE", "w/1", "", "PUT", "w/3", "a", "PUT", "w/4", "b",
    ]);
    watch.kill().unwrap();
    watch.wait().unwrap();
}

/// What an operator asks a member.
fn maintenance(ctl: &Ctl<'_>, scratch: &Path) {
    for i in 0..5 {
        ctl.run(&["put", "k", &i.to_string()]);
    }
    let health = ctl.command(&["endpoint", "health"]).output().unwrap();
    let health = String::from_utf8([health.stdout, health.stderr].concat()).unwrap();
    assert!(
        health.contains("is healthy: successfully committed proposal"),
        "{health}"
    );
    let status = ctl.run(&["endpoint", "status"]);
    let fields: Vec<_> = status.trim_end().split(", ").collect();
    // Endpoint, id, version, size, is leader, is learner, ...
    assert_eq!(
        (fields[0], fields[4]),
        (ctl.server.url().as_str(), "true"),
        "{status}"
    );
    let hash = ctl.run(&["endpoint", "hashkv"]);
    assert_eq!(hash, ctl.run(&["endpoint", "hashkv"]));
    assert_eq!(ctl.run(&["compaction", "5"]), "compacted revision 5\n");
    let error = ctl.fails(&["compaction", "5"]);
    assert!(
        error.contains("required revision has been compacted"),
        "{error}"
    );
    ctl.run(&["defrag"]);
    assert_eq!(ctl.run(&["get", "k", "--print-value-only"]), "4\n");
    assert_eq!(ctl.run(&["alarm", "list"]), "");
    let members = ctl.run(&["member", "list"]);
    assert!(
        members.contains(", started, s1, ") && members.lines().count() == 1,
        "{members}"
    );

    let snapshot = scratch.join(format!("{}.db", ctl.server.url().replace(['/', ':'], "_")));
    ctl.run(&["snapshot", "save", snapshot.to_str().unwrap()]);
    let status = ctl.run(&["snapshot", "status", snapshot.to_str().unwrap()]);
    let fields: Vec<_> = status.trim_end().split(", ").collect();
    // Hash, revision, total keys, total size.
    assert_eq!(fields[1], "6", "{status}");
}

#[test]
fn etcdctl_3_5_works() {
    match etcd_351("etcdctl") {
        Ok(path) => {
            with_ctl(&path, smoke);
            with_ctl(&path, watches);
            let dir = scratch();
            with_ctl(&path, |ctl| maintenance(ctl, dir.path()));
        }
        Err(reason) => skipped("etcdctl_3_5_works", &reason),
    }
}

#[test]
fn etcdctl_3_4_works() {
    match etcdctl_34() {
        Ok(path) => {
            with_ctl(&path, smoke);
            with_ctl(&path, watches);
            let dir = scratch();
            with_ctl(&path, |ctl| maintenance(ctl, dir.path()));
        }
        Err(reason) => skipped("etcdctl_3_4_works", &reason),
    }
}
