//! Sampled drops as a capture: which are wanted, what is said beside each, and what there was to sample from.
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use weir_common::traffic::{Dimension, Scope, detail};
use weir_common::verdict::{Action, Verdict};

use super::report::{InterfaceRow, SampleRow, VerdictRow};

/// A verdict that drops: the only kind there are samples of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DropVerdict(Verdict);

/// A word that is no verdict of a sample.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DropVerdictError {
    /// Packets with it pass.
    #[error("packets with the verdict {0} are let through, and only drops are sampled; tcpdump shows those")]
    Passes(&'static str),
    /// There is none of this name.
    #[error("{0:?} is no verdict; those of sampled drops are {names}", names = DropVerdict::names().join(", "))]
    Unknown(String),
}

impl DropVerdict {
    /// All of them, in counter-slot order.
    pub fn all() -> impl Iterator<Item = Self> {
        Verdict::ALL.into_iter().filter(|verdict| verdict.action() == Action::Drop).map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    fn names() -> Vec<&'static str> {
        Self::all().map(Self::name).collect()
    }
}

impl FromStr for DropVerdict {
    type Err = DropVerdictError;

    fn from_str(text: &str) -> Result<Self, DropVerdictError> {
        let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.name() == text);
        let verdict = verdict.ok_or_else(|| DropVerdictError::Unknown(text.to_owned()))?;
        match verdict.action() {
            Action::Drop => Ok(Self(verdict)),
            Action::Pass => Err(DropVerdictError::Passes(verdict.name())),
        }
    }
}

/// Which samples are wanted: of one of the verdicts and of one of the lists, where any are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    verdicts: Vec<DropVerdict>,
    lists: Vec<String>,
}

impl Filter {
    /// Of these verdicts and lists; none: all.
    pub fn new(verdicts: &[DropVerdict], lists: &[String]) -> Self {
        Self { verdicts: verdicts.to_vec(), lists: lists.to_vec() }
    }

    /// Of names separated by commas, as they stand in a query.
    ///
    /// # Errors
    /// [`DropVerdictError`], for the first that is none.
    pub fn read(verdicts: &str, lists: &str) -> Result<Self, DropVerdictError> {
        let verdicts = words(verdicts).map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { verdicts, lists: words(lists).map(str::to_owned).collect() })
    }

    /// The lists that are named.
    pub fn lists(&self) -> &[String] {
        &self.lists
    }

    /// The verdicts' names, separated by commas; empty: all.
    pub fn verdict_words(&self) -> String {
        let names: Vec<_> = self.verdicts.iter().map(|verdict| verdict.name()).collect();
        names.join(",")
    }

    /// The lists' names, separated by commas; empty: all.
    pub fn list_words(&self) -> String {
        self.lists.join(",")
    }

    /// Whether a sample is wanted.
    pub fn wants(&self, sample: &SampleRow) -> bool {
        let of_verdict = self.verdicts.is_empty() || self.verdicts.iter().any(|v| v.name() == sample.verdict);
        let of_list = self.lists.is_empty() || sample.list.as_ref().is_some_and(|list| self.lists.contains(list));
        of_verdict && of_list
    }

    /// Packets that were dropped, and packets that were only observed, by the wanted verdicts. Counters know verdicts and
    /// not lists, so these are of all lists.
    fn counted(&self, verdicts: &BTreeMap<String, VerdictRow>) -> (u64, u64) {
        let wanted = DropVerdict::all().filter(|verdict| self.verdicts.is_empty() || self.verdicts.contains(verdict));
        let rows = wanted.filter_map(|verdict| verdicts.get(verdict.name()));
        rows.fold((0, 0), |(dropped, observed), row| (dropped + row.packets, observed + row.observed_packets))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// What is said beside a packet: `verdict=feed list=ipsum enforced`. The one place where it is put together.
pub fn comment(sample: &SampleRow) -> String {
    let mut words = vec![format!("verdict={}", sample.verdict)];
    words.extend(sample.list.as_ref().map(|list| format!("list={list}")));
    words.extend(sample.detail.clone());
    words.push(if sample.observed { "observed" } else { "enforced" }.to_owned());
    words.join(" ")
}

/// What in particular is behind a verdict, from the kernel's number ([`weir_common::traffic::detail`]): `limit=source
/// dimension=syn`, `answer nobody asked for`.
pub fn detail(number: u32) -> Option<String> {
    if number & detail::LIMIT != 0 {
        let scope = Scope::ALL.into_iter().find(|scope| detail::limit(scope.slot(), 0) == number & !7)?;
        let dimension = Dimension::ALL.into_iter().find(|dimension| dimension.slot() == (number & 7) as usize)?;
        return Some(format!("limit={} dimension={}", scope.name(), dimension.name()));
    }
    let text = match number {
        detail::TRANSPORT => "layer 4",
        detail::PORT_RULE => "port rule",
        detail::ANSWER => "answer nobody asked for",
        detail::ICMP_TYPE => "ICMP type",
        detail::FIRST_FRAGMENT => "first fragment",
        detail::LATER_FRAGMENT => "later fragment",
        _ => return None,
    };
    Some(text.to_owned())
}

/// A line of the stream of samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleLine {
    /// The first line: what is sampled.
    Start(SampleStart),
    /// A sampled drop.
    Sample(SampleRow),
    /// The counters, as they are behind all samples before.
    Counters(SampleCounters),
    /// Lines, wanted or not, that this reader took too long to ask for.
    Lost(u64),
}

