//! Alerts as rows.
use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::super::sealed::seal;
use super::{ALERTS, Privacy};
use crate::domain::http::alert::{Action, Alert, Triage};
use crate::domain::http::{book, source};
use crate::domain::privacy::Names;

/// The columns of an alert's row before its seal.
fn columns(alert: &Alert) -> rusqlite::Result<[Value; 10]> {
    let document =
        serde_json::to_string(alert).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let text = |text: &Option<String>| text.as_ref().map_or(Value::Null, |text| Value::Text(text.clone()));
    Ok([
        Value::Text(alert.id.to_string()),
        Value::Text(alert.triage.status.name().to_owned()),
        Value::Integer(alert.severity as i64),
        Value::Integer(i64::from(alert.score)),
        Value::Text(alert.analyzer.clone()),
        text(&alert.rule),
        text(&alert.source),
        text(&alert.user),
        Value::Integer(alert.last_seen.as_millisecond()),
        Value::Text(document),
    ])
}

/// Writes an alert that detection made or changed. What people made of it stays; one that they deleted stays away.
pub(super) fn put(tx: &Transaction<'_>, change: &book::Change, privacy: &Privacy) -> rusqlite::Result<()> {
    let mut alert = kept(&change.alert, privacy);
    if !change.is_new {
        let Some(people) = of_people(tx, &alert)? else { return Ok(()) };
        let alert = alert.to_mut();
        if let Some((triage, tags)) = people {
            (alert.triage, alert.tags) = (triage, tags);
        }
    }
    write(tx, &alert, change.is_new)
}

/// What people made of an alert that is saved; within, `None`: what is saved is not what was written.
#[expect(clippy::type_complexity, reason = "what people set, if it can be read, of an alert, if there is one")]
fn of_people(tx: &Transaction<'_>, alert: &Alert) -> rusqlite::Result<Option<Option<(Triage, Vec<String>)>>> {
    let mut statement = tx.prepare_cached("SELECT alert FROM alerts WHERE id = ?1")?;
    let saved: Option<String> = statement.query_row([alert.id.to_string()], |row| row.get(0)).optional()?;
    let Some(saved) = saved else { return Ok(None) };
    Ok(Some(serde_json::from_str::<Alert>(&saved).ok().map(|saved| (saved.triage, saved.tags))))
}

/// Writes an alert as it is.
pub(super) fn write(tx: &Connection, alert: &Alert, is_new: bool) -> rusqlite::Result<()> {
    let columns = columns(alert)?;
    let seal = Value::Blob(seal(ALERTS, columns.iter().map(ValueRef::from)).to_vec());
    let text = |text: &Option<String>| text.as_ref().map_or(Value::Null, |text| Value::Text(text.clone()));
    let touched = Value::Integer(alert.last_seen.max(alert.updated_at).as_millisecond());
    let is_of_source = matches!(alert.action, Action::Deny | Action::Limit);
    let target = if is_of_source { text(&alert.action_target) } else { Value::Null };
    let places = [text(&alert.triage.hunt_id), text(&alert.triage.dataset_id), touched, target];
    let mut statement = tx.prepare_cached(
        "INSERT INTO alerts (id, status, severity, score, analyzer, rule, source, user, last_seen, alert, seal, hunt, dataset,
         touched, target) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, severity = excluded.severity, score = excluded.score,
         source = excluded.source, user = excluded.user, last_seen = excluded.last_seen, alert = excluded.alert,
         seal = excluded.seal, hunt = excluded.hunt, dataset = excluded.dataset,
         touched = excluded.touched, target = excluded.target
         RETURNING number",
    )?;
    let values = columns.iter().chain([&seal]).chain(&places);
    let number: i64 = statement.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?;
    if is_new {
        let mut statement = tx.prepare_cached("INSERT OR IGNORE INTO techniques (technique, alert) VALUES (?1, ?2)")?;
        for technique in &alert.techniques {
            statement.execute(params![technique, number])?;
        }
    }
    Ok(())
}

/// The name of a source: of an IPv6 address, that of its /64 where names hide addresses, so that all that is kept of one
/// source has one name.
pub(super) fn source_name(names: &Names, address: IpAddr) -> String {
    if names.is_plain() { names.address(address) } else { names.prefix(source::prefix(address)) }
}

/// An alert as it is kept.
pub(super) fn kept<'a>(alert: &'a Alert, privacy: &Privacy) -> Cow<'a, Alert> {
    let mut kept = Cow::Borrowed(alert);
    if privacy.drop_requests {
        let alert = kept.to_mut();
        (alert.evidence, alert.indicators, alert.about) = (Vec::new(), Vec::new(), None);
    }
    let names = &privacy.names;
    if names.is_plain() {
        return kept;
    }
    let alert = kept.to_mut();
    let source = |text: &str| match (text.parse::<IpAddr>(), text.parse::<IpNet>()) {
        (Ok(address), _) => source_name(names, address),
        (_, Ok(prefix)) => names.prefix(prefix),
        // A user, or a name already.
        _ => names.text(text).into_owned(),
    };
    for text in [&mut alert.source, &mut alert.action_target] {
        *text = text.as_deref().map(source);
    }
    let triage = &mut alert.triage;
    for text in [&mut triage.case, &mut triage.assignee, &mut triage.note] {
        *text = text.as_deref().map(|text| names.text(text).into_owned());
    }
    for text in &mut alert.tags {
        *text = names.text(text).into_owned();
    }
    for text in [&mut alert.about, &mut alert.refused, &mut alert.user] {
        *text = text.as_deref().map(|text| names.text(text).into_owned());
    }
    for text in [&mut alert.title, &mut alert.description] {
        *text = names.text(text).into_owned();
    }
    for text in alert.evidence.iter_mut().chain(&mut alert.indicators) {
        *text = names.text(text).into_owned();
    }
    kept
}
