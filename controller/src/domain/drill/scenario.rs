//! The drills by name: what each floods with, and what the shipped profile must do to it.

use serde::{Deserialize, Serialize};

/// A drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// SYNs from forged sources.
    Syn,
    /// Datagrams from forged sources.
    Udp,
    /// Answers of public services that nobody asked for.
    Amplification,
    /// Fragments that never become packets.
    Fragments,
    /// ICMP.
    Icmp,
    /// TCP outside of connections.
    Ack,
    /// One source.
    Loud,
    /// Many sources, each slow.
    Slow,
    /// All hosts of one network.
    Network,
    /// All of them.
    Mixed,
}

/// What must become of a flood under the shipped profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    /// Nothing of the profile stops it: only the honest are judged.
    Nothing,
    /// At most so much passes: a limit's rate for as long as the flood lasts, and its burst, for each of `sources`.
    PassesAtMost {
        /// Packets a second.
        per_second: u64,
        /// Packets at once.
        burst: u64,
    },
    /// At least this share is dropped.
    DroppedAtLeast(f64),
}

/// Above a limit by so much is still held: what a limit may err by, and what comes while the counters are read.
const TOLERANCE: f64 = 0.05;

impl Scenario {
    /// Every drill, in the order they are run.
    pub const ALL: [Self; 10] = [
        Self::Syn,
        Self::Udp,
        Self::Amplification,
        Self::Fragments,
        Self::Icmp,
        Self::Ack,
        Self::Loud,
        Self::Slow,
        Self::Network,
        Self::Mixed,
    ];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::Udp => "udp",
            Self::Amplification => "amplification",
            Self::Fragments => "fragments",
            Self::Icmp => "icmp",
            Self::Ack => "ack",
            Self::Loud => "loud",
            Self::Slow => "slow",
            Self::Network => "network",
            Self::Mixed => "mixed",
        }
    }

    /// What it floods with, in one line.
    pub fn about(self) -> &'static str {
        match self {
            Self::Syn => "SYNs to the web server's port, each from another forged source",
            Self::Udp => "datagrams of all sizes to all ports, each from another forged source",
            Self::Amplification => {
                "answers nobody asked for, from 3,000 reflectors (DNS, NTP, SSDP, memcached, CLDAP, SNMP, chargen, \
                 ISAKMP), some in fragments"
            }
            Self::Fragments => {
                "fragments that never become a packet: endless, tiny, headless, overlapping; both families"
            }
            Self::Icmp => "pings from forged sources and from one, and redirects",
            Self::Ack => "ACK, RST and PSH of no connection, and flags that mean nothing (null, xmas, SYN with FIN)",
            Self::Loud => "datagrams from one source, as fast as it goes",
            Self::Slow => "4,000 sources, each slower than any limit sees, and 400 connections that are held open",
            Self::Network => "254 hosts of one /24, each modest, all together a flood",
            Self::Mixed => "all of the above at once",
        }
    }

    /// The floods it is made of.
    pub fn parts(self) -> &'static [Self] {
        match Self::ALL.iter().position(|known| *known == self) {
            Some(at) if self != Self::Mixed => Self::ALL.get(at..=at).unwrap_or_default(),
            _ => Self::ALL.split_last().map_or(&[], |(_, parts)| parts),
        }
    }

    /// Packets a second it really sends where `wanted` are asked for: what is slow must stay so.
    pub fn rate(self, wanted: u64) -> u64 {
        match self {
            // Five a second from each source.
            Self::Slow => wanted.min(20_000),
            Self::Syn
            | Self::Udp
            | Self::Amplification
            | Self::Fragments
            | Self::Icmp
            | Self::Ack
            | Self::Loud
            | Self::Network
            | Self::Mixed => wanted,
        }
    }

    /// Connections it opens and holds beside its packets.
    pub fn connections(self) -> u32 {
        if self.parts().contains(&Self::Slow) { 400 } else { 0 }
    }

    /// What must become of it under the shipped profile.
    pub fn expected(self) -> Expected {
        match self {
            // The profile's limit of UDP for each source, and for each network.
            Self::Loud => Expected::PassesAtMost { per_second: 1_500, burst: 3_000 },
            Self::Network => Expected::PassesAtMost { per_second: 7_500, burst: 15_000 },
            // Nobody asked for any of the answers, and without its first no later fragment passes.
            Self::Amplification => Expected::DroppedAtLeast(0.99),
            // Half of the combinations of flags mean nothing; the others no limit tells from what they look like.
            Self::Ack => Expected::DroppedAtLeast(0.45),
            // Later ones without a first, and first ones that are too short: a third; those that look whole pass.
            Self::Fragments => Expected::DroppedAtLeast(0.3),
            Self::Syn | Self::Udp | Self::Icmp | Self::Slow | Self::Mixed => Expected::Nothing,
        }
    }
}

