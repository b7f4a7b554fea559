//! The page that Prometheus reads, in the text format that it asks for.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::catalogue::{self as metric, Kind, Metric};
use super::histogram::Histogram;
use super::{Metrics, UpstreamMetrics};
use crate::core::upstream::UpstreamId;
use crate::env::{Lack, ProcessFigures};
use crate::event::Phase;

/// The text formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' own, 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The one that the value of an Accept field asks for.
    pub(crate) fn accepted(accept: &[u8]) -> Self {
        let asked = String::from_utf8_lossy(accept).to_ascii_lowercase();
        if asked.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Prometheus }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What is so at the moment at which the page is read.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) config_epoch: u64,
    pub(crate) ready: bool,
    pub(crate) connections: u64,
    pub(crate) connection_limit: u64,
    pub(crate) current_requests: u64,
    pub(crate) log_lines_dropped: u64,
    pub(crate) schedule_lag_bound: u64,
    /// Seconds since 1970.
    pub(crate) started: f64,
    pub(crate) process: Option<ProcessFigures>,
    /// In the order of the configuration.
    pub(crate) upstreams: Vec<UpstreamGauges>,
}

/// The same of one upstream.
#[derive(Debug)]
pub(crate) struct UpstreamGauges {
    pub(crate) id: UpstreamId,
    pub(crate) name: Arc<str>,
    pub(crate) healthy: bool,
    pub(crate) weight: u64,
    pub(crate) failures: u64,
    /// In picks; 0 where it takes none.
    pub(crate) schedule_lag: f64,
    pub(crate) connections: u64,
    pub(crate) idle: u64,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
}

/// The whole page.
pub(crate) fn page(metrics: &Arc<Metrics>, gauges: Gauges, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { metrics: Arc::clone(metrics), gauges }));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    match format {
        Format::OpenMetrics => text,
        Format::Prometheus => classic(&text),
    }
}

/// An OpenMetrics page as Prometheus' older format has it: there a counter is called by its whole name everywhere, and
/// nothing says that the page is over.
fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + 2048);
    let mut help = "";
    for line in open.lines() {
        if line.starts_with("# HELP ") {
            help = line;
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let ending = if of.ends_with(" counter") { "_total" } else { "" };
            for line in [help, line] {
                let mut words = line.splitn(4, ' ');
                let mut word = || words.next().unwrap_or_default();
                let (hash, keyword, name, rest) = (word(), word(), word(), word());
                text.extend([hash, " ", keyword, " ", name, ending, " ", rest, "\n"]);
            }
        } else if line != "# EOF" {
            text.extend([line, "\n"]);
        }
    }
    text
}

/// One reading of everything.
#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    gauges: Gauges,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Scrape { metrics, gauges } = self;
        let mut page = Page { encoder };
        page.proxy(metrics, gauges)?;
        page.requests(metrics, gauges)?;
        page.upstreams(metrics, gauges)?;
        page.process(gauges)
    }
}

/// The values of a metric's labels, in their order.
type Labels<'a> = Vec<&'a str>;

