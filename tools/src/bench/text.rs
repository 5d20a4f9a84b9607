//! The report as text: the layout of etcd's `benchmark`, so that what reads one reads the other,
//! and a section about the server with `--server-pid`.

use std::io::{self, Write};
use std::time::Duration;

use super::report::{HashKv, PERCENTILES, Report, as_f64};
use super::server_stats::Usage;

const HISTOGRAM_ROWS: u32 = 10;
const HISTOGRAM_WIDTH: u64 = 40;
const BAR: &str = "\u{220e}";

/// Figures with four digits after the point, or all of them with `--precise`.
#[derive(Clone, Copy)]
struct Format {
    precise: bool,
}

impl Format {
    fn number(self, value: f64) -> String {
        if self.precise {
            format!("{value}")
        } else {
            format!("{value:.4}")
        }
    }

    fn seconds(self, value: f64) -> String {
        format!("{} secs", self.number(value))
    }
}

pub(super) fn write(report: &Report, precise: bool, out: &mut impl Write) -> io::Result<()> {
    let format = Format { precise };
    match report.name {
        "range-linearizable" => writeln!(out, "bench with linearizable range")?,
        "range-serializable" => writeln!(out, "bench with serializable range")?,
        "watch-latency-put" => writeln!(out, "\nPut summary:")?,
        "watch-latency-watch" => writeln!(out, "\nWatch events summary:")?,
        "watch-latency-watch-from-put-start" => {
            writeln!(out, "\nWatch events summary, from the start of their put:")?;
        }
        _ => {}
    }
    if report.recorder.succeeded() > 0 {
        summary(report, format, out)?;
        histogram(report, format, out)?;
        latencies(report, format, out)?;
        samples(report, out)?;
    }
    if report.recorder.failed() > 0 {
        writeln!(out, "\nError distribution:")?;
        for (text, count) in report.recorder.errors() {
            writeln!(out, "  [{count}]\t{text}")?;
        }
    }
    if let Some(server) = report.server() {
        let who = match report.servers.len() {
            1 => "Server".to_owned(),
            many => format!("{many} servers"),
        };
        usage(&who, &server, report, out)?;
        usage("Client", &report.client, report, out)?;
    }
    if let Some(hash) = &report.hash_kv {
        hash_kv(hash, out)?;
    }
    Ok(())
}

fn summary(report: &Report, format: Format, out: &mut impl Write) -> io::Result<()> {
    let recorder = &report.recorder;
    writeln!(out, "\nSummary:")?;
    for (name, seconds) in [
        ("Total", report.elapsed.as_secs_f64()),
        ("Slowest", recorder.slowest().as_secs_f64()),
        ("Fastest", recorder.fastest().as_secs_f64()),
        ("Average", recorder.average_seconds()),
        ("Stddev", recorder.stddev_seconds()),
    ] {
        writeln!(out, "  {name}:\t{}.", format.seconds(seconds))?;
    }
    writeln!(
        out,
        "  Requests/sec:\t{}",
        format.number(report.requests_per_second())
    )
}

/// The range from fastest to slowest in ten equal steps; a row counts what lies between its figure
/// and the one before.
fn histogram(report: &Report, format: Format, out: &mut impl Write) -> io::Result<()> {
    let recorder = &report.recorder;
    let (fastest, slowest) = (recorder.fastest(), recorder.slowest());
    let step = slowest.saturating_sub(fastest) / HISTOGRAM_ROWS;
    let mut rows = Vec::new();
    let mut below = None;
    for row in 0..=HISTOGRAM_ROWS {
        let upto = if row == HISTOGRAM_ROWS {
            slowest
        } else {
            fastest + step * row
        };
        rows.push((upto, recorder.count_between(below, upto)));
        below = Some(upto);
    }
    let most = rows
        .iter()
        .map(|&(_, count)| count)
        .max()
        .unwrap_or(0)
        .max(1);
    writeln!(out, "\nResponse time histogram:")?;
    for (upto, count) in rows {
        let bar = BAR.repeat(usize::try_from(count * HISTOGRAM_WIDTH / most).unwrap_or(0));
        writeln!(
            out,
            "  {} [{count}]\t|{bar}",
            format.number(upto.as_secs_f64())
        )?;
    }
    Ok(())
}

fn latencies(report: &Report, format: Format, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nLatency distribution:")?;
    for percent in PERCENTILES {
        let latency = report.recorder.quantile(percent / 100.0).as_secs_f64();
        writeln!(out, "  {percent}% in {}.", format.seconds(latency))?;
    }
    Ok(())
}

fn samples(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Some((interval, rows)) = report.recorder.samples() else {
        return Ok(());
    };
    writeln!(
        out,
        "\nSamples of {interval:?} (end of the sample, in seconds after the start):"
    )?;
    writeln!(
        out,
        "SECOND,MIN-LATENCY-MS,AVG-LATENCY-MS,MAX-LATENCY-MS,REQUESTS"
    )?;
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let mut end = 0.0;
    for row in rows {
        end += interval.as_secs_f64();
        let (min, avg, max) = (ms(row.fastest), ms(row.average()), ms(row.slowest));
        writeln!(out, "{end:.3},{min:.3},{avg:.3},{max:.3},{}", row.requests)?;
    }
    Ok(())
}

fn usage(who: &str, usage: &Usage, report: &Report, out: &mut impl Write) -> io::Result<()> {
    let mib = |bytes: u64| as_f64(bytes) / f64::from(1u32 << 20);
    let cpu = usage.cpu().as_secs_f64();
    writeln!(out, "\n{who}:")?;
    writeln!(
        out,
        "  CPU:\t{cpu:.2} secs (user {:.2}, system {:.2}), {:.2} us per request",
        usage.user.as_secs_f64(),
        usage.system.as_secs_f64(),
        report.cpu_us_per_op(usage)
    )?;
    writeln!(
        out,
        "  Memory:\t{:.1} MiB resident, {:.1} MiB at its peak",
        mib(usage.rss_bytes),
        mib(usage.peak_rss_bytes)
    )?;
    if let Some(bytes) = usage.written_bytes {
        let per_request = as_f64(bytes) / as_f64(report.recorder.succeeded().max(1));
        writeln!(
            out,
            "  Written:\t{:.1} MiB, {per_request:.0} bytes per request",
            mib(bytes)
        )?;
    }
    Ok(())
}

fn hash_kv(hash: &HashKv, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nHashKV Summary:")?;
    writeln!(out, "\tHashKV: {}", hash.hash)?;
    writeln!(out, "\tEndpoint: {}", hash.endpoint)?;
    writeln!(out, "\tTime taken to get hashkv: {:?}", hash.took)?;
    writeln!(out, "\tDB size: {} bytes", hash.db_size_bytes)
}

#[cfg(test)]
mod tests;
