use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(level: LogLevel, format: LogFormat, log: impl FnOnce()) -> Vec<String> {
    let shared = Shared::default();
    let (queue, guard) = writer::spawn(vec![Box::new(shared.clone())]).unwrap();
    let subscriber = tracing_subscriber::registry().with(LogLayer {
        queue,
        level,
        format,
    });
    tracing::subscriber::with_default(subscriber, log);
    drop(guard);
    let bytes = shared.0.lock().unwrap().clone();
    String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_line_is_one_json_object_in_zaps_shape() {
    let error = io::Error::other("no \"disk\"");
    let lines = logged(LogLevel::Info, LogFormat::Json, || {
        tracing::info!(
            member_id = %format_args!("{:x}", 255),
            count = 3,
            negative = -1_i64,
            ok = true,
            took = ?std::time::Duration::from_millis(12),
            error = &error as &dyn std::error::Error,
            "tab\there, caf\u{e9}"
        );
    });
    assert_eq!(lines.len(), 1);
    let value: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    let object = value.as_object().unwrap();
    let names: Vec<&str> = object.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "level",
            "ts",
            "caller",
            "msg",
            "member-id",
            "count",
            "negative",
            "ok",
            "took",
            "error"
        ]
    );
    assert_eq!(object["level"], "info");
    assert_eq!(object["msg"], "tab\there, caf\u{e9}");
    assert_eq!(object["member-id"], "ff");
    assert_eq!(object["count"], 3);
    assert_eq!(object["negative"], -1);
    assert_eq!(object["ok"], true);
    assert_eq!(object["took"], "12ms");
    assert_eq!(object["error"], "no \"disk\"");
    assert!(
        object["caller"]
            .as_str()
            .unwrap()
            .starts_with("logging/tests.rs:")
    );
    assert!(object["ts"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn the_console_shape_has_columns_and_fields_as_json() {
    let lines = logged(LogLevel::Info, LogFormat::Console, || {
        tracing::warn!(count = 3, name = "x", "slow");
        tracing::info!("bare");
    });
    let columns: Vec<&str> = lines[0].split('\t').skip(1).collect();
    assert_eq!(
        (columns[0], columns[2], columns[3]),
        ("warn", "slow", "{\"count\":3,\"name\":\"x\"}")
    );
    assert!(lines[1].ends_with("\tbare"));
}

#[test]
fn levels_below_the_least_are_not_written_and_other_crates_only_warn() {
    let all = || {
        tracing::debug!("d");
        tracing::info!("i");
        tracing::warn!("w");
        tracing::error!("e");
        tracing::error!(target: FATAL, "f");
        tracing::info!(target: "h2::codec", "theirs");
        tracing::warn!(target: "h2::codec", "their warning");
    };
    let messages = |level| -> Vec<String> {
        logged(level, LogFormat::Json, all)
            .iter()
            .map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                format!(
                    "{}:{}",
                    value["level"].as_str().unwrap(),
                    value["msg"].as_str().unwrap()
                )
            })
            .collect()
    };
    assert_eq!(
        messages(LogLevel::Debug),
        [
            "debug:d",
            "info:i",
            "warn:w",
            "error:e",
            "fatal:f",
            "warn:their warning"
        ]
    );
    assert_eq!(
        messages(LogLevel::Info),
        [
            "info:i",
            "warn:w",
            "error:e",
            "fatal:f",
            "warn:their warning"
        ]
    );
    assert_eq!(messages(LogLevel::Error), ["error:e", "fatal:f"]);
    assert_eq!(messages(LogLevel::Fatal), ["fatal:f"]);
}

#[test]
fn a_fatal_line_needs_no_logger() {
    let value: serde_json::Value =
        serde_json::from_str(&fatal_line("failed to start", "because \\")).unwrap();
    assert_eq!(
        (&value["level"], &value["error"]),
        (&"fatal".into(), &"because \\".into())
    );
}
