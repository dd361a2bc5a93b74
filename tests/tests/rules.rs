//! The rules that come with weir over logs that others wrote: the visitors of a real site, and the lines that fail2ban's
//! own filters are tested with.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken expectation is the test's failure")]
#![expect(clippy::print_stdout, reason = "what became of each line is what the tests say")]
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use weir::domain::http::event::Event;
use weir::domain::http::finding::Finding;
use weir::domain::http::line::{Choice, Context, Line, Reader};
use weir::domain::http::rules::{Caps, Correlator, Overrides, RuleSet, load};
use weir::domain::http::severity::Severity;
use weir_tests::harness;

const PAGE: &str = include_str!("../../docs/rules-reference.md");

/// The pack with the slugs of its rules by their ids.
struct Pack {
    rules: Arc<RuleSet>,
    slugs: BTreeMap<String, String>,
}

impl Pack {
    fn load() -> Self {
        let rules = load(&weir::pack::files(), &Overrides::new()).rules;
        let slug = |info: weir::domain::http::rules::RuleInfo| (info.id.to_string(), info.name.unwrap_or_default());
        let slugs = rules.describe().into_iter().map(slug).collect();
        Self { rules: Arc::new(rules), slugs }
    }

    fn judge(&self, events: impl IntoIterator<Item = Event>) -> Vec<Finding> {
        let mut correlator = Correlator::new(self.rules.clone(), Caps::default());
        let judge = |event: Event| correlator.correlate(&event, self.rules.matches(&event));
        events.into_iter().flat_map(judge).collect()
    }

    fn slug(&self, finding: &Finding) -> &str {
        &self.slugs[finding.detector.name()]
    }
}

fn reader() -> (Reader, Context) {
    let reader = Reader::new(&Choice { mixed: true, ..Choice::default() }).unwrap();
    (reader, Context { received: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000), zone: TimeZone::UTC })
}

/// Who is alerted above `low` among the 10,000 lines, and by what. The page of all rules argues each.
const ALERTED: [(&str, &str); 5] = [
    ("177.37.188.215", "agent-fake-crawler"),
    ("188.35.22.24", "agent-fake-crawler"),
    ("200.141.109.74", "agent-fake-crawler"),
    ("46.118.127.106", "agent-fake-crawler"),
    ("91.236.75.25", "php-upload-endpoints"),
];

#[test]
fn the_visitors_of_a_real_site_are_left_alone() {
    let test = "the_visitors_of_a_real_site_are_left_alone";
    let Some(path) = harness::data(test, "logs/apache_combined.log") else { return };
    let log = fs::read(path).unwrap();
    let (mut reader, context) = reader();
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let read = |line: &[u8]| match reader.read(line, &context) {
        Line::Event(event) => *event,
        other => panic!("{other:?}: {}", String::from_utf8_lossy(line)),
    };
    let mut events: Vec<Event> = lines.map(read).collect();
    assert_eq!(events.len(), 10_000);
    events.sort_by_key(|event| event.time);
    let pack = Pack::load();
    let findings = pack.judge(events);
    let above_low = findings.iter().filter(|finding| finding.severity > Severity::Low);
    let alerted: BTreeSet<(String, &str)> =
        above_low.map(|finding| (finding.source.unwrap().to_string(), pack.slug(finding))).collect();
    let expected: BTreeSet<(String, &str)> = ALERTED.iter().map(|(who, rule)| ((*who).to_owned(), *rule)).collect();
    assert_eq!(alerted, expected);
    for (who, rule) in ALERTED {
        let argued = PAGE.lines().any(|line| line.starts_with(&format!("| {who} | `{rule}` |")));
        assert!(argued, "the page does not say why {who} is alerted by {rule}");
    }
    let mut low: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Low) {
        low.entry(pack.slug(finding)).or_default().extend(finding.source);
    }
    for (rule, sources) in low {
        println!("low: {rule}: {} sources", sources.len());
    }
}

/// A line of fail2ban's, and whether its filter is to match it.
struct Tested {
    line: String,
    matches: bool,
}

fn tested(file: &Path) -> Vec<Tested> {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    let mut lines = Vec::new();
    let mut matches = None;
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# failJSON: ") {
            matches = Some(said.contains("\"match\": true"));
        } else if !line.starts_with('#')
            && let Some(matches) = matches.take_if(|_| !line.trim().is_empty())
        {
            lines.push(Tested { line: line.to_owned(), matches });
        }
    }
    lines
}

/// The line without its times: what a rule can judge by.
fn timeless(line: &str) -> String {
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// The slugs of the rules that alert when one source does the same five times within ten minutes.
fn five_times(pack: &Pack, line: &str) -> BTreeSet<String> {
    let (mut reader, context) = reader();
    let read = |number: i64| {
        let Line::Event(mut event) = reader.read(line.as_bytes(), &context) else { panic!("no event: {line}") };
        event.time += SignedDuration::from_secs(100 * number);
        *event
    };
    let events: Vec<Event> = (0..5).map(read).collect();
    assert!(events.iter().all(|event| event.client.is_some()), "no address: {line}");
    pack.judge(events).iter().map(|finding| pack.slug(finding).to_owned()).collect()
}

#[test]
fn what_fail2ban_matches_is_alerted_when_repeated() {
    let test = "what_fail2ban_matches_is_alerted_when_repeated";
    let Some(folder) = harness::data(test, "logs/fail2ban") else { return };
    let pack = Pack::load();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !["nginx-", "apache-", "traefik-"].iter().any(|server| name.starts_with(server)) {
            continue;
        }
        let lines = tested(&file);
        let said_of = |line: &str, matches: bool| {
            lines.iter().any(|other| other.matches == matches && timeless(&other.line) == timeless(line))
        };
        let (mut matched, mut others, mut either) = (0, 0, 0);
        let mut rules = BTreeSet::new();
        for Tested { line, matches } in &lines {
            let fired = five_times(&pack, line);
            count += 1;
            if said_of(line, !matches) {
                // One mode of the filter matches it, another does not.
                either += 1;
                println!("{name}: either: {fired:?}: {line}");
                continue;
            }
            if fired.is_empty() == *matches {
                wrong.push(format!("{name}: matches {matches}, fired {fired:?}: {line}"));
            }
            if *matches {
                matched += 1;
            } else {
                others += 1;
            }
            rules.extend(fired);
        }
        let rules = rules.iter().map(|rule| format!("`{rule}`")).collect::<Vec<_>>().join(" ");
        let row = format!("| {name} | {matched} | {others} | {either} | {rules} |");
        if !PAGE.contains(&row) {
            wrong.push(format!("the page lacks: {row}"));
        }
    }
    assert!(count > 0 && wrong.is_empty(), "{}", wrong.join("\n"));
}
