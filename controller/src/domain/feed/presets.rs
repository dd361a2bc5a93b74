//! Well-known feeds, by name. None is followed unless the operator names it.
use serde::Serialize;

use crate::domain::listfile::Format;

/// A feed that others publish, and on what terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Preset {
    /// What the operator calls it by.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// Where it is.
    pub url: &'static str,
    /// How it is written.
    pub format: Format,
    /// Seconds between two requests, never less than what the publisher asks for.
    pub interval_s: u64,
    /// Fewer entries than this are a fault of the publisher's, not a quiet day; 0 where an empty list is in order.
    pub least_entries: u64,
    /// The licence, or what is known of it.
    pub licence: &'static str,
    /// What the publisher asks of those who follow it.
    pub terms: &'static str,
    /// What an operator should know before naming it.
    pub note: &'static str,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const PRESETS: [Preset; 16] = [
    Preset {
        name: "spamhaus-drop-v4",
        title: "Spamhaus DROP, IPv4: networks that are hijacked or leased by spam and crime operations",
        url: "https://www.spamhaus.org/drop/drop_v4.json",
        format: Format::DropJson,
        interval_s: 12 * HOUR,
        least_entries: 500,
        licence: "free to use with credit; the copyright line and the date stay with the data",
        terms: "credit The Spamhaus Project; at most one request an hour, once a day is enough",
        note: "very few false positives; made to be dropped outright",
    },
    Preset {
        name: "spamhaus-drop-v6",
        title: "Spamhaus DROP, IPv6",
        url: "https://www.spamhaus.org/drop/drop_v6.json",
        format: Format::DropJson,
        interval_s: 12 * HOUR,
        least_entries: 20,
        licence: "free to use with credit; the copyright line and the date stay with the data",
        terms: "credit The Spamhaus Project; at most one request an hour, once a day is enough",
        note: "very few false positives; made to be dropped outright",
    },
    Preset {
        name: "spamhaus-asn-drop",
        title: "Spamhaus ASN-DROP: numbers of networks under the control of crime operations",
        url: "https://www.spamhaus.org/drop/asndrop.json",
        format: Format::AsnDrop,
        interval_s: DAY,
        least_entries: 100,
        licence: "free to use with credit; the copyright line and the date stay with the data",
        terms: "credit The Spamhaus Project; at most one request an hour, once a day is enough",
        note: "needs a database of network numbers ([geo])",
    },
    Preset {
        name: "firehol-level1",
        title: "FireHOL level 1: DROP, DShield, Feodo and unroutable space joined",
        url: "https://raw.githubusercontent.com/firehol/blocklist-ipsets/master/firehol_level1.netset",
        format: Format::Plain,
        interval_s: 6 * HOUR,
        least_entries: 500,
        licence: "that of the lists it is made of",
        terms: "the terms of the lists it is made of, credit among them",
        note: "holds private and unroutable ranges on purpose; weir refuses and counts those one by one",
    },
    Preset {
        name: "ipsum",
        title: "IPsum: addresses of some thirty public lists, each with the number of lists that name it",
        url: "https://raw.githubusercontent.com/stamparm/ipsum/master/ipsum.txt",
        format: Format::Ipsum,
        interval_s: DAY,
        least_entries: 10_000,
        licence: "Unlicense (public domain)",
        terms: "made once a day; more requests bring nothing",
        note: "an address on one list only is often wrong; set least_score = 3 or more to deny",
    },
    Preset {
        name: "ipsum-level1",
        title: "IPsum, level 1: addresses on at least one list, without the counts",
        url: "https://raw.githubusercontent.com/stamparm/ipsum/master/levels/1.txt",
        format: Format::Plain,
        interval_s: DAY,
        least_entries: 10_000,
        licence: "Unlicense (public domain)",
        terms: "made once a day; more requests bring nothing",
        note: "the widest level, with the most false positives; observe it before denying by it",
    },
    Preset {
        name: "ipsum-level3",
        title: "IPsum, level 3: addresses on at least three lists",
        url: "https://raw.githubusercontent.com/stamparm/ipsum/master/levels/3.txt",
        format: Format::Plain,
        interval_s: DAY,
        least_entries: 1_000,
        licence: "Unlicense (public domain)",
        terms: "made once a day; more requests bring nothing",
        note: "the level that is usually denied by",
    },
    Preset {
        name: "dshield-block",
        title: "DShield block list: the twenty /24 networks that attack the most",
        url: "https://feeds.dshield.org/block.txt",
        format: Format::Dshield,
        interval_s: HOUR,
        least_entries: 5,
        licence: "Creative Commons BY-NC-SA 2.5",
        terms: "credit DShield.org; not for sale; at most one request an hour",
        note: "the publisher warns of false positives: scanners of researchers are among them",
    },
    Preset {
        name: "feodo",
        title: "abuse.ch Feodo Tracker: command servers of botnets, the recommended list",
        url: "https://feodotracker.abuse.ch/downloads/ipblocklist_recommended.json",
        format: Format::FeodoJson,
        interval_s: 30 * MINUTE,
        least_entries: 0,
        licence: "CC0",
        terms: "at most one request every five minutes",
        note: "often nearly empty or empty, which is right; servers that infected machines call, rarely ones that attack",
    },
    Preset {
        name: "et-block",
        title: "Emerging Threats block list: DROP, DShield and Feodo for firewalls",
        url: "https://rules.emergingthreats.net/fwrules/emerging-Block-IPs.txt",
        format: Format::Plain,
        interval_s: 12 * HOUR,
        least_entries: 500,
        licence: "that of the lists it is made of; the collection is open",
        terms: "made about once a day; more requests bring little",
        note: "mostly what the DROP and DShield presets have",
    },
    Preset {
        name: "et-compromised",
        title: "Emerging Threats compromised hosts",
        url: "https://rules.emergingthreats.net/blockrules/compromised-ips.txt",
        format: Format::Plain,
        interval_s: 12 * HOUR,
        least_entries: 50,
        licence: "open, by Proofpoint's Emerging Threats",
        terms: "made about once a day; more requests bring little",
        note: "machines of innocent people that somebody else uses",
    },
    Preset {
        name: "tor-exits",
        title: "Tor exit relays, the bulk list",
        url: "https://check.torproject.org/torbulkexitlist",
        format: Format::Plain,
        interval_s: HOUR,
        least_entries: 200,
        licence: "public data of the Tor Project",
        terms: "no more than one request every half hour",
        note: "a choice of policy, not malice: most who come from there are people who want to be private",
    },
    Preset {
        name: "tor-exit-addresses",
        title: "Tor exit relays, the addresses they were measured to leave from",
        url: "https://check.torproject.org/exit-addresses",
        format: Format::TorExits,
        interval_s: HOUR,
        least_entries: 200,
        licence: "public data of the Tor Project",
        terms: "no more than one request every half hour",
        note: "a choice of policy, not malice: most who come from there are people who want to be private",
    },
    Preset {
        name: "cins",
        title: "CINS Army: addresses with a poor score at Sentinel's sensors that other lists lack",
        url: "https://cinsscore.com/list/ci-badguys.txt",
        format: Format::Plain,
        interval_s: 6 * HOUR,
        least_entries: 1_000,
        licence: "free to use, by CINS Score",
        terms: "credit CINS Score; a few requests a day",
        note: "changes wholly from day to day; do not keep its entries longer than a day",
    },
    Preset {
        name: "blocklist-de-all",
        title: "blocklist.de: addresses that attacked its users' servers within 48 hours",
        url: "https://lists.blocklist.de/lists/all.txt",
        format: Format::Plain,
        interval_s: 12 * HOUR,
        least_entries: 1_000,
        licence: "free to use, by blocklist.de",
        terms: "made every half hour; a few requests a day are asked for",
        note: "IPv4 and IPv6 mixed; reported by fail2ban, so shared addresses of access providers are among them",
    },
    Preset {
        name: "abuseipdb",
        title: "AbuseIPDB blacklist: the most reported addresses, with a confidence",
        url: "https://api.abuseipdb.com/api/v2/blacklist?confidenceMinimum=90",
        format: Format::Abuseipdb,
        interval_s: 6 * HOUR,
        least_entries: 1_000,
        licence: "AbuseIPDB's terms: for your own use, not to be passed on",
        terms: "needs a key in the header \"Key\"; the free plan has 5 requests a day and 10,000 addresses",
        note: "give the key by file: key_header = \"Key\" and key_file",
    },
];

/// All of them.
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

/// The one of this name.
pub fn named(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

#[cfg(test)]
mod tests;
