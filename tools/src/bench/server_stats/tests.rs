use super::*;

#[test]
fn cpu_times_are_fields_14_and_15_whatever_the_programs_name() {
    let line = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 75 0 0 20 0 9 0 1 2 3";
    let (user, system) = cpu_times(line, 100).unwrap();
    assert_eq!((user.as_millis(), system.as_millis()), (2500, 750));
    assert!(cpu_times("42 (x) S 1", 100).is_err());
    assert!(cpu_times("nothing", 100).is_err());
    assert!(cpu_times("42 (x) S 1 1 1 1 1 1 1 1 1 1 many 5", 100).is_err());
}

#[test]
fn memory_rows_are_read_in_bytes() {
    let status = "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t      12 kB\n";
    assert_eq!(kibibytes(status, "VmHWM").unwrap(), 2 << 20);
    assert_eq!(kibibytes(status, "VmRSS").unwrap(), 12 << 10);
    assert!(kibibytes(status, "VmSwap").is_err());
    assert_eq!(written_bytes("rchar: 1\nwrite_bytes: 4096\n"), Some(4096));
    assert_eq!(written_bytes("rchar: 1\n"), None);
}

#[test]
fn usages_add_up_and_an_unknown_part_leaves_the_sum_unknown() {
    let usage = |n: u64, written_bytes| Usage {
        user: Duration::from_millis(n),
        system: Duration::from_millis(10 * n),
        rss_bytes: n,
        peak_rss_bytes: 2 * n,
        written_bytes,
    };
    assert_eq!(Usage::sum([]), None);
    let sum = Usage::sum(&[usage(1, Some(5)), usage(2, Some(6)), usage(4, Some(7))]);
    assert_eq!(sum, Some(usage(7, Some(18))));
    let unknown = Usage::sum(&[usage(1, Some(5)), usage(2, None)]);
    assert_eq!(unknown, Some(usage(3, None)));
}

#[test]
fn several_processes_are_measured_each() {
    let own = std::process::id();
    let parent = std::os::unix::process::parent_id();
    let servers = Servers::begin(&[own, parent]).unwrap();
    let used = servers.end().unwrap();
    assert_eq!(
        used.iter().map(|u| u.pid).collect::<Vec<_>>(),
        [own, parent]
    );
    assert!(used.iter().all(|u| u.usage.rss_bytes > 0));
    assert!(Servers::begin(&[own, 1 << 30]).is_err());
}

#[test]
fn this_process_is_seen_to_use_cpu_and_memory() {
    let before = Snapshot::of_self().unwrap();
    // Work until the kernel has charged it to us.
    let mut sum = 0u64;
    let used = loop {
        for i in 0..1_000_000u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(i));
        }
        let used = Usage::between(&before, &Snapshot::of_self().unwrap());
        if used.cpu() >= Duration::from_millis(20) {
            break used;
        }
    };
    assert!(used.rss_bytes > 100_000);
    assert!(used.peak_rss_bytes >= used.rss_bytes);
}

#[test]
fn a_process_that_is_not_there_is_an_error_that_names_it() {
    // Above the kernel's largest pid (2^22).
    let error = format!("{:#}", Snapshot::of_process(1 << 30).unwrap_err());
    assert!(error.contains("/proc/1073741824/stat"), "{error}");
}
