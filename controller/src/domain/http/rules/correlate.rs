//! What single findings come to over time: counts by source, by user or by whatever a rule says.
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ahash::RandomState;
use rsigma_eval::correlation::{GroupByField, compile_correlation};
use rsigma_parser::{ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType};

use super::check::AtFault;
use super::groups::{Groups, Key, Who};
use super::info::{LONGEST_S, MOST, RuleInfo};
use super::window::{Add, Shape};
use super::{Matches, RuleSet, fields, subject};
use crate::domain::http::decode::Views;
use crate::domain::http::event::{Doubt, Event};
use crate::domain::http::finding::{Detector, Finding};

/// Something that is counted.
#[derive(Debug)]
pub(super) struct Counting {
    /// The rule whose finding it makes.
    pub(super) rule: usize,
    /// The detections it counts.
    pub(super) detections: Vec<usize>,
    /// What it counts, as it is written.
    pub(super) names: Vec<String>,
    /// By what, as it is written.
    pub(super) group_names: Vec<String>,
    /// Whether what it counts alerts as well.
    pub(super) generate: bool,
    shape: Shape,
}

impl Counting {
    pub(super) fn change(&mut self, threshold: Option<u64>, within_s: Option<u64>) {
        if let Some(threshold) = threshold {
            self.shape.set_threshold(threshold.clamp(1, MOST));
        }
        if let Some(within_s) = within_s {
            self.shape.span_s = within_s.clamp(1, LONGEST_S);
        }
    }

    pub(super) fn threshold(&self) -> Option<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and counts are positive"
        )]
        self.shape.threshold().map(|bound| bound as u64)
    }

    pub(super) const fn within_s(&self) -> u64 {
        self.shape.span_s
    }

    /// What of it must be the same for what was counted to hold on.
    fn definition(&self, info: &RuleInfo) -> String {
        format!("{} {:?} {:?} {:?}", info.id, self.names, self.group_names, self.shape)
    }
}

/// One way from what is found to what is counted.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    counting: usize,
    /// What the counting calls it.
    name: String,
    /// The fields it is grouped by.
    group: Vec<String>,
}

/// What a name leads to.
#[derive(Clone, Copy)]
enum Target {
    Detection(usize),
    Counting(usize),
}

/// Countings being put together.
#[derive(Default)]
pub(super) struct Building {
    targets: HashMap<String, Target>,
    countings: Vec<Counting>,
    groups: Vec<Vec<GroupByField>>,
}

/// The field of a word that groups.
fn grouped(name: &str) -> String {
    match name {
        "source" => "c-ip".to_owned(),
        "user" => "cs-username".to_owned(),
        other => other.to_owned(),
    }
}

/// Names of the fields in a correlation.
pub(super) fn field_names(rule: &CorrelationRule) -> Vec<String> {
    let aliased = rule.aliases.iter().flat_map(|alias| alias.mapping.values());
    let counted = match &rule.condition {
        CorrelationCondition::Threshold { field: Some(fields), .. } => fields.as_slice(),
        _ => &[],
    };
    let plain = |name: &&String| rule.aliases.iter().all(|alias| alias.alias != **name);
    let mut names: Vec<String> = rule.group_by.iter().filter(plain).chain(aliased).chain(counted).cloned().collect();
    names.sort_unstable();
    names
}

/// A correlation that leads nowhere: the rule, the word in it, what is wrong.
pub(super) type Loose = (usize, String, String);

/// Countings with all that leads to them.
pub(super) struct Tied {
    pub(super) countings: Vec<Counting>,
    /// For each detection, what it is counted for.
    pub(super) feeds: Vec<Vec<Feed>>,
    /// For each counting, what its findings are counted for.
    pub(super) chains: Vec<Vec<Feed>>,
    pub(super) loose: Vec<Loose>,
}

impl Building {
    pub(super) fn detection(&mut self, number: usize, id: Option<&String>, name: Option<&String>, title: &str) {
        for key in [id.map(String::as_str), name.map(String::as_str), Some(title)].into_iter().flatten() {
            self.targets.entry(key.to_owned()).or_insert(Target::Detection(number));
        }
    }

