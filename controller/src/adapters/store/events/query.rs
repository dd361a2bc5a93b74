//! Questions about what was found.
use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::super::sealed::{damaged, unseal};
use super::{ALERTS, NOTES, PastDenial};
use crate::domain::http::alert::{Alert, AlertId, Status};
use crate::domain::http::severity::Severity;
use crate::domain::http::source;
use crate::domain::privacy::Names;
use crate::domain::report::{AlertFilter, AlertList, AlertStats, TechniqueCount};

/// Columns of an alert's row before its seal.
const WIDTH: usize = 10;
/// The one that says it all.
pub(super) const DOCUMENT: usize = 9;
pub(super) const COLUMNS: &str = "id, status, severity, score, analyzer, rule, source, user, last_seen, alert, seal";
/// Techniques that the statistics name.
const TOP_TECHNIQUES: i64 = 20;
/// The first index that answers, where no source or user narrows it down.
const IN_ORDER: &str = "INDEXED BY alerts_in_order";

/// The alert of a row, if it is as it was written.
pub(super) fn alert(row: &Row<'_>) -> rusqlite::Result<Option<Alert>> {
    let Some((columns, _)) = unseal(ALERTS, WIDTH, row)? else { return Ok(None) };
    let document = columns.last().and_then(|column| column.as_str().ok());
    Ok(document.and_then(|document| serde_json::from_str(document).ok()))
}

/// What a filter is in SQL.
struct Where {
    index: &'static str,
    terms: Vec<String>,
    values: Vec<Value>,
}

impl Where {
    fn of(filter: &AlertFilter, names: &Names) -> Self {
        let mut made = Self { index: IN_ORDER, terms: Vec::new(), values: Vec::new() };
        // The last that is given is looked up, from the one that fits most alerts to the one that fits fewest.
        if let Some(dataset) = &filter.dataset_id {
            made.index = "INDEXED BY alerts_by_dataset";
            made.and("dataset = ?", [Value::Text(dataset.clone())]);
        }
        if let Some(hunt) = &filter.hunt_id {
            made.index = "INDEXED BY alerts_by_hunt";
            made.and("hunt = ?", [Value::Text(hunt.clone())]);
        }
        if let Some(user) = &filter.user {
            made.index = "INDEXED BY alerts_by_user";
            made.and("user = ?", [Value::Text(user.clone())]);
        }
        if let Some(source) = &filter.source {
            made.index = "INDEXED BY alerts_by_source";
            let called = source_names(names, source);
            let places = vec!["?"; called.len()].join(", ");
            made.terms.push(format!("source IN ({places})"));
            made.values.extend(called.into_iter().map(Value::Text));
        }
        if let Some(status) = filter.status {
            made.and("status = ?", [Value::Text(status.name().to_owned())]);
        }
        if let Some(severity) = filter.severity {
            made.and("severity = ?", [Value::Integer(severity as i64)]);
        }
        if let Some(severity) = filter.min_severity {
            made.and("severity >= ?", [Value::Integer(severity as i64)]);
        }
        if let Some(analyzer) = &filter.analyzer {
            let name = Value::Text(analyzer.clone());
            made.and("(analyzer = ? OR rule = ?)", [name.clone(), name]);
        }
        if let Some(since) = filter.since {
            made.and("last_seen >= ?", [Value::Integer(since.as_millisecond())]);
        }
        made
    }

    fn and<const N: usize>(&mut self, term: &str, values: [Value; N]) {
        self.terms.push(term.to_owned());
        self.values.extend(values);
    }

    fn text(&self) -> String {
        if self.terms.is_empty() { String::new() } else { format!("WHERE {}", self.terms.join(" AND ")) }
    }
}

/// Every name that what is kept of an address may stand under; what is no address is a name itself.
pub(super) fn source_names(names: &Names, source: &str) -> Vec<String> {
    let Ok(address) = source.parse::<IpAddr>() else { return vec![source.to_owned()] };
    let mut called = vec![names.address(address)];
    if !names.is_plain() {
        called.extend(names.all_of(source::prefix(address)));
    }
    called.push(address.to_canonical().to_string());
    called.sort();
    called.dedup();
    called
}

pub(super) fn list(
    connection: &Connection,
    filter: &AlertFilter,
    names: &Names,
    limit: usize,
    offset: u64,
) -> rusqlite::Result<AlertList> {
    let wanted = Where::of(filter, names);
    let (index, terms) = (wanted.index, wanted.text());
    let mut count = connection.prepare_cached(&format!("SELECT count(*) FROM alerts {index} {terms}"))?;
    let total: i64 = count.query_row(params_from_iter(&wanted.values), |row| row.get(0))?;
    let mut list = AlertList { alerts: Vec::new(), total: u64::try_from(total).unwrap_or(0) };
    if limit == 0 || offset >= list.total {
        return Ok(list);
    }
    // The page is found by the index alone; only its own rows are read.
    let mut page = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM alerts WHERE number IN
         (SELECT number FROM alerts {index} {terms} ORDER BY score DESC, last_seen DESC, number DESC LIMIT ? OFFSET ?)
         ORDER BY score DESC, last_seen DESC, number DESC"
    ))?;
    let limits = [limit as u64, offset].map(|number| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX)));
    let mut rows = page.query(params_from_iter(wanted.values.iter().chain(&limits)))?;
    while let Some(row) = rows.next()? {
        list.alerts.extend(alert(row)?);
    }
    Ok(list)
}