/// What is sampled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleStart {
    /// Most bytes of a frame that are kept.
    pub bytes: u32,
    /// Interfaces.
    pub interfaces: Vec<InterfaceRow>,
    /// The counters to compare later ones with.
    pub counters: SampleCounters,
}

/// How much there was to sample from, and how much was sampled, since the program was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleCounters {
    /// When they were read.
    pub at: Timestamp,
    /// Most samples a second and CPU; 0: none are taken.
    pub per_second: u32,
    /// Whether the bypass is on, so that nothing is dropped.
    pub bypass: bool,
    /// Samples the kernel took.
    pub taken: u64,
    /// Those of them that found the ring full.
    pub lost: u64,
    /// Counters of the verdicts that drop; one that is absent has counted nothing.
    pub verdicts: BTreeMap<String, VerdictRow>,
}

/// How a capture came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// As many packets as were wanted.
    Count,
    /// By a signal.
    Interrupted,
    /// Nobody read what was written any more.
    Closed,
    /// It could not be written any further.
    Unwritable,
    /// The daemon stopped.
    Daemon,
}

/// What a capture amounts to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureReport {
    /// The file; `-`: standard output.
    pub file: String,
    /// Packets in it.
    pub written: u64,
    /// How it ended.
    pub end: End,
    /// Verdicts that were asked for; none: all that drop.
    pub verdicts: Vec<String>,
    /// Lists that were asked for; none: all.
    pub lists: Vec<String>,
    /// From when.
    pub started_at: Timestamp,
    /// Until when.
    pub ended_at: Timestamp,
    /// Packets dropped meanwhile with the verdicts that were asked for, by any list: counters of verdicts know no lists.
    pub dropped: u64,
    /// Packets let through meanwhile that those verdicts would have dropped.
    pub observed: u64,
    /// Samples the kernel took meanwhile, of all verdicts and lists.
    pub sampled: u64,
    /// Those of them that found the kernel's ring full.
    pub lost_in_kernel: u64,
    /// Lines that this command was too slow to take.
    pub lost_in_reading: u64,
    /// Most samples a second and CPU, at the end; 0: none are taken.
    pub per_second: u32,
}

impl CaptureReport {
    /// The report on a capture between two readings of the counters.
    pub fn new(
        file: String,
        (written, lost_in_reading): (u64, u64),
        end: End,
        filter: &Filter,
        (first, last): (&SampleCounters, &SampleCounters),
    ) -> Self {
        // The counters live in the kernel: only a program that was loaded anew can make them fall.
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let (before, now) = (filter.counted(&first.verdicts), filter.counted(&last.verdicts));
        Self {
            file,
            written,
            end,
            verdicts: filter.verdicts.iter().map(ToString::to_string).collect(),
            lists: filter.lists.clone(),
            started_at: first.at,
            ended_at: last.at,
            dropped: since(now.0, before.0),
            observed: since(now.1, before.1),
            sampled: since(last.taken, first.taken),
            lost_in_kernel: since(last.lost, first.lost),
            lost_in_reading,
            per_second: last.per_second,
        }
    }
}

impl fmt::Display for DropVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
