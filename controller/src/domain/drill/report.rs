//! What `weir drill` tells. Keys are stable.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::detection::Detection;
use super::latency::Latency;
use super::scenario::{Scenario, share_of};
use crate::domain::decision::{Kind, ListEnforcement};

/// All drills of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// Whether every drill met what is expected of it.
    pub ok: bool,
    /// What they were run under.
    pub settings: Under,
    /// The drills, in the order they were run.
    pub drills: Vec<Drill>,
}

/// The settings drills were run under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Under {
    /// Whether it is the profile that comes with weir.
    pub profile: bool,
    /// Where they came from: a file, or `profile`.
    pub source: String,
    /// What of them did not hold in the drill.
    pub left_out: Vec<String>,
    /// Where stored lists were taken over from; `null`: from nowhere.
    pub store: Option<String>,
    /// The lists that were in force.
    pub lists: Vec<ListTaken>,
    /// Problems the drill's daemon reported of itself.
    pub problems: Vec<String>,
}

/// A list that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListTaken {
    /// Its name.
    pub name: String,
    /// Allow or deny.
    pub kind: Kind,
    /// Its entries.
    pub entries: u64,
    /// What becomes of them.
    pub enforcement: ListEnforcement,
}

/// One drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    /// Its name.
    pub name: Scenario,
    /// Whether it met what is expected of it.
    pub ok: bool,
    /// Why not, where it did not.
    pub reasons: Vec<String>,
    /// How long the flood lasted.
    pub seconds: f64,
    /// Packets a second that were to be sent.
    pub rate: u64,
    /// The flood.
    pub flood: FloodCounts,
    /// Packets dropped, by verdict.
    pub dropped_by: BTreeMap<String, u64>,
    /// Packets let through that would have been dropped, were everything enforced, by verdict.
    pub would_drop_by: BTreeMap<String, u64>,
    /// How soon.
    pub detection: Detection,
    /// The honest.
    pub honest: Honest,
    /// Connections opened and held beside the packets; `null` where the drill holds none.
    pub connections: Option<Connections>,
}

/// What became of a flood's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FloodCounts {
    /// Sent.
    pub offered: u64,
    /// Seen by XDP; more than were offered where connections are held too.
    pub seen: u64,
    /// Lost in a full ring before XDP.
    pub lost_before: u64,
    /// Let through.
    pub passed: u64,
    /// Dropped.
    pub dropped: u64,
    /// Dropped, of those seen: 0 to 1.
    pub dropped_share: f64,
}

impl FloodCounts {
    /// From what was sent, what XDP saw on the flood's interface, and what it dropped there.
    pub fn of(offered: u64, seen: u64, dropped: u64) -> Self {
        Self {
            offered,
            seen,
            lost_before: offered.saturating_sub(seen),
            passed: seen.saturating_sub(dropped),
            dropped,
            dropped_share: share_of(dropped, seen),
        }
    }
}

/// What became of the honest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Honest {
    /// Packets XDP saw from the honest while the flood lasted.
    pub seen: u64,
    /// Of them not passed.
    pub refused: u64,
    /// What each kind of honest traffic got answered, end to end: this counts losses anywhere, also in full queues.
    pub kinds: BTreeMap<String, Exchange>,
    /// HTTP requests before the flood.
    pub before: Latency,
    /// HTTP requests during the flood.
    pub during: Latency,
}

/// One kind of honest traffic, end to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Asked, or sent.
    pub sent: u64,
    /// Answered; what needs no answer: arrived.
    pub answered: u64,
}

/// Connections that were opened and held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Tried.
    pub tried: u64,
    /// Opened.
    pub opened: u64,
}

impl Drill {
    /// Judges the drill: fills `ok` and `reasons`. What the flood must come to is known of the shipped profile only.
    #[must_use]
    pub fn judged(mut self, profile: bool) -> Self {
        let mut reasons = Vec::new();
        let Honest { seen, refused, kinds, .. } = &self.honest;
        if *refused > 0 {
            reasons.push(format!("{refused} of {seen} honest packets were refused"));
        }
        if self.flood.seen == 0 {
            reasons.push("XDP saw nothing of the flood, so nothing is shown".to_owned());
        }
        for (kind, exchange) in kinds {
            if exchange.answered == 0 {
                reasons.push(format!("honest {kind} got no answer at all, so nothing is shown of it"));
            }
        }
        if profile && let Some(why) = self.name.expected().unmet(self.seconds, self.flood.seen, self.flood.dropped) {
            reasons.push(why);
        }
        self.ok = reasons.is_empty();
        self.reasons = reasons;
        self
    }
}

