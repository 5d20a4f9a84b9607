//! The command line: names, defaults and meaning of etcd's `benchmark`, and what is ours.
//!
//! Flags that etcd's tool does not have say so in their help. A flag that stands here works;
//! etcd's flags that are not built (TLS, `--user`, `--auto-sync-interval`, `--report-perfdash`) are
//! refused rather than ignored.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measure the throughput and latency of an etcd-compatible server.
///
/// Flags, defaults and report are those of etcd's `benchmark`. The exit code is 1 when any request
/// failed.
#[derive(Debug, Parser)]
#[command(name = "varve-bench", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global flags")]
pub(crate) struct Global {
    /// gRPC endpoints, host:port or http://host:port, comma separated; connections take turns.
    #[arg(
        long,
        global = true,
        value_delimiter = ',',
        default_value = "127.0.0.1:2379"
    )]
    pub(crate) endpoints: Vec<String>,
    /// Total number of gRPC connections.
    #[arg(long, global = true, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) conns: usize,
    /// Total number of gRPC clients; each has one request in flight at a time.
    #[arg(long, global = true, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) clients: usize,
    /// Print figures with full precision.
    #[arg(long, global = true)]
    pub(crate) precise: bool,
    /// Record throughput and latency over time, per `--sample-interval`, by when requests ended.
    #[arg(long, global = true)]
    pub(crate) sample: bool,
    /// Length of a sample; 100ms shows pauses. (Not in etcd's benchmark, which takes 1s.)
    #[arg(long, global = true, default_value = "1s", value_parser = positive_duration)]
    pub(crate) sample_interval: Duration,
    /// Time limit for making a connection; 0 is none.
    #[arg(long, global = true, default_value = "0s", value_parser = duration)]
    pub(crate) dial_timeout: Duration,
    /// Form of the report. (Not in etcd's benchmark.)
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// Report CPU time, memory and written bytes of this process (the server) per operation, from
    /// /proc; of several (the members of a cluster), comma separated, their sum, and in JSON each.
    /// (Not in etcd's benchmark.)
    #[arg(long, global = true, value_delimiter = ',')]
    pub(crate) server_pid: Vec<u32>,
    /// Threads of the client. One keeps the client cheap; more are for servers it cannot
    /// saturate. (Not in etcd's benchmark.)
    #[arg(long, global = true, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) threads: usize,
    /// Seed of random keys and values; without it every run draws others. (Not in etcd's
    /// benchmark.)
    #[arg(long, global = true)]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// etcd's report.
    Text,
    /// One JSON object with times in microseconds.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Benchmark put.
    Put(PutArgs),
    /// Benchmark range.
    Range(RangeArgs),
    /// Benchmark txn-put: transactions of puts.
    TxnPut(TxnPutArgs),
    /// Benchmark watch latency: the time from a write to its watch event.
    ///
    /// Prints the puts, the events counted from the end of their put (as etcd's benchmark does: an
    /// event that arrives before the put's answer counts as 0), and the events counted from the
    /// start of their put.
    WatchLatency(WatchLatencyArgs),
}

