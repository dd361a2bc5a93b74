//! What is kept of people: keys that addresses are hashed with, and erasure.
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;

use super::cases::CaseFault;
use super::ways::Ways;
use crate::adapters::store::{Erased, Privacy, StoreError};
use crate::adapters::{clock, privacy_key};
use crate::domain::erasure::Mentions;
use crate::domain::report::{EraseReport, EraseRequest, RotateReport};
use crate::sync::{Command, SyncError};

/// The way to what is kept of people.
#[derive(Clone, Debug)]
pub struct PrivacyDesk {
    ways: Ways,
    state: PathBuf,
}

impl PrivacyDesk {
    pub(super) fn new(ways: &Ways, state: &Path) -> Self {
        Self { ways: ways.clone(), state: state.to_owned() }
    }

    /// Has addresses hashed with another key from now on. What is kept under those before is still found by its address,
    /// until nothing is kept under them any more; with `forget`, it is nobody's from now on.
    ///
    /// # Errors
    /// [`CaseFault`]: the keys are those before.
    pub async fn rotate(&self, forget: bool, actor: String, dry_run: bool) -> Result<RotateReport, CaseFault> {
        let before = self.ways.shared.detected.privacy.load_full();
        if before.names.is_plain() {
            let why = "addresses are not hashed here; `hash_addresses = true` under [privacy] has them hashed";
            return Err(CaseFault::Conflict(why.to_owned()));
        }
        let mut report = RotateReport { changed: true, dry_run, keys: before.names.keys().len() + 1 };
        if forget {
            report.keys = 1;
        }
        if dry_run {
            return Ok(report);
        }
        let (folder, shared, now) = (self.state.clone(), self.ways.shared.clone(), clock::now().wall);
        let rotated = tokio::task::spawn_blocking(move || {
            let _one = shared.detected.keys();
            let before = shared.detected.privacy.load_full();
            let names = privacy_key::rotate(&folder, &before.names, forget, now)?;
            shared.detected.privacy.store(Arc::new(Privacy { names, ..*before }));
            Ok::<_, privacy_key::KeyFileError>(())
        });
        let rotated = rotated.await.map_err(|error| CaseFault::Failed(error.to_string()))?;
        rotated.map_err(|error| CaseFault::Failed(error.to_string()))?;
        self.ways.sync.note(&actor, "privacy rotate", "", json!({"forget": forget})).await?;
        Ok(report)
    }

    /// Erases what is kept of an address or a user: alerts, events, evidence, past denials, and mentions elsewhere. What is
    /// in force stays so until it ends.
    ///
    /// # Errors
    /// [`CaseFault`]: what was erased by then stays erased.
    pub async fn erase(&self, request: EraseRequest, actor: String) -> Result<EraseReport, CaseFault> {
        let user = request.user.filter(|user| !user.is_empty());
        let address = request.address.filter(|address| !address.is_empty()).map(|text| {
            let parsed = text.trim().parse::<IpAddr>();
            parsed.map_err(|_error| CaseFault::Bad(format!("{text:?} is not an address")))
        });
        let address = address.transpose()?.map(|address| address.to_canonical());
        if address.is_some() == user.is_some() {
            return Err(CaseFault::Bad("say whose: address or user, one of them".to_owned()));
        }
        let names = self.ways.shared.detected.privacy.load().names.clone();
        let who = match (address, &user) {
            (Some(address), _) => Mentions::of_address(address, &names),
            (None, user) => Mentions::of_user(user.as_deref().unwrap_or_default(), &names),
        };
        let (dry_run, asked) = (request.dry_run, who.clone());
        if !dry_run {
            // First those who would write it again; what they have in hand is written, so that it is found here.
            self.ways.detection.erased(who.clone()).await;
            self.ways.reputation.erased(who.names().to_vec()).await;
            self.ways.keeper.ask(|_| Ok::<_, StoreError>(())).await?;
        }
        let numbers = self.ways.shared.detected.tally().numbers_of(who.names(), who.users());
        let erased = if dry_run {
            let numbers = numbers.len() as u64;
            let reader = self.ways.shared.detected.alerts();
            let reader = reader.ok_or_else(|| CaseFault::Closed("the database of alerts is not open".to_owned()))?;
            let counted = tokio::task::spawn_blocking(move || reader.named(&asked)).await;
            let counted = counted.map_err(|error| CaseFault::Failed(error.to_string()))?;
            let alerts = counted.map_err(|error| CaseFault::Failed(error.to_string()))?;
            Erased { alerts, events: numbers, ..Erased::default() }
        } else {
            let numbers = numbers.clone();
            self.ways.keeper.ask(move |store| store.erase(&asked, &numbers)).await?
        };
        let mut changes = 0;
        if !dry_run {
            self.forget(&numbers, &who).await?;
            let (tell, told) = oneshot::channel();
            self.ways.sync.send(Command::Erase(who, tell))?;
            changes = told.await.map_err(|_gone| SyncError::Stopping)?.map_err(CaseFault::Failed)?;
            // Whose it was is what was to be forgotten.
            let what = if user.is_some() { "a user" } else { "an address" };
            let detail = json!({"what": what, "alerts": erased.alerts, "events": erased.events});
            self.ways.sync.note(&actor, "privacy erase", "", detail).await?;
        }
        let any = erased != Erased::default() || changes > 0;
        Ok(EraseReport {
            changed: any,
            dry_run,
            alerts: erased.alerts,
            mentions: erased.mentions,
            events: erased.events,
            denials: erased.denials,
            reputation: erased.reputation,
            changes,
        })
    }

    /// Forgets events by their numbers, and who is mentioned in others, in what is counted in memory.
    async fn forget(&self, numbers: &[i64], who: &Mentions) -> Result<(), CaseFault> {
        self.ways.shared.detected.tally_mut().remove(numbers);
        let (shared, who) = (self.ways.shared.clone(), who.clone());
        // There may be a million texts.
        let forgotten = tokio::task::spawn_blocking(move || {
            // Looked through with nothing locked: others ask meanwhile.
            let texts = shared.detected.tally().texts();
            let blotted = texts.into_iter().filter_map(|text| Some((Arc::clone(&text), who.blotted(&text)?)));
            let blotted: HashMap<Arc<str>, String> = blotted.collect();
            shared.detected.tally_mut().change_texts(|text| blotted.get(text).cloned());
        });
        forgotten.await.map_err(|error| CaseFault::Failed(error.to_string()))
    }
}
