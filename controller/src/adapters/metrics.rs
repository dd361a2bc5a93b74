//! Prometheus' text format, made at each scrape from the kernel's counters.
use std::collections::BTreeMap;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use jiff::Timestamp;

use crate::domain::audit::ThreatLevel;
use crate::domain::decision::Enforcement;
use crate::domain::http::severity::Severity;
use crate::domain::report::{CrowdsecRow, DetectionRow, FeedRow, FeedState, GeoRow, Status};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Events.
    pub events: usize,
    /// Events that should have been kept and are not, since the start.
    pub events_left_out: u64,
    /// Sources that there is evidence of.
    pub sources: usize,
    /// Evidence that came too fast to be weighed, since the start.
    pub not_weighed: u64,
    /// The last day's threat level.
    pub threat: ThreatLevel,
    /// Packets of sources and networks near a limit that found no room for buckets of their own.
    pub offenders_full: u64,
}

/// The metrics of a status. Labels are verdicts, lists, interfaces, and what is followed: never an address of a packet.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers in the format")]
pub fn render(status: &Status, kept: &Kept, samples: u64, samples_lost: u64) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        for (verdict, row) in &status.verdicts {
            counter!("weir_packets_total", "verdict" => verdict.clone()).absolute(row.packets);
            counter!("weir_bytes_total", "verdict" => verdict.clone()).absolute(row.bytes);
            counter!("weir_observed_packets_total", "verdict" => verdict.clone()).absolute(row.observed_packets);
        }
        for row in &status.limits {
            let labels = [("scope", row.scope.clone()), ("dimension", row.dimension.clone())];
            counter!("weir_limited_packets_total", &labels).absolute(row.packets);
            counter!("weir_limited_bytes_total", &labels).absolute(row.bytes);
            counter!("weir_limited_observed_packets_total", &labels).absolute(row.observed_packets);
        }
        for list in &status.lists {
            let labels = [("list", list.name.clone()), ("origin", list.origin.clone())];
            counter!("weir_list_packets_total", &labels).absolute(list.packets);
            counter!("weir_list_bytes_total", &labels).absolute(list.bytes);
            gauge!("weir_list_entries", &labels).set(list.entries as f64);
        }
        for interface in &status.interfaces {
            let mode = interface.mode.clone().unwrap_or_else(|| "none".to_owned());
            let attached = f64::from(u8::from(interface.index.is_some()));
            gauge!("weir_interface_attached", "interface" => interface.name.clone(), "mode" => mode).set(attached);
        }
        for (table, fill) in &status.capacity {
            gauge!("weir_table_entries", "table" => table.clone()).set(fill.used as f64);
            gauge!("weir_table_capacity", "table" => table.clone()).set(fill.capacity as f64);
        }
        status.feeds.iter().for_each(feed);
        status.crowdsec.iter().for_each(crowdsec);
        status.geo.iter().for_each(geo);
        status.detection.iter().for_each(detection);
        gauge!("weir_events_kept").set(kept.events as f64);
        counter!("weir_events_not_kept_total").absolute(kept.events_left_out);
        gauge!("weir_reputation_sources").set(kept.sources as f64);
        counter!("weir_reputation_not_weighed_total").absolute(kept.not_weighed);
        gauge!("weir_threat_level").set(f64::from(kept.threat as u8));
        counter!("weir_offenders_full_packets_total").absolute(kept.offenders_full);
        counter!("weir_samples_total").absolute(samples);
        counter!("weir_samples_lost_total").absolute(samples_lost);
        gauge!("weir_generation").set(status.generation as f64);
        gauge!("weir_uptime_seconds").set(status.uptime_s as f64);
        gauge!("weir_enforcing").set(f64::from(u8::from(status.enforcement == Enforcement::Enforce)));
        gauge!("weir_bypass").set(f64::from(u8::from(status.bypass)));
        gauge!("weir_confirm_pending").set(f64::from(u8::from(status.pending.is_some())));
        gauge!("weir_health_problems").set(status.health.problems.len() as f64);
        gauge!("weir_build_info", "version" => status.version.clone()).set(1.0);
    });
    handle.render()
}

