//! Who must not be cut off: the protected and never-block sets, and the one function that every door asks.
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use super::decision::{Kind, Origin};
use super::listfile::Refused;
use super::{prefixes, special};

/// Widest IPv4 prefix that may be denied without `--force`.
pub const WIDEST_V4: u8 = 8;
/// Widest IPv6 prefix that may be denied without `--force`.
pub const WIDEST_V6: u8 = 19;

/// Widest IPv4 prefix that a feed may allow: it opens a way past every list but the operator's.
pub const WIDEST_ALLOWED_V4: u8 = 16;
/// Widest IPv6 prefix that a feed may allow.
pub const WIDEST_ALLOWED_V6: u8 = 32;

/// How wide a prefix may be that is denied without `--force`, as shortest lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widest {
    /// IPv4.
    pub v4: u8,
    /// IPv6.
    pub v6: u8,
}

impl Default for Widest {
    fn default() -> Self {
        Self { v4: WIDEST_V4, v6: WIDEST_V6 }
    }
}

impl Widest {
    /// The same for what is allowed.
    fn to_allow(self) -> Self {
        Self { v4: self.v4.max(WIDEST_ALLOWED_V4), v6: self.v6.max(WIDEST_ALLOWED_V6) }
    }

    fn is_exceeded(self, prefix: IpNet) -> bool {
        prefix.prefix_len() < if matches!(prefix, IpNet::V4(_)) { self.v4 } else { self.v6 }
    }
}

/// The two sets. Both are small: own addresses, gateways, resolvers; ranges of CDNs and search engines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    protected: BTreeMap<IpNet, String>,
    never_block: BTreeMap<IpNet, String>,
    protected_spans: Spans,
    never_block_spans: Spans,
}

/// The addresses of a set, as spans that do not touch: whether a prefix meets any takes one search, and nearly every
/// line of a long list meets none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Spans {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Spans {
    fn of(set: &BTreeMap<IpNet, String>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in set.keys() {
            match prefix {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    fn meet(&self, prefix: IpNet) -> bool {
        match prefix {
            IpNet::V4(net) => meets(&self.v4, net.network().to_bits(), net.broadcast().to_bits()),
            IpNet::V6(net) => meets(&self.v6, net.network().to_bits(), net.broadcast().to_bits()),
        }
    }
}

/// Spans in order, each behind the end of the one before.
fn merged<T: Copy + Ord>(mut spans: Vec<(T, T)>) -> Vec<(T, T)> {
    spans.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::new();
    for (first, last) in spans {
        match merged.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// Whether any of the spans has an address from `first` to `last`.
fn meets<T: Copy + Ord>(spans: &[(T, T)], first: T, last: T) -> bool {
    let at = spans.partition_point(|(_, end)| *end < first);
    spans.get(at).is_some_and(|(start, _)| *start <= last)
}

/// Someone a denial would hit who must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The protected or never-block prefix.
    pub prefix: IpNet,
    /// Why it is in the set.
    pub why: String,
}

/// Most hits that a refusal names.
const MOST_HITS: usize = 64;

/// Why a denial is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It covers protected addresses.
    #[error("{prefix} covers {}, which must not be cut off; {hint}", list(.hits))]
    Protected {
        /// What was to be denied.
        prefix: IpNet,
        /// Whom it would have hit.
        hits: Vec<Hit>,
        /// What `--force` would do.
        hint: &'static str,
    },
    /// It covers never-block addresses and no person asked for it.
    #[error("{prefix} covers {} of the never-block set, which automatic decisions cannot cross", list(.hits))]
    NeverBlock {
        /// What was to be denied.
        prefix: IpNet,
        /// Whom it would have hit.
        hits: Vec<Hit>,
    },
    /// It is wider than any one source of abuse.
    #[error("{prefix} is {share} of all {family} addresses; {hint}")]
    TooWide {
        /// What was to be denied.
        prefix: IpNet,
        /// Its share, for people.
        share: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The way out.
        hint: &'static str,
    },
    /// It is special-purpose space no abuse comes from.
    #[error("{prefix} lies in {what}; {hint}")]
    Special {
        /// What was to be denied.
        prefix: IpNet,
        /// The space.
        what: &'static str,
        /// The way out.
        hint: &'static str,
    },
}

impl Refused for Refusal {
    fn reason(&self) -> &'static str {
        match self {
            Self::Protected { .. } => "protected",
            Self::NeverBlock { .. } => "never_block",
            Self::TooWide { .. } => "too_wide",
            Self::Special { .. } => "special",
        }
    }
}

/// Guarded prefixes that a list's refused lines would have hit: the first of each set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WouldHit {
    /// Of the protected set, with why each is in it.
    pub protected: BTreeMap<IpNet, String>,
    /// Of the never-block set, with why each is in it.
    pub never_block: BTreeMap<IpNet, String>,
}

