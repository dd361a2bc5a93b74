//! The settings that a policy is built with, as values.
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use weir_common::abi::{Slot, feature};
use weir_common::rate;
use zerocopy::FromZeros as _;

use crate::adapters::rules::Files;
use crate::config::{Audit, Crowdsec, Detection, Feed, Geo, Privacy, Reputation};
use crate::domain::decision::{Enforcement, ListEnforcement};
use crate::domain::desired::List;
use crate::domain::floods::{Floods, TIGHT};
use crate::domain::offenders::Consequence;
use crate::domain::ports::PortTable;
use crate::domain::report::SettingRow;
use crate::domain::tables::Capacity;

/// What the kernel's policy depends on, beside the lists.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether drops are carried out.
    pub enforcement: Enforcement,
    /// What is held against floods.
    pub floods: Arc<Floods>,
    /// What follows where limits are broken again and again.
    pub consequence: Consequence,
    /// What destination ports lead to.
    pub ports: Arc<PortTable>,
    /// CPUs that packets are judged on.
    pub cpus: u32,
    /// The lowest port that a socket gets without asking for it.
    pub askers_from: u16,
    /// Numbers of the limits that lists name.
    pub profiles: BTreeMap<String, u32>,
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
    /// What the web layer says, and what is made of it.
    pub detection: Arc<Detection>,
    /// What evidence comes to.
    pub reputation: Arc<Reputation>,
    /// What is kept of events.
    pub audit: Audit,
    /// What of people is kept.
    pub privacy: Privacy,
    /// The files of rules that were there when the settings were read.
    pub rule_files: Arc<Files>,
    /// What is wrong with rules: file, line, what.
    pub rule_problems: Vec<String>,
    /// What is legal in them and worth knowing, and what they cut off on this machine: a sentence each.
    pub warnings: Vec<String>,
}

impl Settings {
    /// What becomes of a list: what is set for its name, else what is usual for it.
    pub fn enforcement_of(&self, list: &List) -> ListEnforcement {
        self.lists.get(&*list.name).copied().unwrap_or(list.usual)
    }

    /// Where a list limits: the number of the limit.
    pub fn profile_of(&self, list: &List) -> u32 {
        self.profiles.get(&*list.name).copied().unwrap_or(TIGHT)
    }

    /// Has a list be as these settings say.
    pub fn apply_to(&self, list: &mut List) {
        list.enforcement = self.enforcement_of(list);
        list.profile = self.profile_of(list);
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
        if self.track_sources {
            slot.features |= feature::TRACK_SOURCES;
        }
        self.floods.fill(&mut slot, &self.ports, self.cpus, self.askers_from);
        slot.sample_cost = rate::cost(u64::from(self.samples_per_second));
        slot.sample_window = slot.sample_cost.saturating_mul(u64::from(self.samples_per_second));
        slot
    }

    /// Which settings differ from another's, as `key: old -> new`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let old: BTreeMap<&str, &str> = self.rows.iter().map(|row| (row.key.as_str(), row.value.as_str())).collect();
        let new: BTreeMap<&str, &str> = other.rows.iter().map(|row| (row.key.as_str(), row.value.as_str())).collect();
        let keys: std::collections::BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        let named = keys
            .into_iter()
            .filter(|key| old.get(key) != new.get(key))
            .map(|key| format!("{key}: {} -> {}", old.get(key).unwrap_or(&"unset"), new.get(key).unwrap_or(&"unset")));
        let files = (self.rule_files != other.rule_files).then(|| "the files of rules have changed".to_owned());
        named.chain(files).collect()
    }
}
