//! All verdict counters at once: what was counted beside what was expected is a failure too.
use std::collections::BTreeMap;
use std::fmt;

use weir::adapters::kernel::reader::Counters;
use weir::domain::report::Status;
use weir_common::verdict::Verdict;

/// Packets by verdict; those that were only observed under `would VERDICT`. What is zero is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger(BTreeMap<String, u64>);

impl Ledger {
    /// Of these entries.
    pub fn of(entries: &[(&str, u64)]) -> Self {
        entries.iter().map(|(verdict, packets)| ((*verdict).to_owned(), *packets)).collect()
    }

    /// The daemon's word.
    pub fn of_status(status: &Status) -> Self {
        let rows = status.verdicts.iter();
        rows.flat_map(|(name, row)| [(name.clone(), row.packets), (format!("would {name}"), row.observed_packets)])
            .collect()
    }

    /// The kernel's.
    pub fn of_counters(counters: &Counters) -> Self {
        let both = |verdict: &Verdict| {
            let (slot, name) = (verdict.slot() as usize, verdict.name());
            let observed = (format!("would {name}"), counters.observed[slot].packets);
            [(name.to_owned(), counters.enforced[slot].packets), observed]
        };
        Verdict::ALL.iter().flat_map(both).collect()
    }

    /// What was counted since `before`. A counter that went back shows as a huge number.
    pub fn since(&self, before: &Self) -> Self {
        let names = self.0.keys().chain(before.0.keys());
        names.map(|name| (name.clone(), self.packets_of(name).wrapping_sub(before.packets_of(name)))).collect()
    }

    /// Packets of a verdict.
    pub fn packets_of(&self, verdict: &str) -> u64 {
        self.0.get(verdict).copied().unwrap_or(0)
    }

    /// Packets of all verdicts, each once.
    pub fn packets(&self) -> u64 {
        let enforced = self.0.iter().filter(|(verdict, _)| !verdict.starts_with("would "));
        enforced.fold(0, |sum, (_, packets)| sum.wrapping_add(*packets))
    }
}

impl FromIterator<(String, u64)> for Ledger {
    fn from_iter<I: IntoIterator<Item = (String, u64)>>(entries: I) -> Self {
        Self(entries.into_iter().filter(|(_, packets)| *packets != 0).collect())
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        let entries: Vec<String> = self.0.iter().map(|(verdict, packets)| format!("{packets} {verdict}")).collect();
        f.write_str(&entries.join(", "))
    }
}