impl WouldHit {
    /// Takes in whom one line would have hit.
    pub fn note(&mut self, refusal: &Refusal) {
        let (set, hits) = match refusal {
            Refusal::Protected { hits, .. } => (&mut self.protected, hits),
            Refusal::NeverBlock { hits, .. } => (&mut self.never_block, hits),
            Refusal::TooWide { .. } | Refusal::Special { .. } => return,
        };
        for hit in hits {
            if set.len() < MOST_HITS {
                set.entry(hit.prefix).or_insert_with(|| hit.why.clone());
            }
        }
    }
}

fn list(hits: &[Hit]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<String> =
        hits.iter().take(SHOWN).map(|hit| format!("{} ({})", bare(hit.prefix), hit.why)).collect();
    if hits.len() > SHOWN {
        text.push(format!("{} more", hits.len() - SHOWN));
    }
    text.join(", ")
}

/// A prefix as people write it: a single address without its length.
pub fn bare(prefix: IpNet) -> String {
    if prefixes::is_single(&prefix) { prefix.addr().to_string() } else { prefix.to_string() }
}

impl Guards {
    /// Both sets, with the reason each prefix is in.
    pub fn new(
        protected: impl IntoIterator<Item = (IpNet, String)>,
        never_block: impl IntoIterator<Item = (IpNet, String)>,
    ) -> Self {
        let protected = protected.into_iter().map(|(prefix, why)| (prefix.trunc(), why)).collect();
        let never_block = never_block.into_iter().map(|(prefix, why)| (prefix.trunc(), why)).collect();
        let (protected_spans, never_block_spans) = (Spans::of(&protected), Spans::of(&never_block));
        Self { protected, never_block, protected_spans, never_block_spans }
    }

