//! The result of a run and its JSON form; the text form is in [`super::text`].

use std::io::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::args::{Global, Output};
use super::recorder::Recorder;
use super::server_stats::{ServerUsage, Usage};
use super::text;

/// Quantiles of the report, in percent: etcd's, and two more in JSON for the tail.
pub(super) const PERCENTILES: [f64; 8] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9];
const JSON_TAIL: [f64; 1] = [99.99];

/// One measured run.
#[derive(Debug)]
pub(crate) struct Report {
    /// The workload, as JSON names it.
    pub(crate) name: &'static str,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    pub(crate) recorder: Recorder,
    /// What this process used.
    pub(crate) client: Usage,
    /// What the processes of `--server-pid` used.
    pub(crate) servers: Vec<ServerUsage>,
    /// The answer to `--check-hashkv`.
    pub(crate) hash_kv: Option<HashKv>,
}

/// The server's hash of its keys after a run.
#[derive(Debug)]
pub(crate) struct HashKv {
    pub(crate) hash: u32,
    pub(crate) revision: i64,
    pub(crate) endpoint: String,
    pub(crate) took: Duration,
    pub(crate) db_size_bytes: i64,
}

impl Report {
    /// Successful requests per second.
    pub(super) fn requests_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            as_f64(self.recorder.succeeded()) / seconds
        } else {
            0.0
        }
    }

    /// Microseconds of CPU per successful request.
    pub(super) fn cpu_us_per_op(&self, usage: &Usage) -> f64 {
        usage.cpu().as_secs_f64() * 1e6 / as_f64(self.recorder.succeeded().max(1))
    }

    /// What the processes of `--server-pid` used together.
    pub(super) fn server(&self) -> Option<Usage> {
        Usage::sum(self.servers.iter().map(|server| &server.usage))
    }

    fn to_json(&self) -> Value {
        let recorder = &self.recorder;
        let mut latency = Map::new();
        let mut add = |name: String, seconds: f64| {
            latency.insert(name, json!(round(seconds * 1e6)));
        };
        add("min".to_owned(), recorder.fastest().as_secs_f64());
        add("mean".to_owned(), recorder.average_seconds());
        add("stddev".to_owned(), recorder.stddev_seconds());
        for percent in PERCENTILES.into_iter().chain(JSON_TAIL) {
            add(
                format!("p{percent}"),
                recorder.quantile(percent / 100.0).as_secs_f64(),
            );
        }
        add("max".to_owned(), recorder.slowest().as_secs_f64());

        let mut out = json!({
            "benchmark": self.name,
            "requests": recorder.succeeded(),
            "errors": recorder.failed(),
            "seconds": self.elapsed.as_secs_f64(),
            "requests_per_second": round(self.requests_per_second()),
            "latency_us": latency,
            "error_distribution": recorder.errors(),
            "client": self.usage_json(&self.client),
        });
        if let Some(server) = self.server() {
            out["server"] = self.usage_json(&server);
        }
        if self.servers.len() > 1 {
            let each = self.servers.iter().map(|server| {
                let mut json = self.usage_json(&server.usage);
                json["pid"] = json!(server.pid);
                json
            });
            out["servers"] = each.collect();
        }
        if let Some(hash) = &self.hash_kv {
            out["hash_kv"] = json!({
                "hash": hash.hash,
                "revision": hash.revision,
                "endpoint": hash.endpoint,
                "took_us": round(hash.took.as_secs_f64() * 1e6),
                "db_size_bytes": hash.db_size_bytes,
            });
        }
        if let Some((interval, rows)) = recorder.samples() {
            let micros = |d: Duration| round(d.as_secs_f64() * 1e6);
            let rows = rows.iter().map(|row| {
                json!({
                    "requests": row.requests,
                    "min_us": micros(row.fastest),
                    "mean_us": micros(row.average()),
                    "max_us": micros(row.slowest),
                })
            });
            out["sample_interval_us"] = json!(micros(interval));
            out["samples"] = rows.collect();
        }
        out
    }

    fn usage_json(&self, usage: &Usage) -> Value {
        let written = usage.written_bytes;
        json!({
            "cpu_seconds": usage.cpu().as_secs_f64(),
            "user_seconds": usage.user.as_secs_f64(),
            "system_seconds": usage.system.as_secs_f64(),
            "cpu_us_per_op": round(self.cpu_us_per_op(usage)),
            "cores_busy": round(usage.cpu().as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9)),
            "rss_bytes": usage.rss_bytes,
            "peak_rss_bytes": usage.peak_rss_bytes,
            "written_bytes": written,
            "written_bytes_per_op":
                written.map(|n| round(as_f64(n) / as_f64(self.recorder.succeeded().max(1)))),
        })
    }
}

/// Writes the reports of one command: text one after the other; JSON as one object, in which
/// further reports of the command stand under their names.
pub(super) fn write_all(
    reports: &[Report],
    global: &Global,
    out: &mut impl Write,
) -> std::io::Result<()> {
    match global.output {
        Output::Text => reports
            .iter()
            .try_for_each(|r| text::write(r, global.precise, out)),
        Output::Json => match reports {
            [only] => writeln!(out, "{}", only.to_json()),
            many => {
                let all: Map<_, _> = many
                    .iter()
                    .map(|r| (r.name.to_owned(), r.to_json()))
                    .collect();
                writeln!(out, "{}", Value::Object(all))
            }
        },
    }
}

/// To three digits after the point: below what is measured, and short to read.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
pub(super) mod tests;
