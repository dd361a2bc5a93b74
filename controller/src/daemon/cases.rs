//! What people do with alerts, datasets and hunts: what follows is carried out first, then it is kept, then answered.
mod analyze;
mod lift;
mod problem;

use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::json;
use tokio::sync::{Mutex, Semaphore};

pub use self::analyze::Analysis;
use self::lift::Lifted;
pub use self::problem::CaseFault;
use super::detection::Triaged;
use super::ways::Ways;
use crate::adapters::store::{CaseError, Changed};
use crate::adapters::{clock, random};
use crate::domain::http::alert::{Alert, AlertId, AlertUpdate, Status};
use crate::domain::http::dataset::{Content, Dataset, DatasetRequest, Hunt, HuntRequest};
use crate::domain::report::{AlertRequest, BulkReport, BulkUpdate, MOST_LISTED, UpdateReport};

/// The way to alerts, datasets and hunts, to change them.
#[derive(Clone, Debug)]
pub struct Cases {
    ways: Ways,
    /// An analysis takes all of a CPU: one at a time.
    analysis: Arc<Semaphore>,
    /// False positives are undone one after the other: what one puts back may be the other's.
    clearing: Arc<Mutex<()>>,
}

fn new_id() -> AlertId {
    let random = u128::from(random::number()) << 64 | u128::from(random::number());
    AlertId::v7(clock::now().wall, random)
}

impl Cases {
    pub(super) fn new(ways: &Ways) -> Self {
        Self { ways: ways.clone(), analysis: Arc::new(Semaphore::new(1)), clearing: Arc::default() }
    }

    /// Changes an alert. One that becomes a false positive has the decision it caused lifted, and what it weighed taken
    /// back, before that is kept.
    ///
    /// # Errors
    /// [`CaseFault`]: nothing is kept of the change.
    pub async fn update(
        &self,
        id: AlertId,
        update: AlertUpdate,
        actor: String,
        dry_run: bool,
    ) -> Result<UpdateReport, CaseFault> {
        let (changed, lifted) = self.changed(&[id], update, actor, dry_run).await?;
        let changed = changed.into_iter().next().ok_or(CaseError::NoAlert(id))?;
        let Lifted { score, remains, .. } = &lifted;
        Ok(UpdateReport {
            changed: changed.is_changed,
            dry_run,
            lifted: lifted.words(),
            remains: remains.clone(),
            score: *score,
            alert: changed.after,
        })
    }

    /// Changes several alerts, all of them or none.
    ///
    /// # Errors
    /// [`CaseFault`].
    pub async fn bulk_update(&self, bulk: BulkUpdate, actor: String, dry_run: bool) -> Result<BulkReport, CaseFault> {
        if bulk.ids.is_empty() || bulk.ids.len() > MOST_LISTED {
            return Err(CaseFault::Bad(format!(
                "{} ids; from 1 to {MOST_LISTED} are changed together",
                bulk.ids.len()
            )));
        }
        let mut ids = bulk.ids;
        ids.sort();
        ids.dedup();
        let (changed, lifted) = self.changed(&ids, bulk.update, actor, dry_run).await?;
        let updated = changed.iter().filter(|changed| changed.is_changed).count() as u64;
        let unchanged = changed.len() as u64 - updated;
        Ok(BulkReport { updated, unchanged, dry_run, lifted: lifted.words(), remains: lifted.remains })
    }

    async fn changed(
        &self,
        ids: &[AlertId],
        update: AlertUpdate,
        actor: String,
        dry_run: bool,
    ) -> Result<(Vec<Changed>, Lifted), CaseFault> {
        update.check().map_err(|error| CaseFault::Bad(error.to_string()))?;
        let now = clock::now().wall;
        let change = |dry_run| {
            let (ids, update) = (ids.to_vec(), update.clone());
            self.ways.keeper.ask(move |store| store.change_alerts(&ids, &update, now, dry_run))
        };
        let _one = if update.status == Some(Status::FalsePositive) { Some(self.clearing.lock().await) } else { None };
        // What cannot be kept has no consequences either.
        let planned = change(true).await?;
        if dry_run || planned.iter().all(|changed| !changed.is_changed) {
            return Ok((planned, Lifted::default()));
        }
        let mut lifted = Lifted::default();
        for changed in planned.iter().filter(|changed| update.clears(&changed.before.triage)) {
            // What is found from here on is another alert's, and caused by that.
            let id = changed.before.id;
            self.ways.detection.triaged(Triaged { id, is_closed: true, undone: Vec::new() }).await;
            lift::lift(&self.ways, &changed.before, ids, &actor, &mut lifted).await?;
        }
        let done = change(false).await?;
        for changed in done.iter().filter(|changed| changed.is_changed) {
            let id = changed.after.id;
            let is_closed = changed.after.triage.status.is_closed();
            self.ways.detection.triaged(Triaged { id, is_closed, undone: Vec::new() }).await;
            let detail = json!({
                "status": [changed.before.triage.status, changed.after.triage.status],
                "update": update,
                "title": changed.after.title,
                "source": changed.after.source,
            });
            self.ways.sync.note(&actor, "alert update", &id.to_string(), detail).await?;
        }
        Ok((done, lifted))
    }

