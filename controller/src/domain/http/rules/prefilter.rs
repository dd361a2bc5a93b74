//! Which rules are worth judging an event by: those whose texts stand in it, and that its status, method and kind do not
//! rule out.
//!
//! One pass over the event for all rules. It may name rules that do not match, and never leaves one out that does.
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use rsigma_eval::matcher::CompiledMatcher;
use rsigma_eval::{CompiledDetection, CompiledDetectionItem, CompiledRule, EventValue};
use rsigma_parser::{ConditionExpr, Quantifier};

use super::fields::{self, Form};
use super::judge::At;
use super::literals::{self, NEEDS, OTHER, PLACES, Places, TARGET};
use super::subject::Nothing;
use crate::domain::http::decode::{JUDGED_BYTES, Kind, Look, Part, Views, decode, judged};
use crate::domain::http::event::EventKind;

/// A set of rules, a bit each.
pub(super) type Set = Box<[u64]>;

const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;
const VERSIONS: [&str; 7] = ["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/2", "HTTP/3.0", "HTTP/3", "HTTP/0.9"];
const METHODS: [&str; 10] =
    ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PROPFIND"];

/// The search over all rules' texts, and what few-valued fields leave.
#[derive(Debug)]
pub(super) struct Prefilter {
    texts: AhoCorasick,
    /// For each text, what it is wanted for.
    owners: Vec<Vec<Owners>>,
    /// For each place, the rules that look for texts there.
    looking: Vec<[Set; NEEDS]>,
    /// For each of a rule's needs, the rules that have no such need.
    needless: [Set; NEEDS],
    /// For each status from the first, the rules it does not rule out; then for none.
    statuses: Vec<Set>,
    /// The same for methods.
    methods: Vec<Set>,
    /// The same for protocols.
    versions: Vec<Set>,
    /// The same for kinds of event.
    kinds: Vec<Set>,
    /// For each text of an event, the rules not ruled out by its absence, and by its presence.
    parts: Vec<[Set; 2]>,
}

/// The rules that look for a text in the same places, for each of their needs.
#[derive(Debug)]
struct Owners {
    places: Places,
    /// Where in what stands there, if that is not anywhere.
    at: Option<At>,
    rules: [Set; NEEDS],
}

fn empty(rules: usize) -> Set {
    vec![0; rules.div_ceil(64)].into_boxed_slice()
}

fn full(rules: usize) -> Set {
    vec![u64::MAX; rules.div_ceil(64)].into_boxed_slice()
}

fn put(set: &mut [u64], rule: usize) {
    if let Some(word) = set.get_mut(rule / 64) {
        *word |= 1 << (rule % 64);
    }
}

fn add(sets: &mut [Set; NEEDS], others: &[Set; NEEDS]) {
    for (set, other) in sets.iter_mut().zip(others) {
        set.iter_mut().zip(other).for_each(|(word, other)| *word |= other);
    }
}

fn keep(set: &mut [u64], other: Option<&Set>) {
    if let Some(other) = other {
        set.iter_mut().zip(other).for_each(|(word, other)| *word &= other);
    }
}

impl Prefilter {
    /// # Errors
    /// Where there are more texts than can be searched for.
    pub(super) fn new(rules: &[CompiledRule]) -> Result<Self, aho_corasick::BuildError> {
        let none = || empty(rules.len());
        let mut texts: Vec<String> = Vec::new();
        let mut owners: Vec<Vec<Owners>> = Vec::new();
        let mut known = std::collections::HashMap::new();
        let mut looking = vec![[none(), none(), none()]; PLACES];
        let mut needless = [none(), none(), none()];
        for (rule, compiled) in rules.iter().enumerate() {
            let needs = literals::of_rule(compiled);
            for set in needless.iter_mut().skip(needs.len()) {
                put(set, rule);
            }
            for (need, needed) in needs.into_iter().enumerate() {
                for (places, word) in needed {
                    for (_, sets) in looking.iter_mut().enumerate().filter(|(place, _)| places & (1 << place) != 0) {
                        if let Some(set) = sets.get_mut(need) {
                            put(set, rule);
                        }
                    }
                    let at = *known.entry(word.text.clone()).or_insert_with(|| {
                        texts.push(word.text);
                        owners.push(Vec::new());
                        owners.len() - 1
                    });
                    let Some(owners) = owners.get_mut(at) else { continue };
                    let same = |owners: &Owners| owners.places == places && owners.at == word.at;
                    let there = owners.iter().position(same).unwrap_or_else(|| {
                        owners.push(Owners { places, at: word.at, rules: [none(), none(), none()] });
                        owners.len() - 1
                    });
                    if let Some(set) = owners.get_mut(there).and_then(|owners| owners.rules.get_mut(need)) {
                        put(set, rule);
                    }
                }
            }
        }
        let texts = searcher(&texts)?;
        let table = |is: &dyn Fn(&str) -> bool, values: Vec<Value>| -> Vec<Set> {
            let mut sets = vec![none(); values.len()];
            for (number, rule) in rules.iter().enumerate() {
                let asked = rule.detections.values().any(|one| asks(one, is));
                for (set, value) in sets.iter_mut().zip(&values) {
                    if !asked || may_match(rule, &Given { is, value }) {
                        put(set, number);
                    }
                }
            }
            sets
        };
        let named = |values: &[&'static str]| -> Vec<Value> {
            let values = values.iter().map(|value| Value::Known(EventValue::Str((*value).into())));
            values.chain([Value::Absent]).collect()
        };
        let statuses =
            STATUSES.map(|status| Value::Known(EventValue::Int(status.into()))).chain([Value::Absent]).collect();
        let parts = Part::ALL.map(|part| {
            let sets = table(
                &|name| fields::part(name).is_some_and(|(of, _)| of == part),
                vec![Value::Absent, Value::Present],
            );
            <[Set; 2]>::try_from(sets).unwrap_or_else(|_| [full(rules.len()), full(rules.len())])
        });
        Ok(Self {
            texts,
            owners,
            looking,
            needless,
            statuses: table(&|name| name == "sc-status", statuses),
            methods: table(&|name| matches!(name, "cs-method" | "http-method"), named(&METHODS)),
            versions: table(&|name| name == "cs-version", named(&VERSIONS)),
            kinds: table(&|name| name == "event-type", named(&EventKind::ALL.map(EventKind::name))),
            parts: parts.into(),
        })
    }

