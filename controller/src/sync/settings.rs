//! The settings that a policy is built with, as values.
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use weir_common::abi::{Slot, feature};
use weir_common::rate;
use zerocopy::FromZeros as _;

use crate::config::{Crowdsec, Feed, Geo};
use crate::domain::decision::{Enforcement, ListEnforcement};
use crate::domain::desired::List;
use crate::domain::limits::LimitWords;
use crate::domain::report::SettingRow;
use crate::domain::tables::Capacity;

/// What the kernel's policy depends on, beside the lists.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Settings {
    /// Whether drops are carried out.
    pub enforcement: Enforcement,
    /// The per-source limit in packets per second; `None`: no limit.
    pub source_limit: Option<u64>,
    /// The per-source limit in the kernel's units.
    pub source_words: LimitWords,
    /// Whether the per-source limit is only observed.
    pub observe_source: bool,
    /// The same three of the tighter limit.
    pub tight_limit: Option<u64>,
    /// In the kernel's units.
    pub tight_words: LimitWords,
    /// Whether it is only observed.
    pub observe_tight: bool,
    /// Whether a packet over the header budget passes.
    pub budget_passes: bool,
    /// Whether every packet is counted for its source, for `top`.
    pub track_sources: bool,
    /// Sampled drops per second and CPU.
    pub samples_per_second: u32,
    /// Lists whose enforcement is set.
    pub lists: BTreeMap<String, ListEnforcement>,
    /// Protected by the operator's word.
    pub protected: Vec<(IpNet, String)>,
    /// Whether remote ends of login sessions are protected.
    pub login_sessions: bool,
    /// Never blocked by an automation.
    pub never_block: Vec<(IpNet, String)>,
    /// Ceilings of the tables.
    pub capacity: Capacity,
    /// The configuration's text.
    pub text: Arc<str>,
    /// Every setting with where it came from.
    pub rows: Vec<SettingRow>,
    /// Feeds, in the order they go before each other.
    pub feeds: Arc<Vec<Feed>>,
    /// Countries and autonomous systems.
    pub geo: Geo,
    /// A CrowdSec server; `None`: none is asked.
    pub crowdsec: Option<Crowdsec>,
}

impl Settings {
    /// What becomes of a list: what is set for its name, else what is usual for it.
    pub fn enforcement_of(&self, list: &List) -> ListEnforcement {
        self.lists.get(&*list.name).copied().unwrap_or(list.usual)
    }

    /// The slot descriptor for these settings, without tables.
    pub fn slot(&self, generation: u64, enforcement: Enforcement) -> Slot {
        let mut slot = Slot::new_zeroed();
        slot.generation = generation;
        if enforcement == Enforcement::Observe {
            slot.features |= feature::OBSERVE_ALL;
        }
        if self.budget_passes {
            slot.features |= feature::BUDGET_PASSES;
        }
        if self.observe_source {
            slot.features |= feature::OBSERVE_SOURCE_LIMIT;
        }
        if self.observe_tight {
            slot.features |= feature::OBSERVE_TIGHT_LIMIT;
        }
        if self.track_sources {
            slot.features |= feature::TRACK_SOURCES;
        }
        slot.source_cost = self.source_words.source_cost;
        slot.source_window = self.source_words.source_window;
        slot.promote_at = self.source_words.promote_at;
        slot.source_fallback_heat = self.source_words.source_fallback_heat;
        slot.tight_cost = self.tight_words.source_cost;
        slot.tight_window = self.tight_words.source_window;
        slot.tight_promote_at = self.tight_words.promote_at;
        slot.tight_fallback_heat = self.tight_words.source_fallback_heat;
        slot.sample_cost = rate::cost(u64::from(self.samples_per_second));
        slot.sample_window = slot.sample_cost.saturating_mul(u64::from(self.samples_per_second));
        slot
    }

    /// Which settings differ from another's, as `key: old -> new`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let old: BTreeMap<&str, &str> = self.rows.iter().map(|row| (row.key.as_str(), row.value.as_str())).collect();
        let new: BTreeMap<&str, &str> = other.rows.iter().map(|row| (row.key.as_str(), row.value.as_str())).collect();
        let keys: std::collections::BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        keys.into_iter()
            .filter(|key| old.get(key) != new.get(key))
            .map(|key| format!("{key}: {} -> {}", old.get(key).unwrap_or(&"unset"), new.get(key).unwrap_or(&"unset")))
            .collect()
    }
}