    /// Somebody lifted denials and limits by hand: what alerts asked for of these sources is not put back.
    ///
    /// # Errors
    /// [`CaseFault`]: they are lifted all the same.
    pub async fn lifted_by_hand(&self, prefixes: &[IpNet]) -> Result<(), CaseFault> {
        let called: Vec<String> = prefixes.iter().flat_map(|prefix| lift::called(&self.ways, *prefix)).collect();
        self.ways.detection.unasked(called.clone()).await;
        if self.ways.shared.detected.alerts().is_some() {
            let now = clock::now().wall;
            self.ways.keeper.ask(move |store| store.unask(&called, now)).await?;
        }
        Ok(())
    }

    /// Makes an alert that a person asks for.
    ///
    /// # Errors
    /// [`CaseFault`].
    pub async fn create(&self, request: AlertRequest, actor: String, dry_run: bool) -> Result<Alert, CaseFault> {
        let alert = analyze::made(request, new_id(), clock::now().wall)?;
        if dry_run {
            return Ok(alert);
        }
        let new = vec![alert.clone()];
        self.ways.keeper.ask(move |store| store.add_alerts(&new)).await?;
        let detail = json!({"title": alert.title, "severity": alert.severity});
        self.ways.sync.note(&actor, "alert create", &alert.id.to_string(), detail).await?;
        Ok(alert)
    }

    /// Takes an alert away; what it caused stays in force, as it does when an alert is past its time.
    ///
    /// # Errors
    /// [`CaseFault`].
    pub async fn delete(&self, id: AlertId, actor: String, dry_run: bool) -> Result<Alert, CaseFault> {
        let alert = self.ways.keeper.ask(move |store| store.delete_alert(id, dry_run)).await?;
        if !dry_run {
            self.ways.detection.triaged(Triaged { id, is_closed: true, undone: Vec::new() }).await;
            let detail = json!({"title": alert.title, "severity": alert.severity, "count": alert.count});
            self.ways.sync.note(&actor, "alert delete", &id.to_string(), detail).await?;
        }
        Ok(alert)
    }

    /// Keeps a dataset.
    ///
    /// # Errors
    /// [`CaseFault`].
    pub async fn add_dataset(
        &self,
        request: DatasetRequest,
        actor: String,
        dry_run: bool,
    ) -> Result<Dataset, CaseFault> {
        let now = clock::now().wall;
        let dataset = request.made(new_id().to_string(), actor.clone(), now);
        let dataset = dataset.map_err(|error| CaseFault::Bad(error.to_string()))?;
        if let Content::Log { path, zone, .. } = &dataset.content {
            analyze::opened(&self.ways.shared, Path::new(path))?;
            analyze::zone(zone.as_deref())?;
        }
        if dry_run {
            return Ok(dataset);
        }
        let kept = dataset.clone();
        self.ways.keeper.ask(move |store| store.add_dataset(&kept)).await?;
        let detail = serde_json::to_value(&dataset.content).unwrap_or_default();
        self.ways.sync.note(&actor, "dataset create", &dataset.name, detail).await?;
        Ok(dataset)
    }

    /// Takes a dataset away; its alerts stay.
    ///
    /// # Errors
    /// [`CaseFault`].
    pub async fn delete_dataset(&self, id: String, actor: String, dry_run: bool) -> Result<Dataset, CaseFault> {
        let dataset = self.ways.keeper.ask(move |store| store.delete_dataset(&id, dry_run)).await?;
        if !dry_run {
            self.ways.sync.note(&actor, "dataset delete", &dataset.name, json!({"id": dataset.id})).await?;
        }
        Ok(dataset)
    }

    /// Keeps a hunt.
    ///
    /// # Errors
    /// [`CaseFault`].
    pub async fn add_hunt(&self, request: HuntRequest, actor: String, dry_run: bool) -> Result<Hunt, CaseFault> {
        let hunt = request.made(new_id().to_string(), actor.clone(), clock::now().wall);
        let hunt = hunt.map_err(|error| CaseFault::Bad(error.to_string()))?;
        if dry_run {
            return Ok(hunt);
        }
        let kept = hunt.clone();
        self.ways.keeper.ask(move |store| store.add_hunt(&kept)).await?;
        self.ways.sync.note(&actor, "hunt create", &hunt.name, json!({"id": hunt.id})).await?;
        Ok(hunt)
    }

    /// Takes a hunt away; its datasets and alerts stay.
    ///
    /// # Errors
    /// [`CaseFault`].
    pub async fn delete_hunt(&self, id: String, actor: String, dry_run: bool) -> Result<Hunt, CaseFault> {
        let hunt = self.ways.keeper.ask(move |store| store.delete_hunt(&id, dry_run)).await?;
        if !dry_run {
            self.ways.sync.note(&actor, "hunt delete", &hunt.name, json!({"id": hunt.id})).await?;
        }
        Ok(hunt)
    }
}
