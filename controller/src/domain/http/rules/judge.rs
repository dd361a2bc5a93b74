//! A rule as it is judged by: the same as the library judges it, without looking its parts up by name, the cheap ones first.
use std::collections::HashMap;

use rsigma_eval::compiler::eval_condition;
use rsigma_eval::matcher::{CompiledMatcher, GroupMode};
use rsigma_eval::{CompiledDetection, CompiledDetectionItem, CompiledRule, Event as _, EventValue};
use rsigma_parser::{ConditionExpr, Quantifier};

use super::fields;
use super::subject::Subject;

/// Something that is so of an event, or not.
#[derive(Debug)]
pub(super) enum Test {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    AtLeast(u64, Vec<Self>),
    Item(Box<CompiledDetectionItem>),
    /// An item that is a list of words, all of them ASCII: compared without making a copy in lower case.
    Words(Box<CompiledDetectionItem>, Vec<(At, String)>),
    Keywords(CompiledMatcher),
    /// What only the library judges, under a name of its own.
    Library(ConditionExpr, HashMap<String, CompiledDetection>),
}

/// Where a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Whole,
    Start,
    End,
}

/// The words of a matcher that compares with words alone, in any case.
fn words(matcher: &CompiledMatcher, words_so_far: &mut Vec<(At, String)>) -> bool {
    let (at, value) = match matcher {
        CompiledMatcher::Exact { value, case_insensitive: true } => (At::Whole, value),
        CompiledMatcher::StartsWith { value, case_insensitive: true } => (At::Start, value),
        CompiledMatcher::EndsWith { value, case_insensitive: true } => (At::End, value),
        CompiledMatcher::AnyOf(any) | CompiledMatcher::CaseInsensitiveGroup { children: any, mode: GroupMode::Any } => {
            return any.iter().all(|one| words(one, words_so_far));
        }
        _ => return false,
    };
    words_so_far.push((at, value.clone()));
    value.is_ascii()
}

impl At {
    /// Whether a word stands there in a text, both of them ASCII.
    fn holds(self, word: &str, text: &str) -> bool {
        let (word, text) = (word.as_bytes(), text.as_bytes());
        let there = match self {
            Self::Whole => Some(text),
            Self::Start => text.get(..word.len()),
            Self::End => text.len().checked_sub(word.len()).and_then(|from| text.get(from..)),
        };
        there.is_some_and(|there| there.eq_ignore_ascii_case(word))
    }
}

impl Test {
    pub(super) fn of_rule(rule: &CompiledRule) -> Self {
        Self::any(rule.conditions.iter().map(|condition| Self::of_condition(condition, rule)).collect())
    }

    fn all(mut all: Vec<Self>) -> Self {
        all.sort_by_key(Self::cost);
        if all.len() == 1 { all.swap_remove(0) } else { Self::All(all) }
    }

    fn any(mut any: Vec<Self>) -> Self {
        any.sort_by_key(Self::cost);
        if any.len() == 1 { any.swap_remove(0) } else { Self::Any(any) }
    }

    fn of_condition(condition: &ConditionExpr, rule: &CompiledRule) -> Self {
        match condition {
            ConditionExpr::And(all) => Self::all(all.iter().map(|one| Self::of_condition(one, rule)).collect()),
            ConditionExpr::Or(any) => Self::any(any.iter().map(|one| Self::of_condition(one, rule)).collect()),
            ConditionExpr::Not(one) => Self::Not(Box::new(Self::of_condition(one, rule))),
            // A name of nothing never matches.
            ConditionExpr::Identifier(name) => {
                rule.detections.get(name).map_or_else(|| Self::Any(Vec::new()), Self::of_detection)
            }
            ConditionExpr::Selector { quantifier, pattern } => {
                let named = rule.detections.iter().filter(|(name, _)| pattern.matches_detection_name(name));
                let chosen = named.map(|(_, detection)| Self::of_detection(detection)).collect();
                match quantifier {
                    Quantifier::All => Self::all(chosen),
                    Quantifier::Any => Self::any(chosen),
                    Quantifier::Count(count) => Self::AtLeast(*count, chosen),
                }
            }
        }
    }

    fn of_detection(detection: &CompiledDetection) -> Self {
        match detection {
            CompiledDetection::AllOf(items) => Self::all(items.iter().map(Self::of_item).collect()),
            CompiledDetection::AnyOf(any) => Self::any(any.iter().map(Self::of_detection).collect()),
            CompiledDetection::And(all) => Self::all(all.iter().map(Self::of_detection).collect()),
            CompiledDetection::Keywords(matcher) => Self::Keywords(matcher.clone()),
            other => Self::Library(
                ConditionExpr::Identifier("it".to_owned()),
                HashMap::from([("it".to_owned(), other.clone())]),
            ),
        }
    }