/// A feed. What it never did has no time: a feed that never succeeded has no last success.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers in the format")]
fn feed(row: &FeedRow) {
    let name = [("feed", row.name.clone())];
    if let Some(at) = row.last_success {
        gauge!("weir_feed_last_success_timestamp_seconds", &name).set(seconds(at));
    }
    gauge!("weir_feed_up", &name).set(f64::from(u8::from(row.state == FeedState::Ok)));
    gauge!("weir_feed_entries", &name).set(row.entries as f64);
    for (reason, lines) in &row.reasons {
        let labels = [("feed", row.name.clone()), ("reason", reason.clone())];
        gauge!("weir_feed_rejected_lines", &labels).set(*lines as f64);
    }
    for (outcome, requests) in &row.outcomes {
        let labels = [("feed", row.name.clone()), ("outcome", outcome.clone())];
        counter!("weir_feed_requests_total", &labels).absolute(*requests);
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers in the format")]
fn crowdsec(row: &CrowdsecRow) {
    if let Some(at) = row.last_success {
        gauge!("weir_crowdsec_last_success_timestamp_seconds").set(seconds(at));
    }
    gauge!("weir_crowdsec_up").set(f64::from(u8::from(row.ok)));
    gauge!("weir_crowdsec_decisions").set(row.decisions as f64);
    for (reason, decisions) in &row.reasons {
        gauge!("weir_crowdsec_refused", "reason" => reason.clone()).set(*decisions as f64);
    }
    for (outcome, requests) in &row.outcomes {
        counter!("weir_crowdsec_requests_total", "outcome" => outcome.clone()).absolute(*requests);
    }
}

/// A database; before it was read it has no time.
fn geo(row: &GeoRow) {
    if let Some(at) = row.loaded_at {
        let labels = [("file", row.file.clone()), ("knows", row.knows.clone())];
        gauge!("weir_geo_loaded_timestamp_seconds", &labels).set(seconds(at));
    }
}

/// Logs, events and alerts. Labels are types, reasons, severities, and names that the operator gives: never what a line says.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers in the format")]
fn detection(row: &DetectionRow) {
    for (kind, count) in &row.events {
        counter!("weir_events_total", "type" => kind.clone()).absolute(*count);
    }
    for (reason, count) in &row.rejected {
        counter!("weir_events_rejected_total", "reason" => reason.clone()).absolute(*count);
    }
    counter!("weir_events_without_client_total").absolute(row.without_client);
    counter!("weir_events_old_total").absolute(row.old);
    gauge!("weir_events_per_second").set(row.events_per_second);
    let mut logs: BTreeMap<&str, LogTotals> = BTreeMap::new();
    for input in &row.inputs {
        let totals = logs.entry(&input.name).or_default();
        totals.lines += input.lines;
        totals.bytes += input.bytes;
        totals.lag += input.lag_bytes;
        totals.cut += input.cut;
        totals.dropped += input.dropped;
        totals.files += u64::from(input.state == "following");
        totals.troubled += u64::from(input.problem.is_some());
    }
    for (name, totals) in logs {
        let log = [("log", name.to_owned())];
        counter!("weir_log_lines_total", &log).absolute(totals.lines);
        counter!("weir_log_bytes_total", &log).absolute(totals.bytes);
        counter!("weir_log_lines_cut_total", &log).absolute(totals.cut);
        counter!("weir_log_datagrams_dropped_total", &log).absolute(totals.dropped);
        gauge!("weir_log_lag_bytes", &log).set(totals.lag as f64);
        gauge!("weir_log_files_followed", &log).set(totals.files as f64);
        gauge!("weir_log_files_troubled", &log).set(totals.troubled as f64);
    }
    for unparsed in &row.unparsed {
        let labels = [("log", unparsed.log.clone()), ("reason", unparsed.reason.clone())];
        counter!("weir_log_lines_unparsed_total", &labels).absolute(unparsed.lines);
    }
    for found in &row.findings {
        let labels = [("detector", found.detector.clone()), ("kind", found.kind.clone())];
        counter!("weir_findings_total", &labels).absolute(found.count);
    }
    for severity in Severity::ALL.map(Severity::name) {
        let count = row.alerts.get(severity).copied().unwrap_or(0);
        counter!("weir_alerts_total", "severity" => severity).absolute(count);
    }
    gauge!("weir_alerts_open").set(row.open_alerts as f64);
    counter!("weir_findings_overflowed_total").absolute(row.overflowed);
    for (response, count) in &row.responses {
        counter!("weir_responses_total", "response" => response.clone()).absolute(*count);
    }
    for (reason, count) in &row.refused {
        counter!("weir_responses_refused_total", "reason" => reason.clone()).absolute(*count);
    }
    gauge!("weir_users_denied").set(row.denied_users as f64);
    gauge!("weir_rules_enabled").set(row.rules_enabled as f64);
    gauge!("weir_rules").set(row.rules as f64);
}

/// All files of a log together: their names may come from a pattern.
#[derive(Default)]
struct LogTotals {
    lines: u64,
    bytes: u64,
    lag: u64,
    cut: u64,
    dropped: u64,
    files: u64,
    troubled: u64,
}

fn describe_kept() {
    describe_gauge!("weir_events_kept", "Events in the database.");
    describe_counter!("weir_events_not_kept_total", "Events that should have been kept and are not.");
    describe_gauge!("weir_reputation_sources", "Sources that there is evidence of.");
    describe_counter!("weir_reputation_not_weighed_total", "Evidence that came too fast to be weighed.");
    describe_gauge!("weir_threat_level", "The last day's: 0 LOW, 1 MEDIUM, 2 HIGH, 3 CRITICAL.");
}

fn describe_detection() {
    describe_kept();
    describe_counter!("weir_events_total", "Events by what happened.");
    describe_counter!("weir_events_rejected_total", "Events of applications that were not taken.");
    describe_counter!("weir_events_without_client_total", "Events that name no client.");
    describe_counter!("weir_events_old_total", "Events too old for anybody to be denied for them.");
    describe_gauge!("weir_events_per_second", "Events a second, of late.");
    describe_counter!("weir_log_lines_total", "Lines read.");
    describe_counter!("weir_log_bytes_total", "Bytes of lines read.");
    describe_counter!("weir_log_lines_cut_total", "Lines that were too long, and cut.");
    describe_counter!("weir_log_datagrams_dropped_total", "Datagrams that came faster than they were judged.");
    describe_counter!("weir_log_lines_unparsed_total", "Lines that were no events.");
    describe_gauge!("weir_log_lag_bytes", "Bytes that are in the log's files and were not read yet.");
    describe_gauge!("weir_log_files_followed", "Files and sockets of the log that are read.");
    describe_gauge!("weir_log_files_troubled", "Files and sockets of the log with which something is wrong.");
    describe_counter!("weir_findings_total", "What rules and analyzers found.");
    describe_counter!("weir_findings_overflowed_total", "Findings there was no room to tell apart.");
    describe_counter!("weir_alerts_total", "Alerts made.");
    describe_gauge!("weir_alerts_open", "Alerts that count up if the same is found again.");
    describe_counter!("weir_responses_total", "What followed from findings.");
    describe_counter!("weir_responses_refused_total", "What should have followed and did not.");
    describe_gauge!("weir_users_denied", "Users that are denied now.");
    describe_gauge!("weir_rules_enabled", "Rules that are run.");
    describe_gauge!("weir_rules", "Rules there are.");
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn describe() {
    describe_followed();
    describe_detection();
    describe_counter!("weir_packets_total", "Packets by the verdict that decided them.");
    describe_counter!("weir_bytes_total", "Bytes of packets by the verdict that decided them, without FCS.");
    describe_counter!("weir_observed_packets_total", "Packets let through that the verdict would have dropped.");
    describe_counter!("weir_list_packets_total", "Packets from sources that the list covers.");
    describe_counter!("weir_list_bytes_total", "Bytes of packets from sources that the list covers.");
    describe_counter!("weir_limited_packets_total", "Packets dropped over a limit, by whose limit and dimension.");
    describe_counter!("weir_limited_bytes_total", "Bytes dropped over a limit, by whose limit and dimension.");
    describe_counter!("weir_limited_observed_packets_total", "Packets over a limit that is only observed.");
    describe_counter!("weir_samples_total", "Drops sampled for user space.");
    describe_counter!(
        "weir_offenders_full_packets_total",
        "Packets of senders near a limit that found no room for buckets of their own."
    );
    describe_counter!("weir_samples_lost_total", "Samples lost because nobody read them in time.");
    describe_gauge!("weir_list_entries", "Entries on the list.");
    describe_gauge!("weir_interface_attached", "1 while the program is on the interface.");
    describe_gauge!("weir_table_entries", "Entries in use.");
    describe_gauge!("weir_table_capacity", "Entries that fit.");
    describe_gauge!("weir_generation", "Number of the policy in force.");
    describe_gauge!("weir_uptime_seconds", "Seconds since the daemon started.");
    describe_gauge!("weir_enforcing", "1 while drops are carried out, 0 while they are only observed.");
    describe_gauge!("weir_bypass", "1 while the bypass switch is on and nothing is filtered.");
    describe_gauge!("weir_confirm_pending", "1 while a settings change waits for its confirmation.");
    describe_gauge!("weir_health_problems", "Problems that `weir status` lists.");
    describe_gauge!("weir_build_info", "Always 1; the version is a label.");
}

fn describe_followed() {
    describe_gauge!("weir_feed_last_success_timestamp_seconds", "When the feed was last found good, changed or not.");
    describe_gauge!("weir_feed_up", "1 while the feed's last answer is in force, 0 while an older one is or none.");
    describe_gauge!("weir_feed_entries", "Entries of the feed in force.");
    describe_gauge!("weir_feed_rejected_lines", "Lines of the feed's last good answer that were refused.");
    describe_counter!("weir_feed_requests_total", "Requests of the feed by what came of them.");
    describe_gauge!("weir_crowdsec_last_success_timestamp_seconds", "When the CrowdSec server last answered.");
    describe_gauge!("weir_crowdsec_up", "1 while the CrowdSec server answers.");
    describe_gauge!("weir_crowdsec_decisions", "Decisions of the CrowdSec server that have not ended.");
    describe_gauge!("weir_crowdsec_refused", "Decisions of the CrowdSec server that are not carried out.");
    describe_counter!("weir_crowdsec_requests_total", "Requests to the CrowdSec server by what came of them.");
    describe_gauge!("weir_geo_loaded_timestamp_seconds", "When the GeoIP database in use was read.");
}
