use super::{Applied, Clients, EntryId, Logs, Property, Shadow, Violation};

fn id(term: u64, index: u64) -> EntryId {
    EntryId { term, index }
}

fn log(terms: &[u64]) -> Shadow {
    let mut log = Shadow::default();
    for (index, &term) in (1..).zip(terms) {
        assert!(log.put(id(term, index)));
    }
    log
}

/// Tells the observer that a member has this log.
fn has(logs: &mut Logs, member: u64, terms: &[u64]) -> Result<(), Violation> {
    let mut previous = 0;
    for (index, &term) in (1..).zip(terms) {
        logs.has(member, id(term, index), previous, term * 100 + index)?;
        previous = term;
    }
    Ok(())
}

fn property(result: Result<(), Violation>) -> Option<Property> {
    result.err().map(|violation| violation.property)
}

#[test]
fn two_leaders_in_a_term_are_seen() {
    let mut logs = Logs::default();
    assert_eq!(logs.leads(1, 2, &log(&[1])), Ok(()));
    assert_eq!(logs.leads(1, 2, &log(&[1])), Ok(()));
    let second = logs.leads(3, 2, &log(&[1]));
    assert_eq!(property(second), Some(Property::ElectionSafety));
}

#[test]
fn a_second_vote_in_a_term_is_seen() {
    let mut logs = Logs::default();
    assert_eq!(logs.votes(1, 2, 3), Ok(()));
    assert_eq!(logs.votes(1, 2, 3), Ok(()));
    assert_eq!(logs.votes(1, 3, 2), Ok(()));
    assert_eq!(
        property(logs.votes(1, 2, 2)),
        Some(Property::OneVotePerTerm)
    );
}

#[test]
fn logs_that_share_an_entry_and_not_what_precedes_it_are_seen() {
    let mut logs = Logs::default();
    assert_eq!(has(&mut logs, 1, &[1, 1, 2]), Ok(()));
    assert_eq!(has(&mut logs, 2, &[1, 1, 2]), Ok(()));
    assert_eq!(has(&mut logs, 2, &[1, 1, 3]), Ok(()));
    let other = has(&mut logs, 3, &[1, 2, 2]);
    assert_eq!(property(other), Some(Property::LogMatching));
}

#[test]
fn terms_that_decrease_along_a_log_are_seen() {
    let mut logs = Logs::default();
    let falling = has(&mut logs, 1, &[1, 3, 2]);
    assert_eq!(property(falling), Some(Property::LogMatching));
}

#[test]
fn a_leader_without_what_was_committed_before_is_seen() {
    let mut logs = Logs::default();
    has(&mut logs, 1, &[1, 1, 2]).unwrap();
    has(&mut logs, 2, &[1, 1, 3, 3]).unwrap();
    logs.commits(1, 2, 0, 3, &log(&[1, 1, 2])).unwrap();
    let elected = logs.leads(2, 3, &log(&[1, 1, 3, 3]));
    assert_eq!(property(elected), Some(Property::LeaderCompleteness));
}

#[test]
fn a_commit_that_a_later_leader_turns_out_to_lack_is_seen() {
    let mut logs = Logs::default();
    has(&mut logs, 1, &[1, 1, 2]).unwrap();
    has(&mut logs, 2, &[1, 1, 3, 3]).unwrap();
    assert_eq!(logs.leads(2, 3, &log(&[1, 1, 3, 3])), Ok(()));
    let late = logs.commits(1, 2, 0, 3, &log(&[1, 1, 2]));
    assert_eq!(property(late), Some(Property::LeaderCompleteness));
}

#[test]
fn an_old_entry_committed_late_binds_only_leaders_after_that() {
    let mut logs = Logs::default();
    has(&mut logs, 1, &[1, 2, 4]).unwrap();
    has(&mut logs, 5, &[1, 3]).unwrap();
    // Led in between without the entry of term 2, which is committed along with one of term 4 only.
    assert_eq!(logs.leads(5, 3, &log(&[1, 3])), Ok(()));
    assert_eq!(logs.leads(1, 4, &log(&[1, 2, 4])), Ok(()));
    assert_eq!(logs.commits(1, 4, 0, 3, &log(&[1, 2, 4])), Ok(()));
    assert_eq!(
        property(logs.leads(5, 5, &log(&[1, 3]))),
        Some(Property::LeaderCompleteness)
    );
}

