//! The configuration change corpus: which changes are possible, and where they lead.

use varve_raft::{Changer, ConfChangeError, Index, InflightLimits, Tracker, parse_conf_changes};

use crate::datadriven::{corpus, run_file};

#[test]
fn configurations_change_as_in_the_corpus() {
    for file in corpus("confchange").unwrap_or_default() {
        let mut tracker = Tracker::new(InflightLimits {
            messages: 10,
            bytes: 0,
        });
        let mut last_index = Index::ZERO;
        run_file(&file, false, |case| {
            let changer = Changer {
                tracker: &tracker,
                last_index,
            };
            last_index = last_index.next();
            let changes = match parse_conf_changes(&case.input) {
                Ok(changes) => changes,
                Err(error) => return error,
            };
            let auto_leave = case.get("autoleave") == Some("true");
            let changed: Result<_, ConfChangeError> = match case.cmd.as_str() {
                "simple" => changer.simple(&changes),
                "enter-joint" => changer.enter_joint(auto_leave, &changes),
                "leave-joint" if changes.is_empty() => changer.leave_joint(),
                "leave-joint" => return "this command takes no input\n".to_owned(),
                other => panic!("unknown command {other}"),
            };
            match changed {
                Ok((config, progress)) => {
                    tracker.config = config;
                    tracker.progress = progress;
                    format!("{}\n{}", tracker.config, tracker.progress)
                }
                Err(error) => format!("{error}\n"),
            }
        });
    }
}
