//! The process as Prometheus' standard collectors show it, read from `/proc` at each scrape.

use std::fs;

use prometheus::{Gauge, IntGauge};

use super::registrar::Registrar;
use super::saturating;

/// Clock ticks per second in `/proc/self/stat`; fixed in the kernel's interface (`USER_HZ`).
const USER_HZ: f64 = 100.0;

/// Series about the process.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    cpu_seconds: Gauge,
    start_time: Gauge,
    resident: IntGauge,
    virtual_size: IntGauge,
    virtual_max: Gauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    fd_used: IntGauge,
    fd_limit: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn new(r: &Registrar) -> Self {
        Self {
            cpu_seconds: r.float_gauge("process_cpu_seconds_total", "CPU time spent, in seconds."),
            start_time: r.float_gauge("process_start_time_seconds", "Unix time of the start."),
            resident: r.gauge("process_resident_memory_bytes", "Resident memory."),
            virtual_size: r.gauge("process_virtual_memory_bytes", "Virtual memory."),
            virtual_max: r.float_gauge("process_virtual_memory_max_bytes", "Virtual memory limit."),
            open_fds: r.gauge("process_open_fds", "Open file descriptors."),
            max_fds: r.gauge("process_max_fds", "Limit of file descriptors."),
            fd_used: r.gauge("os_fd_used", "Open file descriptors."),
            fd_limit: r.gauge("os_fd_limit", "Limit of file descriptors."),
        }
    }

    /// Reads `/proc`. What cannot be read keeps its last value.
    pub(super) fn refresh(&self) {
        if let Ok(stat) = fs::read_to_string("/proc/self/stat")
            && let Some((ticks, started)) = cpu_and_start(&stat)
        {
            self.cpu_seconds.set(ticks / USER_HZ);
            if let Some(boot) = fs::read_to_string("/proc/stat")
                .ok()
                .as_deref()
                .and_then(boot_time)
            {
                self.start_time.set(boot + started / USER_HZ);
            }
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            if let Some(kib) = field(&status, "VmRSS:") {
                self.resident.set(saturating(kib * 1024));
            }
            if let Some(kib) = field(&status, "VmSize:") {
                self.virtual_size.set(saturating(kib * 1024));
            }
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            let open = saturating(entries.count() as u64);
            self.open_fds.set(open);
            self.fd_used.set(open);
        }
        if let Ok(limits) = fs::read_to_string("/proc/self/limits") {
            if let Some(max) = field(&limits, "Max open files") {
                self.max_fds.set(saturating(max));
                self.fd_limit.set(saturating(max));
            }
            // An unlimited address space is shown as the largest size.
            let space = field(&limits, "Max address space").unwrap_or(u64::MAX);
            #[expect(clippy::cast_precision_loss, reason = "the limit is shown as a float")]
            self.virtual_max.set(space as f64);
        }
    }
}

/// The first number of the line that starts with `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system ticks, and the ticks from boot to the start, out of `/proc/self/stat`.
fn cpu_and_start(stat: &str) -> Option<(f64, f64)> {
    // The second field is the name in parentheses and may hold anything, so count from its end.
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_whitespace();
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    let started: f64 = fields.nth(6)?.parse().ok()?;
    Some((user + system, started))
}

/// Unix seconds of the boot out of `/proc/stat`.
fn boot_time(stat: &str) -> Option<f64> {
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_name_with_spaces_and_parentheses() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 3 0 777 9 9 9";
        assert_eq!(cpu_and_start(stat), Some((300.0, 777.0)));
        assert_eq!(cpu_and_start("12 (a"), None);
        assert_eq!(cpu_and_start("12 (a) S 1"), None);
    }

    #[test]
    fn numbers_are_found_by_the_name_of_their_line() {
        let text = "VmPeak:\t 10 kB\nVmRSS:\t  7 kB\nMax open files   20000  20000 files\n";
        assert_eq!(field(text, "VmRSS:"), Some(7));
        assert_eq!(field(text, "Max open files"), Some(20_000));
        assert_eq!(field(text, "VmSize:"), None);
        assert_eq!(
            boot_time("cpu 1\nbtime 1795000000\n"),
            Some(1_795_000_000.0)
        );
    }
}
