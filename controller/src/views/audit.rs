//! The audit report, and the events that are kept.
use jiff::{SignedDuration, Timestamp};

use super::reputation::score_of;
use crate::adapters::clock;
use crate::adapters::store::{AuditRecord, StoreError};
use crate::domain::audit::ThreatLevel;
use crate::domain::http::recorded::{Recorded, Source};
use crate::domain::report::{AuditReport, AuditSummary, ChangeRecord, KeptEvent, ThreatRow, UnusualRow};
use crate::sync::Shared;

/// Rows of each part.
const ROWS: usize = 20;
/// Changes that are named.
const CHANGES: usize = 200;
/// Analyzers that know what is usual.
const LEARNING: [&str; 3] = ["behaviour", "anomaly", "usage_spike"];
/// What the threat level of the status is about.
const LATELY: SignedDuration = SignedDuration::from_hours(24);

/// How bad the last day was.
pub fn threat_level(shared: &Shared) -> ThreatLevel {
    let now = clock::now().wall;
    let since = now.checked_sub(LATELY).unwrap_or(Timestamp::MIN);
    shared.detected.tally().threat_level(since, now)
}

/// What happened since then.
///
/// # Errors
/// The alerts cannot be read.
pub fn report(shared: &Shared, range: &str, since: Timestamp) -> Result<AuditReport, StoreError> {
    let now = clock::now().wall;
    let (counted, events_since) = {
        let tally = shared.detected.tally();
        (tally.report(since, now, ROWS), tally.oldest())
    };
    let (changes, changes_total) = shared.trail.since(since, CHANGES);
    let level = counted.threat_level();
    Ok(AuditReport {
        time_range: range.to_owned(),
        start_time: since,
        end_time: now,
        events_since,
        left_out: shared.detected.events_left_out(),
        summary: AuditSummary {
            total_events: counted.total_events,
            failed_authentications: counted.by_class.failed_sign_in,
            permission_denials: counted.by_class.denial,
            rate_limit_violations: counted.by_class.rate_limit,
            unique_users: counted.unique_users,
            unique_ips: counted.unique_sources,
            threat_level: level,
        },
        failed_authentications: counted.failed_sign_ins,
        permission_denials: counted.denials,
        rate_limit_violations: counted.rate_limits,
        unusual_access_patterns: unusual(shared, since)?,
        top_threats: counted
            .top_sources
            .into_iter()
            .map(|row| ThreatRow {
                score: score_of(shared, &row.source, shared.detected.now().wall),
                source: row.source,
                country: row.country,
                failed_authentications: row.failed_sign_ins,
                permission_denials: row.denials,
                rate_limit_violations: row.rate_limits,
                events: row.events,
                weight: row.weight,
                last_seen: row.last,
            })
            .collect(),
        user_activity: counted.user_activity,
        geographic_analysis: counted.geographic,
        changes: changes.into_iter().map(change).collect(),
        changes_total,
    })
}

fn change(record: AuditRecord) -> ChangeRecord {
    let AuditRecord { at, actor, action, target, detail } = record;
    ChangeRecord { at, actor, action, target, detail }
}

fn unusual(shared: &Shared, since: Timestamp) -> Result<Vec<UnusualRow>, StoreError> {
    let Some(reader) = shared.detected.alerts() else { return Ok(Vec::new()) };
    let mut alerts = Vec::new();
    for analyzer in LEARNING {
        alerts.extend(reader.worst_of(analyzer, since, ROWS)?);
    }
    alerts.sort_by_key(|alert| std::cmp::Reverse((alert.score, alert.last_seen)));
    alerts.truncate(ROWS);
    let row = |alert: crate::domain::http::alert::Alert| UnusualRow {
        id: alert.id,
        title: alert.title,
        analyzer: alert.analyzer,
        severity: alert.severity,
        source: alert.source,
        user: alert.user,
        count: alert.count,
        last_seen: alert.last_seen,
    };
    Ok(alerts.into_iter().map(row).collect())
}

/// An event as it is listed.
pub fn event(number: i64, kept: Recorded) -> KeptEvent {
    KeptEvent {
        number,
        time: kept.at,
        kind: kept.kind.name().to_owned(),
        class: kept.class.name().to_owned(),
        count: kept.count,
        source: kept.source.map(|source| match source {
            Source::Address(address) => address.to_string(),
            Source::Name(name) => name,
        }),
        user: kept.user,
        country: kept.country,
        endpoint: kept.endpoint,
        status: kept.particulars.status,
        message: kept.particulars.message,
        origin: kept.particulars.origin,
    }
}
