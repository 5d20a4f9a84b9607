//! Starts and ends servers, each on an address of its own.
//!
//! Every server gets its own address of 127.0.0.0/8, so that tests in parallel, and the ephemeral
//! ports of whatever else runs here, never meet; a server that restarts finds its ports free.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

/// How long a server may take to become healthy, or to stop, before the test fails. Far above
/// what it takes, because the machine may be busy; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether the server under test is Varve, not an etcd that checks the tests.
pub(crate) fn is_varve() -> bool {
    std::env::var_os("VARVE_TEST_BINARY").is_none()
}

/// The server under test.
pub(crate) fn binary() -> Program {
    match std::env::var_os("VARVE_TEST_BINARY") {
        Some(path) => Program {
            path: path.into(),
            flags: Vec::new(),
        },
        None => Program {
            path: env!("CARGO_BIN_EXE_varve").into(),
            flags: vec!["--compat-version=3.5".to_owned()],
        },
    }
}

/// A program that takes etcd's flags, and flags it always gets.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) flags: Vec<String>,
}

/// A program of etcd 3.5.1 (`etcd`, `etcdctl`, `etcdutl`), or the reason why there is none.
pub(crate) fn etcd_351(name: &str) -> Result<PathBuf, String> {
    let dir = std::env::var_os("VARVE_ETCD_DIR").ok_or("VARVE_ETCD_DIR is not set")?;
    let path = PathBuf::from(dir).join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("there is no {}", path.display()))
    }
}

/// Says that a test did nothing, and why.
pub(crate) fn skipped(test: &str, reason: &str) {
    eprintln!("skipped {test}: {reason}");
}

/// A directory on the disk that the build uses (a temporary directory may be in memory, where
/// fsync means nothing).
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// An address of 127.0.0.0/8 that no other test of this or another running test process has.
pub(crate) fn own_address() -> Ipv4Addr {
    const PER_BLOCK: u16 = 254;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Process ids are below 2^15 unless somebody raised their limit, which leaves two blocks for each.
    let [.., high, low] = std::process::id().to_be_bytes();
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let block = match n / PER_BLOCK {
        0 => high | 0x80,
        // 127.0 is left out: everybody's.
        1 => (high & 0x7f).max(1),
        _ => panic!("too many servers in one test process"),
    };
    let host = u8::try_from(n % PER_BLOCK + 1).unwrap();
    Ipv4Addr::new(127, block, low, host)
}

/// A member of a one-member cluster: where it lives and what it is called. Starts servers.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) data_dir: PathBuf,
    pub(crate) address: Ipv4Addr,
    pub(crate) program: Program,
    /// Flags after those that make it this member.
    pub(crate) flags: Vec<String>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    address: Ipv4Addr,
}

/// A server that ended instead of becoming healthy.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: ExitStatus,
    /// Everything it printed.
    pub(crate) output: String,
}

impl Member {
    /// A new member with its data under `dir`, run by the server under test.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            data_dir: dir.join("data"),
            address: own_address(),
            program: binary(),
            // A single member elects itself after one election timeout: keep the wait short.
            flags: ["--heartbeat-interval=20", "--election-timeout=200"]
                .map(str::to_owned)
                .into(),
        }
    }

    /// The command line that starts it.
    pub(crate) fn command(&self) -> Command {
        let client = format!("http://{}:{CLIENT_PORT}", self.address);
        let peer = format!("http://{}:{PEER_PORT}", self.address);
        let mut command = Command::new(&self.program.path);
        command
            .args(&self.program.flags)
            .args(["--name", "s1", "--data-dir"])
            .arg(&self.data_dir);
        for (flag, value) in [
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &format!("s1={peer}")),
            ("--initial-cluster-token", &"tkn".to_owned()),
        ] {
            command.args([flag, value]);
        }
        command.args(&self.flags);
        // The tests' environment configures the tests, not the server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Starts it and waits until it is healthy.
    pub(crate) fn start(&self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(refused) => panic!(
                "the server ended with {}: {}",
                refused.status, refused.output
            ),
        }
    }

    /// Starts it and waits until it is healthy or has ended.
    pub(crate) fn try_start(&self) -> Result<Server, Refused> {
        let log = self.data_dir.with_extension("log");
        let sink = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(sink.try_clone().unwrap())
            .stderr(sink);
        let before = std::fs::metadata(&log).unwrap().len();
        let mut server = Server {
            child: command.spawn().unwrap(),
            log,
            address: self.address,
        };
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = server.child.try_wait().unwrap() {
                let output = server.output();
                let before = usize::try_from(before).unwrap();
                let output = output.get(before..).unwrap_or(&output).to_owned();
                return Err(Refused { status, output });
            }
            if server.is_healthy() {
                return Ok(server);
            }
            assert!(
                Instant::now() < give_up,
                "not healthy, log: {}",
                server.output()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it and kills it after `life`, whatever it was doing.
    pub(crate) fn start_and_kill_after(&self, life: Duration) {
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(life);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it and expects it to end on its own with an error.
    pub(crate) fn start_refused(&self) -> Refused {
        match self.try_start() {
            Ok(server) => panic!("the server started: {}", server.output()),
            Err(refused) => {
                assert!(
                    !refused.status.success(),
                    "it ended with success: {}",
                    refused.output
                );
                refused
            }
        }
    }
}

impl Server {
    /// `http://address:port` of the client listener.
    pub(crate) fn url(&self) -> String {
        format!("http://{}:{CLIENT_PORT}", self.address)
    }

    /// Everything it has printed, in all its lives on this directory.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Kills it with SIGKILL and waits for its end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it with SIGTERM, and waits for its end.
    pub(crate) fn stop(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let give_up = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(
                Instant::now() < give_up,
                "SIGTERM did not end it: {}",
                self.output()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// GET of a path of the client listener: the body of an answer with status 200.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        get(self.address, path)
    }

    /// Whether it serves. One that serves and has an alarm says that it is not healthy.
    fn is_healthy(&self) -> bool {
        ask(self.address, "/health")
            .is_some_and(|(_, body)| body.contains(r#""health":"true""#) || body.contains("ALARM"))
    }
}

/// GET of a path of the client listener at an address: the body of an answer with status 200.
pub(crate) fn get(address: Ipv4Addr, path: &str) -> Option<String> {
    let (head, body) = ask(address, path)?;
    head.starts_with("HTTP/1.1 200").then_some(body)
}

/// Head and body of the answer to a GET.
fn ask(address: Ipv4Addr, path: &str) -> Option<(String, String)> {
    let address = SocketAddr::from((address, CLIENT_PORT));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed must not leave its server behind. It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