impl DrillReport {
    /// The report of these drills.
    pub fn of(settings: Under, drills: Vec<Drill>) -> Self {
        Self { ok: drills.iter().all(|drill| drill.ok), settings, drills }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A drill in which one loud source was held and the honest lost nothing.
    pub(crate) fn held() -> Drill {
        Drill {
            name: Scenario::Loud,
            ok: false,
            reasons: Vec::new(),
            seconds: 3.0,
            rate: 50_000,
            flood: FloodCounts::of(150_000, 149_990, 142_500),
            dropped_by: BTreeMap::from([("rate_source".to_owned(), 142_500)]),
            would_drop_by: BTreeMap::new(),
            detection: Detection { first_drop_ms: Some(81.5), ninety_percent_ms: Some(140.0) },
            honest: Honest {
                seen: 4_321,
                refused: 0,
                kinds: BTreeMap::from([("http".to_owned(), Exchange { sent: 200, answered: 200 })]),
                before: Latency { requests: 150, failed: 0, p50_ms: Some(0.4), p99_ms: Some(1.25) },
                during: Latency { requests: 200, failed: 0, p50_ms: Some(0.5), p99_ms: Some(2.0) },
            },
            connections: None,
        }
    }

    #[test]
    fn a_flood_that_is_held_and_no_honest_packet_refused_is_well() {
        let drill = held().judged(true);
        assert!(drill.ok, "{:?}", drill.reasons);
        let flood = drill.flood;
        assert_eq!((flood.lost_before, flood.passed), (10, 7_490));
        assert!((flood.dropped_share - 0.9501).abs() < 1e-4);
    }

    #[test]
    fn one_honest_packet_refused_is_not() {
        let mut drill = held();
        drill.honest.refused = 1;
        let drill = drill.judged(false);
        assert!(!drill.ok);
        assert_eq!(drill.reasons, ["1 of 4321 honest packets were refused"]);
    }

    #[test]
    fn a_drill_that_shows_nothing_is_not_well() {
        let mut drill = held();
        drill.flood = FloodCounts::of(150_000, 0, 0);
        drill.honest.kinds.insert("dns".to_owned(), Exchange { sent: 9, answered: 0 });
        let drill = drill.judged(false);
        assert_eq!(drill.reasons.len(), 2, "{:?}", drill.reasons);
    }

    #[test]
    fn what_the_operators_own_settings_hold_is_reported_and_not_judged() {
        let mut drill = held();
        drill.flood = FloodCounts::of(150_000, 150_000, 0);
        assert!(drill.clone().judged(false).ok);
        assert!(!drill.judged(true).ok);
    }

    #[test]
    fn a_run_is_well_if_all_its_drills_are() {
        let under = Under {
            profile: true,
            source: "profile".to_owned(),
            left_out: Vec::new(),
            store: None,
            lists: Vec::new(),
            problems: Vec::new(),
        };
        let (well, mut badly) = (held().judged(true), held());
        badly.ok = false;
        assert!(DrillReport::of(under.clone(), vec![well.clone()]).ok);
        assert!(!DrillReport::of(under, vec![well, badly]).ok);
    }

    #[test]
    fn keys_are_stable() {
        let value = serde_json::to_value(held().judged(true)).unwrap();
        let keys = |at: &str| {
            let object = value.pointer(at).and_then(serde_json::Value::as_object).unwrap();
            object.keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            keys(""),
            "connections detection dropped_by flood honest name ok rate reasons seconds would_drop_by"
        );
        assert_eq!(keys("/flood"), "dropped dropped_share lost_before offered passed seen");
        assert_eq!(keys("/honest"), "before during kinds refused seen");
        assert_eq!(keys("/honest/before"), "failed p50_ms p99_ms requests");
        assert_eq!(keys("/detection"), "first_drop_ms ninety_percent_ms");
        assert_eq!(value["name"], "loud");
    }
}