    pub(super) fn repeated(&mut self, number: usize, count: u64, within_s: u64, group: &[String]) {
        self.countings.push(Counting {
            rule: number,
            detections: vec![number],
            names: Vec::new(),
            group_names: group.to_vec(),
            generate: false,
            shape: Shape::repeated(count, within_s),
        });
        self.groups.push(group.iter().map(|name| GroupByField::Direct(grouped(name))).collect());
    }

    pub(super) fn correlation(
        &mut self,
        rule: usize,
        parsed: &CorrelationRule,
        conditioned: bool,
        group: &[String],
    ) -> Result<(), AtFault> {
        let mut compiled =
            compile_correlation(parsed).map_err(|wrong| ("correlation".to_owned(), wrong.to_string()))?;
        // That all of them happened is what it means to say nothing.
        if !conditioned {
            #[expect(clippy::cast_precision_loss, reason = "rules in one file")]
            let all = compiled.rule_refs.len() as f64;
            compiled.condition.predicates = vec![(ConditionOperator::Gte, all)];
        }
        if compiled.timespan_secs == 0 || compiled.timespan_secs > LONGEST_S {
            let what = format!("timespan of {} s is not between 1 s and 7 days", compiled.timespan_secs);
            return Err(("timespan".to_owned(), what));
        }
        if compiled.condition.predicates.iter().any(|(_, bound)| !(0.0..=1e12).contains(bound)) {
            return Err(("condition".to_owned(), "the condition's bound is out of reach".to_owned()));
        }
        let group_names = if parsed.group_by.is_empty() { group.to_vec() } else { parsed.group_by.clone() };
        let number = self.countings.len();
        for key in [parsed.id.as_deref(), parsed.name.as_deref(), Some(parsed.title.as_str())].into_iter().flatten() {
            self.targets.entry(key.to_owned()).or_insert(Target::Counting(number));
        }
        self.groups.push(if parsed.group_by.is_empty() {
            group.iter().map(|name| GroupByField::Direct(grouped(name))).collect()
        } else {
            compiled.group_by.clone()
        });
        self.countings.push(Counting {
            rule,
            detections: Vec::new(),
            names: compiled.rule_refs.clone(),
            group_names,
            generate: compiled.generate,
            shape: Shape::of(&compiled),
        });
        Ok(())
    }

    /// Ties names to what they name: for each detection and each counting, what it is counted for.
    pub(super) fn finish(mut self, rules: usize) -> Tied {
        let mut feeds = vec![Vec::new(); rules];
        let mut chains = vec![Vec::new(); self.countings.len()];
        let mut loose = Vec::new();
        // What each counting counts of the others.
        let mut counted = vec![Vec::new(); self.countings.len()];
        for (number, (counting, group)) in self.countings.iter_mut().zip(&self.groups).enumerate() {
            if let [own] = counting.detections[..]
                && let Some(feeds) = feeds.get_mut(own)
            {
                let group = group.iter().map(|field| field.name().to_owned()).collect();
                feeds.push(Feed { counting: number, name: String::new(), group });
            }
            for name in &counting.names {
                let group = group.iter().map(|field| field.resolve(&[name]).to_owned()).collect();
                let feed = Feed { counting: number, name: name.clone(), group };
                match self.targets.get(name) {
                    Some(Target::Detection(detection)) => {
                        counting.detections.push(*detection);
                        if let Some(feeds) = feeds.get_mut(*detection) {
                            feeds.push(feed);
                        }
                    }
                    Some(Target::Counting(other)) => {
                        if let (Some(chain), Some(counted)) = (chains.get_mut(*other), counted.get_mut(number)) {
                            chain.push(feed);
                            counted.push(*other);
                        }
                    }
                    None => {
                        let nearest =
                            self.targets.keys().map(|known| (strsim::jaro_winkler(known, name), known.as_str()));
                        let nearest = nearest.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)));
                        let meant = nearest.filter(|(likeness, _)| *likeness > 0.8);
                        let meant = meant.map(|(_, known)| format!("; did you mean {known}?")).unwrap_or_default();
                        loose.push((
                            counting.rule,
                            name.clone(),
                            format!("counts {name}, which is no rule here{meant}"),
                        ));
                    }
                }
            }
        }
        for (number, counting) in self.countings.iter().enumerate() {
            if reaches(number, &counted) {
                let word = counting.names.first().cloned().unwrap_or_default();
                loose.push((counting.rule, word, "counts itself, by way of the correlations it counts".to_owned()));
            }
        }
        Tied { countings: self.countings, feeds, chains, loose }
    }
}

