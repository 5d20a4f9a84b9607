//! varve-bench against a real etcd 3.5.1 (`VARVE_ETCD_DIR`): what it reports is what happened.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// An etcd on an address of its own, killed at the end.
pub(crate) struct Etcd {
    child: Child,
    address: Ipv4Addr,
    dir: tempfile::TempDir,
}

impl Etcd {
    /// Starts one; `number` tells it from others of this process.
    pub(crate) fn start(binary: &PathBuf, number: u8) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, high | 0x80, low, number);
        let (client, peer) = (
            format!("http://{address}:2379"),
            format!("http://{address}:2380"),
        );
        let child = Command::new(binary)
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let etcd = Self {
            child,
            address,
            dir,
        };
        let give_up = Instant::now() + Duration::from_mins(1);
        while !etcd.is_healthy() {
            assert!(Instant::now() < give_up, "etcd did not become healthy");
            std::thread::sleep(Duration::from_millis(20));
        }
        etcd
    }

    /// Its data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn is_healthy(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((self.address, 2379)) else {
            return false;
        };
        let request = format!("GET /health HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.contains(r#""health":"true""#)
    }

    /// Runs the benchmark and returns its exit code and JSON.
    pub(crate) fn bench(&self, args: &[&str]) -> (Option<i32>, Value) {
        let pid = self.child.id().to_string();
        let endpoint = format!("{}:2379", self.address);
        let output: Output = Command::new(env!("CARGO_BIN_EXE_varve-bench"))
            .args(args)
            .args([
                "--endpoints",
                &endpoint,
                "--server-pid",
                &pid,
                "--output",
                "json",
            ])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let json = serde_json::from_slice(&output.stdout);
        (
            output.status.code(),
            json.unwrap_or_else(|e| panic!("{args:?}: {e}: {errors}")),
        )
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn every_request_reaches_the_server_and_is_reported() {
    let Some(dir) = std::env::var_os("VARVE_ETCD_DIR") else {
        eprintln!("skipped: VARVE_ETCD_DIR is not set");
        return;
    };
    let etcd = Etcd::start(&PathBuf::from(dir).join("etcd"), 1);
    let good = |args: &[&str], requests: u64| {
        let (code, json) = etcd.bench(args);
        assert_eq!(code, Some(0), "{args:?}: {json}");
        assert_eq!(json["requests"], requests, "{args:?}");
        assert_eq!(json["errors"], 0, "{args:?}");
        assert!(json["latency_us"]["p50"].as_f64().unwrap() > 0.0);
        json
    };

    // 300 puts make 300 revisions after the first.
    let space = ["--key-space-size", "100"];
    let put = [
        "put",
        "--total",
        "300",
        "--clients",
        "7",
        "--conns",
        "3",
        "--check-hashkv",
    ];
    let json = good(&[&put[..], &space, &["--sequential-keys"]].concat(), 300);
    assert_eq!(json["hash_kv"]["revision"], 301);
    assert!(json["server"]["written_bytes"].as_u64().unwrap() > 0);
    // At a rate: the last of 100 is due 99 ms after the first.
    let json = good(
        &["put", "--total", "100", "--rate", "1000", "--clients", "3"],
        100,
    );
    assert!(json["seconds"].as_f64().unwrap() >= 0.099);
    // 20 transactions, 20 revisions; compaction while it runs leaves the newest.
    good(
        &[&["txn-put", "--total", "20", "--txn-ops", "5"][..], &space].concat(),
        20,
    );
    let json = good(&["put", "--total", "1", "--check-hashkv"], 1);
    assert_eq!(json["hash_kv"]["revision"], 422);

    good(
        &[
            &["range", "--total", "50", "--consistency", "s"][..],
            &space,
        ]
        .concat(),
        50,
    );
    good(&["range", "--prefix", "--paginate", "--total", "3"], 3);
    let watch = [
        "watch-latency",
        "--streams",
        "3",
        "--watchers-per-stream",
        "4",
    ];
    let (code, json) =
        etcd.bench(&[&watch[..], &["--put-total", "20", "--put-rate", "0"]].concat());
    assert_eq!(code, Some(0), "{json}");
    assert_eq!(json["watch-latency-put"]["requests"], 20);
    assert_eq!(json["watch-latency-watch"]["requests"], 240);
    assert_eq!(json["watch-latency-watch-from-put-start"]["requests"], 240);

    // What the server refuses is an error of the report and of the exit code.
    let (code, json) = etcd.bench(&["range", "k", "--stream", "--total", "5"]);
    assert_eq!(
        (code, &json["errors"], &json["requests"]),
        (Some(1), &5.into(), &0.into())
    );
}