const RATE_HELP: &str = "Maximum requests per second (0 is no limit)";
const RATE_LONG_HELP: &str = "Maximum requests per second (0 is no limit).\n\n\
    With a rate the load is open: request i is due at i / rate, and its latency runs from when it \
    was due, not from when a client was free to send it. A stall of the server therefore counts \
    for every request it delayed (etcd's benchmark omits these).";

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// Key size of put request, in bytes.
    #[arg(long, default_value_t = 8)]
    pub(crate) key_size: usize,
    /// Value size of put request, in bytes.
    #[arg(long, default_value_t = 8)]
    pub(crate) val_size: usize,
    #[arg(long, default_value_t = 0, help = RATE_HELP, long_help = RATE_LONG_HELP)]
    pub(crate) rate: u32,
    /// Total number of put requests.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) total: u64,
    /// Maximum possible keys.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) key_space_size: u64,
    /// Use sequential keys.
    #[arg(long)]
    pub(crate) sequential_keys: bool,
    /// Prefix for keys, before the key-size bytes.
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
    /// Interval to compact the database (0 is never).
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub(crate) compact_interval: Duration,
    /// Delta between current revision and compact revision.
    #[arg(long, default_value_t = 1000)]
    pub(crate) compact_index_delta: i64,
    /// Ask for HashKV at the end and print it.
    #[arg(long)]
    pub(crate) check_hashkv: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RangeArgs {
    /// First key.
    #[arg(required_unless_present_any = ["prefix", "key_space_size"])]
    pub(crate) key: Option<String>,
    /// End of the range, exclusive.
    #[arg(conflicts_with = "prefix")]
    pub(crate) end: Option<String>,
    #[arg(long, default_value_t = 0, help = RATE_HELP, long_help = RATE_LONG_HELP)]
    pub(crate) rate: u32,
    /// Total number of range requests.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) total: u64,
    /// Linearizable (l) or serializable (s).
    #[arg(long, value_enum, default_value_t = Consistency::Linearizable)]
    pub(crate) consistency: Consistency,
    /// Maximum number of results of one range request (0 is no limit).
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) limit: i64,
    /// Only return the count of keys.
    #[arg(long, conflicts_with = "keys_only")]
    pub(crate) count_only: bool,
    /// Only return the keys.
    #[arg(long)]
    pub(crate) keys_only: bool,
    /// Use RangeStream instead of unary Range.
    #[arg(long, conflicts_with = "paginate")]
    pub(crate) stream: bool,
    /// Read in pages of 10000 keys at the first page's revision.
    #[arg(long, conflicts_with = "limit")]
    pub(crate) paginate: bool,
    /// Range over all keys with the given key as prefix.
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Read one random key per request, of those that `put --key-space-size` with the same
    /// `--key-size` writes (0: read the given key). (Not in etcd's benchmark.)
    #[arg(long, default_value_t = 0, conflicts_with_all = ["key", "end", "prefix", "paginate"])]
    pub(crate) key_space_size: u64,
    /// Size of the keys of `--key-space-size`, in bytes. (Not in etcd's benchmark.)
    #[arg(long, default_value_t = 8)]
    pub(crate) key_size: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Consistency {
    #[value(name = "l")]
    Linearizable,
    #[value(name = "s")]
    Serializable,
}

#[derive(Debug, Args)]
pub(crate) struct TxnPutArgs {
    /// Key size of txn put, in bytes.
    #[arg(long, default_value_t = 8)]
    pub(crate) key_size: usize,
    /// Value size of txn put, in bytes.
    #[arg(long, default_value_t = 8)]
    pub(crate) val_size: usize,
    /// Number of puts per txn.
    #[arg(long, default_value_t = 1)]
    pub(crate) txn_ops: u64,
    #[arg(long, default_value_t = 0, help = RATE_HELP, long_help = RATE_LONG_HELP)]
    pub(crate) rate: u32,
    /// Total number of txn requests.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) total: u64,
    /// Maximum possible keys.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) key_space_size: u64,
}

#[derive(Debug, Args)]
pub(crate) struct WatchLatencyArgs {
    /// Total watch streams.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub(crate) streams: usize,
    /// Total watchers per stream.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub(crate) watchers_per_stream: usize,
    /// Ask for the previous key-value with each event.
    #[arg(long)]
    pub(crate) prevkv: bool,
    /// Total number of put requests.
    #[arg(long, default_value_t = 1000)]
    pub(crate) put_total: u64,
    /// Number of keys to put per second (0 is no limit).
    #[arg(long, default_value_t = 100)]
    pub(crate) put_rate: u32,
    /// Key size of watch response, in bytes.
    #[arg(long, default_value_t = 32, value_parser = at_least_one)]
    pub(crate) key_size: usize,
    /// Value size of watch response, in bytes.
    #[arg(long, default_value_t = 32)]
    pub(crate) val_size: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(error) => Err(format!("{error}")),
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than 0".to_owned()),
        other => other,
    }
}

/// A duration in Go's notation, the one of etcd's flags: `1h2m3.5s`, `100ms`, `0`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number_len = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let unit_seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            "ns" => 1e-9,
            "" => return Err(format!("missing unit in duration \"{text}\"")),
            _ => return Err(format!("unknown unit \"{unit}\" in duration \"{text}\"")),
        };
        let number: f64 = number
            .parse()
            .map_err(|_| format!("invalid duration \"{text}\""))?;
        let part = Duration::try_from_secs_f64(number * unit_seconds)
            .map_err(|_| format!("duration \"{text}\" is too long"))?;
        total = total
            .checked_add(part)
            .ok_or(format!("duration \"{text}\" is too long"))?;
        rest = tail;
    }
    if text.is_empty() {
        Err("empty duration".to_owned())
    } else {
        Ok(total)
    }
}

#[cfg(test)]
mod tests;