    fn of_item(item: &CompiledDetectionItem) -> Self {
        let mut found = Vec::new();
        if item.exists.is_none() && item.field.is_some() && words(&item.matcher, &mut found) && !found.is_empty() {
            return Self::Words(Box::new(item.clone()), found);
        }
        let mut item = item.clone();
        if item.field.as_deref().is_some_and(fields::is_decoded) {
            in_lower_case(&mut item.matcher);
        }
        Self::Item(Box::new(item))
    }

    /// About what it costs, to put first what costs less.
    fn cost(&self) -> u32 {
        let most = |all: &[Self]| all.iter().map(Self::cost).sum::<u32>() + 1;
        match self {
            Self::All(all) | Self::Any(all) | Self::AtLeast(_, all) => most(all),
            Self::Not(one) => one.cost(),
            Self::Item(item) => {
                if item.exists.is_some() {
                    1
                } else {
                    of_matcher(&item.matcher) + if item.field.is_none() { 1_000 } else { 0 }
                }
            }
            Self::Words(_, words) => u32::try_from(words.len()).unwrap_or(u32::MAX / 8) + 1,
            Self::Keywords(matcher) => of_matcher(matcher) + 1_000,
            Self::Library(..) => 2_000,
        }
    }

    /// Whether it is so.
    pub(super) fn is_so(&self, subject: &Subject<'_, '_>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.is_so(subject)),
            Self::Any(any) => any.iter().any(|one| one.is_so(subject)),
            Self::Not(one) => !one.is_so(subject),
            Self::AtLeast(count, all) => {
                let wanted = usize::try_from(*count).unwrap_or(usize::MAX);
                all.iter().filter(|one| one.is_so(subject)).take(wanted).count() >= wanted
            }
            Self::Item(item) => is_item(item, subject),
            Self::Words(item, words) => match item.field.as_deref().and_then(|field| subject.get_field(field)) {
                Some(EventValue::Str(text)) if text.is_ascii() => words.iter().any(|(at, word)| at.holds(word, &text)),
                Some(value) => item.matcher.matches(&value, subject),
                None => false,
            },
            Self::Keywords(matcher) => matcher.matches_keyword(subject),
            Self::Library(condition, named) => eval_condition(condition, named, subject, &mut Vec::new()),
        }
    }
}

fn is_item(item: &CompiledDetectionItem, subject: &Subject<'_, '_>) -> bool {
    let Some(field) = item.field.as_deref() else {
        return item.exists.map_or_else(|| item.matcher.matches_keyword(subject), |exists| !exists);
    };
    let value = subject.get_field(field);
    if let Some(exists) = item.exists {
        return value.is_some_and(|value| !value.is_null()) == exists;
    }
    match value {
        Some(value) => item.matcher.matches(&value, subject),
        None => matches!(item.matcher, CompiledMatcher::Null),
    }
}

fn of_matcher(matcher: &CompiledMatcher) -> u32 {
    match matcher {
        CompiledMatcher::Contains { .. } => 8,
        CompiledMatcher::AhoCorasickSet { .. } => 20,
        CompiledMatcher::Regex(_) => 100,
        CompiledMatcher::RegexSetMatch { .. } => 200,
        CompiledMatcher::Not(one) => of_matcher(one),
        CompiledMatcher::AnyOf(all)
        | CompiledMatcher::AllOf(all)
        | CompiledMatcher::CaseInsensitiveGroup { children: all, .. } => all.iter().map(of_matcher).sum::<u32>() + 1,
        _ => 2,
    }
}

/// Compares a text that is in lower case without bringing it there again.
fn in_lower_case(matcher: &mut CompiledMatcher) {
    match matcher {
        CompiledMatcher::Exact { case_insensitive, .. }
        | CompiledMatcher::Contains { case_insensitive, .. }
        | CompiledMatcher::StartsWith { case_insensitive, .. }
        | CompiledMatcher::EndsWith { case_insensitive, .. }
        | CompiledMatcher::AhoCorasickSet { case_insensitive, .. } => *case_insensitive = false,
        CompiledMatcher::Not(one) => in_lower_case(one),
        CompiledMatcher::AnyOf(all) | CompiledMatcher::AllOf(all) => all.iter_mut().for_each(in_lower_case),
        CompiledMatcher::CaseInsensitiveGroup { children, mode } => {
            let mut children = std::mem::take(children);
            children.iter_mut().for_each(in_lower_case);
            *matcher = match mode {
                GroupMode::Any => CompiledMatcher::AnyOf(children),
                GroupMode::All => CompiledMatcher::AllOf(children),
            };
        }
        _ => {}
    }
}
