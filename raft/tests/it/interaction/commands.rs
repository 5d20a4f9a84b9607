//! The verbs of the scripts: etcd's, and a few of our own at the end.

use bytes::Bytes;
use varve_proto::raftpb::{
    ConfChange, ConfChangeTransition, ConfChangeV2, Message, MessageType, Snapshot,
};
use varve_raft::describe::{describe_entries, describe_message};
use varve_raft::{Error, NodeId, RawNode, SnapshotStatus, Storage as _, parse_conf_changes};

use super::cluster::{Cluster, Node, Settings, payload};
use super::output::Threshold;
use super::storage::History;
use crate::datadriven::Case;

type Outcome = Result<(), String>;

fn text(result: Result<(), Error>) -> Outcome {
    result.map_err(|error| error.to_string())
}

fn flag(value: &str) -> bool {
    value.parse().unwrap()
}

impl Cluster {
    /// Carries out a directive; what it printed, or `ok`.
    pub(super) fn handle(&mut self, case: &Case) -> String {
        let outcome = self.dispatch(case);
        let quiet = self.output.threshold() == Threshold::Nothing;
        let mut out = self.output.take();
        match outcome {
            Err(error) if quiet => return error,
            Err(error) => out.push_str(&error),
            Ok(()) => {}
        }
        if out.is_empty() { "ok".to_owned() } else { out }
    }

    fn dispatch(&mut self, case: &Case) -> Outcome {
        match case.cmd.as_str() {
            "add-nodes" => self.add_nodes(case),
            "campaign" => text(self.raw(case).campaign()),
            "compact" => self.compact(case),
            "deliver-msgs" => self.deliver_msgs(case),
            "process-ready" => self.each(case, "handling Ready", Self::process_ready),
            "process-append-thread" => {
                self.each(case, "processing append thread", Self::process_append)
            }
            "process-apply-thread" => {
                self.each(case, "processing apply thread", Self::process_apply)
            }
            "log-level" => self.set_level(case.words().next().unwrap()),
            "raft-log" => self.raft_log(case.node()),
            "raft-state" => self.raft_state(),
            "set-randomized-election-timeout" => {
                let ticks = case.get("timeout").unwrap().parse().unwrap();
                self.raw(case).set_randomized_election_timeout(ticks);
                Ok(())
            }
            "stabilize" => self.stabilize_command(case),
            "status" => {
                let status = self.raw(case).status();
                self.output.push(&status.progress.to_string());
                Ok(())
            }
            "tick-election" => self.tick(case.node(), Settings::ELECTION_TICK),
            "tick-heartbeat" => self.tick(case.node(), Settings::HEARTBEAT_TICK),
            "transfer-leadership" => {
                let id = |key| case.get(key).unwrap().parse::<usize>().unwrap();
                self.nodes[id("from") - 1]
                    .raw
                    .transfer_leader(id("to") as u64);
                Ok(())
            }
            "forget-leader" => {
                self.raw(case).forget_leader();
                Ok(())
            }
            "send-snapshot" => self.send_snapshot(case),
            "propose" => {
                let data = case.words().nth(1).unwrap().to_owned();
                text(self.raw(case).propose(data.into()))
            }
            "propose-conf-change" => self.propose_conf_change(case),
            "report-unreachable" => match *case.nodes().as_slice() {
                [on, about] => {
                    self.nodes[on].raw.report_unreachable(about as u64 + 1);
                    Ok(())
                }
                _ => Err(
                    "must specify exactly two node indexes: node on which to report, and \
                          reported node"
                        .to_owned(),
                ),
            },
            own => self.dispatch_own(own, case),
        }
    }

    /// Verbs that etcd's harness does not have.
    fn dispatch_own(&mut self, verb: &str, case: &Case) -> Outcome {
        match verb {
            // read-index <node> <context>
            "read-index" => {
                let context = case.words().nth(1).unwrap().to_owned();
                self.raw(case).read_index(context.into());
                Ok(())
            }
            // propose-batch <node> <payload>..
            "propose-batch" => {
                let batch = case
                    .words()
                    .skip(1)
                    .map(|word| Bytes::from(word.to_owned()))
                    .collect();
                text(self.raw(case).propose_batch(batch))
            }
            // report-snapshot <node> <receiver> outcome=finish|failure
            "report-snapshot" => {
                let status = match case.get("outcome") {
                    Some("finish") => SnapshotStatus::Finish,
                    _ => SnapshotStatus::Failure,
                };
                let nodes = case.nodes();
                self.nodes[nodes[0]]
                    .raw
                    .report_snapshot(nodes[1] as u64 + 1, status);
                Ok(())
            }
            // restart <node>: memory is lost, storage stays, everything is applied anew
            "restart" => self.restart(case.node()),
            // soft-state <node>: role, leader, transferee
            "soft-state" => {
                let status = self.raw(case).basic_status();
                self.output.push(&format!(
                    "{} lead:{} transferee:{} commit:{} applied:{}\n",
                    status.role, status.lead, status.lead_transferee, status.commit, status.applied
                ));
                Ok(())
            }
            _ => Err("unknown command".to_owned()),
        }
    }