impl Expected {
    /// Why a flood was not held, where it was not.
    pub fn unmet(self, seconds: f64, seen: u64, dropped: u64) -> Option<String> {
        let passed = seen.saturating_sub(dropped);
        match self {
            Self::Nothing => None,
            Self::PassesAtMost { per_second, burst } => {
                let may = most(per_second, burst, seconds);
                (passed > may).then(|| format!("{passed} packets of the flood passed, where {may} may"))
            }
            Self::DroppedAtLeast(share) => {
                let was = share_of(dropped, seen);
                let percent = |share: f64| format!("{:.1} %", share * 100.0);
                (was < share)
                    .then(|| format!("{} of the flood was dropped, where {} must be", percent(was), percent(share)))
            }
        }
    }
}

/// What a limit lets through in a time, and what it may err by.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of packets in seconds, far below 2^52, and never negative"
)]
fn most(per_second: u64, burst: u64, seconds: f64) -> u64 {
    ((per_second as f64).mul_add(seconds.max(0.0), burst as f64) * (1.0 + TOLERANCE)).ceil() as u64
}

/// A part of a whole, from 0 to 1; 0 of nothing.
pub fn share_of(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a share, shown with three digits")]
    let share = part as f64 / whole as f64;
    share.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_is_all_others_and_each_other_is_itself() {
        assert_eq!(Scenario::Mixed.parts(), &Scenario::ALL[..9]);
        for scenario in &Scenario::ALL[..9] {
            assert_eq!(scenario.parts(), [*scenario]);
        }
        assert_eq!(Scenario::ALL.map(Scenario::connections), [0, 0, 0, 0, 0, 0, 0, 400, 0, 400]);
    }

    #[test]
    fn names_are_those_of_the_command_line_and_of_reports() {
        use clap::ValueEnum as _;
        for scenario in Scenario::ALL {
            assert_eq!(scenario.to_possible_value().unwrap().get_name(), scenario.name());
            assert_eq!(serde_json::to_string(&scenario).unwrap(), format!("{:?}", scenario.name()));
        }
    }

    #[test]
    fn a_limit_passes_its_rate_and_burst_and_hardly_more() {
        let limit = Expected::PassesAtMost { per_second: 2_000, burst: 4_000 };
        assert_eq!(limit.unmet(3.0, 150_000, 140_000), None);
        assert_eq!(limit.unmet(3.0, 150_000, 139_500), None);
        let why = limit.unmet(3.0, 150_000, 139_000).unwrap();
        assert_eq!(why, "11000 packets of the flood passed, where 10500 may");
        // A flood below the limit is none.
        assert_eq!(limit.unmet(3.0, 9_000, 0), None);
    }

    #[test]
    fn a_share_is_of_what_was_seen() {
        let share = Expected::DroppedAtLeast(0.99);
        assert_eq!(share.unmet(3.0, 1_000, 990), None);
        assert_eq!(share.unmet(3.0, 1_000, 900).unwrap(), "90.0 % of the flood was dropped, where 99.0 % must be");
        assert!(share.unmet(3.0, 0, 0).is_some());
        assert_eq!(Expected::Nothing.unmet(3.0, 1_000, 0), None);
    }
}
