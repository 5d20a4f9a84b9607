//! Where nodes and commands write: one text, with a threshold for log lines and indentation.

use std::fmt;
use std::sync::{Arc, Mutex};

use varve_raft::{Level, Logger};

/// What is printed: log lines of this level and above, or nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Threshold {
    At(Level),
    /// Above the levels the core logs at; etcd's loggers have it.
    Fatal,
    Nothing,
}

impl Threshold {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "DEBUG" => Self::At(Level::Debug),
            "INFO" => Self::At(Level::Info),
            "WARN" => Self::At(Level::Warn),
            "ERROR" => Self::At(Level::Error),
            "FATAL" => Self::Fatal,
            "NONE" => Self::Nothing,
            _ => return None,
        })
    }
}

#[derive(Debug)]
struct State {
    text: String,
    threshold: Threshold,
}

/// Shared by the nodes of a cluster, as their logger, and its commands.
#[derive(Clone, Debug)]
pub(super) struct Output {
    state: Arc<Mutex<State>>,
}

impl Output {
    pub(super) fn new() -> Self {
        let threshold = Threshold::At(Level::Debug);
        Self {
            state: Arc::new(Mutex::new(State {
                text: String::new(),
                threshold,
            })),
        }
    }

    pub(super) fn threshold(&self) -> Threshold {
        self.state.lock().unwrap().threshold
    }

    pub(super) fn set_threshold(&self, threshold: Threshold) {
        self.state.lock().unwrap().threshold = threshold;
    }

    pub(super) fn push(&self, text: &str) {
        let mut state = self.state.lock().unwrap();
        if state.threshold != Threshold::Nothing {
            state.text.push_str(text);
        }
    }

    pub(super) fn take(&self) -> String {
        std::mem::take(&mut self.state.lock().unwrap().text)
    }

    fn replace(&self, text: String) -> String {
        std::mem::replace(&mut self.state.lock().unwrap().text, text)
    }
}

/// Runs `work` on a cluster with its output two columns in.
pub(super) fn indented<C, T>(
    cluster: &mut C,
    output: fn(&C) -> &Output,
    work: impl FnOnce(&mut C) -> T,
) -> T {
    let mut before = output(cluster).replace(String::new());
    let result = work(cluster);
    for line in output(cluster).take().lines() {
        before.push_str("  ");
        before.push_str(line);
        before.push('\n');
    }
    output(cluster).replace(before);
    result
}

impl Logger for Output {
    fn log(&self, level: Level, line: fmt::Arguments<'_>) {
        if self.threshold() <= Threshold::At(level) {
            self.push(&format!("{level} {line}\n"));
        }
    }
}
