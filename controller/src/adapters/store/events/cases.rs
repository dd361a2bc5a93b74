//! What people change: alerts, datasets, hunts. All of a change or nothing, and it is on the disk before it is answered.
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params_from_iter};

use super::documents::{self, Table};
use super::query::{self, COLUMNS};
use super::{EventStore, alerts};
use crate::adapters::store::StoreError;
use crate::domain::http::alert::{Alert, AlertId, AlertUpdate, TriageError};
use crate::domain::http::dataset::{Dataset, Hunt, MOST_KEPT};

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// There is no such alert.
    #[error("there is no alert {0}; it may be past its time")]
    NoAlert(AlertId),
    /// There is no such dataset.
    #[error("there is no dataset {0:?}; `weir datasets list` names those there are")]
    NoDataset(String),
    /// There is no such hunt.
    #[error("there is no hunt {0:?}; `weir hunts list` names those there are")]
    NoHunt(String),
    /// It cannot be changed so.
    #[error("alert {0}: {1}")]
    Triage(AlertId, TriageError),
    /// There are too many.
    #[error("{MOST_KEPT} {0} are kept at the most; delete one first")]
    TooMany(&'static str),
    /// The database says no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An alert that people changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// As it was.
    pub before: Alert,
    /// As it is.
    pub after: Alert,
    /// Whether that is anything else.
    pub is_changed: bool,
}

/// What went wrong within a transaction.
enum Failure {
    Case(CaseError),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<CaseError> for Failure {
    fn from(error: CaseError) -> Self {
        Self::Case(error)
    }
}

fn find(connection: &Connection, id: AlertId) -> Result<Alert, Failure> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM alerts WHERE id = ?1"))?;
    let found = statement.query_row([id.to_string()], query::alert).optional()?;
    // One that is not what was written cannot be changed either.
    found.flatten().ok_or_else(|| CaseError::NoAlert(id).into())
}

fn has_hunt(connection: &Connection, hunt: Option<&str>) -> Result<(), Failure> {
    let Some(hunt) = hunt.filter(|hunt| !hunt.is_empty()) else { return Ok(()) };
    match documents::get::<Hunt>(connection, Table::Hunts, hunt)? {
        Some(_) => Ok(()),
        None => Err(CaseError::NoHunt(hunt.chars().take(64).collect()).into()),
    }
}

impl EventStore {
    /// Changes alerts, all of them or none; nothing is written where `dry_run` is set. In their order.
    ///
    /// # Errors
    /// [`CaseError`].
    pub fn change_alerts(
        &mut self,
        ids: &[AlertId],
        update: &AlertUpdate,
        now: Timestamp,
        dry_run: bool,
    ) -> Result<Vec<Changed>, CaseError> {
        // What people write may name addresses too.
        let privacy = self.privacy.load_full();
        let mut update = update.clone();
        for text in [&mut update.note, &mut update.case, &mut update.assignee] {
            *text = text.as_deref().map(|text| privacy.names.text(text).into_owned());
        }
        for tag in update.tags.iter_mut().flatten() {
            *tag = privacy.names.text(tag).into_owned();
        }
        self.durably(|connection| {
            has_hunt(connection, update.hunt_id.as_deref())?;
            let mut changed = Vec::with_capacity(ids.len());
            for id in ids {
                let before = find(connection, *id)?;
                let mut after = before.clone();
                let is_changed =
                    after.change(&update, now).map_err(|error| Failure::Case(CaseError::Triage(*id, error)))?;
                changed.push(Changed { before, after, is_changed });
            }
            if !dry_run {
                for change in changed.iter().filter(|change| change.is_changed) {
                    alerts::write(connection, &change.after, false)?;
                }
            }
            Ok(changed)
        })
    }

    /// Adds alerts that people or an analysis of the past made.
    ///
    /// # Errors
    /// [`CaseError`].
    pub fn add_alerts(&mut self, new: &[Alert]) -> Result<(), CaseError> {
        let privacy = self.privacy.load_full();
        self.durably(|connection| {
            for alert in new {
                has_hunt(connection, alert.triage.hunt_id.as_deref())?;
                alerts::write(connection, &alerts::kept(alert, &privacy), true)?;
            }
            Ok(())
        })
    }

    /// Has the last denial of a source by one of these names end then, or, with `None`, not count against it.
    ///
    /// # Errors
    /// [`CaseError`].
    pub fn denial_ends(
        &mut self,
        called: &[String],
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), CaseError> {
        let places = vec!["?"; called.len()].join(", ");
        let last = format!("(SELECT max(number) FROM denials WHERE prefix IN ({places}))");
        let sql = match until {
            // It lasts from when it was made.
            Some(until) => {
                let until = until.max(now).as_millisecond();
                format!("UPDATE denials SET for_s = max(0, ({until} - denied_at) / 1000) WHERE number = {last}")
            }
            None => format!("DELETE FROM denials WHERE number = {last}"),
        };
        self.durably(|connection| {
            connection.execute(&sql, params_from_iter(called))?;
            Ok(())
        })
    }