/// Whether a counting counts itself, over others or at once.
fn reaches(from: usize, counted: &[Vec<usize>]) -> bool {
    let mut seen = vec![false; counted.len()];
    let mut next: Vec<usize> = counted.get(from).cloned().unwrap_or_default();
    while let Some(number) = next.pop() {
        if number == from {
            return true;
        }
        if seen.get_mut(number).is_some_and(|seen| !std::mem::replace(seen, true)) {
            next.extend(counted.get(number).into_iter().flatten());
        }
    }
    false
}

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Subjects of all rules that count, together.
    pub groups: usize,
    /// Bytes of lines kept as evidence, together.
    pub evidence_bytes: usize,
    /// Nanoseconds that a rule may take for each KiB of an event, on average.
    pub budget_ns: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self { groups: 100_000, evidence_bytes: 32 * 1024 * 1024, budget_ns: RUN_BUDGET_NS }
    }
}

/// What counting has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Subjects that are counted now.
    pub groups: usize,
    /// Subjects forgotten before their time, for want of room.
    pub evicted: u64,
    /// Matches that nobody could be named for: without the address or the field that a rule counts by.
    pub subjectless: u64,
    /// Bytes of lines kept.
    pub evidence_bytes: usize,
}

/// One event of this many has its rules timed.
pub const SAMPLE_EVERY: u64 = 1_024;

/// The same, if nobody says.
pub const RUN_BUDGET_NS: u64 = 50_000;

/// Times that are known of a rule before it is judged by them.
const SAMPLES: u32 = 32;

/// The most that one time counts: a machine that was busy elsewhere is not a slow rule.
const SAMPLE_MOST_NS: u64 = 1_000_000;

/// A rule that took too long and is out of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowRule {
    /// Its id.
    pub id: Arc<str>,
    /// Nanoseconds it took for each KiB of an event, on average.
    pub mean_ns: u64,
    /// Nanoseconds it may take.
    pub budget_ns: u64,
}

/// A running mean.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    ns: f64,
    samples: u32,
}

/// Counts what rules find, one event after the other, at the events' own times.
#[derive(Debug)]
pub struct Correlator {
    rules: Arc<RuleSet>,
    groups: Groups,
    /// The number that each counting's subjects are kept under.
    slots: Vec<u32>,
    definitions: HashMap<String, u32>,
    next_slot: u32,
    hasher: RandomState,
    means: Vec<Mean>,
    budget_ns: u64,
    slow: Vec<SlowRule>,
    subjectless: u64,
}

/// How far correlations of correlations are followed.
const DEPTH: usize = 10;

/// One event while it is counted.
struct Counted<'a> {
    event: &'a Event,
    rules: &'a RuleSet,
    /// Its line, once it is wanted.
    line: Option<Arc<str>>,
    at_ms: i64,
    findings: Vec<Finding>,
}

impl Correlator {
    /// Nothing counted yet.
    pub fn new(rules: Arc<RuleSet>, caps: Caps) -> Self {
        let mut correlator = Self {
            rules: Arc::clone(&rules),
            groups: Groups::new(caps.groups, caps.evidence_bytes),
            slots: Vec::new(),
            definitions: HashMap::new(),
            next_slot: 0,
            hasher: RandomState::new(),
            means: Vec::new(),
            budget_ns: caps.budget_ns,
            slow: Vec::new(),
            subjectless: 0,
        };
        correlator.adopt(rules);
        correlator
    }

