//! Counters, and their text in Prometheus' format. Names and buckets are OpenTelemetry's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of `http.server.request.duration`, in microseconds.
const BUCKETS: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000,
    5_000_000, 7_500_000, 10_000_000,
];

/// The counters of one worker, which alone adds to them.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<Counters>);

#[derive(Default, Clone)]
struct Counters {
    requests: BTreeMap<Labels, Durations>,
    refused: BTreeMap<&'static str, u64>,
    verdicts: BTreeMap<&'static str, u64>,
    connections: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels {
    /// One of a bounded number: clients must not make labels.
    pub(crate) method: &'static str,
    pub(crate) route: std::sync::Arc<str>,
    pub(crate) status: u16,
}

#[derive(Default, Clone)]
struct Durations {
    counts: [u64; BUCKETS.len() + 1],
    /// Microseconds.
    sum: u64,
}

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn request(&self, labels: Labels, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.partition_point(|bound| *bound < micros);
        let mut counters = self.lock();
        let durations = counters.requests.entry(labels).or_default();
        if let Some(count) = durations.counts.get_mut(bucket) {
            *count += 1;
        }
        durations.sum = durations.sum.saturating_add(micros);
    }

    pub(crate) fn refused(&self, word: &'static str) {
        *self.lock().refused.entry(word).or_default() += 1;
    }

    pub(crate) fn verdict(&self, word: &'static str) {
        *self.lock().verdicts.entry(word).or_default() += 1;
    }

    pub(crate) fn connection(&self) {
        self.lock().connections += 1;
    }
}

/// The sum of all workers' counters, and further lines.
pub(crate) fn text<'a>(workers: impl Iterator<Item = &'a Metrics>, log_dropped: u64, ready: bool) -> String {
    let mut sum = Counters::default();
    for worker in workers {
        let one = worker.lock().clone();
        for (labels, durations) in one.requests {
            let place = sum.requests.entry(labels).or_default();
            place.sum = place.sum.saturating_add(durations.sum);
            place.counts.iter_mut().zip(durations.counts).for_each(|(total, count)| *total += count);
        }
        one.refused.into_iter().for_each(|(word, count)| *sum.refused.entry(word).or_default() += count);
        one.verdicts.into_iter().for_each(|(word, count)| *sum.verdicts.entry(word).or_default() += count);
        sum.connections += one.connections;
    }
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = sum.write(&mut text, log_dropped, ready);
    text
}

impl Counters {
    fn write(&self, text: &mut String, log_dropped: u64, ready: bool) -> std::fmt::Result {
        let name = "http_server_request_duration_seconds";
        writeln!(
            text,
            "# HELP {name} Duration of exchanges, from the head of the request to the end of the answer."
        )?;
        writeln!(text, "# TYPE {name} histogram")?;
        for (Labels { method, route, status }, durations) in &self.requests {
            let route = route.replace('\\', "\\\\").replace('"', "\\\"");
            let labels = format!(
                "http_request_method=\"{method}\",http_route=\"{route}\",http_response_status_code=\"{status}\""
            );
            let mut total = 0;
            for (bound, count) in BUCKETS.iter().zip(durations.counts) {
                total += count;
                writeln!(text, "{name}_bucket{{{labels},le=\"{}\"}} {total}", seconds(*bound))?;
            }
            let all: u64 = durations.counts.iter().sum();
            writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {all}")?;
            writeln!(text, "{name}_sum{{{labels}}} {}", seconds(durations.sum))?;
            writeln!(text, "{name}_count{{{labels}}} {all}")?;
        }
        let mut counter = |name: &str, help: &str, label: &str, counts: &BTreeMap<&'static str, u64>| {
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter")?;
            counts.iter().try_for_each(|(word, count)| writeln!(text, "{name}{{{label}=\"{word}\"}} {count}"))
        };
        counter("keyvault_verdicts_total", "Verdicts on keys.", "outcome", &self.verdicts)?;
        counter(
            "keyvault_refused_requests_total",
            "Requests refused by their form.",
            "reason",
            &self.refused,
        )?;
        for (name, kind, help, value) in [
            ("keyvault_connections_total", "counter", "Connections accepted.", self.connections),
            (
                "keyvault_log_dropped_total",
                "counter",
                "Lines of the access log that were dropped.",
                log_dropped,
            ),
            ("keyvault_ready", "gauge", "1 while keys can be judged.", u64::from(ready)),
        ] {
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")?;
        }
        Ok(())
    }
}

fn seconds(micros: u64) -> String {
    let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
    let text = format!("{whole}.{rest:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