    /// The rules to judge an event by.
    pub(super) fn candidates(&self, views: &Views<'_>) -> Set {
        let mut found = Found { rules: self.needless.clone(), seen: empty(self.owners.len()), places: 0 };
        let event = views.event();
        let mut target = TARGET;
        for part in Part::ALL {
            let Some(raw) = views.raw(part) else { continue };
            let mut places = literals::place(part, Form::Decoded);
            if views.is_wrapped(part)
                && let Some(decoded) = views.decoded(part)
            {
                self.search(decoded, places, &mut found);
                places = 0;
            }
            if matches!(part, Part::Path | Part::Query) {
                target |= places;
            } else {
                self.search(raw, places | literals::place(part, Form::Raw), &mut found);
            }
        }
        if let Some(uri) = event.uri.as_deref() {
            self.search(judged(uri), target, &mut found);
            if uri.len() > JUDGED_BYTES {
                for text in [Part::Path, Part::Query].into_iter().filter_map(|part| views.raw(part)) {
                    self.search(text, target, &mut found);
                }
            }
        }
        for text in [event.method.as_deref(), event.version.as_deref()].into_iter().flatten() {
            self.search(judged(text), OTHER, &mut found);
            if Look::at(judged(text), Kind::Text).wrapped {
                self.search(&decode(text, Kind::Text), OTHER, &mut found);
            }
        }
        let seldom = [&event.forwarded_for, &event.session, &event.api_key_id, &event.endpoint, &event.component];
        for text in seldom.into_iter().flatten().chain(event.details.values()) {
            self.search(judged(text), OTHER, &mut found);
        }
        let [mut found, others @ ..] = found.rules;
        for other in &others {
            keep(&mut found, Some(other));
        }
        match event.status {
            Some(status) if STATUSES.contains(&status) => {
                keep(&mut found, self.statuses.get(usize::from(status - STATUSES.start())));
            }
            Some(_) => {}
            None => keep(&mut found, self.statuses.last()),
        }
        let of = |value: Option<&str>, known: &[&str], sets: &[Set], found: &mut Set| match value {
            Some(value) => keep(found, known.iter().position(|known| *known == value).and_then(|at| sets.get(at))),
            None => keep(found, sets.get(known.len())),
        };
        of(event.method.as_deref(), &METHODS, &self.methods, &mut found);
        of(event.version.as_deref(), &VERSIONS, &self.versions, &mut found);
        keep(&mut found, self.kinds.get(event.kind as usize));
        for (part, [absent, present]) in Part::ALL.into_iter().zip(&self.parts) {
            keep(&mut found, Some(if views.raw(part).is_some() { present } else { absent }));
        }
        found
    }

    fn search(&self, text: &str, places: Places, found: &mut Found) {
        if !text.is_ascii() && text.chars().any(literals::folds_to_ascii) {
            for (_, sets) in self.looking.iter().enumerate().filter(|(place, _)| places & (1 << place) != 0) {
                add(&mut found.rules, sets);
            }
            return;
        }
        if found.places != places {
            found.places = places;
            found.seen.fill(0);
        }
        for hit in self.texts.find_overlapping_iter(text) {
            let number = hit.pattern().as_usize();
            let bit = 1 << (number % 64);
            let Some(seen) = found.seen.get_mut(number / 64) else { continue };
            if *seen & bit != 0 {
                continue;
            }
            let mut all = true;
            for owners in self.owners.get(number).into_iter().flatten().filter(|owners| owners.places & places != 0) {
                let holds = match owners.at {
                    None => true,
                    Some(At::Whole) => hit.start() == 0 && hit.end() == text.len(),
                    Some(At::Start) => hit.start() == 0,
                    Some(At::End) => hit.end() == text.len(),
                };
                all &= holds;
                if holds {
                    add(&mut found.rules, &owners.rules);
                }
            }
            if all {
                *seen |= bit;
            }
        }
    }
}

