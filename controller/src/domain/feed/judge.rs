//! Whether a feed as a whole may take the place of what it said before.
//!
//! A line that must not go in is refused by itself. Here the question is whether the list can be believed: one that
//! shrank to a tenth, or is half made of private addresses, is somebody's mistake or somebody's attack.
use serde::Serialize;

use crate::domain::feed::reach::Reach;
use crate::domain::listfile::Parsed;

/// A list of so few entries may become empty, and is not judged by how it shrinks.
pub const FEW: usize = 10;

/// Labels of refused lines that say something about whoever wrote the list: they lie in space that no honest list names.
const SUSPICIOUS: [&str; 3] = ["protected", "special", "too_wide"];
/// A label of refused lines that says nothing against the list: many honest ones name an address of a CDN.
const HARMLESS: &str = "never_block";

/// What is believed of a feed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Most entries.
    pub most_entries: usize,
    /// Least entries; 0: it may be empty; none: it may be empty if it had at most [`FEW`] before.
    pub least_entries: Option<usize>,
    /// By how many per cent it may shrink at once.
    pub most_shrink_percent: u32,
    /// By how many per cent it may grow at once.
    pub most_growth_percent: u32,
    /// Growth is judged as if there had been at least so many entries before.
    pub growth_floor: usize,
    /// Most lines that may be refused for what is written in them, in per cent.
    pub most_rejected_percent: u32,
    /// So many refused lines are no reason to doubt, whatever their share, as long as any line is taken.
    pub rejected_floor: u64,
    /// Most of all IPv4 addresses that it may cover, in per cent.
    pub most_share_v4_percent: f64,
    /// Most lines that may name protected or special addresses, in per cent.
    pub most_suspicious_percent: u32,
    /// So many of those lines are no reason to doubt, whatever their share.
    pub suspicious_floor: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            most_entries: 2_000_000,
            least_entries: None,
            most_shrink_percent: 50,
            most_growth_percent: 300,
            growth_floor: 1_000,
            most_rejected_percent: 10,
            rejected_floor: 5,
            most_share_v4_percent: 5.0,
            most_suspicious_percent: 5,
            suspicious_floor: 10,
        }
    }
}

/// A reason not to believe a feed.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// No list, or not the whole of one.
    #[error("it is no list: {why}")]
    Unfit {
        /// Why.
        why: String,
    },
    /// The list counts its own records otherwise.
    #[error("it says it has {declared} records and has {records}; it may be cut off")]
    Declared {
        /// What it says.
        declared: u64,
        /// What it has.
        records: u64,
    },
    /// Too many lines are no addresses.
    #[error("{rejected} of {records} lines were refused, more than {most} %; is it the right format?")]
    Rejected {
        /// How many.
        rejected: u64,
        /// Of how many.
        records: u64,
        /// The most, in per cent.
        most: u32,
    },
    /// It has nothing.
    #[error("it is empty, and had {before} entries; set least_entries = 0 for it if that can be right")]
    Empty {
        /// Entries before.
        before: usize,
    },
    /// It has too little.
    #[error("it has {entries} entries; least_entries is {least}")]
    TooFew {
        /// Entries.
        entries: usize,
        /// The least.
        least: usize,
    },
    /// It lost too much.
    #[error("it shrank from {before} to {entries} entries, by more than {most} %")]
    Shrank {
        /// Entries before.
        before: usize,
        /// Entries now.
        entries: usize,
        /// The most, in per cent.
        most: u32,
    },
    /// It gained too much.
    #[error("it grew from {before} to {entries} entries, by more than {most} %")]
    Grew {
        /// Entries before.
        before: usize,
        /// Entries now.
        entries: usize,
        /// The most, in per cent.
        most: u32,
    },
    /// It has too much.
    #[error("it has {entries} entries; the most is {most}; raise most_entries if it is that large")]
    TooMany {
        /// Entries.
        entries: usize,
        /// The most.
        most: usize,
    },
    /// It covers too much.
    #[error("it covers {addresses} IPv4 addresses, {percent:.2} % of all; the most is {most} %")]
    TooWide {
        /// Addresses.
        addresses: u64,
        /// Their share in per cent.
        percent: f64,
        /// The most, in per cent.
        most: f64,
    },
    /// It names what no honest list names.
    #[error("{lines} of {records} lines name protected, special or far too wide space; the list may be poisoned")]
    Suspicious {
        /// Lines.
        lines: u64,
        /// Of how many.
        records: u64,
    },
}

