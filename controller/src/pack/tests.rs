//! What the pack claims of itself is replayed: every rule has a sample log beside it, and above each group of lines in it
//! stands what they make fire, all of it.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use jiff::tz::TimeZone;

use super::*;
use crate::domain::duration;
use crate::domain::http::finding::Response;
use crate::domain::http::line::{Choice, Context, Line, Reader};
use crate::domain::http::rules::{Caps, Correlator, Kind, Loaded, Overrides, RuleInfo, RuleSet, load};

/// Where the pack stands.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}

fn loaded() -> &'static (Arc<RuleSet>, Vec<RuleInfo>) {
    static LOADED: OnceLock<(Arc<RuleSet>, Vec<RuleInfo>)> = OnceLock::new();
    LOADED.get_or_init(|| {
        let Loaded { rules, problems } = load(&files(), &Overrides::new());
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, Vec::<String>::new());
        let infos = rules.describe();
        (Arc::new(rules), infos)
    })
}

/// The rules that alert, each with its slug.
fn alerting() -> impl Iterator<Item = (&'static str, &'static RuleInfo)> {
    let named =
        |info: &'static RuleInfo| (info.name.as_deref().unwrap_or_else(|| panic!("{} has no name", info.id)), info);
    loaded().1.iter().filter(|info| info.alerts).map(named)
}

/// The slug of a rule by its id.
fn slug(id: &str) -> &'static str {
    alerting().find(|(_, info)| &*info.id == id).map_or_else(|| panic!("no rule of id {id} alerts"), |(slug, _)| slug)
}

/// Lines of a sample with what they make fire.
struct Group {
    first: usize,
    expected: BTreeSet<String>,
    lines: Vec<String>,
}

/// Lines that come often stand once: `# times: 600` is above, and `{n}` is which of them it is.
fn groups(sample: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut times = 1;
    for (number, line) in sample.lines().enumerate() {
        if let Some(names) = line.strip_prefix("# fires: ") {
            let expected = names.split(", ").filter(|name| *name != "nothing").map(str::to_owned).collect();
            groups.push(Group { first: number + 1, expected, lines: Vec::new() });
        } else if let Some(count) = line.strip_prefix("# times: ") {
            times = count.parse().unwrap();
        } else if !line.is_empty() && !line.starts_with('#') {
            let group = groups.last_mut().unwrap_or_else(|| panic!("a line before what it fires: {line}"));
            group.lines.extend((0..times).map(|n| line.replace("{n}", &n.to_string())));
            times = 1;
        }
    }
    groups
}

/// Everything that lines make fire, one after the other.
fn fired(correlator: &mut Correlator, reader: &mut Reader, lines: &[String]) -> BTreeSet<String> {
    let context = Context { received: "2026-11-28T12:00:00Z".parse().unwrap(), zone: TimeZone::UTC };
    let mut fired = BTreeSet::new();
    for line in lines {
        let Line::Event(event) = reader.read(line.as_bytes(), &context) else { panic!("no event: {line}") };
        let matches = correlator.rules().matches(&event);
        fired.extend(
            correlator.correlate(&event, matches).iter().map(|finding| slug(finding.detector.name()).to_owned()),
        );
    }
    fired
}

/// Each rule's file with the text of the sample beside it.
fn samples() -> Vec<(PathBuf, String)> {
    let beside = |file: RuleFile<'_>| {
        let path = folder().join(file.name).with_extension("log");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, text)
    };
    files().into_iter().map(beside).collect()
}