/// What a search has come to.
struct Found {
    /// For each of a rule's needs, the rules that have it met.
    rules: [Set; NEEDS],
    /// The texts that stood there: each says the same however often it does.
    seen: Box<[u64]>,
    /// The places these stood in.
    places: Places,
}

/// Above this, the faster search would take more memory than it is worth.
const FAST_BYTES: usize = 32 * 1024 * 1024;

/// The search for these texts.
fn searcher(texts: &[String]) -> Result<AhoCorasick, aho_corasick::BuildError> {
    let build = |kind| AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(kind)).build(texts);
    // A state for each byte at most, and a place for each kind of byte.
    let bytes: usize = texts.iter().map(String::len).sum();
    if bytes.saturating_mul(4 * 64) <= FAST_BYTES {
        return build(AhoCorasickKind::DFA);
    }
    build(AhoCorasickKind::ContiguousNFA)
}

/// What is known of a field.
enum Value {
    Known(EventValue<'static>),
    Absent,
    Present,
}

/// One field's value, where nothing else of an event is known.
struct Given<'a> {
    is: &'a dyn Fn(&str) -> bool,
    value: &'a Value,
}

/// Whether a rule's detection asks for the field at all.
fn asks(detection: &CompiledDetection, is: &dyn Fn(&str) -> bool) -> bool {
    match detection {
        CompiledDetection::AllOf(items) => items.iter().any(|item| item.field.as_deref().is_some_and(is)),
        CompiledDetection::AnyOf(all) | CompiledDetection::And(all) => all.iter().any(|one| asks(one, is)),
        _ => false,
    }
}

/// Whether a rule may match an event with this value.
fn may_match(rule: &CompiledRule, given: &Given<'_>) -> bool {
    rule.conditions.iter().any(|condition| of_condition(condition, rule, given) != Some(false))
}

/// Whether all are so, where that is decided.
fn both(all: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut decided = Some(true);
    for one in all {
        match one {
            Some(false) => return Some(false),
            Some(true) => {}
            None => decided = None,
        }
    }
    decided
}

fn either(any: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    both(any.map(|one| one.map(|one| !one))).map(|none| !none)
}

fn of_condition(condition: &ConditionExpr, rule: &CompiledRule, given: &Given<'_>) -> Option<bool> {
    match condition {
        ConditionExpr::And(all) => both(all.iter().map(|one| of_condition(one, rule, given))),
        ConditionExpr::Or(any) => either(any.iter().map(|one| of_condition(one, rule, given))),
        ConditionExpr::Not(one) => of_condition(one, rule, given).map(|one| !one),
        ConditionExpr::Identifier(name) => rule.detections.get(name).and_then(|one| of_detection(one, given)),
        ConditionExpr::Selector { quantifier, pattern } => {
            let named = rule.detections.iter().filter(|(name, _)| pattern.matches_detection_name(name));
            let each = named.map(|(_, one)| of_detection(one, given));
            match quantifier {
                Quantifier::All => both(each),
                Quantifier::Any => either(each),
                Quantifier::Count(_) => None,
            }
        }
    }
}

fn of_detection(detection: &CompiledDetection, given: &Given<'_>) -> Option<bool> {
    match detection {
        CompiledDetection::AllOf(items) => both(items.iter().map(|item| of_item(item, given))),
        CompiledDetection::AnyOf(any) => either(any.iter().map(|one| of_detection(one, given))),
        CompiledDetection::And(all) => both(all.iter().map(|one| of_detection(one, given))),
        _ => None,
    }
}

fn of_item(item: &CompiledDetectionItem, given: &Given<'_>) -> Option<bool> {
    item.field.as_deref().filter(|name| (given.is)(name))?;
    if let Some(exists) = item.exists {
        return Some(exists != matches!(given.value, Value::Absent));
    }
    let is_null = matches!(item.matcher, CompiledMatcher::Null);
    match given.value {
        Value::Absent => Some(is_null),
        Value::Present => is_null.then_some(false),
        Value::Known(_) if looks_elsewhere(&item.matcher) => None,
        Value::Known(value) => Some(item.matcher.matches(value, &Nothing)),
    }
}

/// Whether a matcher compares with other fields.
fn looks_elsewhere(matcher: &CompiledMatcher) -> bool {
    match matcher {
        CompiledMatcher::FieldRef { .. } | CompiledMatcher::Expand { .. } => true,
        CompiledMatcher::Not(one) | CompiledMatcher::TimestampPart { inner: one, .. } => looks_elsewhere(one),
        CompiledMatcher::AnyOf(all)
        | CompiledMatcher::AllOf(all)
        | CompiledMatcher::CaseInsensitiveGroup { children: all, .. } => all.iter().any(looks_elsewhere),
        _ => false,
    }
}
