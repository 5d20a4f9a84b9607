//! Real members of etcd for the tests of this folder.
//!
//! etcd 3.5.1 is found by `VARVE_ETCD_DIR`, a server of 3.6 by `VARVE_ETCD36` (the binary).
#![expect(clippy::print_stdout, reason = "a test that skips says so")]
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::Value;
use tempfile::TempDir;
use varve_raftnode::{PeerClient, PeerTimings};

use super::member::within;

/// A release of etcd that is on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) binary: PathBuf,
    pub(crate) version: &'static str,
}

/// The releases that are there; says which are not.
pub(crate) fn releases() -> Vec<Release> {
    let of_3_5 = std::env::var_os("VARVE_ETCD_DIR").map(|dir| PathBuf::from(dir).join("etcd"));
    let of_3_6 = std::env::var_os("VARVE_ETCD36").map(PathBuf::from);
    let candidates = [
        ("VARVE_ETCD_DIR", "3.5.1", of_3_5),
        ("VARVE_ETCD36", "3.6.5", of_3_6),
    ];
    let mut found = Vec::new();
    for (variable, version, binary) in candidates {
        match binary {
            Some(binary) => found.push(Release { binary, version }),
            None => println!("skipped etcd {version}: {variable} is not set"),
        }
    }
    found
}

/// A free address of the loopback.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A member of a cluster of etcd. It ends with this.
pub(crate) struct Etcd {
    release: Release,
    name: String,
    arguments: Vec<String>,
    pub(crate) dir: TempDir,
    pub(crate) listen_peer: SocketAddr,
    pub(crate) client_url: String,
    child: Option<Child>,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Etcd {
    /// Starts a member that listens at `listen_peer` and says that it is reached at `peer_url`.
    pub(crate) fn start(
        release: &Release,
        name: &str,
        listen_peer: SocketAddr,
        peer_url: &str,
        initial_cluster: &str,
        more: &[&str],
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let client_url = format!("http://{}", free_address());
        let data = dir.path().join("data").display().to_string();
        let listen = format!("http://{listen_peer}");
        let arguments = [
            "--name",
            name,
            "--data-dir",
            &data,
            "--listen-peer-urls",
            &listen,
            "--initial-advertise-peer-urls",
            peer_url,
            "--listen-client-urls",
            &client_url,
            "--advertise-client-urls",
            &client_url,
            "--initial-cluster",
            initial_cluster,
            "--log-outputs",
            "stderr",
        ];
        let arguments = arguments.iter().chain(more).map(|&a| a.to_owned());
        let mut etcd = Self {
            release: release.clone(),
            name: name.to_owned(),
            arguments: arguments.collect(),
            dir,
            listen_peer,
            client_url,
            child: None,
        };
        etcd.restart();
        etcd
    }

    /// Starts it again, on what it has on disk.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .unwrap();
        let child = Command::new(&self.release.binary)
            .args(&self.arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Stops it without a word.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn peer_url(&self) -> String {
        format!("http://{}", self.listen_peer)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Fails when the member met something that a member must never meet.
    pub(crate) fn assert_content(&self) {
        let log = self.log();
        for bad in [
            "panic",
            "goroutine ",
            "failed to decode",
            "unmarshal",
            "\"level\":\"fatal\"",
        ] {
            assert!(!log.contains(bad), "{} logged {bad:?}:\n{log}", self.name);
        }
    }
}

/// Asks a member, again while it does not answer as it should.
pub(crate) async fn ask(url: &str, method: Method, path: &str, json: Value) -> Value {
    let client = PeerClient::new(None, PeerTimings::new(Duration::from_secs(1)));
    let body = if json.is_null() {
        Bytes::new()
    } else {
        json.to_string().into()
    };
    let asking = async {
        loop {
            let mut request = Request::new(body.clone());
            *request.method_mut() = method.clone();
            *request.uri_mut() = path.parse().unwrap();
            let answer: Result<Response<Bytes>, _> = client
                .request(&[url.to_owned()], request, Duration::from_secs(10))
                .await;
            if let Ok(answer) = &answer
                && answer.status().is_success()
                && let Ok(json) = serde_json::from_slice(answer.body())
            {
                return json;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(asking).await
}

/// Puts a value of `len` bytes.
pub(crate) async fn put(etcd: &Etcd, key: &str, len: usize) {
    let value = "dmFs".repeat(len.div_ceil(3));
    let key = base64(key.as_bytes());
    let json = serde_json::json!({ "key": key, "value": value });
    ask(&etcd.client_url, Method::POST, "/v3/kv/put", json).await;
}

/// Puts many small values, some at a time.
pub(crate) async fn put_many(etcd: &Etcd, count: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    const AT_ONCE: usize = 32;
    for task in 0..AT_ONCE {
        let url = etcd.client_url.clone();
        tasks.spawn(async move {
            for number in (task..count).step_by(AT_ONCE) {
                let key = base64(format!("many/{number}").as_bytes());
                let json = serde_json::json!({ "key": key, "value": "dmFs" });
                ask(&url, Method::POST, "/v3/kv/put", json).await;
            }
        });
    }
    tasks.join_all().await;
}

/// RFC 4648, as the JSON gateway wants keys.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_usize, |n, &b| n << 8 | usize::from(b));
        let bits = bits << (8 * (3 - three.len()));
        for digit in 0..4 {
            let at = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= three.len() {
                char::from(DIGITS[at])
            } else {
                '='
            });
        }
    }
    text
}

/// An id in a list of members.
pub(crate) fn id(member: &Value) -> u64 {
    // A number in `/members`, a decimal text through the gateway.
    let id = &member["id"];
    id.as_u64()
        .or_else(|| member["ID"].as_str()?.parse().ok())
        .unwrap()
}