#[test]
fn every_rule_says_what_it_is_and_what_follows() {
    let mut ids = BTreeSet::new();
    for (slug, info) in alerting() {
        assert!(ids.insert(slug), "{slug} twice");
        let file = Path::new(&info.file);
        assert_eq!(file.file_stem().and_then(|stem| stem.to_str()), Some(slug), "{}", info.file);
        assert!(slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{slug}");
        assert_eq!(&*info.id, slug, "it is known by its name");
        assert!(info.description.ends_with('.') && info.title.len() <= 90, "{slug}: {}", info.title);
        assert!(!info.techniques.is_empty() && !info.falsepositives.is_empty(), "{slug}");
        assert!(info.shipped && info.enabled && info.response.is_some(), "{slug}");
        // Nobody is denied on a guess.
        let denies = matches!(info.response, Some(Response::Deny { .. } | Response::DenyUser { .. }));
        assert!(!denies || info.confidence >= 75, "{slug} denies at {} percent", info.confidence);
    }
    assert!((150..=250).contains(&ids.len()), "{} rules", ids.len());
}

#[test]
fn every_rule_has_an_id_of_its_own_for_other_tools() {
    let mut ids = BTreeSet::new();
    for file in files() {
        let of_file: Vec<&str> = file.text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        assert!(!of_file.is_empty(), "{}", file.name);
        for id in of_file {
            let dashes: Vec<usize> = id.match_indices('-').map(|(at, _)| at).collect();
            assert!(id.len() == 36 && dashes == [8, 13, 18, 23], "{}: {id} is no UUID", file.name);
            assert!(ids.insert(id), "{}: {id} twice", file.name);
        }
    }
}

#[test]
fn known_holes_are_named_by_their_numbers() {
    let tags = alerting().flat_map(|(_, info)| info.tags.iter());
    let cves: BTreeSet<&str> = tags.filter_map(|tag| tag.strip_prefix("cve.")).collect();
    for cve in &cves {
        let (year, number) = cve.split_once('-').unwrap_or_else(|| panic!("{cve}"));
        let year: u16 = year.parse().unwrap();
        assert!((2001..=2026).contains(&year) && (4..=7).contains(&number.len()), "{cve}");
    }
    assert!(cves.len() >= 60, "{}", cves.len());
}

#[test]
fn every_sample_makes_fire_what_it_says_and_nothing_else() {
    let mut wrong = String::new();
    for (path, text) in samples() {
        let mut correlator = Correlator::new(loaded().0.clone(), Caps::default());
        let mut reader = Reader::new(&Choice { mixed: true, ..Choice::default() }).unwrap();
        for group in groups(&text) {
            let found = fired(&mut correlator, &mut reader, &group.lines);
            if found != group.expected {
                let (path, line, expected) = (path.display(), group.first, &group.expected);
                writeln!(wrong, "{path}:{line}: expected {expected:?}, fired {found:?}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_sample_shows_three_hits_and_three_misses_of_its_rule() {
    for (path, text) in samples() {
        let own = path.file_stem().unwrap().to_string_lossy().into_owned();
        let groups = groups(&text);
        let hits = groups.iter().filter(|group| group.expected.contains(&own)).count();
        let misses = groups.iter().filter(|group| group.expected.is_empty()).count();
        assert!(hits >= 3 && misses >= 3, "{}: {hits} hits, {misses} misses", path.display());
        assert!(alerting().any(|(slug, _)| slug == own), "{} is the sample of no rule", path.display());
    }
    assert_eq!(samples().len(), alerting().count());
}

/// The page of all rules, as it should be.
fn reference(page: &str) -> String {
    let (before, _) = page.split_once(START).unwrap_or_else(|| panic!("no {START}"));
    let (_, after) = page.split_once(END).unwrap_or_else(|| panic!("no {END}"));
    let mut classes: BTreeMap<&str, Vec<(&str, &RuleInfo)>> = BTreeMap::new();
    for (slug, info) in alerting() {
        let class = info.file.split('/').next().unwrap_or_default();
        classes.entry(class).or_default().push((slug, info));
    }
    let mut table = String::new();
    for (class, rules) in classes {
        let title = class.replace('-', " ");
        let columns = "| rule | what it finds | severity | ATT&CK | response |\n| --- | --- | --- | --- | --- |";
        writeln!(table, "\n### {title}\n\n{columns}").unwrap();
        for (slug, info) in rules {
            let title = info.title.replace('|', "\\|").replace('<', "&lt;");
            let techniques = info.techniques.join(" ");
            writeln!(table, "| `{slug}` | {title} | {} | {techniques} | {} |", info.severity, response(info)).unwrap();
        }
    }
    format!("{before}{START}\n{table}\n{END}{after}")
}

const START: &str = "<!-- all rules: written by the tests -->";
const END: &str = "<!-- end of all rules -->";

fn response(info: &RuleInfo) -> String {
    let response = match info.response {
        Some(Response::Limit { for_s }) => format!("limit {}", duration::format(for_s)),
        Some(Response::Deny { for_s }) => format!("deny {}", duration::format(for_s)),
        Some(Response::DenyUser { for_s }) => format!("deny the user {}", duration::format(for_s)),
        Some(Response::Notify) => "notify".to_owned(),
        Some(Response::Observe) | None => "observe".to_owned(),
    };
    match (info.kind, info.threshold, info.within_s) {
        (Kind::Detection, ..) => response,
        (_, Some(threshold), Some(within_s)) => format!("{response}, at {threshold} in {}", duration::format(within_s)),
        (_, _, Some(within_s)) => format!("{response}, within {}", duration::format(within_s)),
        _ => response,
    }
}

#[test]
fn the_page_of_all_rules_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules-reference.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let expected = reference(&page);
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            page == expected,
            "docs/rules-reference.md is stale: WEIR_BLESS=1 cargo test -p weir --lib pack rewrites it"
        );
    }
}