    fn raw(&mut self, case: &Case) -> &mut RawNode<History> {
        &mut self.nodes[case.node()].raw
    }

    fn each(&mut self, case: &Case, what: &str, work: fn(&mut Self, usize) -> Outcome) -> Outcome {
        let nodes = case.nodes();
        if let [only] = *nodes.as_slice() {
            return work(self, only);
        }
        for at in nodes {
            self.output.push(&format!("> {} {what}\n", at + 1));
            self.indent(|cluster| work(cluster, at))?;
        }
        Ok(())
    }

    fn add_nodes(&mut self, case: &Case) -> Outcome {
        let mut snapshot = Snapshot::default();
        let mut settings = Settings {
            applied: 0,
            inflight: usize::MAX,
            inflight_bytes: 0,
            asynchronous: false,
            pre_vote: false,
            check_quorum: false,
            max_committed: 0,
            max_size_per_msg: u64::MAX,
            max_uncommitted: 0,
            disable_validation: false,
            disable_forwarding: false,
            lease_based: false,
            step_down: false,
        };
        for arg in &case.args {
            for val in &arg.vals {
                let number = || val.parse::<u64>().unwrap();
                match arg.key.as_str() {
                    "voters" => snapshot.metadata.conf_state.voters.push(number()),
                    "learners" => snapshot.metadata.conf_state.learners.push(number()),
                    "index" => {
                        snapshot.metadata.index = number();
                        settings.applied = number();
                    }
                    "content" => snapshot.data = Some(val.clone().into()),
                    "inflight" => settings.inflight = val.parse().unwrap(),
                    "async-storage-writes" => settings.asynchronous = flag(val),
                    "prevote" => settings.pre_vote = flag(val),
                    "checkquorum" => settings.check_quorum = flag(val),
                    "max-committed-size-per-ready" => settings.max_committed = number(),
                    "disable-conf-change-validation" => settings.disable_validation = flag(val),
                    "read-only" => settings.lease_based = val == "lease-based",
                    "step-down-on-removal" => settings.step_down = flag(val),
                    // Ours.
                    "inflight-bytes" => settings.inflight_bytes = number(),
                    "max-size-per-msg" => settings.max_size_per_msg = number(),
                    "max-uncommitted" => settings.max_uncommitted = number(),
                    "disable-forwarding" => settings.disable_forwarding = flag(val),
                    other => return Err(format!("unknown option {other}")),
                }
            }
        }
        let starts_with_snapshot = snapshot != Snapshot::default();
        if starts_with_snapshot {
            if snapshot.metadata.index <= 1 {
                return Err("index must be specified as > 1 due to bootstrap".to_owned());
            }
            snapshot.metadata.term = 1;
        }
        for _ in 0..case.words().next().unwrap().parse::<usize>().unwrap() {
            let storage = History::new(snapshot.clone());
            if starts_with_snapshot {
                storage.log.apply_snapshot(snapshot.clone()).unwrap();
            }
            let config = settings.config(self.nodes.len() as u64 + 1, &self.output);
            let raw = RawNode::new(config, storage.clone()).map_err(|error| error.to_string())?;
            self.nodes.push(Node {
                raw,
                storage,
                settings: settings.clone(),
                append_work: std::collections::VecDeque::new(),
                apply_work: std::collections::VecDeque::new(),
            });
        }
        Ok(())
    }

