//! Makes and registers series in one call.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, exponential_buckets,
};

const UNIQUE: &str = "names and buckets are constants of this crate, and a test registers them all";

/// A registry under construction.
#[derive(Debug, Default)]
pub(super) struct Registrar {
    registry: Registry,
}

impl Registrar {
    pub(super) fn into_registry(self) -> Registry {
        self.registry
    }

    fn register<C: Collector + Clone + 'static>(&self, series: C) -> C {
        self.registry
            .register(Box::new(series.clone()))
            .expect(UNIQUE);
        series
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help).expect(UNIQUE))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels).expect(UNIQUE))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help).expect(UNIQUE))
    }

    pub(super) fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help).expect(UNIQUE))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels).expect(UNIQUE))
    }

    /// Buckets `start * factor^n` for n below `count`.
    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        (start, factor, count): (f64, f64, usize),
    ) -> Histogram {
        let buckets = exponential_buckets(start, factor, count).expect(UNIQUE);
        let options = HistogramOpts::new(name, help).buckets(buckets);
        self.register(Histogram::with_opts(options).expect(UNIQUE))
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: Option<(f64, f64, usize)>,
    ) -> HistogramVec {
        let mut options = HistogramOpts::new(name, help);
        if let Some((start, factor, count)) = buckets {
            options = options.buckets(exponential_buckets(start, factor, count).expect(UNIQUE));
        }
        self.register(HistogramVec::new(options, labels).expect(UNIQUE))
    }
}