/// Counts by words.
type Worded<const N: usize> = Vec<([&'static str; N], u64)>;

/// An upstream as it is now, and what happened to it.
type Counted<'a> = (&'a UpstreamGauges, &'a UpstreamMetrics);

/// What `read` finds of each upstream, with the upstream's name in front.
fn worded<'a, const N: usize>(
    all: &[Counted<'a>],
    read: impl Fn(&UpstreamMetrics) -> Worded<N>,
) -> Vec<(Labels<'a>, u64)> {
    let of = |(gauges, metrics): &Counted<'a>| {
        let name: &str = &gauges.name;
        let labels = |words: [&'static str; N]| [name].into_iter().chain(words).collect();
        read(metrics).into_iter().map(|(words, count)| (labels(words), count)).collect::<Vec<_>>()
    };
    all.iter().flat_map(of).collect()
}

struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn proxy(&mut self, metrics: &Metrics, gauges: &Gauges) -> fmt::Result {
        self.gauges(&metric::BUILD_INFO, [(vec![env!("CARGO_PKG_VERSION")], 1.0)])?;
        self.gauge(&metric::CONFIG_EPOCH, gauges.config_epoch)?;
        let reloads = [(vec!["ok"], metrics.reloads.get()), (vec!["refused"], metrics.refused_reloads.get())];
        self.counters(&metric::RELOADS, reloads)?;
        self.gauge(&metric::READY, gauges.ready.into())?;
        self.gauge(&metric::CONNECTIONS, gauges.connections)?;
        self.gauge(&metric::CONNECTION_LIMIT, gauges.connection_limit)?;
        // A series that comes with its first event hides that event from whoever looks for an increase.
        let failed = metrics.failed_accepts.read();
        let count = |reason| failed.iter().find(|(words, _)| *words == [reason]).map_or(0, |(_, count)| *count);
        self.counters(&metric::FAILED_ACCEPTS, Lack::REASONS.map(|reason| (vec![reason], count(reason))))?;
        self.counters(&metric::LOG_LINES_DROPPED, [(vec![], gauges.log_lines_dropped)])
    }

    fn requests(&mut self, metrics: &Metrics, gauges: &Gauges) -> fmt::Result {
        self.gauge(&metric::CURRENT_REQUESTS, gauges.current_requests)?;
        let unserved = metrics.unserved.read();
        let unserved = unserved.iter().map(|(words, count)| (words.to_vec(), *count));
        self.counters(&metric::REQUESTS, [(vec!["ok", ""], metrics.served.get())].into_iter().chain(unserved))?;
        self.histograms(&metric::REQUEST_SECONDS, [(vec![], &metrics.latency)])?;
        self.counters(&metric::FAILOVERS, [(vec![], metrics.failovers.get())])
    }

    fn upstreams(&mut self, metrics: &Metrics, gauges: &Gauges) -> fmt::Result {
        let counted = metrics.upstreams.load();
        let none = Arc::new(UpstreamMetrics::default());
        let all: Vec<Counted<'_>> =
            gauges.upstreams.iter().map(|one| (one, &**counted.get(&one.id).unwrap_or(&none))).collect();
        let attempts = |one: &UpstreamMetrics| {
            let opened = (["request", "ok"], one.opened.get());
            [opened].into_iter().chain(one.attempts.read()).collect()
        };
        self.counters(&metric::ATTEMPTS, worded(&all, attempts))?;
        self.histograms(&metric::ATTEMPT_SECONDS, all.iter().map(|(one, counted)| (vec![&*one.name], &counted.took)))?;
        let phases = Phase::ALL.iter().zip(&metrics.phases);
        self.histograms(&metric::PHASE_SECONDS, phases.map(|(phase, took)| (vec![phase.as_str()], took)))?;
        self.counters(&metric::FAILED, worded(&all, |one| one.failed.read()))?;
        self.counters(&metric::BLAMED, worded(&all, |one| one.blamed.read()))?;
        let mut each = |metric: &Metric, read: &dyn Fn(&UpstreamGauges, &UpstreamMetrics) -> u64| {
            let samples = all.iter().map(|(one, counted)| (vec![&*one.name], read(one, counted)));
            match metric.kind {
                Kind::Counter => self.counters(metric, samples),
                Kind::Gauge | Kind::Histogram => {
                    self.gauges(metric, samples.map(|(values, value)| (values, value as f64)))
                }
            }
        };
        each(&metric::HEALTHY, &|one, _| one.healthy.into())?;
        each(&metric::WEIGHT, &|one, _| one.weight)?;
        each(&metric::FAILURES, &|one, _| one.failures)?;
        each(&metric::SUSPICIONS, &|_, counted| counted.suspected.get())?;
        each(&metric::EJECTIONS, &|_, counted| counted.ejected.get())?;
        each(&metric::RECOVERIES, &|_, counted| counted.recovered.get())?;
        each(&metric::PROBES, &|_, counted| counted.probes.get())?;
        each(&metric::FAILED_PROBES, &|_, counted| counted.failed_probes.get())?;
        each(&metric::UPSTREAM_CONNECTIONS, &|one, _| one.connections)?;
        each(&metric::IDLE_CONNECTIONS, &|one, _| one.idle)?;
        self.gauge(&metric::LAG_BOUND, gauges.schedule_lag_bound)?;
        self.gauges(&metric::LAG, all.iter().map(|(one, _)| (vec![&*one.name], one.schedule_lag)))?;
        let bytes = all
            .iter()
            .flat_map(|(one, _)| [(vec![&*one.name, "up"], one.bytes_up), (vec![&*one.name, "down"], one.bytes_down)]);
        self.counters(&metric::BYTES, bytes)
    }

    fn process(&mut self, gauges: &Gauges) -> fmt::Result {
        if let Some(process) = &gauges.process {
            let mut encoder = self.describe(&metric::CPU)?;
            encoder.encode_counter::<NoLabelSet, f64, f64>(&process.cpu.as_secs_f64(), None)?;
            self.gauge(&metric::MEMORY, process.memory)?;
            self.gauge(&metric::DESCRIPTORS, process.descriptors)?;
            self.gauge(&metric::DESCRIPTOR_LIMIT, process.descriptor_limit)?;
        }
        self.describe(&metric::START)?.encode_gauge(&gauges.started)
    }

    fn describe(&mut self, metric: &Metric) -> Result<MetricEncoder<'_>, fmt::Error> {
        let kind = match metric.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        self.encoder.encode_descriptor(metric.name, metric.help.trim_start(), None, kind)
    }

    fn gauge(&mut self, metric: &Metric, value: u64) -> fmt::Result {
        self.gauges(metric, [(vec![], value as f64)])
    }

    fn gauges<'l>(&mut self, metric: &Metric, samples: impl IntoIterator<Item = (Labels<'l>, f64)>) -> fmt::Result {
        let mut encoder = self.describe(metric)?;
        for (values, value) in samples {
            sample(&mut encoder, metric, &values, |one| one.encode_gauge(&value))?;
        }
        Ok(())
    }

    fn counters<'l>(&mut self, metric: &Metric, samples: impl IntoIterator<Item = (Labels<'l>, u64)>) -> fmt::Result {
        let mut encoder = self.describe(metric)?;
        for (values, value) in samples {
            sample(&mut encoder, metric, &values, |one| one.encode_counter::<NoLabelSet, u64, u64>(&value, None))?;
        }
        Ok(())
    }

    fn histograms<'l>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = (Labels<'l>, &'l Histogram)>,
    ) -> fmt::Result {
        let mut encoder = self.describe(metric)?;
        for (values, histogram) in samples {
            let (sum, count, buckets) = histogram.read();
            sample(&mut encoder, metric, &values, |one| {
                one.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            })?;
        }
        Ok(())
    }
}

/// Writes one value of `metric`.
fn sample(
    encoder: &mut MetricEncoder<'_>,
    metric: &Metric,
    values: &[&str],
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    let labels = metric.labels.iter().zip(values).map(|(label, value)| (*label, escaped(value)));
    let labels: Vec<_> = labels.collect();
    // Without labels a family would be written with braces around nothing, which not every reader takes.
    if labels.is_empty() { write(encoder) } else { write(&mut encoder.encode_family(&labels)?) }
}

/// A label's value as the text formats want it; the library writes it as it is.
fn escaped(value: &str) -> Cow<'_, str> {
    if value.contains(['\\', '"', '\n']) {
        value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
    } else {
        value.into()
    }
}
