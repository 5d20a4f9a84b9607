//! A slow disk for one process: a control group of its own that may begin few writes a second.
//!
//! The kernel's block layer holds the writes back, so that whatever waits for them, an `fdatasync` above
//! all, waits, and nothing else does: unlike a process that is stopped, the member goes on to run, to hear
//! and to speak. Needs root, and a disk: cgroup v1 with `blkio`, or v2 with `io` in its root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Attempts to remove a group that a process has just left, and the time between them.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// What holds a process's writes back. Ends with this: the process is as fast as before, the group gone.
#[derive(Debug)]
pub(crate) struct Throttle {
    group: Group,
    /// `major:minor` of the disk.
    device: String,
}

/// A group, of either version.
#[derive(Debug)]
struct Group {
    version: Version,
    path: PathBuf,
    /// Where its processes go when it ends.
    parent: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Throttle {
    /// Prepares one for the disk that `path` is on; nobody is held back yet. An error says why it cannot be.
    pub(crate) fn on_disk_of(path: &Path, name: &str) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can make a control group".to_owned());
        }
        let device = disk_of(path)?;
        let (version, parent) = hierarchy()?;
        let group = Group {
            version,
            path: parent.join(format!("varve-test-{}-{name}", std::process::id())),
            parent,
        };
        fs::create_dir(&group.path).map_err(|e| format!("{}: {e}", group.path.display()))?;
        let throttle = Self { group, device };
        // Tells whether there is such a limit at all.
        throttle.limit(None).map_err(|e| e.to_string())?;
        Ok(throttle)
    }

    /// Takes a process in.
    pub(crate) fn hold(&self, pid: u32) {
        fs::write(self.group.path.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// So many writes a second may begin from now on.
    pub(crate) fn writes_per_second(&self, writes: u32) {
        self.limit(Some((writes, u32::MAX))).unwrap();
    }

    /// Nothing is held back any more, what waits least of all.
    pub(crate) fn lift(&self) {
        self.limit(None).unwrap();
    }

    /// Hardly anything is written from now on: a block of four kilobytes takes four seconds.
    pub(crate) fn stand_still(&self) {
        self.limit(Some((1, 1 << 10))).unwrap();
    }

    /// Lets the processes go; others may be taken in afterwards.
    pub(crate) fn release(&self) {
        self.group.release().unwrap();
    }

    /// Writes and bytes a second, or no limit.
    fn limit(&self, most: Option<(u32, u32)>) -> io::Result<()> {
        let (device, path) = (&self.device, &self.group.path);
        match self.group.version {
            Version::One => {
                // There 0 is no limit.
                let (writes, bytes) = most.unwrap_or_default();
                let file = |name| path.join(format!("blkio.throttle.write_{name}_device"));
                fs::write(file("iops"), format!("{device} {writes}"))?;
                fs::write(file("bps"), format!("{device} {bytes}"))
            }
            Version::Two => {
                let text = match most {
                    Some((writes, bytes)) => format!("{device} wiops={writes} wbps={bytes}"),
                    None => format!("{device} wiops=max wbps=max"),
                };
                fs::write(path.join("io.max"), text)
            }
        }
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        let lifted = self.limit(None);
        let removed = self.group.remove();
        if let Err(error) = lifted.and(removed) {
            eprintln!("{} stays: {error}", self.group.path.display());
        }
    }
}

impl Group {
    fn release(&self) -> io::Result<()> {
        let processes = fs::read_to_string(self.path.join("cgroup.procs"))?;
        for pid in processes.lines() {
            // It may have ended.
            drop(fs::write(self.parent.join("cgroup.procs"), pid));
        }
        Ok(())
    }

    fn remove(&self) -> io::Result<()> {
        let mut attempts = 0;
        loop {
            self.release()?;
            match fs::remove_dir(&self.path) {
                // A process that ends is in the group until it is gone.
                Err(_) if attempts < ATTEMPTS => attempts += 1,
                outcome => return outcome,
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// `major:minor` of the disk, not of the partition, that a path is on.
fn disk_of(path: &Path) -> Result<String, String> {
    let device = rustix::fs::stat(path).map_err(|e| e.to_string())?.st_dev;
    let own = format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    let known = fs::canonicalize(format!("/sys/dev/block/{own}"))
        .map_err(|_| format!("{} is not on a disk of its own ({own})", path.display()))?;
    if !known.join("partition").exists() {
        return Ok(own);
    }
    let disk = known.join("../dev");
    let disk = fs::read_to_string(&disk).map_err(|e| format!("{}: {e}", disk.display()))?;
    Ok(disk.trim().to_owned())
}

/// Where groups can be made that limit writes.
fn hierarchy() -> Result<(Version, PathBuf), String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
    if let Some(root) = mounted(&mounts, "cgroup", "blkio") {
        return Ok((Version::One, root));
    }
    let root = mounted(&mounts, "cgroup2", "").ok_or("no control groups are mounted")?;
    // Fails where processes are in this group, which is so in a container.
    fs::write(root.join("cgroup.subtree_control"), "+io")
        .map_err(|e| format!("no groups with io in {}: {e}", root.display()))?;
    Ok((Version::Two, root))
}

/// Where a file system of this type is mounted, with this among the options of the whole of it.
fn mounted(mounts: &str, kind: &str, option: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, what) = line.split_once(" - ")?;
        let mut what = what.split(' ');
        let fits = what.next() == Some(kind)
            && (option.is_empty() || what.nth(1)?.split(',').any(|one| one == option));
        fits.then(|| place.split(' ').nth(4))?.map(PathBuf::from)
    })
}

#[test]
fn a_group_that_limits_writes_is_found_among_the_mounts() {
    let mounts = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                  34 31 0:31 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n\
                  38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n\
                  41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
    let found = |kind, option| mounted(mounts, kind, option);
    assert_eq!(
        found("cgroup", "blkio"),
        Some("/sys/fs/cgroup/blkio".into())
    );
    assert_eq!(found("cgroup", "io"), None);
    assert_eq!(found("cgroup2", ""), Some("/sys/fs/cgroup/unified".into()));
}