    /// Has alerts ask for nothing any more of a source by one of these names.
    ///
    /// # Errors
    /// [`CaseError`].
    pub fn unask(&mut self, called: &[String], now: Timestamp) -> Result<(), CaseError> {
        self.durably(|connection| {
            for mut alert in query::asking(connection, called, now)? {
                alert.unask(now);
                alerts::write(connection, &alert, false)?;
            }
            Ok(())
        })
    }

    /// Takes an alert away; the one there was.
    ///
    /// # Errors
    /// [`CaseError`].
    pub fn delete_alert(&mut self, id: AlertId, dry_run: bool) -> Result<Alert, CaseError> {
        self.durably(|connection| {
            let alert = find(connection, id)?;
            if !dry_run {
                connection.prepare_cached("DELETE FROM alerts WHERE id = ?1")?.execute([id.to_string()])?;
            }
            Ok(alert)
        })
    }

    /// Keeps a dataset.
    ///
    /// # Errors
    /// [`CaseError`].
    pub fn add_dataset(&mut self, dataset: &Dataset) -> Result<(), CaseError> {
        let names = &self.privacy.load_full().names;
        let dataset = &Dataset {
            name: names.text(&dataset.name).into_owned(),
            description: names.text(&dataset.description).into_owned(),
            ..dataset.clone()
        };
        self.durably(|connection| {
            has_hunt(connection, dataset.hunt_id.as_deref())?;
            if documents::count(connection, Table::Datasets)? >= MOST_KEPT {
                return Err(CaseError::TooMany("datasets").into());
            }
            Ok(documents::put(connection, Table::Datasets, &dataset.id, dataset)?)
        })
    }

    /// Keeps a hunt.
    ///
    /// # Errors
    /// [`CaseError`].
    pub fn add_hunt(&mut self, hunt: &Hunt) -> Result<(), CaseError> {
        let names = &self.privacy.load_full().names;
        let hunt = &Hunt {
            name: names.text(&hunt.name).into_owned(),
            description: names.text(&hunt.description).into_owned(),
            ..hunt.clone()
        };
        self.durably(|connection| {
            if documents::count(connection, Table::Hunts)? >= MOST_KEPT {
                return Err(CaseError::TooMany("hunts").into());
            }
            Ok(documents::put(connection, Table::Hunts, &hunt.id, hunt)?)
        })
    }

    /// Takes a dataset away; its alerts stay.
    ///
    /// # Errors
    /// [`CaseError`].
    pub fn delete_dataset(&mut self, id: &str, dry_run: bool) -> Result<Dataset, CaseError> {
        self.durably(|connection| {
            let missing = || CaseError::NoDataset(id.chars().take(64).collect());
            let dataset = documents::get(connection, Table::Datasets, id)?.ok_or_else(missing)?;
            if !dry_run {
                documents::remove(connection, Table::Datasets, id)?;
            }
            Ok(dataset)
        })
    }

    /// Takes a hunt away; its datasets stay, and belong to none. Alerts still tell which it was.
    ///
    /// # Errors
    /// [`CaseError`].
    pub fn delete_hunt(&mut self, id: &str, dry_run: bool) -> Result<Hunt, CaseError> {
        self.durably(|connection| {
            let missing = || CaseError::NoHunt(id.chars().take(64).collect());
            let hunt = documents::get(connection, Table::Hunts, id)?.ok_or_else(missing)?;
            if dry_run {
                return Ok(hunt);
            }
            documents::remove(connection, Table::Hunts, id)?;
            for mut dataset in documents::all::<Dataset>(connection, Table::Datasets)? {
                if dataset.hunt_id.as_deref() == Some(id) {
                    dataset.hunt_id = None;
                    documents::put(connection, Table::Datasets, &dataset.id, &dataset)?;
                }
            }
            Ok(hunt)
        })
    }

    /// Takes over the datasets and hunts of another database; how many those are.
    pub(super) fn take_over_cases(&mut self, other: &Connection) -> u64 {
        let datasets: Vec<Dataset> = documents::all(other, Table::Datasets).unwrap_or_default();
        let hunts: Vec<Hunt> = documents::all(other, Table::Hunts).unwrap_or_default();
        let hunts = hunts.iter().filter(|hunt| self.add_hunt(hunt).is_ok()).count();
        let datasets = datasets.into_iter().filter(|dataset| self.add_dataset(dataset).is_ok()).count();
        (hunts + datasets) as u64
    }

    /// Does something in one transaction that is on the disk when this returns.
    fn durably<T>(
        &mut self,
        what: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, CaseError> {
        let path: PathBuf = self.path.clone();
        let failed = |connection: &Connection, failure| match failure {
            Failure::Case(error) => error,
            Failure::Sql(error) => super::super::write::write_failed(&path, connection, error).into(),
        };
        let waits = |connection: &Connection, mode| connection.pragma_update(None, "synchronous", mode);
        if let Err(error) = waits(&self.connection, "FULL") {
            return Err(failed(&self.connection, error.into()));
        }
        let outcome =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Failure::Sql).and_then(
                |tx| {
                    let done = what(&tx)?;
                    tx.commit()?;
                    Ok(done)
                },
            );
        // Where this fails, what comes later is waited for as well, and that does no harm.
        let _slower = waits(&self.connection, "NORMAL");
        outcome.map_err(|failure| failed(&self.connection, failure))
    }
}
