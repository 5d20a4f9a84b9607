use super::{Config, ReadOnlyOption};

fn refused(change: impl FnOnce(&mut Config)) -> Option<String> {
    let mut config = Config::new(1);
    change(&mut config);
    config.validated().err().map(|error| error.to_string())
}

#[test]
fn etcds_settings_are_the_default_and_fine() {
    assert_eq!(refused(|_| {}), None);
    let etcd = Config::new(1);
    assert_eq!((etcd.election_tick, etcd.heartbeat_tick), (10, 1));
    assert_eq!((etcd.check_quorum, etcd.pre_vote), (true, true));
    assert_eq!(etcd.read_only_option, ReadOnlyOption::Safe);
    assert_eq!(etcd.max_size_per_msg, 512 * 1024);
    assert_eq!(etcd.max_inflight_msgs, 512);
    // What etcd's server leaves alone.
    assert_eq!(etcd.max_inflight_bytes, 0);
    assert!(!etcd.async_storage_writes && !etcd.step_down_on_removal);
    assert!(!etcd.disable_proposal_forwarding && !etcd.disable_conf_change_validation);
}

#[test]
fn contradictions_are_refused_by_name() {
    type Row = (fn(&mut Config), &'static str);
    let table: [Row; 9] = [
        (|c| c.id = 0, "cannot use none as id"),
        (
            |c| c.id = crate::LOCAL_APPEND_THREAD,
            "cannot use local target as id",
        ),
        (
            |c| c.id = crate::LOCAL_APPLY_THREAD,
            "cannot use local target as id",
        ),
        (
            |c| c.heartbeat_tick = 0,
            "heartbeat tick must be greater than 0",
        ),
        (
            |c| c.election_tick = 1,
            "election tick must be greater than heartbeat tick",
        ),
        (
            |c| c.election_tick = usize::MAX,
            "election tick is out of range",
        ),
        (
            |c| c.max_inflight_msgs = 0,
            "max inflight messages must be greater than 0",
        ),
        (
            |c| c.max_inflight_bytes = 1,
            "max inflight bytes must be >= max message size",
        ),
        (
            |c| {
                c.read_only_option = ReadOnlyOption::LeaseBased;
                c.check_quorum = false;
            },
            "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased",
        ),
    ];
    for (change, text) in table {
        assert_eq!(refused(change).as_deref(), Some(text));
    }
}

#[test]
fn zero_stands_for_no_limit_or_for_the_size_of_a_message() {
    let (id, config) = Config {
        max_size_per_msg: 77,
        ..Config::new(1)
    }
    .validated()
    .unwrap();
    assert_eq!(id.get(), 1);
    assert_eq!(config.max_uncommitted_entries_size, u64::MAX);
    assert_eq!(config.max_inflight_bytes, u64::MAX);
    assert_eq!(config.max_committed_size_per_ready, 77);
    let (_, config) = Config {
        max_size_per_msg: 0,
        ..Config::new(1)
    }
    .validated()
    .unwrap();
    assert!(
        config.max_committed_size_per_ready > 0,
        "or nothing would ever be applied"
    );
}
