//! What the store says about settings at a start: those in force, a change that waits for its confirmation, and one that
//! was given up.
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::{Options, load};
use crate::adapters::clock;
use crate::adapters::store::{Change, Store};
use crate::domain::decision::Enforcement;
use crate::domain::time::BootSeconds;
use crate::sync::takeover::First;
use crate::sync::{CONFIG_KEY, ENFORCEMENT_KEY, PENDING_KEY, REJECTED_KEY, Settings};

/// The store's settings at start.
pub(super) struct Remembered {
    pub(super) settings: Arc<Settings>,
    pub(super) enforcement: Option<Enforcement>,
    pub(super) pending: Option<(Arc<Settings>, BootSeconds)>,
    /// The text of settings that were not confirmed in time and are still in the file.
    pub(super) given_up: Option<String>,
}

impl Remembered {
    /// Back to the settings before those in the file.
    fn give_up(&mut self, fallback: Settings) {
        self.given_up = Some(self.settings.text.to_string());
        self.settings = Arc::new(fallback);
    }

    /// What the store must hold from here on: the settings in force, and which change is pending or was given up.
    pub(super) fn changes(&self, first: &First) -> Vec<Change> {
        let set = |key: &str, value: String| Change::SetSetting { key: key.to_owned(), value };
        let mut changes = vec![Change::PutClassLists {
            generation: first.generation,
            classes: crate::sync::class_lists_of(&first.classes),
        }];
        if self.pending.is_none() {
            changes.push(set(CONFIG_KEY, self.settings.text.to_string()));
            changes.push(Change::RemoveSetting { key: PENDING_KEY.to_owned() });
            changes.push(match &self.given_up {
                Some(text) => set(REJECTED_KEY, text.clone()),
                None => Change::RemoveSetting { key: REJECTED_KEY.to_owned() },
            });
        }
        changes
    }
}

/// What the store says about settings: switches, a pending change, a change that was rolled back.
pub(super) fn remember(
    store: &Store,
    read: Settings,
    options: &Options,
    boot_id: &str,
    cpus: u32,
) -> Result<Remembered> {
    let enforcement = if options.observe {
        Some(Enforcement::Observe)
    } else {
        match store.setting(ENFORCEMENT_KEY)?.as_deref() {
            Some("observe") => Some(Enforcement::Observe),
            Some("enforce") => Some(Enforcement::Enforce),
            _ => None,
        }
    };
    let before = |store: &Store| -> Result<Option<Settings>> {
        let Some(text) = store.setting(CONFIG_KEY)? else { return Ok(None) };
        let loaded = load::parse(&text, "the settings in force before")?;
        Ok(Some(load::settings(&text, &loaded, "the settings in force before", options.observe, cpus)?))
    };
    let mut all = Remembered { settings: Arc::new(read), enforcement, pending: None, given_up: None };
    if let Some(pending) = store.setting(PENDING_KEY)? {
        let pending: serde_json::Value = serde_json::from_str(&pending).context("read the pending change")?;
        let deadline = BootSeconds(pending.get("deadline").and_then(serde_json::Value::as_u64).unwrap_or(0));
        let same_boot = pending.get("boot_id").and_then(serde_json::Value::as_str) == Some(boot_id);
        let same_text = pending.get("text").and_then(serde_json::Value::as_str) == Some(&*all.settings.text);
        if let Some(fallback) = before(store)?
            && same_text
        {
            if same_boot && clock::now().boot < deadline {
                all.pending = Some((Arc::new(fallback), deadline));
                return Ok(all);
            }
            all.give_up(fallback);
            return Ok(all);
        }
    }
    if store.setting(REJECTED_KEY)?.as_deref() == Some(&*all.settings.text)
        && let Some(fallback) = before(store)?
    {
        all.give_up(fallback);
    }
    Ok(all)
}