    /// The protected prefixes.
    pub fn protected_prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.protected.keys().copied()
    }

    /// The never-block prefixes.
    pub fn never_block_prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.never_block.keys().copied()
    }

    /// How many prefixes of both sets lie inside of another, itself not counted. Stops counting behind `enough`.
    pub fn inside(&self, prefix: IpNet, enough: usize) -> usize {
        let of = |set: &BTreeMap<IpNet, String>| {
            let inside = set.range(prefix..).take_while(|(inner, _)| prefix.contains(*inner));
            inside.filter(|(inner, _)| **inner != prefix).take(enough.saturating_add(1)).count()
        };
        of(&self.protected) + of(&self.never_block)
    }

    /// Why the address is protected, if it is.
    pub fn protects(&self, address: IpAddr) -> Option<&str> {
        covers_address(&self.protected, address)
    }

    /// Why the address is in the never-block set, if it is.
    pub fn never_blocks(&self, address: IpAddr) -> Option<&str> {
        covers_address(&self.never_block, address)
    }

    /// Why no automatic decision may deny a prefix, whole or in part: `protected: address of eth0`,
    /// `never blocked: set in [never_block]`.
    pub fn spares(&self, prefix: IpNet) -> Option<String> {
        let met = |set: &BTreeMap<IpNet, String>| -> Option<String> {
            let around = prefixes::covering(prefix).find_map(|wide| set.get(&wide));
            let inside = || set.range(prefix..).next().filter(|(inner, _)| prefix.contains(*inner)).map(|(_, why)| why);
            around.or_else(inside).cloned()
        };
        let protected = met(&self.protected).map(|why| format!("protected: {why}"));
        protected.or_else(|| met(&self.never_block).map(|why| format!("never blocked: {why}")))
    }

    /// [`weir_common::abi::class_flag`] bits of an address.
    pub fn flags(&self, prefix: IpNet) -> u32 {
        let mut flags = 0;
        let covered = |set: &BTreeMap<IpNet, String>, spans: &Spans| {
            spans.meet(prefix) && prefixes::covering(prefix).any(|wide| set.contains_key(&wide))
        };
        if covered(&self.protected, &self.protected_spans) {
            flags |= weir_common::abi::class_flag::PROTECTED;
        }
        if covered(&self.never_block, &self.never_block_spans) {
            flags |= weir_common::abi::class_flag::NEVER_BLOCK;
        }
        flags
    }

    /// Whether `--force` on this prefix overrides protection: only where it names what is protected, or part of it.
    pub fn overrides(&self, prefix: IpNet) -> bool {
        self.flags(prefix) & weir_common::abi::class_flag::PROTECTED != 0
    }

    /// The protected addresses inside a wider prefix, which stay reachable whatever is denied around them.
    pub fn spared(&self, prefix: IpNet) -> Vec<Hit> {
        overlapping(&self.protected, &self.protected_spans, prefix)
            .into_iter()
            .filter(|hit| !hit.prefix.contains(&prefix))
            .collect()
    }

    /// Whether a decision may be made: the one question at every door (command line, API, feed, alert, store, fleet).
    ///
    /// Allowing is always fine, but for a feed, which opens no more than a feed may. `forced` is the operator's
    /// `--force`, which an automation cannot give. It overrides protection for what the operator named
    /// ([`Guards::overrides`]); protected addresses inside a wider prefix stay reachable.
    ///
    /// # Errors
    /// [`Refusal`] with whom the denial would have hit.
    pub fn admit(&self, prefix: IpNet, kind: Kind, origin: &Origin, forced: bool) -> Result<(), Refusal> {
        self.admit_within(prefix, kind, origin, forced, Widest::default())
    }

    /// As [`admit`](Self::admit), for prefixes of another width: a feed's own.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn admit_within(
        &self,
        prefix: IpNet,
        kind: Kind,
        origin: &Origin,
        forced: bool,
        widest: Widest,
    ) -> Result<(), Refusal> {
        let is_feed = matches!(origin, Origin::Feed(_));
        if kind == Kind::Allow && !is_feed || forced && origin.is_operator() {
            return Ok(());
        }
        // Before the sets: what is as wide as the world covers protected addresses as well.
        let widest = if kind == Kind::Allow { widest.to_allow() } else { widest };
        let too_wide = || {
            let family = if matches!(prefix, IpNet::V4(_)) { "IPv4" } else { "IPv6" };
            let hint = if is_feed {
                "a feed may not name as much at once"
            } else {
                "narrow it, or add --force if you mean it"
            };
            Refusal::TooWide { prefix, share: share(prefix.prefix_len()), family, hint }
        };
        if is_feed && widest.is_exceeded(prefix) {
            return Err(too_wide());
        }
        let purpose = special::purpose(prefix).filter(|purpose| purpose.is_vital || is_feed);
        let special = |hint| purpose.map(|purpose| Refusal::Special { prefix, what: purpose.what, hint });
        if is_feed && let Some(refusal) = special("no abuse of the internet comes from there") {
            return Err(refusal);
        }
        if kind == Kind::Allow {
            return Ok(());
        }
        let hits = overlapping(&self.protected, &self.protected_spans, prefix);
        if !hits.is_empty() {
            let hint = if hits.iter().any(|hit| hit.prefix.contains(&prefix)) {
                "add --force if you mean it"
            } else {
                "--force denies the rest of it (and an address in it only if that is named itself)"
            };
            return Err(Refusal::Protected { prefix, hits, hint });
        }
        if widest.is_exceeded(prefix) {
            return Err(too_wide());
        }
        if let Some(refusal) = special("add --force if you mean it") {
            return Err(refusal);
        }
        if !origin.is_operator() {
            let hits = overlapping(&self.never_block, &self.never_block_spans, prefix);
            if !hits.is_empty() {
                return Err(Refusal::NeverBlock { prefix, hits });
            }
        }
        Ok(())
    }
}

