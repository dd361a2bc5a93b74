//! What a server is told about the use of its decisions.
//!
//! Counters only grow; told is how much since the last time the server took it.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Decisions;
use crate::domain::time::{BootSeconds, Now};

/// The server takes no more than this often.
pub const SHORTEST_INTERVAL: Duration = Duration::from_mins(10);

/// Most sources that are named; what the rest did counts as `other`.
const MOST_SOURCES: usize = 100;

/// The family of an address, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// A prefix's family.
    pub fn of(prefix: IpNet) -> Self {
        if matches!(prefix, IpNet::V4(_)) { Self::V4 } else { Self::V6 }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// Packets and bytes, both counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// What decisions dropped, by their source ([`super::page::Told::source`]) and family, where that is known.
    pub dropped: BTreeMap<(Arc<str>, Option<Family>), Tally>,
    /// All that was judged.
    pub processed: BTreeMap<Option<Family>, Tally>,
}

/// What runs here, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The name the server may show.
    pub name: String,
    /// weir's version.
    pub version: String,
    /// The operating system's name.
    pub os_name: String,
    /// The operating system's version.
    pub os_version: String,
    /// When weir started.
    pub started_at: Timestamp,
}

/// When to tell the server, and what.
#[derive(Clone, Debug)]
pub struct Usage {
    component: Component,
    interval: Duration,
    taken: Counters,
    taken_at: Now,
    next: Option<BootSeconds>,
}

impl Usage {
    /// Tells each `interval`, at least [`SHORTEST_INTERVAL`]; never where it is 0.
    pub fn new(component: Component, interval: Duration, now: Now) -> Self {
        let interval = if interval.is_zero() { interval } else { interval.max(SHORTEST_INTERVAL) };
        let mut usage = Self { component, interval, taken: Counters::default(), taken_at: now, next: None };
        usage.next = (!interval.is_zero()).then(|| usage.later(now));
        usage
    }

    fn later(&self, now: Now) -> BootSeconds {
        BootSeconds(now.boot.0.saturating_add(self.interval.as_secs()))
    }

    /// Whether it is time.
    pub fn is_due(&self, now: Now) -> bool {
        self.next.is_some_and(|next| now.boot >= next)
    }

    /// When it is time; `None`: never again.
    pub fn next(&self) -> Option<BootSeconds> {
        self.next
    }

    /// The server took it: from here on only what is counted from now.
    pub fn taken(&mut self, counters: Counters, now: Now) {
        (self.taken, self.taken_at, self.next) = (counters, now, Some(self.later(now)));
    }

    /// The server did not take it: told with the next.
    pub fn not_taken(&mut self, now: Now) {
        self.next = Some(self.later(now));
    }

    /// The server is too old to take any.
    pub fn stop(&mut self) {
        self.next = None;
    }

    /// What is told now.
    pub fn payload(&self, counters: &Counters, decisions: &Decisions, now: Now) -> Value {
        let mut items = Vec::new();
        let none = Tally::default();
        let dropped_earlier = folded(&self.taken.dropped);
        for ((source, family), tally) in folded(&counters.dropped) {
            let earlier = dropped_earlier.get(&(Arc::clone(&source), family)).copied().unwrap_or(none);
            let labels = labels(Some(&source), family);
            push_tally(&mut items, "dropped", tally, earlier, &labels);
        }
        for (family, tally) in &counters.processed {
            let earlier = self.taken.processed.get(family).copied().unwrap_or(none);
            push_tally(&mut items, "processed", *tally, earlier, &labels(None, *family));
        }
        for ((source, family), count) in active(decisions) {
            let labels = labels(Some(&source), Some(family));
            items.push(json!({ "name": "active_decisions", "value": count, "unit": "ip", "labels": labels }));
        }
        let window = now.boot.0.saturating_sub(self.taken_at.boot.0);
        json!({ "remediation_components": [{
            "name": self.component.name,
            "type": super::COMPONENT_TYPE,
            "version": self.component.version,
            "os": { "name": self.component.os_name, "version": self.component.os_version },
            "utc_startup_timestamp": self.component.started_at.as_second(),
            "feature_flags": [],
            "metrics": [{
                "meta": { "window_size_seconds": window, "utc_now_timestamp": now.wall.as_second() },
                "items": items,
            }],
        }] })
    }
}

fn push_tally(items: &mut Vec<Value>, name: &str, now: Tally, earlier: Tally, labels: &Value) {
    for (unit, now, earlier) in [("packet", now.packets, earlier.packets), ("byte", now.bytes, earlier.bytes)] {
        // A counter that went back was started anew.
        let since = now.checked_sub(earlier).unwrap_or(now);
        if since > 0 {
            items.push(json!({ "name": name, "value": since, "unit": unit, "labels": labels }));
        }
    }
}

/// How many decisions of each source and family are held.
fn active(decisions: &Decisions) -> BTreeMap<(Arc<str>, Family), u64> {
    let mut active: BTreeMap<(Arc<str>, Family), u64> = BTreeMap::new();
    for (source, prefix) in decisions.sources() {
        let key = (Arc::clone(source), Family::of(prefix));
        let key = if active.len() < MOST_SOURCES || active.contains_key(&key) { key } else { (other(), key.1) };
        let count = active.entry(key).or_default();
        *count = count.saturating_add(1);
    }
    active
}

/// What is counted is told apart by; what is not known is left out.
fn labels(source: Option<&str>, family: Option<Family>) -> Value {
    let source = source.map(|source| ("origin".to_owned(), json!(source)));
    let family = family.map(|family| ("ip_type".to_owned(), json!(family.name())));
    Value::Object(source.into_iter().chain(family).collect())
}