#[test]
fn different_entries_taken_for_committed_are_seen() {
    let mut logs = Logs::default();
    has(&mut logs, 1, &[1, 1]).unwrap();
    has(&mut logs, 2, &[1, 2]).unwrap();
    logs.commits(1, 1, 0, 2, &log(&[1, 1])).unwrap();
    let other = logs.commits(2, 2, 0, 2, &log(&[1, 2]));
    assert_eq!(property(other), Some(Property::StateMachineSafety));
}

#[test]
fn a_commit_index_that_goes_back_is_seen() {
    let mut logs = Logs::default();
    let back = logs.commits(1, 1, 2, 1, &log(&[1, 1]));
    assert_eq!(property(back), Some(Property::Progress));
}

#[test]
fn members_that_apply_differently_are_seen() {
    let mut logs = Logs::default();
    has(&mut logs, 1, &[1]).unwrap();
    logs.commits(1, 1, 0, 1, &log(&[1])).unwrap();
    let outcome = Applied {
        content: 7,
        state: 8,
        config: None,
    };
    let configured = |config| Applied {
        config: Some(config),
        ..outcome
    };
    assert_eq!(logs.applies(1, id(1, 1), configured(9)), Ok(()));
    assert_eq!(logs.applies(2, id(1, 1), outcome), Ok(()));
    assert_eq!(
        property(logs.applies(3, id(1, 1), configured(10))),
        Some(Property::ConfigurationAgreement)
    );
    let other = Applied {
        state: 80,
        ..outcome
    };
    assert_eq!(
        property(logs.applies(3, id(1, 1), other)),
        Some(Property::StateMachineSafety)
    );
    assert_eq!(
        property(logs.applies(3, id(2, 1), outcome)),
        Some(Property::StateMachineSafety)
    );
    assert_eq!(
        property(logs.applies(3, id(1, 2), outcome)),
        Some(Property::StateMachineSafety),
        "nobody knows it to be committed"
    );
    assert_eq!(logs.jumps(4, id(1, 1), 8), Ok(()));
    assert_eq!(
        property(logs.jumps(4, id(1, 1), 9)),
        Some(Property::StateMachineSafety)
    );
}

#[test]
fn what_was_acknowledged_must_be_kept_and_read() {
    let mut logs = Logs::default();
    has(&mut logs, 1, &[1, 1]).unwrap();
    logs.commits(1, 1, 0, 2, &log(&[1, 1])).unwrap();
    let mut clients = Clients::default();
    let proposal = clients.propose(1);
    assert_eq!(
        property(clients.acknowledge(proposal, 1)),
        Some(Property::LinearizableReads),
        "it would lie before what was done when it began"
    );
    assert_eq!(clients.acknowledge(proposal, 2), Ok(()));
    assert_eq!(
        property(clients.acknowledge(7, 2)),
        Some(Property::Durability)
    );

    assert_eq!(clients.kept_by(1, 0, &log(&[1, 1]), &logs), Ok(()));
    assert_eq!(
        property(clients.kept_by(2, 0, &log(&[1]), &logs)),
        Some(Property::Durability)
    );
    assert_eq!(
        property(clients.kept_by(2, 0, &log(&[1, 2]), &logs)),
        Some(Property::Durability)
    );
    let snapshot = Shadow::behind(id(2, 5));
    assert_eq!(clients.kept_by(3, 5, &snapshot, &logs), Ok(()));

    let read = clients.read(2);
    assert_eq!(clients.answer(read, 2), Ok(()));
    assert_eq!(
        property(clients.answer(read, 1)),
        Some(Property::LinearizableReads)
    );
}
