//! What a run records: latencies in an HDR histogram, errors by text, throughput over time.
//!
//! Shared by the clients of one run behind a mutex; with one thread it is never contended.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use tonic::Status;

/// Latencies are kept to three significant digits from 1 ns; the range grows on its own.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Latencies, errors and samples of one run.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    latencies_ns: Histogram<u64>,
    total_ns: u128,
    fastest: Option<Duration>,
    slowest: Duration,
    errors: BTreeMap<String, u64>,
    samples: Option<Samples>,
}

#[derive(Debug, Clone)]
struct Samples {
    interval: Duration,
    rows: Vec<Sample>,
}

/// The requests that ended in one interval.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) fastest: Duration,
    pub(crate) slowest: Duration,
    total: Duration,
}

impl Sample {
    /// Mean latency of the interval; zero when nothing ended in it.
    pub(crate) fn average(&self) -> Duration {
        match u32::try_from(self.requests) {
            Ok(n) if n > 0 => self.total / n,
            _ => Duration::ZERO,
        }
    }
}

impl Recorder {
    /// An empty recorder; with `sample_interval` it keeps a row per interval as well.
    pub(crate) fn new(sample_interval: Option<Duration>) -> anyhow::Result<Self> {
        Ok(Self {
            latencies_ns: Histogram::new(SIGNIFICANT_DIGITS).context("making the histogram")?,
            total_ns: 0,
            fastest: None,
            slowest: Duration::ZERO,
            errors: BTreeMap::new(),
            samples: sample_interval.map(|interval| Samples {
                interval,
                rows: Vec::new(),
            }),
        })
    }

    /// A request that succeeded after `latency`, `ended` after the start of the run.
    pub(crate) fn record(&mut self, latency: Duration, ended: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies_ns
            .record(nanos)
            .expect("the histogram grows to any 64-bit value");
        self.total_ns += latency.as_nanos();
        self.fastest = Some(self.fastest.map_or(latency, |fastest| fastest.min(latency)));
        self.slowest = self.slowest.max(latency);
        if let Some(samples) = &mut self.samples {
            samples.record(latency, ended);
        }
    }

    /// A request that failed.
    pub(crate) fn record_error(&mut self, status: &Status) {
        let text = format!("{:?}: {}", status.code(), status.message());
        *self.errors.entry(text).or_default() += 1;
    }

    /// Adds all that `other` recorded.
    pub(crate) fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latencies_ns
            .add(&other.latencies_ns)
            .context("merging histograms")?;
        self.total_ns += other.total_ns;
        self.fastest = match (self.fastest, other.fastest) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
        self.slowest = self.slowest.max(other.slowest);
        for (text, count) in &other.errors {
            *self.errors.entry(text.clone()).or_default() += count;
        }
        if let (Some(own), Some(other)) = (&mut self.samples, &other.samples) {
            own.merge(other);
        }
        Ok(())
    }

    /// Requests that succeeded.
    pub(crate) fn succeeded(&self) -> u64 {
        self.latencies_ns.len()
    }

    /// Requests that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The latency that the share `quantile` (0 to 1) of requests did not exceed.
    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latencies_ns.value_at_quantile(quantile)).min(self.slowest)
    }

    /// The exact extremes.
    pub(crate) fn fastest(&self) -> Duration {
        self.fastest.unwrap_or_default()
    }

    pub(crate) fn slowest(&self) -> Duration {
        self.slowest
    }

    /// The exact mean, in seconds; 0 without requests.
    pub(crate) fn average_seconds(&self) -> f64 {
        if self.succeeded() == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let (total, count) = (self.total_ns as f64, self.succeeded() as f64);
        total / count / 1e9
    }

    /// Standard deviation in seconds, to the histogram's precision.
    pub(crate) fn stddev_seconds(&self) -> f64 {
        self.latencies_ns.stdev() / 1e9
    }

    /// How many latencies lie above `from` (or from 0, if `from` is `None`) up to `to`. Both bounds
    /// mean all that the histogram cannot tell apart from them.
    pub(crate) fn count_between(&self, from: Option<Duration>, to: Duration) -> u64 {
        let bound = |d: Duration| {
            let nanos = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
            self.latencies_ns.highest_equivalent(nanos)
        };
        let (low, high) = (from.map(bound), bound(to));
        let rows = self.latencies_ns.iter_recorded().filter(|row| {
            let value = row.value_iterated_to();
            low.is_none_or(|low| value > low) && value <= high
        });
        rows.map(|row| row.count_at_value()).sum()
    }

    /// Errors by text, with how often each occurred.
    pub(crate) fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// Length of a sample, and the samples in order; `None` when sampling is off.
    pub(crate) fn samples(&self) -> Option<(Duration, &[Sample])> {
        self.samples
            .as_ref()
            .map(|samples| (samples.interval, samples.rows.as_slice()))
    }
}

impl Samples {
    fn record(&mut self, latency: Duration, ended: Duration) {
        let row = ended.as_nanos() / self.interval.as_nanos().max(1);
        // A run of that many intervals has no meaning; the row is dropped rather than the memory.
        let Ok(row) = usize::try_from(row) else {
            return;
        };
        if self.rows.len() <= row {
            self.rows.resize(row + 1, Sample::default());
        }
        let sample = &mut self.rows[row];
        let first = sample.requests == 0;
        sample.requests += 1;
        sample.total += latency;
        sample.slowest = sample.slowest.max(latency);
        sample.fastest = if first {
            latency
        } else {
            sample.fastest.min(latency)
        };
    }
}

impl Samples {
    /// Adds the rows of samples of the same interval.
    fn merge(&mut self, other: &Self) {
        if self.rows.len() < other.rows.len() {
            self.rows.resize(other.rows.len(), Sample::default());
        }
        for (own, other) in self.rows.iter_mut().zip(&other.rows) {
            own.fastest = match (own.requests, other.requests) {
                (0, _) => other.fastest,
                (_, 0) => own.fastest,
                _ => own.fastest.min(other.fastest),
            };
            own.requests += other.requests;
            own.slowest = own.slowest.max(other.slowest);
            own.total += other.total;
        }
    }
}

#[cfg(test)]
mod tests;
