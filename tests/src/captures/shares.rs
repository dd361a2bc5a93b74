//! How much of an attack is dropped, and how much of everything else passes.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::Packet;
use super::labels::{Kind, Label};
use super::machine::Machine;
use super::sockets::{Host, Socket};

/// What became of the packets of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Let through.
    pub passed: u64,
    /// Dropped.
    pub dropped: u64,
    /// Not judged: joined by the kernel that captured them, and longer than XDP takes at once.
    pub too_long: u64,
    /// All that were judged, by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
}

/// What became of each group's packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Groups by label and name.
    pub groups: BTreeMap<(Label, Arc<str>), Count>,
}

/// Runs packets through the real program under a profile, at their own times, on a host with these sockets.
///
/// # Errors
/// What is wrong with the profile, or what the kernel refused.
///
/// # Panics
/// Where the host's namespace cannot be made.
pub fn shares(profile: &str, sockets: &[Socket], packets: &[Packet]) -> Result<Shares> {
    let host = Host::new(sockets);
    host.inside(|| {
        let mut machine = Machine::new(profile)?;
        let mut shares = Shares::default();
        for (number, packet) in (1..).zip(packets) {
            let count = shares.groups.entry((packet.label, Arc::clone(&packet.group))).or_default();
            match machine.judge(packet.at_ns, &packet.frame).with_context(|| format!("packet {number}"))? {
                Some(judged) => {
                    count.passed += u64::from(judged.passed);
                    count.dropped += u64::from(!judged.passed);
                    *count.verdicts.entry(judged.verdict.name()).or_default() += 1;
                }
                None => count.too_long += 1,
            }
        }
        Ok(shares)
    })
}

impl Count {
    /// Packets that were judged.
    pub fn judged(&self) -> u64 {
        self.passed + self.dropped
    }

    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.dropped += other.dropped;
        self.too_long += other.too_long;
        for (verdict, count) in &other.verdicts {
            *self.verdicts.entry(verdict).or_default() += count;
        }
    }
}

impl Shares {
    /// All groups of a label together.
    pub fn of(&self, label: Label) -> Count {
        let mut sum = Count::default();
        for (_, count) in self.groups.iter().filter(|((of, _), _)| *of == label) {
            sum.add(count);
        }
        sum
    }

    /// What is not as it must be, in words: 99 % of an amplification attack dropped, and 99.9 % of what was captured
    /// beside any attack, and of honest traffic mixed in, passed.
    ///
    /// Of a SYN flood from forged sources nothing is asked: whom to refuse no header says.
    pub fn failures(&self, kind: Kind) -> Vec<String> {
        let mut failures = Vec::new();
        let attack = self.of(Label::Attack);
        if kind == Kind::Amplification && attack.dropped * 100 < attack.judged() * 99 {
            failures.push(format!("{} of {} packets of the attack dropped", attack.dropped, attack.judged()));
        }
        for (label, name) in [(Label::Other, "other"), (Label::Honest, "honest")] {
            let count = self.of(label);
            if count.passed * 1_000 < count.judged() * 999 {
                failures.push(format!("{} of {} {name} packets passed", count.passed, count.judged()));
            }
        }
        failures
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} passed {:>7} dropped", self.passed, self.dropped)?;
        if self.too_long > 0 {
            write!(f, ", {} too long", self.too_long)?;
        }
        for (verdict, count) in &self.verdicts {
            write!(f, "  {verdict} {count}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((label, group), count) in &self.groups {
            writeln!(f, "{:<7} {group:<33} {count}", format!("{label:?}").to_lowercase())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares_of(groups: &[(Label, &str, u64, u64)]) -> Shares {
        let count = |passed, dropped| Count { passed, dropped, ..Count::default() };
        let groups =
            groups.iter().map(|(label, name, passed, dropped)| ((*label, Arc::from(*name)), count(*passed, *dropped)));
        Shares { groups: groups.collect() }
    }

    #[test]
    fn goals_are_met_at_their_edge_and_missed_by_one_packet() {
        let edge = [(Label::Attack, "a", 1, 99), (Label::Other, "b", 999, 1), (Label::Honest, "c", 1_998, 2)];
        assert_eq!(shares_of(&edge).failures(Kind::Amplification), [""; 0]);
        let missed = [
            ((Label::Attack, "a", 2, 98), "98 of 100 packets of the attack dropped"),
            ((Label::Other, "b", 998, 2), "998 of 1000 other packets passed"),
            ((Label::Honest, "c", 1_997, 3), "1997 of 2000 honest packets passed"),
        ];
        for (at, (group, failure)) in missed.into_iter().enumerate() {
            let mut groups = edge;
            groups[at] = group;
            assert_eq!(shares_of(&groups).failures(Kind::Amplification), [failure]);
        }
    }

    #[test]
    fn a_flood_of_forged_sources_may_pass_and_honest_packets_must() {
        let passed = [(Label::Attack, "a", 100, 0), (Label::Honest, "c", 1_000, 0)];
        assert_eq!(shares_of(&passed).failures(Kind::SynFlood), [""; 0]);
        let lost = [(Label::Attack, "a", 0, 100), (Label::Honest, "c", 900, 100)];
        assert_eq!(shares_of(&lost).failures(Kind::SynFlood), ["900 of 1000 honest packets passed"]);
    }

    #[test]
    fn groups_of_a_label_are_summed_and_one_bad_group_does_not_hide_in_another_label() {
        let groups = [(Label::Other, "a", 5, 1), (Label::Other, "b", 7, 2), (Label::Honest, "a", 100, 100)];
        let sum = shares_of(&groups).of(Label::Other);
        assert_eq!((sum.passed, sum.dropped), (12, 3));
    }
}
