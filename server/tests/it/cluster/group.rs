//! Members of one cluster, started and stopped one by one, and etcdctl pointed at them.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tonic::transport::Endpoint;
use varve_proto::etcdserverpb::StatusRequest;
use varve_proto::etcdserverpb::maintenance_client::MaintenanceClient;

use crate::harness::{Program, binary, etcd_351, own_address, scratch};

/// How long anything may take before the test fails; far above what it takes on an idle machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A real etcd 3.5.1.
pub(crate) fn etcd() -> Result<Program, String> {
    Ok(Program {
        path: etcd_351("etcd")?,
        flags: Vec::new(),
    })
}

/// A real etcd of a newer release: the program that `VARVE_ETCD36` names.
pub(crate) fn etcd_36() -> Result<Program, String> {
    let path = std::env::var_os("VARVE_ETCD36").ok_or("VARVE_ETCD36 is not set")?;
    Ok(Program {
        path: path.into(),
        flags: Vec::new(),
    })
}

/// The server under test, declaring to be a release.
pub(crate) fn varve(compat: &str) -> Program {
    let mut program = binary();
    if crate::harness::is_varve() {
        program.flags = vec![format!("--compat-version={compat}")];
    }
    program
}

/// Where one member lives, whether or not it runs.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) data_dir: PathBuf,
    pub(crate) program: Program,
    pub(crate) flags: Vec<String>,
    /// Whether its peer URL is https.
    pub(crate) secure: bool,
    /// The one processor core it may use (by `taskset`).
    pub(crate) core: Option<usize>,
    child: Option<Child>,
}

impl Seat {
    pub(crate) fn client_url(&self) -> String {
        format!("http://{}:2379", self.address)
    }

    pub(crate) fn peer_url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}:2380", self.address)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.data_dir.with_extension("log")
    }

    /// Everything its processes have printed.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    /// What its listener says of itself, if it answers.
    pub(crate) fn metrics(&self) -> Option<String> {
        crate::harness::get(self.address, "/metrics")
    }

    /// The id of its process, which runs.
    pub(crate) fn process(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.as_ref()?.id()).ok()?)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid().unwrap(), signal).unwrap();
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it with SIGTERM.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_end()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let status = wait_for("the end of a member", || {
            self.child.as_mut().unwrap().try_wait().unwrap()
        });
        self.child = None;
        status
    }
}

/// Polls until there is something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A cluster's members and the etcdctl that speaks to them.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) dir: TempDir,
    pub(crate) seats: Vec<Seat>,
    ctl: PathBuf,
    /// What every member is told besides.
    pub(crate) flags: Vec<String>,
}

impl Group {
    /// Seats for one member per program; nothing runs yet. An error says why it cannot be.
    pub(crate) fn new(programs: Vec<Program>) -> Result<Self, String> {
        let ctl = etcd_351("etcdctl")?;
        let mut group = Self {
            dir: scratch(),
            seats: Vec::new(),
            ctl,
            flags: Vec::new(),
        };
        for program in programs {
            group.add_seat(program);
        }
        Ok(group)
    }

    /// A further seat; its number.
    pub(crate) fn add_seat(&mut self, program: Program) -> usize {
        let n = self.seats.len();
        let name = format!("m{n}");
        self.seats.push(Seat {
            data_dir: self.dir.path().join(&name),
            name,
            address: own_address(),
            program,
            flags: Vec::new(),
            secure: false,
            core: None,
            child: None,
        });
        n
    }

    /// `name=url,...` of these seats.
    pub(crate) fn initial_cluster(&self, seats: &[usize]) -> String {
        let entries: Vec<String> = seats
            .iter()
            .map(|&i| format!("{}={}", self.seats[i].name, self.seats[i].peer_url()))
            .collect();
        entries.join(",")
    }

    /// Starts a member of a cluster of `members`; does not wait for anything.
    pub(crate) fn start(&mut self, seat: usize, members: &[usize], state: &str) {
        let cluster = self.initial_cluster(members);
        self.start_with(seat, &cluster, state);
    }

