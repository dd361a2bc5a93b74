//! The port to what judges events by rules, and the rule engine behind it.
use std::fmt;

use rsigma_eval::compiler::eval_condition;
use rsigma_eval::matcher::CompiledMatcher;
use rsigma_eval::{CompiledDetection, CompiledDetectionItem, CompiledRule, Event as _};

use super::fields;
use super::judge::Test;
use super::prefilter::{Prefilter, Set};
use super::subject::Subject;
use crate::domain::http::decode::Views;

/// Judges single events by rules, which are known by their numbers.
pub trait RuleEngine: fmt::Debug + Send + Sync {
    /// The rules worth judging an event by, a bit each from the lowest: all that match it, and others.
    fn candidates(&self, views: &Views<'_>) -> Box<[u64]>;

    /// Whether a rule matches an event.
    fn matches(&self, rule: usize, views: &Views<'_>) -> bool;

    /// What a rule that matches has found: fields, and the part of each that matched.
    fn indicators(&self, rule: usize, views: &Views<'_>) -> Vec<(String, String)>;
}

/// Sigma rules, by rsigma.
pub(super) struct Sigma {
    rules: Vec<CompiledRule>,
    tests: Vec<Test>,
    prefilter: Prefilter,
}

impl fmt::Debug for Sigma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sigma").field("rules", &self.rules.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Sigma {
    /// What the library itself says of an event.
    pub(super) fn by_library(&self, rule: usize, views: &Views<'_>) -> bool {
        let rule = &self.rules[rule];
        rule.conditions.iter().any(|one| eval_condition(one, &rule.detections, &Subject(views), &mut Vec::new()))
    }
}

/// Indicators of one finding at most.
const INDICATORS: usize = 8;

/// Characters of an indicator before and behind what matched.
const AROUND: usize = 80;

impl Sigma {
    /// # Errors
    /// Where the rules have more texts than can be searched for.
    pub(super) fn new(mut rules: Vec<CompiledRule>) -> Result<Self, aho_corasick::BuildError> {
        for rule in &mut rules {
            rule.detections.values_mut().for_each(query_alone);
        }
        let prefilter = Prefilter::new(&rules)?;
        let tests = rules.iter().map(Test::of_rule).collect();
        Ok(Self { rules, tests, prefilter })
    }
}

/// Who asks whether there is a query means the query, and not the path as well.
fn query_alone(detection: &mut CompiledDetection) {
    match detection {
        CompiledDetection::AllOf(items) => {
            for item in items {
                let asks = item.exists.is_some() || matches!(item.matcher, CompiledMatcher::Null);
                if asks && item.field.as_deref().is_some_and(fields::is_query) {
                    item.field = Some(fields::QUERY_ALONE.to_owned());
                }
            }
        }
        CompiledDetection::AnyOf(all) | CompiledDetection::And(all) => all.iter_mut().for_each(query_alone),
        _ => {}
    }
}

impl RuleEngine for Sigma {
    fn candidates(&self, views: &Views<'_>) -> Set {
        self.prefilter.candidates(views)
    }

    fn matches(&self, rule: usize, views: &Views<'_>) -> bool {
        self.tests.get(rule).is_some_and(|test| test.is_so(&Subject(views)))
    }

    fn indicators(&self, rule: usize, views: &Views<'_>) -> Vec<(String, String)> {
        let Some(rule) = self.rules.get(rule) else { return Vec::new() };
        let subject = Subject(views);
        let mut names = Vec::new();
        for condition in &rule.conditions {
            names.clear();
            if eval_condition(condition, &rule.detections, &subject, &mut names) {
                break;
            }
        }
        names.sort_unstable();
        let mut found = Vec::new();
        for detection in names.iter().filter_map(|name| rule.detections.get(name)) {
            of_detection(detection, &subject, &mut found);
        }
        found.truncate(INDICATORS);
        found
    }
}

fn of_detection(detection: &CompiledDetection, subject: &Subject<'_, '_>, found: &mut Vec<(String, String)>) {
    match detection {
        CompiledDetection::AllOf(items) => {
            for item in items {
                of_item(item, subject, found);
            }
        }
        CompiledDetection::AnyOf(all) | CompiledDetection::And(all) => {
            for one in all {
                of_detection(one, subject, found);
            }
        }
        CompiledDetection::Keywords(matcher) => of_keywords(matcher, subject, found),
        CompiledDetection::ArrayMatch { .. } | CompiledDetection::Conditional { .. } => {}
    }
}

fn of_keywords(matcher: &CompiledMatcher, subject: &Subject<'_, '_>, found: &mut Vec<(String, String)>) {
    subject.texts(&mut |name, text| {
        let place = place_in(matcher, text);
        add(name, text, place, found);
        place.is_some()
    });
}

fn of_item(item: &CompiledDetectionItem, subject: &Subject<'_, '_>, found: &mut Vec<(String, String)>) {
    let Some(name) = item.field.as_deref() else {
        return of_keywords(&item.matcher, subject, found);
    };
    let Some(value) = subject.get_field(name) else { return };
    let values = match value {
        rsigma_eval::EventValue::Array(values) => values,
        one => vec![one],
    };
    for value in values {
        if let Some(text) = value.as_str()
            && item.matcher.matches(&value, subject)
        {
            add(name, &text, place_in(&item.matcher, &text).or(Some((0, text.len()))), found);
            break;
        }
    }
}

fn add(name: &str, text: &str, place: Option<(usize, usize)>, found: &mut Vec<(String, String)>) {
    let Some((start, end)) = place else { return };
    // What a field is put together of stands in lines: those that match are enough.
    let line = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line_end = text.get(end..).and_then(|behind| behind.find('\n')).map_or(text.len(), |at| end + at);
    let from = text.floor_char_boundary(start.saturating_sub(AROUND)).max(line);
    let to = text.ceil_char_boundary(end.saturating_add(AROUND).min(text.len())).min(line_end);
    let shown = text.get(from..to).unwrap_or(text);
    let indicator = (name.to_owned(), shown.to_owned());
    if found.len() < INDICATORS && !found.contains(&indicator) {
        found.push(indicator);
    }
}

/// Where in a text a matcher matches: from and to, in bytes.
fn place_in(matcher: &CompiledMatcher, text: &str) -> Option<(usize, usize)> {
    // Lower case has other lengths in some scripts: then the place is about where it is, which is enough to show it.
    let lowered = || text.to_lowercase();
    let within = |needle: &str, ci: bool| {
        let at = if ci { lowered().find(needle) } else { text.find(needle) };
        at.map(|at| (at, at + needle.len()))
    };
    match matcher {
        CompiledMatcher::Exact { value, case_insensitive } => {
            let same = if *case_insensitive { lowered() == *value } else { text == value };
            same.then_some((0, text.len()))
        }
        CompiledMatcher::Contains { value, case_insensitive } => within(value, *case_insensitive),
        CompiledMatcher::StartsWith { value, case_insensitive } => {
            within(value, *case_insensitive).filter(|(at, _)| *at == 0)
        }
        CompiledMatcher::EndsWith { value, case_insensitive } => {
            let ends =
                if *case_insensitive { lowered().ends_with(value.as_str()) } else { text.ends_with(value.as_str()) };
            ends.then_some((text.len().saturating_sub(value.len()), text.len()))
        }
        CompiledMatcher::AhoCorasickSet { automaton, case_insensitive, .. } => {
            let hit = if *case_insensitive { automaton.find(&lowered()) } else { automaton.find(text) };
            hit.map(|hit| (hit.start(), hit.end()))
        }
        CompiledMatcher::Regex(regex) => regex.find(text).map(|hit| (hit.start(), hit.end())),
        CompiledMatcher::RegexSetMatch { set, .. } => set.is_match(text).then_some((0, text.len())),
        CompiledMatcher::AnyOf(all)
        | CompiledMatcher::AllOf(all)
        | CompiledMatcher::CaseInsensitiveGroup { children: all, .. } => all.iter().find_map(|one| place_in(one, text)),
        _ => None,
    }
}