    fn restart(&mut self, at: usize) -> Outcome {
        let node = &mut self.nodes[at];
        node.append_work.clear();
        node.apply_work.clear();
        node.settings.applied = node.storage.latest().metadata.index;
        let config = node.settings.config(at as u64 + 1, &self.output);
        node.raw = RawNode::new(config, node.storage.clone()).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn compact(&mut self, case: &Case) -> Outcome {
        let at = case.node();
        let index = case.words().nth(1).unwrap().parse().unwrap();
        self.nodes[at]
            .storage
            .log
            .compact(index)
            .map_err(|error| error.to_string())?;
        self.raft_log(at)
    }

    fn deliver_msgs(&mut self, case: &Case) -> Outcome {
        let kind = case
            .get("type")
            .map(|name| MessageType::from_str_name(name).unwrap());
        let mut handled = 0;
        for arg in &case.args {
            // duplicate=true leaves a copy under way, as networks do.
            let keep = case.get("duplicate") == Some("true");
            if arg.vals.is_empty() {
                let id = arg.key.parse().unwrap();
                let before = self.messages.clone();
                for message in self.take_messages(id, kind, false) {
                    handled += 1;
                    self.deliver(message);
                }
                if keep {
                    self.messages = before;
                }
            }
            if arg.key == "drop" {
                for val in &arg.vals {
                    for message in self.take_messages(val.parse().unwrap(), kind, true) {
                        handled += 1;
                        let message = describe_message(&message, &payload);
                        self.output.push(&format!("dropped: {message}\n"));
                    }
                }
            }
        }
        if handled == 0 {
            self.output.push("no messages\n");
        }
        Ok(())
    }

    fn set_level(&mut self, name: &str) -> Outcome {
        let threshold = Threshold::parse(name).ok_or_else(|| format!("unknown level {name}"))?;
        self.output.set_threshold(threshold);
        Ok(())
    }

    fn raft_log(&mut self, at: usize) -> Outcome {
        let log = &self.nodes[at].storage.log;
        let read = || {
            let (first, last) = (log.first_index()?, log.last_index()?);
            if last < first {
                return Ok(format!(
                    "log is empty: first index={first}, last index={last}"
                ));
            }
            Ok(describe_entries(
                &log.entries(first..last + 1, u64::MAX)?,
                &payload,
            ))
        };
        let text = read().map_err(|error: varve_raft::StorageError| error.to_string())?;
        self.output.push(&text);
        Ok(())
    }

    fn raft_state(&mut self) -> Outcome {
        for node in &self.nodes {
            let status = node.raw.status();
            let basic = status.basic;
            let votes = |id| status.config.voters.contains(id);
            let voter = if NodeId::new(basic.id).is_some_and(votes) {
                "Voter"
            } else {
                "Non-Voter"
            };
            self.output.push(&format!(
                "{}: {} ({voter}) Term:{} Lead:{}\n",
                basic.id, basic.role, basic.term, basic.lead
            ));
        }
        Ok(())
    }

    fn stabilize_command(&mut self, case: &Case) -> Outcome {
        let before = self.output.threshold();
        if let Some(level) = case.get("log-level") {
            self.set_level(level)?;
        }
        let mut nodes = case.nodes();
        if nodes.is_empty() {
            nodes = (0..self.nodes.len()).collect();
        }
        let outcome = self.stabilize(&nodes);
        self.output.set_threshold(before);
        outcome
    }

    fn tick(&mut self, at: usize, ticks: usize) -> Outcome {
        for _ in 0..ticks {
            self.nodes[at].raw.tick();
        }
        Ok(())
    }

    fn send_snapshot(&mut self, case: &Case) -> Outcome {
        let nodes = case.nodes();
        let sender = &self.nodes[nodes[0]];
        let message = Message {
            r#type: MessageType::MsgSnap as i32,
            term: sender.raw.basic_status().term,
            from: nodes[0] as u64 + 1,
            to: nodes[1] as u64 + 1,
            snapshot: Some(sender.storage.latest()),
            ..Message::default()
        };
        self.output.push(&describe_message(&message, &payload));
        self.messages.push(message);
        Ok(())
    }

    fn propose_conf_change(&mut self, case: &Case) -> Outcome {
        let changes = parse_conf_changes(&case.input)?;
        let transition = match case.get("transition") {
            None | Some("auto") => ConfChangeTransition::Auto,
            Some("implicit") => ConfChangeTransition::JointImplicit,
            Some("explicit") => ConfChangeTransition::JointExplicit,
            Some(other) => return Err(format!("unknown transition {other}")),
        };
        let raw = self.raw(case);
        text(if case.get("v1").is_some_and(flag) {
            let [change] = changes.as_slice() else {
                return Err(
                    "v1 conf change can only have one operation and no transition".to_owned(),
                );
            };
            raw.propose_conf_change(&ConfChange {
                r#type: change.r#type,
                node_id: change.node_id,
                ..ConfChange::default()
            })
        } else {
            raw.propose_conf_change(&ConfChangeV2 {
                transition: transition as i32,
                changes,
                context: None,
            })
        })
    }
}