    pub(crate) fn start_with(&mut self, seat: usize, cluster: &str, state: &str) {
        let flags = self.flags.clone();
        let seat = &mut self.seats[seat];
        assert!(seat.child.is_none(), "{} runs already", seat.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(seat.log())
            .unwrap();
        let mut command = match seat.core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]);
                command.arg(&seat.program.path);
                command
            }
            None => Command::new(&seat.program.path),
        };
        command
            .args(&seat.program.flags)
            .args(["--name", &seat.name, "--data-dir"])
            .arg(&seat.data_dir);
        for (flag, value) in [
            ("--listen-client-urls", seat.client_url()),
            ("--advertise-client-urls", seat.client_url()),
            ("--listen-peer-urls", seat.peer_url()),
            ("--initial-advertise-peer-urls", seat.peer_url()),
            ("--initial-cluster", cluster.to_owned()),
            ("--initial-cluster-state", state.to_owned()),
            ("--initial-cluster-token", "tkn".to_owned()),
        ] {
            command.args([flag, &value]);
        }
        command.args(&flags).args(&seat.flags);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD_") {
                command.env_remove(name);
            }
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        seat.child = Some(child);
    }

    /// Starts all seats as a new cluster and waits until each serves.
    pub(crate) fn start_all(&mut self) {
        let all: Vec<usize> = (0..self.seats.len()).collect();
        for &seat in &all {
            self.start(seat, &all, "new");
        }
        for &seat in &all {
            self.wait_healthy(seat);
        }
    }

    /// Starts a member again from its directory, and waits until it serves.
    pub(crate) fn restart(&mut self, seat: usize) {
        self.start(seat, &[seat], "existing");
        self.wait_healthy(seat);
    }

    pub(crate) fn command(&self, seats: &[usize], args: &[&str]) -> Command {
        let endpoints: Vec<String> = seats.iter().map(|&i| self.seats[i].client_url()).collect();
        let mut command = Command::new(&self.ctl);
        command
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", endpoints.join(",")))
            .arg("--command-timeout=20s")
            .args(args);
        command
    }

    /// Runs etcdctl against these seats.
    pub(crate) fn try_ctl(&self, seats: &[usize], args: &[&str]) -> Output {
        self.command(seats, args).output().unwrap()
    }

    /// Runs etcdctl, expects success, and returns what it printed.
    #[track_caller]
    pub(crate) fn ctl(&self, seats: &[usize], args: &[&str]) -> String {
        let output = self.try_ctl(seats, args);
        assert!(
            output.status.success(),
            "{args:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs etcdctl and expects an error; what it printed.
    #[track_caller]
    pub(crate) fn ctl_fails(&self, seats: &[usize], args: &[&str]) -> String {
        let output = self.try_ctl(seats, args);
        assert!(!output.status.success(), "{args:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs etcdctl again and again until it succeeds: a cluster counts as healthy only after its
    /// members have been connected for five seconds.
    #[track_caller]
    pub(crate) fn ctl_at_last(&self, seats: &[usize], args: &[&str]) -> String {
        let mut last = String::new();
        let give_up = Instant::now() + PATIENCE;
        loop {
            let output = self.try_ctl(seats, args);
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap();
            }
            last.clear();
            last.push_str(&String::from_utf8_lossy(&output.stderr));
            assert!(Instant::now() < give_up, "{args:?}: {last}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a member answers a linearizable read.
    #[track_caller]
    pub(crate) fn wait_healthy(&mut self, seat: usize) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if self
                .try_ctl(&[seat], &["get", "no such key"])
                .status
                .success()
            {
                return;
            }
            let one = &mut self.seats[seat];
            let ended = one.child.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < give_up,
                "{} {ended:?} does not serve: {}",
                one.name,
                one.output()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Id (hexadecimal) of a member by the list that `of` shows.
    #[track_caller]
    pub(crate) fn id(&self, of: usize, seat: usize) -> String {
        let url = self.seats[seat].peer_url();
        let list = self.ctl(&[of], &["member", "list"]);
        let line = list.lines().find(|line| line.contains(&url));
        let line = line.unwrap_or_else(|| panic!("{url} is not in {list}"));
        line.split(',').next().unwrap().to_owned()
    }

    /// Client URLs of the seats that run.
    pub(crate) fn urls(&self) -> Vec<String> {
        let running = self.running().into_iter();
        running.map(|seat| self.seats[seat].client_url()).collect()
    }

    /// Seats that run.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.seats.len())
            .filter(|&i| self.seats[i].is_running())
            .collect()
    }

    /// Whether a member says, soon, that it leads.
    pub(crate) fn leads(&self, seat: usize) -> bool {
        let endpoint = Endpoint::from_shared(self.seats[seat].client_url()).unwrap();
        let endpoint = endpoint.timeout(Duration::from_millis(500));
        crate::client::block_on(async {
            let mut client = MaintenanceClient::new(endpoint.connect().await.ok()?);
            let status = client.status(StatusRequest {}).await.ok()?.into_inner();
            Some(status.leader != 0 && status.leader == status.header?.member_id)
        })
        .unwrap_or_default()
    }

    /// The seat that leads, once one of those running says that it does.
    #[track_caller]
    pub(crate) fn leader(&self) -> usize {
        wait_for("a leader", || {
            let running = self.running();
            running.into_iter().find(|&seat| self.leads(seat))
        })
    }

    /// Waits until all running members show the same hash of the same revision; returns the hash.
    #[track_caller]
    pub(crate) fn equal_hashes(&self) -> u32 {
        let seats = self.running();
        let mut last = BTreeMap::new();
        let give_up = Instant::now() + PATIENCE;
        loop {
            last.clear();
            for &seat in &seats {
                let output = self.try_ctl(&[seat], &["endpoint", "hashkv", "-w", "json"]);
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                last.insert(seat, (field(&text, "revision"), field(&text, "hash")));
            }
            let mut answers: Vec<_> = last.values().copied().collect();
            answers.dedup();
            if let [(Some(_), Some(hash))] = answers[..] {
                return u32::try_from(hash).unwrap();
            }
            assert!(
                Instant::now() < give_up,
                "the members' contents differ: {last:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// No member has printed what a broken peer would make it print.
    #[track_caller]
    pub(crate) fn assert_no_damage(&self) {
        for seat in &self.seats {
            for line in seat.output().lines() {
                let lower = line.to_lowercase();
                let bad = [
                    "panic",
                    "failed to unmarshal",
                    "failed to decode",
                    "goroutine ",
                ]
                .iter()
                .any(|what| lower.contains(what));
                assert!(!bad, "{}: {line}", seat.name);
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for seat in &mut self.seats {
            seat.kill();
        }
        if std::thread::panicking() {
            for seat in &self.seats {
                let output = seat.output();
                let lines: Vec<&str> = output.lines().collect();
                let tail = &lines[lines.len().saturating_sub(40)..];
                eprintln!(
                    "--- {} ({})\n{}",
                    seat.name,
                    seat.program.path.display(),
                    tail.join("\n")
                );
            }
        }
    }
}

/// The number behind `"name":` in JSON.
pub(crate) fn field(json: &str, name: &str) -> Option<u64> {
    let marker = format!("\"{name}\":");
    let rest = &json[json.find(&marker)? + marker.len()..];
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