    /// Goes on with other rules. What was counted for a rule that is the same as before is kept.
    pub fn adopt(&mut self, rules: Arc<RuleSet>) {
        let mut definitions = HashMap::new();
        self.slots.clear();
        for counting in &rules.countings {
            let Some(info) = rules.infos.get(counting.rule) else { continue };
            let definition = counting.definition(info);
            let slot = self.definitions.get(&definition).copied().unwrap_or_else(|| {
                self.next_slot = self.next_slot.wrapping_add(1);
                self.next_slot
            });
            self.slots.push(slot);
            definitions.insert(definition, slot);
        }
        self.definitions = definitions;
        self.means = vec![Mean::default(); rules.infos.len()];
        self.rules = rules;
    }

    /// What an event's matches come to, with all that came before. The matches must be of the rules in use.
    pub fn correlate(&mut self, event: &Event, matches: Matches) -> Vec<Finding> {
        if matches.is_empty() {
            return Vec::new();
        }
        if let Some(costs) = &matches.costs {
            self.spent(costs);
        }
        let rules = Arc::clone(&self.rules);
        let at_ms = event.time.as_millisecond();
        let mut counted = Counted { event, rules: &rules, line: None, at_ms, findings: Vec::new() };
        for hit in matches.hits {
            for feed in rules.feeds.get(hit.rule).into_iter().flatten() {
                self.count(&mut counted, feed, Some(hit.rule), 0);
            }
            if let Some(info) = rules.infos.get(hit.rule).filter(|info| info.alerts) {
                let evidence = if event.raw.is_empty() { Vec::new() } else { vec![event.raw.clone()] };
                let group: Vec<String> = info.group.iter().map(|name| grouped(name)).collect();
                let finding = finding(info, event, &group, hit.indicators, evidence);
                counted.findings.push(Finding { source: event.client, ..finding });
            }
        }
        counted.findings
    }

    fn count(&mut self, counted: &mut Counted<'_>, feed: &Feed, detection: Option<usize>, depth: usize) {
        let (event, rules) = (counted.event, counted.rules);
        let Some(counting) = rules.countings.get(feed.counting) else { return };
        let Some(info) = rules.infos.get(counting.rule).filter(|info| info.enabled) else { return };
        let Some(slot) = self.slots.get(feed.counting).copied() else { return };
        let Some(who) = who(&feed.group, event) else {
            self.subjectless = self.subjectless.saturating_add(1);
            return;
        };
        let Some(add) = self.added(&counting.shape, feed, event) else { return };
        if counted.line.is_none() && !event.raw.is_empty() {
            counted.line = Some(Arc::from(event.raw.as_str()));
        }
        let at_ms = counted.at_ms;
        let span_ms = counting.shape.span_ms();
        let fired = self.groups.with(Key { slot, who }, &counting.shape, at_ms, counted.line.as_ref(), |group| {
            let value = group.window.add(&counting.shape, at_ms, add)?;
            if group.fired_ms.is_some_and(|fired| at_ms.saturating_sub(fired) < span_ms) {
                return None;
            }
            group.fired_ms = Some(at_ms);
            Some((value, group.evidence()))
        });
        let Some((value, evidence)) = fired else { return };
        let indicators = detection.map_or_else(Vec::new, |rule| rules.indicators(rule, &Views::new(event)));
        let mut finding = finding(info, event, &feed.group, indicators, evidence);
        finding.value = Some(value);
        finding.threshold = counting.shape.threshold();
        counted.findings.push(finding);
        if depth < DEPTH {
            for feed in rules.chains.get(feed.counting).into_iter().flatten() {
                self.count(counted, feed, None, depth + 1);
            }
        }
    }