fn folded(tallies: &BTreeMap<(Arc<str>, Option<Family>), Tally>) -> BTreeMap<(Arc<str>, Option<Family>), Tally> {
    let mut folded: BTreeMap<(Arc<str>, Option<Family>), Tally> = BTreeMap::new();
    for (at, ((source, family), tally)) in tallies.iter().enumerate() {
        let source = if at < MOST_SOURCES { Arc::clone(source) } else { other() };
        let sum = folded.entry((source, *family)).or_default();
        sum.packets = sum.packets.saturating_add(tally.packets);
        sum.bytes = sum.bytes.saturating_add(tally.bytes);
    }
    folded
}

fn other() -> Arc<str> {
    Arc::from("other")
}

#[cfg(test)]
mod tests {
    use super::super::page::{Page, Refusals, Told};
    use super::*;
    use crate::domain::decision::Enforcement;

    fn at(second: u64) -> Now {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap();
        Now { boot: BootSeconds(second), wall }
    }

    fn usage(interval: u64) -> Usage {
        let component = Component {
            name: "weir".to_owned(),
            version: "v0.1.0".to_owned(),
            os_name: "Debian".to_owned(),
            os_version: "12".to_owned(),
            started_at: at(0).wall,
        };
        Usage::new(component, Duration::from_secs(interval), at(0))
    }

    fn counters(packets: u64) -> Counters {
        let tally = Tally { packets, bytes: packets * 60 };
        Counters {
            dropped: [(("CAPI".into(), Some(Family::V4)), tally)].into(),
            processed: [(Some(Family::V6), Tally { packets: packets * 2, bytes: 0 })].into(),
        }
    }

    fn decisions(count: i64) -> Decisions {
        let mut decisions = Decisions::default();
        let new = (1..=count).map(|id| Told {
            id,
            prefix: IpNet::from(std::net::IpAddr::from([192, 0, 2, u8::try_from(id).unwrap()])),
            seconds: 60,
            enforcement: Enforcement::Enforce,
            reason: "x".into(),
            source: format!("lists:{id}").into(),
        });
        decisions.apply(Page { new: new.collect(), deleted: Vec::new(), refusals: Refusals::default() }, at(0));
        decisions
    }

    fn items(usage: &Usage, packets: u64) -> Vec<String> {
        let payload = usage.payload(&counters(packets), &Decisions::default(), at(700));
        let items = payload["remediation_components"][0]["metrics"][0]["items"].as_array().unwrap();
        items.iter().map(|item| format!("{} {} {}", item["name"], item["value"], item["unit"])).collect()
    }

    #[test]
    fn the_payload_is_what_servers_take() {
        let payload = usage(1_800).payload(&counters(3), &decisions(1), at(1_800));
        let expected = json!({ "remediation_components": [{
            "name": "weir", "type": "crowdsec-weir-bouncer", "version": "v0.1.0",
            "os": { "name": "Debian", "version": "12" },
            "utc_startup_timestamp": 1_800_000_000,
            "feature_flags": [],
            "metrics": [{
                "meta": { "window_size_seconds": 1_800, "utc_now_timestamp": 1_800_001_800 },
                "items": [
                    { "name": "dropped", "value": 3, "unit": "packet", "labels": { "origin": "CAPI", "ip_type": "ipv4" } },
                    { "name": "dropped", "value": 180, "unit": "byte", "labels": { "origin": "CAPI", "ip_type": "ipv4" } },
                    { "name": "processed", "value": 6, "unit": "packet", "labels": { "ip_type": "ipv6" } },
                    { "name": "active_decisions", "value": 1, "unit": "ip",
                      "labels": { "origin": "lists:1", "ip_type": "ipv4" } },
                ],
            }],
        }] });
        assert_eq!(payload, expected);
    }

    #[test]
    fn only_what_was_not_told_yet_is_told() {
        let mut usage = usage(600);
        usage.taken(counters(10), at(600));
        assert_eq!(
            items(&usage, 13),
            ["\"dropped\" 3 \"packet\"", "\"dropped\" 180 \"byte\"", "\"processed\" 6 \"packet\""]
        );
        usage.not_taken(at(1_200));
        assert_eq!(items(&usage, 14).first().unwrap(), "\"dropped\" 4 \"packet\"");
        assert_eq!(items(&usage, 10), Vec::<String>::new());
        // The counters were started anew.
        assert_eq!(items(&usage, 2).first().unwrap(), "\"dropped\" 2 \"packet\"");
    }

    #[test]
    fn it_is_told_no_more_often_than_servers_take_and_never_to_old_ones() {
        let mut usage = usage(1);
        assert!(!usage.is_due(at(599)) && usage.is_due(at(600)));
        usage.not_taken(at(600));
        assert!(!usage.is_due(at(1_199)) && usage.is_due(at(1_200)));
        usage.stop();
        assert!(!usage.is_due(at(9_999)));
        let never = self::usage(0);
        assert!(!never.is_due(at(9_999)) && never.next().is_none());
    }

    #[test]
    fn sources_beyond_a_bound_are_told_together() {
        let payload = usage(600).payload(&Counters::default(), &decisions(150), at(600));
        let items = payload["remediation_components"][0]["metrics"][0]["items"].as_array().unwrap();
        assert_eq!(items.len(), MOST_SOURCES + 1);
        let rest = items.iter().find(|item| item["labels"]["origin"] == "other").unwrap();
        assert_eq!(rest["value"], 50);
    }
}