impl Doubt {
    /// Its name in metrics; one of a few.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unfit { .. } => "unfit",
            Self::Declared { .. } => "declared",
            Self::Rejected { .. } => "rejected",
            Self::Empty { .. } => "empty",
            Self::TooFew { .. } => "too_few",
            Self::Shrank { .. } => "shrank",
            Self::Grew { .. } => "grew",
            Self::TooMany { .. } => "too_many",
            Self::TooWide { .. } => "too_wide",
            Self::Suspicious { .. } => "suspicious",
        }
    }

    /// Whether an operator's force may overrule it. What is no list has nothing to put in.
    pub fn yields_to_force(&self) -> bool {
        !matches!(self, Self::Unfit { .. })
    }
}

/// All doubts about a feed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[must_use]
pub struct Judgement {
    /// In the order in which they are looked for; the first is the one to show.
    pub doubts: Vec<Doubt>,
}

impl Judgement {
    /// Whether the feed may take the place of what it said before. `forced` is the operator's word for this one time.
    pub fn accepts(&self, forced: bool) -> bool {
        self.doubts.iter().all(|doubt| forced && doubt.yields_to_force())
    }

    /// All of them in one line; empty where there are none.
    pub fn text(&self) -> String {
        let texts: Vec<String> = self.doubts.iter().map(ToString::to_string).collect();
        texts.join("; ")
    }
}

/// Judges a feed: what was parsed of it, its `entries` as they would be in force (each once; numbers of networks count),
/// how many it had `before` (none: it was never in force), and whom it would hit.
pub fn judge(limits: &Limits, parsed: &Parsed, entries: usize, before: Option<usize>, reach: &Reach) -> Judgement {
    let mut doubts = Vec::new();
    if let Some(why) = &parsed.unfit {
        doubts.push(Doubt::Unfit { why: why.clone() });
    }
    let records = parsed.records();
    if let Some(declared) = parsed.declared.filter(|declared| *declared != records) {
        doubts.push(Doubt::Declared { declared, records });
    }
    doubts.extend(rejected(limits, parsed, entries, records));
    doubts.extend(size(limits, entries, before));
    let percent = reach.share_v4 * 100.0;
    if percent > limits.most_share_v4_percent {
        let most = limits.most_share_v4_percent;
        doubts.push(Doubt::TooWide { addresses: reach.addresses_v4, percent, most });
    }
    let lines = labelled(parsed, &SUSPICIOUS).saturating_add(reach.protected.entries);
    if lines > limits.suspicious_floor && exceeds(lines, records, limits.most_suspicious_percent) {
        doubts.push(Doubt::Suspicious { lines, records });
    }
    Judgement { doubts }
}

fn labelled(parsed: &Parsed, labels: &[&str]) -> u64 {
    labels.iter().filter_map(|label| parsed.reasons.get(label)).sum()
}

/// Lines refused for what is written in them, not for whom they would hit.
fn rejected(limits: &Limits, parsed: &Parsed, entries: usize, records: u64) -> Option<Doubt> {
    let guarded = labelled(parsed, &SUSPICIOUS).saturating_add(labelled(parsed, &[HARMLESS]));
    let rejected = (parsed.rejected as u64).saturating_sub(guarded);
    let most = limits.most_rejected_percent;
    let counts = rejected > limits.rejected_floor || entries == 0;
    (counts && rejected > 0 && exceeds(rejected, records, most)).then_some(Doubt::Rejected { rejected, records, most })
}

fn size(limits: &Limits, entries: usize, before: Option<usize>) -> Option<Doubt> {
    if entries > limits.most_entries {
        return Some(Doubt::TooMany { entries, most: limits.most_entries });
    }
    if let Some(least) = limits.least_entries.filter(|least| entries < *least) {
        return Some(Doubt::TooFew { entries, least });
    }
    if entries == 0 {
        let may_be = limits.least_entries == Some(0) || before.is_some_and(|before| before <= FEW);
        return (!may_be).then_some(Doubt::Empty { before: before.unwrap_or(0) });
    }
    let before = before?;
    let (most_shrink, most_growth) = (limits.most_shrink_percent, limits.most_growth_percent);
    if before > FEW && exceeds(before.saturating_sub(entries) as u64, before as u64, most_shrink) {
        return Some(Doubt::Shrank { before, entries, most: most_shrink });
    }
    let floor = before.max(limits.growth_floor);
    if exceeds(entries.saturating_sub(floor) as u64, floor as u64, most_growth) {
        return Some(Doubt::Grew { before, entries, most: most_growth });
    }
    None
}

/// Whether the part is more than so many per cent of the whole.
fn exceeds(part: u64, whole: u64, percent: u32) -> bool {
    u128::from(part) * 100 > u128::from(whole) * u128::from(percent)
}

#[cfg(test)]
mod tests;