fn share(len: u8) -> String {
    if len == 0 { "all".to_owned() } else { format!("1/{}", 1u64 << len.min(63)) }
}

fn covers_address(set: &BTreeMap<IpNet, String>, address: IpAddr) -> Option<&str> {
    let mut covering: Vec<_> = prefixes::covering(prefixes::single(address)).collect();
    covering.reverse();
    covering.iter().find_map(|prefix| set.get(prefix)).map(String::as_str)
}

/// The set's prefixes that cover `prefix` or lie inside it, the first [`MOST_HITS`] of them. Takes a look-up for each
/// length and a step for each hit: lists of a million lines are held against sets of tens of thousands.
fn overlapping(set: &BTreeMap<IpNet, String>, spans: &Spans, prefix: IpNet) -> Vec<Hit> {
    if !spans.meet(prefix) {
        return Vec::new();
    }
    let hit = |(guarded, why): (&IpNet, &String)| Hit { prefix: *guarded, why: why.clone() };
    let around = prefixes::covering(prefix).filter(|wide| *wide != prefix).filter_map(|wide| set.get_key_value(&wide));
    // What lies inside of a prefix follows it in the order of prefixes, with nothing in between.
    let inside = set.range(prefix..).take_while(|(guarded, _)| prefix.contains(*guarded));
    around.chain(inside).take(MOST_HITS).map(hit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn guards() -> Guards {
        Guards::new(
            [(net("192.0.2.1/32"), "default gateway".to_owned()), (net("2001:db8::1/128"), "resolver".to_owned())],
            [(net("198.51.100.0/24"), "a CDN".to_owned())],
        )
    }

    #[track_caller]
    fn check(prefix: &str, origin: &str, forced: bool, refused: Option<&str>) {
        let result = guards().admit(net(prefix), Kind::Deny, &origin.parse().unwrap(), forced);
        match (result, refused) {
            (Ok(()), None) => {}
            (Err(refusal), Some(part)) => {
                assert!(refusal.to_string().contains(part), "{refusal}");
            }
            (result, refused) => panic!("{prefix} {origin}: {result:?}, wanted {refused:?}"),
        }
    }

    #[test]
    fn protected_addresses_are_refused_to_all_but_a_forcing_operator() {
        check("192.0.2.1/32", "operator", false, Some("default gateway"));
        check("192.0.2.0/24", "operator", false, Some("192.0.2.1 (default gateway)"));
        check("192.0.2.1/32", "fail2ban", true, Some("default gateway"));
        check("192.0.2.1/32", "operator", true, None);
        check("2001:db8::/32", "operator", false, Some("resolver"));
    }

    #[test]
    fn never_block_stops_automations_and_not_people() {
        check("198.51.100.7/32", "fail2ban", false, Some("never-block"));
        check("198.51.100.7/32", "operator", false, None);
        check("198.51.0.0/16", "fail2ban", false, Some("198.51.100.0/24 (a CDN)"));
    }

    #[test]
    fn the_whole_internet_and_special_space_need_force() {
        check("0.0.0.0/0", "operator", false, Some("192.0.2.1"));
        check("64.0.0.0/4", "operator", false, Some("1/16 of all IPv4"));
        check("2000::/3", "operator", false, Some("resolver"));
        check("127.0.0.1/32", "operator", false, Some("loopback"));
        check("fe80::1/128", "operator", false, Some("link-local"));
        check("64.0.0.0/4", "operator", true, None);
        check("203.0.113.9/32", "operator", false, None);
    }

    #[track_caller]
    fn check_feed(prefix: &str, kind: Kind, refused: Option<&str>) {
        let reason = guards().admit(net(prefix), kind, &Origin::Feed(0), true).err().map(|refusal| refusal.reason());
        assert_eq!(reason, refused, "{prefix}");
    }

    #[test]
    fn a_feed_names_no_private_space_nothing_too_wide_and_nobody_who_is_guarded() {
        check_feed("5.188.10.7/32", Kind::Deny, None);
        check_feed("10.0.0.1/32", Kind::Deny, Some("special"));
        check_feed("203.0.113.0/24", Kind::Deny, Some("special"));
        check_feed("0.0.0.0/0", Kind::Deny, Some("too_wide"));
        check_feed("128.0.0.0/7", Kind::Deny, Some("too_wide"));
        check_feed("2a00::/18", Kind::Deny, Some("too_wide"));
        let guards = Guards::new([(net("5.5.5.5/32"), "gateway".to_owned())], [(net("9.9.9.0/24"), "x".to_owned())]);
        let admit = |prefix| guards.admit(net(prefix), Kind::Deny, &Origin::Feed(0), false).err().map(|e| e.reason());
        assert_eq!(admit("5.5.0.0/16"), Some("protected"));
        assert_eq!(admit("9.9.9.9/32"), Some("never_block"));
        assert_eq!(admit("9.9.0.0/16"), Some("never_block"));
        assert_eq!(admit("9.8.0.0/16"), None);
    }

    #[test]
    fn the_quick_look_finds_whatever_the_slow_one_finds() {
        let set = ["0.0.0.0/32", "10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32", "255.255.255.255/32", "2001:db8::/32"];
        let set: BTreeMap<IpNet, String> = set.iter().map(|prefix| (net(prefix), String::new())).collect();
        let spans = Spans::of(&set);
        for prefix in [
            "0.0.0.0/0",
            "0.0.0.0/32",
            "0.0.0.1/32",
            "9.255.255.255/32",
            "10.0.0.0/7",
            "10.1.2.3/32",
            "11.0.0.0/8",
            "192.0.2.0/24",
            "192.0.2.0/32",
            "192.0.2.2/31",
            "255.255.255.254/32",
            "255.255.255.255/32",
            "::/0",
            "2001:db8::1/128",
            "2001:db9::/32",
        ] {
            let prefix = net(prefix);
            let slow = set.keys().any(|guarded| guarded.contains(&prefix) || prefix.contains(guarded));
            assert_eq!(spans.meet(prefix), slow, "{prefix}");
            assert_eq!(overlapping(&set, &spans, prefix).is_empty(), !slow, "{prefix}");
        }
    }

    #[test]
    fn a_feed_opens_little_at_once() {
        check_feed("5.188.10.0/24", Kind::Allow, None);
        check_feed("5.188.0.0/15", Kind::Allow, Some("too_wide"));
        check_feed("192.168.0.0/24", Kind::Allow, Some("special"));
        check_feed("2a00::/31", Kind::Allow, Some("too_wide"));
    }

    #[test]
    fn what_no_automatic_decision_may_deny_is_told_with_why() {
        let of = |texts: &[&str], why: &str| -> Vec<(IpNet, String)> {
            texts.iter().map(|text| (text.parse().unwrap(), why.to_owned())).collect()
        };
        let guards = Guards::new(
            of(&["192.0.2.0/24", "2001:db8:0:1::5/128"], "address of eth0"),
            of(&["192.0.2.7/32", "198.51.100.7/32"], "set in [never_block]"),
        );
        let ask = |text: &str| guards.spares(text.parse().unwrap());
        assert_eq!(ask("192.0.2.7/32").as_deref(), Some("protected: address of eth0"));
        assert_eq!(ask("198.51.100.7/32").as_deref(), Some("never blocked: set in [never_block]"));
        // A source of IPv6 is a /64, of which one address is enough.
        assert_eq!(ask("2001:db8:0:1::/64").as_deref(), Some("protected: address of eth0"));
        for text in ["198.51.100.6/32", "203.0.113.1/32", "2001:db8:0:2::/64"] {
            assert_eq!(ask(text), None, "{text}");
        }
    }
}