/// The worst alerts of an analyzer that were seen at `since` or later, by score, then the newest in front.
pub(super) fn worst_of(
    connection: &Connection,
    analyzer: &str,
    since: Timestamp,
    most: usize,
) -> rusqlite::Result<Vec<Alert>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM alerts WHERE number IN
         (SELECT number FROM alerts INDEXED BY alerts_by_kind WHERE analyzer = ?1 AND last_seen >= ?2
          ORDER BY score DESC, last_seen DESC LIMIT ?3) ORDER BY score DESC, last_seen DESC"
    ))?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![analyzer, since.as_millisecond(), most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(alert(row)?);
    }
    Ok(found)
}

pub(super) fn get(connection: &Connection, id: AlertId) -> rusqlite::Result<Option<Alert>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM alerts WHERE id = ?1"))?;
    let mut rows = statement.query([id.to_string()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    alert(row)?.map(Some).ok_or_else(|| damaged(format!("alert {id} is not what was written")))
}

pub(super) fn open_since(connection: &Connection, since: Timestamp, most: usize) -> rusqlite::Result<Vec<Alert>> {
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS} FROM alerts INDEXED BY alerts_by_time WHERE last_seen >= ?1 AND status NOT IN (?2, ?3)
         ORDER BY last_seen DESC LIMIT ?4"
    ))?;
    let closed = [Status::Resolved.name(), Status::FalsePositive.name()];
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![since.as_millisecond(), closed[0], closed[1], most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(alert(row)?);
    }
    Ok(found)
}

/// Alerts for which a source by one of these names was denied or limited, and asked for still.
pub(super) fn asking(connection: &Connection, called: &[String], now: Timestamp) -> rusqlite::Result<Vec<Alert>> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM alerts INDEXED BY alerts_by_target WHERE target = ?1"))?;
    let mut found = Vec::new();
    for name in called {
        let mut rows = statement.query([name])?;
        while let Some(row) = rows.next()? {
            found.extend(alert(row)?.filter(|alert| alert.asks(now).is_some()));
        }
    }
    Ok(found)
}

pub(super) fn stats(connection: &Connection) -> rusqlite::Result<AlertStats> {
    let mut counted = AlertStats::default();
    counted.severity_counts.extend(Severity::ALL.map(|severity| (severity.name().to_owned(), 0)));
    counted.status_counts.extend(Status::ALL.map(|status| (status.name().to_owned(), 0)));
    // In the order of an index, so that nothing is sorted.
    let mut statement = connection.prepare_cached(
        "SELECT severity, status, analyzer, count(*) FROM alerts INDEXED BY alerts_by_kind
         GROUP BY analyzer, severity, status",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (severity, status, analyzer): (u32, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let count: u64 = row.get::<_, i64>(3)?.unsigned_abs();
        counted.total += count;
        if let Some(severity) = Severity::ALL.get(severity as usize) {
            *counted.severity_counts.entry(severity.name().to_owned()).or_default() += count;
        }
        *counted.status_counts.entry(status).or_default() += count;
        *counted.analyzer_counts.entry(analyzer).or_default() += count;
    }
    let mut statement = connection.prepare_cached(
        "SELECT technique, count(*) AS n FROM techniques GROUP BY technique ORDER BY n DESC, technique LIMIT ?1",
    )?;
    let top = statement.query_map(params![TOP_TECHNIQUES], |row| {
        Ok(TechniqueCount { technique: row.get(0)?, count: row.get::<_, i64>(1)?.unsigned_abs() })
    })?;
    counted.top_mitre = top.collect::<rusqlite::Result<_>>()?;
    Ok(counted)
}

pub(super) fn denials_since(connection: &Connection, since: Timestamp, most: u32) -> rusqlite::Result<Vec<PastDenial>> {
    let mut statement = connection
        .prepare("SELECT prefix, denied_at, for_s FROM denials WHERE denied_at >= ?1 ORDER BY number DESC LIMIT ?2")?;
    let mut rows = statement.query(params![since.as_millisecond(), most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (who, at, for_s): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        // One that is not what was written counts against nobody.
        if let (Ok(denied_at), Ok(for_s)) = (Timestamp::from_millisecond(at), u64::try_from(for_s)) {
            found.push(PastDenial { who, denied_at, for_s });
        }
    }
    found.reverse();
    Ok(found)
}

pub(super) fn note(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT name, text, seal FROM notes WHERE name = ?1")?;
    let found = statement.query_row([name], |row| {
        if unseal(NOTES, 2, row)?.is_some() { row.get::<_, String>(1).map(Some) } else { Ok(None) }
    });
    Ok(found.optional()?.flatten())
}

/// The alerts of a damaged database that are as they were written, as far as they can be reached.
pub(super) fn readable(connection: &Connection) -> Vec<Alert> {
    let mut found = Vec::new();
    let mut collect = |order: &str| -> rusqlite::Result<()> {
        let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM alerts ORDER BY number {order}"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            found.extend(alert(row)?);
        }
        Ok(())
    };
    if collect("ASC").is_err() {
        // From the other end up to the damage.
        let _rest = collect("DESC");
    }
    found.sort_by_key(|alert| alert.id);
    found.dedup_by_key(|alert| alert.id);
    found
}

/// The notes that are.
pub(super) fn readable_notes(connection: &Connection) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut collect = || -> rusqlite::Result<()> {
        let mut statement = connection.prepare("SELECT name, text, seal FROM notes")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if unseal(NOTES, 2, row)?.is_some() {
                found.push((row.get(0)?, row.get(1)?));
            }
        }
        Ok(())
    };
    // Where it breaks off, the rest is lost.
    let _rest = collect();
    found
}
