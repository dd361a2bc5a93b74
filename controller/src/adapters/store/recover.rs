//! Opening the store whatever state it is in: the database, else its last good copy, else what can still be read.
use std::collections::BTreeSet;

use ipnet::IpNet;

use super::examine::{Finding, Manner, Ruin, Sound, examine};
use super::files::{self, Files};
use super::problem::{Difference, Problem, StoreError};
use super::rows::Row;
use super::scan::readable;
use super::sealed::State;
use super::witness::{Testimony, Witness};
use super::write::build;
use crate::domain::decision::ListId;

/// Opens the database, and says what was wrong with it.
pub(super) fn open(files: &Files) -> Result<(Sound, Vec<Problem>), StoreError> {
    files.clear_leftovers()?;
    let (db, testimony) = (files.db(), Witness::read(&files.witness())?);
    let mut problems = Vec::new();
    let sound = match files::size(&db)? {
        None if testimony == Testimony::Absent && !files::exists(&files.good())? => {
            build(files, &Ruin::default())?;
            files.install()?;
            reopen(files)?
        }
        None => go_back(files, ruin("the file is gone"), &mut problems)?,
        Some(0) => go_back(files, ruin("the file is empty"), &mut problems)?,
        Some(_) => {
            files::make_private(&db)?;
            // SQLite would make it too, but could not say why if that fails.
            files::open_private(&files.db_log())?;
            match examine(&db, Manner::Durable)? {
                Finding::Sound(sound) => compare(files, sound, testimony, &mut problems)?,
                Finding::Ruined(ruin) => go_back(files, ruin, &mut problems)?,
            }
        }
    };
    if testimony == Testimony::Damaged {
        problems.push(Problem::WitnessDamaged { path: files.witness() });
    }
    Ok((sound, problems))
}

fn ruin(cause: impl Into<String>) -> Ruin {
    Ruin { cause: cause.into(), ..Ruin::default() }
}

fn reopen(files: &Files) -> Result<Sound, StoreError> {
    match examine(&files.db(), Manner::Durable)? {
        Finding::Sound(sound) => Ok(sound),
        Finding::Ruined(ruin) => Err(StoreError::Damaged { path: files.db(), cause: ruin.cause }),
    }
}

/// Holds a database that is whole against the latest acknowledged change.
fn compare(
    files: &Files,
    sound: Sound,
    testimony: Testimony,
    problems: &mut Vec<Problem>,
) -> Result<Sound, StoreError> {
    let Testimony::Acknowledged { commits: acknowledged, digest } = testimony else { return Ok(sound) };
    let at = sound.state.commits;
    if at > acknowledged || at == acknowledged && sound.state.digest == digest {
        return Ok(sound);
    }
    if copy_state(files)?.is_some_and(|copy| copy.commits > at) {
        let cause = format!(
            "it is at change {at}, and change {acknowledged} had been reported as saved; if you put it there on purpose, \
             stop weir, remove weir.db.good and weir.db.last and put it there again"
        );
        let rows = readable(&sound.connection);
        drop(sound);
        return go_back(files, Ruin { rows, ..ruin(cause) }, problems);
    }
    problems.push(Problem::Behind { db: files.db(), at, acknowledged });
    Ok(sound)
}

/// The state of the good copy, if there is one and it is sound.
fn copy_state(files: &Files) -> Result<Option<State>, StoreError> {
    let (good, next) = (files.good(), files.next());
    if !files::exists(&good)? {
        return Ok(None);
    }
    files::copy(&good, &next)?;
    let state = match examine(&next, Manner::Hasty)? {
        Finding::Sound(sound) => Some(sound.state),
        Finding::Ruined(_) => None,
    };
    files::remove(&next)?;
    Ok(state)
}

/// Goes on with the good copy, else with what could be read of the database or of the copy, else with nothing.
fn go_back(files: &Files, mut ruin: Ruin, problems: &mut Vec<Problem>) -> Result<Sound, StoreError> {
    let (db, good, next) = (files.db(), files.good(), files.next());
    let broken = files::exists(&db)?.then(|| files.broken());
    if files::exists(&good)? {
        let copied_at = files::written_at(&good)?;
        files::copy(&good, &next)?;
        match examine(&next, Manner::Hasty)? {
            Finding::Sound(copy) => {
                let held = members(&readable(&copy.connection));
                drop(copy);
                files.install()?;
                let difference = difference(&members(&ruin.rows), &held);
                let (cause, entries) = (ruin.cause, count(held.len()));
                problems.push(Problem::FellBack { db, cause, good, copied_at, entries, difference, broken });
                return reopen(files);
            }
            Finding::Ruined(copy) => {
                problems.push(Problem::CopyDamaged { good, cause: copy.cause });
                if copy.rows.len() > ruin.rows.len() {
                    ruin = Ruin { cause: ruin.cause, ..copy };
                }
            }
        }
    }
    let kept = build(files, &ruin)?;
    files.install()?;
    let sound = reopen(files)?;
    let cause = ruin.cause;
    problems.push(if kept == 0 {
        Problem::StartedEmpty { db, cause, broken }
    } else {
        let entries = count(members(&readable(&sound.connection)).len());
        let lost = ruin.expected.map(|rows| rows.saturating_sub(kept));
        Problem::Salvaged { db, cause, entries, kept, lost, broken }
    });
    Ok(sound)
}

/// Every entry, single or imported, with its list.
fn members(rows: &[Row]) -> BTreeSet<(ListId, IpNet)> {
    let mut members = BTreeSet::new();
    for row in rows {
        match row {
            Row::Entry(entry) => {
                members.insert((entry.list, entry.prefix));
            }
            Row::Chunk(chunk) => members.extend(chunk.prefixes().map(|prefix| (chunk.list, prefix))),
            Row::List(_) | Row::Totals(..) | Row::Setting(..) | Row::Classes(..) | Row::Rule(..) | Row::User(_) => {}
        }
    }
    members
}

fn difference(database: &BTreeSet<(ListId, IpNet)>, copy: &BTreeSet<(ListId, IpNet)>) -> Difference {
    let missing = || database.difference(copy);
    Difference {
        missing: count(missing().count()),
        examples: missing().take(EXAMPLES).map(|(_, prefix)| prefix.to_string()).collect(),
        restored: count(copy.difference(database).count()),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

const EXAMPLES: usize = 8;
