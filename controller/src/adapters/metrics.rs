//! Prometheus' text format, made at each scrape from the kernel's counters.
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use jiff::Timestamp;

use crate::domain::decision::Enforcement;
use crate::domain::report::{CrowdsecRow, FeedRow, FeedState, GeoRow, Status};

/// The metrics of a status. Labels are verdicts, lists, interfaces, and what is followed: never an address of a packet.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers in the format")]
pub fn render(status: &Status, samples: u64, samples_lost: u64) -> String {
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

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn describe() {
    describe_followed();
    describe_counter!("weir_packets_total", "Packets by the verdict that decided them.");
    describe_counter!("weir_bytes_total", "Bytes of packets by the verdict that decided them, without FCS.");
    describe_counter!("weir_observed_packets_total", "Packets let through that the verdict would have dropped.");
    describe_counter!("weir_list_packets_total", "Packets from sources that the list covers.");
    describe_counter!("weir_list_bytes_total", "Bytes of packets from sources that the list covers.");
    describe_counter!("weir_limited_packets_total", "Packets dropped over a limit, by whose limit and dimension.");
    describe_counter!("weir_limited_bytes_total", "Bytes dropped over a limit, by whose limit and dimension.");
    describe_counter!("weir_limited_observed_packets_total", "Packets over a limit that is only observed.");
    describe_counter!("weir_samples_total", "Drops sampled for user space.");
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