    /// What an event adds to a count; nothing without the field that is counted.
    fn added<'f>(&self, shape: &Shape, feed: &'f Feed, event: &Event) -> Option<Add<'f>> {
        let names = shape.condition.field.as_deref().unwrap_or_default();
        match shape.kind {
            CorrelationType::EventCount => Some(Add::One),
            CorrelationType::ValueCount => joined(names, event).map(|value| Add::Value(self.hasher.hash_one(&*value))),
            CorrelationType::Temporal | CorrelationType::TemporalOrdered => Some(Add::Rule(&feed.name)),
            _ => {
                let number = value(names.first()?, event)?.parse::<f64>().ok()?;
                number.is_finite().then_some(Add::Number(number))
            }
        }
    }

    fn spent(&mut self, costs: &[(usize, u64)]) {
        for (rule, ns) in costs {
            let Some(mean) = self.means.get_mut(*rule) else { continue };
            mean.samples = (mean.samples + 1).min(2 * SAMPLES);
            #[expect(clippy::cast_precision_loss, reason = "at most a millisecond")]
            let ns = (*ns).min(SAMPLE_MOST_NS) as f64;
            mean.ns += (ns - mean.ns) / f64::from(mean.samples);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a millisecond")]
            let mean_ns = mean.ns as u64;
            if mean.samples < SAMPLES || mean_ns <= self.budget_ns {
                continue;
            }
            let (Some(disabled), Some(info)) = (self.rules.disabled.get(*rule), self.rules.infos.get(*rule)) else {
                continue;
            };
            if !disabled.swap(true, Ordering::Relaxed) {
                self.slow.push(SlowRule { id: Arc::clone(&info.id), mean_ns, budget_ns: self.budget_ns });
            }
        }
    }

    /// The rules in use.
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.rules)
    }

    /// Rules that were found to be slow since this was last asked, and are out of use.
    pub fn take_slow(&mut self) -> Vec<SlowRule> {
        std::mem::take(&mut self.slow)
    }

    /// How much is counted.
    pub fn counts(&self) -> Counts {
        Counts {
            groups: self.groups.len(),
            evicted: self.groups.evicted,
            subjectless: self.subjectless,
            evidence_bytes: self.groups.kept_bytes(),
        }
    }
}

/// Characters of a value that tells subjects apart.
const VALUE: usize = 512;

/// A field's value.
fn value<'e>(name: &str, event: &'e Event) -> Option<Cow<'e, str>> {
    let value = match fields::part(name) {
        Some((_, fields::Form::Decoded)) => Cow::Owned(subject::shown(&Views::new(event), name)?),
        _ => event.field(name.strip_prefix(fields::DETAILS).unwrap_or(name))?,
    };
    Some(if value.len() <= VALUE { value } else { Cow::Owned(value.chars().take(VALUE).collect()) })
}

/// Several fields' values; none where none is there.
fn joined<'e>(names: &[String], event: &'e Event) -> Option<Cow<'e, str>> {
    if let [one] = names {
        return value(one, event);
    }
    let values: Vec<Option<Cow<'e, str>>> = names.iter().map(|name| value(name, event)).collect();
    if values.iter().all(Option::is_none) {
        return None;
    }
    Some(Cow::Owned(values.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("\u{1f}")))
}

/// Whom an event is counted for.
///
/// What others may have said is counted by itself, so that it never adds to what a source did.
fn who(group: &[String], event: &Event) -> Option<Who> {
    if let Some(doubt) = event.doubt {
        return joined(group, event).map(|text| Who::Doubted(doubt, Arc::from(&*text)));
    }
    match group {
        [one] if fields::is_source(one) => event.client.map(Who::Source),
        _ => joined(group, event).map(|text| Who::Text(Arc::from(&*text))),
    }
}

/// What a rule says of an event.
fn finding(
    info: &RuleInfo,
    event: &Event,
    group: &[String],
    indicators: Vec<String>,
    evidence: Vec<String>,
) -> Finding {
    let by_source = group.iter().any(|name| fields::is_source(name));
    let by_user = group.iter().any(|name| fields::is_user(name));
    let others = group.iter().filter(|name| !fields::is_source(name) && !fields::is_user(name));
    let about: Vec<Cow<'_, str>> = others.filter_map(|name| value(name, event)).collect();
    Finding {
        detector: Detector::Rule(Arc::clone(&info.id)),
        title: Arc::clone(&info.title),
        description: Arc::clone(&info.description),
        severity: info.severity,
        confidence: info.confidence,
        techniques: Arc::clone(&info.techniques),
        tags: Arc::clone(&info.tags),
        // Of what several sources did together, none is to be denied for the last step.
        source: event.client.filter(|_| by_source),
        user: event.user.clone().filter(|_| by_user || by_source),
        about: (!about.is_empty()).then(|| about.join(" ")),
        time: event.time,
        value: None,
        threshold: None,
        indicators,
        evidence,
        response: info.response,
        spoofable: event.doubt == Some(Doubt::Spoofable),
    }
}
