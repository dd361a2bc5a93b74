//! What must stand in an event for a rule to match it: read off the rule itself.
//!
//! Whatever is not understood needs nothing: a rule is then judged by every event, and is never missed.
use regex_syntax::hir::{Class, Hir, HirKind};
use rsigma_eval::matcher::GroupMode;
use rsigma_eval::{CompiledDetection, CompiledDetectionItem, CompiledMatcher, CompiledRule};
use rsigma_parser::{ConditionExpr, Quantifier};

use super::fields::{self, Form};
use super::judge::At;
use crate::domain::http::decode::Part;

/// Places that texts are looked for in, a bit each.
pub(super) type Places = u32;

/// The request's target as it came.
pub(super) const TARGET: Places = 1;
/// Method, protocol, and texts that are seldom there.
pub(super) const OTHER: Places = 2;
/// How many places there are.
pub(super) const PLACES: usize = 2 + 2 * Part::ALL.len();
/// All places.
const ALL: Places = (1 << PLACES) - 1;

/// The place of a text.
pub(super) const fn place(part: Part, form: Form) -> Places {
    match (part, form) {
        (Part::Path | Part::Query, Form::Raw) => TARGET,
        (part, Form::Raw) => 1 << (2 + 2 * part as usize),
        (part, Form::Decoded) => 1 << (3 + 2 * part as usize),
    }
}

/// A text in lower case, and where in another it stands if that is not anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) at: Option<At>,
}

/// One of these stands in one of these places.
pub(super) type Needed = Vec<(Places, Word)>;

/// How many needs of one rule are looked at.
pub(super) const NEEDS: usize = 3;

/// Texts that nearly every event has: little use to look for them.
const COMMON: [&str; 16] = [
    "http",
    "https",
    "://",
    "http://",
    "https://",
    "www.",
    ".com",
    ".html",
    ".php",
    "get",
    "post",
    "mozilla",
    "mozilla/5.0",
    "index",
    "/1.1",
    "http/",
];

/// How rare an event is that has the text: 0 where it is no use to look.
fn worth(word: &Word) -> usize {
    let text = word.text.as_str();
    if word.at == Some(At::Whole) {
        return text.len() + 2;
    }
    match text.as_bytes() {
        [one] if one.is_ascii_alphanumeric() || b"/.-_=& ".contains(one) => 0,
        [b'?' | b';' | b',' | b':' | b'(' | b')' | b'+' | b'%'] => 1,
        [_] => 2,
        _ if COMMON.contains(&text) => 1,
        _ => text.len(),
    }
}

/// The commonest decides.
fn rarity(needed: &Needed) -> (usize, usize) {
    let least = needed.iter().map(|(_, word)| worth(word)).min().unwrap_or_default();
    (least, usize::MAX - needed.len())
}

/// What all of these need: the rarest of it.
fn all_of(needs: impl IntoIterator<Item = Vec<Needed>>) -> Vec<Needed> {
    let mut all: Vec<Needed> = needs.into_iter().flatten().filter(|needed| rarity(needed).0 > 0).collect();
    all.sort_by_key(|needed| std::cmp::Reverse(rarity(needed)));
    all.dedup();
    all.truncate(NEEDS);
    all
}

/// What each of these needs: the rarest of one or of another.
fn any_of(needs: impl IntoIterator<Item = Vec<Needed>>) -> Vec<Needed> {
    let rarest: Option<Vec<Needed>> = needs.into_iter().map(|needs| needs.into_iter().next()).collect();
    rarest.filter(|rarest| !rarest.is_empty()).map(|rarest| vec![rarest.concat()]).unwrap_or_default()
}

/// What an event must have for a rule to match it, all of it.
pub(super) fn of_rule(rule: &CompiledRule) -> Vec<Needed> {
    let mut all = all_of([any_or_one(rule.conditions.iter().map(|condition| of_condition(condition, rule)).collect())]);
    for (_, word) in all.iter_mut().flatten() {
        // Its beginning stands where it does.
        if word.text.len() > LONGEST_WORD {
            word.text.truncate(LONGEST_WORD);
            word.at = word.at.map(|_| At::Start).filter(|_| word.at != Some(At::End));
        }
    }
    all
}

/// Bytes of a word that are looked for: who has them is judged by all of it.
const LONGEST_WORD: usize = 32;

/// One alternative is none: it keeps all its needs.
fn any_or_one(mut needs: Vec<Vec<Needed>>) -> Vec<Needed> {
    if needs.len() == 1 { needs.swap_remove(0) } else { any_of(needs) }
}

fn of_condition(condition: &ConditionExpr, rule: &CompiledRule) -> Vec<Needed> {
    match condition {
        ConditionExpr::And(all) => all_of(all.iter().map(|one| of_condition(one, rule))),
        ConditionExpr::Or(any) => any_or_one(any.iter().map(|one| of_condition(one, rule)).collect()),
        ConditionExpr::Not(_) => Vec::new(),
        // A name of nothing never matches; judged all the same.
        ConditionExpr::Identifier(name) => rule.detections.get(name).map(of_detection).unwrap_or_default(),
        ConditionExpr::Selector { quantifier, pattern } => {
            let named = rule.detections.iter().filter(|(name, _)| pattern.matches_detection_name(name));
            let chosen = named.map(|(_, detection)| of_detection(detection)).collect();
            match quantifier {
                Quantifier::All => all_of(chosen),
                Quantifier::Count(0) => Vec::new(),
                Quantifier::Any | Quantifier::Count(_) => any_or_one(chosen),
            }
        }
    }
}

fn of_detection(detection: &CompiledDetection) -> Vec<Needed> {
    match detection {
        CompiledDetection::AllOf(items) => all_of(items.iter().map(|item| of_item(item).into_iter().collect())),
        CompiledDetection::AnyOf(any) => any_or_one(any.iter().map(of_detection).collect()),
        CompiledDetection::And(all) => all_of(all.iter().map(of_detection)),
        CompiledDetection::Keywords(matcher) => {
            of_matcher(matcher).map(|words| in_places(words, ALL, false)).into_iter().collect()
        }
        CompiledDetection::ArrayMatch { .. } | CompiledDetection::Conditional { .. } => Vec::new(),
    }
}

fn of_item(item: &CompiledDetectionItem) -> Option<Needed> {
    if item.exists.is_some() {
        return None;
    }
    let places = item.field.as_deref().map_or(Some(ALL), places_of)?;
    let whole = item.field.as_deref().is_some_and(is_whole);
    of_matcher(&item.matcher).map(|words| in_places(words, places, whole))
}

fn in_places(words: Vec<Word>, places: Places, whole: bool) -> Needed {
    words.into_iter().map(|word| (places, Word { at: word.at.filter(|_| whole), ..word })).collect()
}

/// Whether a field is looked through by itself, from its beginning to its end.
fn is_whole(field: &str) -> bool {
    match fields::part(field) {
        Some((part, _)) => !matches!(part, Part::Path | Part::Query),
        None => places_of(field) == Some(OTHER),
    }
}

/// The places that a field's text is looked for in; none for numbers and addresses.
fn places_of(field: &str) -> Option<Places> {
    if let Some((part, form)) = fields::part(field) {
        return Some(place(part, form));
    }
    let decoded = |parts: &[Part]| parts.iter().fold(0, |places, part| places | place(*part, Form::Decoded));
    match field {
        "payload" | "payload-decoded" => Some(decoded(&Part::ALL) | OTHER),
        "request-decoded" => Some(decoded(&[Part::Path, Part::Query])),
        "cs-uri" | "c-uri" | "cs-uri-full" | "cs-uri-query" | "c-uri-query" => Some(TARGET),
        "endpoint" => Some(TARGET | OTHER),
        "sc-status" | "sc-bytes" | "cs-bytes" | "time-taken" | "event-type" | "c-country" => None,
        _ if fields::is_source(field) => None,
        // Method, protocol, session, details and so on.
        _ => Some(OTHER),
    }
}

/// Words of which one must stand in what a matcher matches.
fn of_matcher(matcher: &CompiledMatcher) -> Option<Vec<Word>> {
    let best = |choices: Vec<Option<Vec<Word>>>| {
        let least = |words: &Vec<Word>| words.iter().map(worth).min().unwrap_or_default();
        choices.into_iter().flatten().max_by_key(least)
    };
    let all = |choices: Vec<Option<Vec<Word>>>| choices.into_iter().collect::<Option<Vec<_>>>().map(|all| all.concat());
    let one = |value: &str, at: Option<At>| {
        let text = longest_ascii(value)?;
        // Where only a part of it is looked for, that part may stand anywhere.
        let at = at.filter(|_| text.len() == value.len());
        Some(vec![Word { text, at }])
    };
    match matcher {
        CompiledMatcher::Exact { value, .. } => one(value, Some(At::Whole)),
        CompiledMatcher::Contains { value, .. } => one(value, None),
        CompiledMatcher::StartsWith { value, .. } => one(value, Some(At::Start)),
        CompiledMatcher::EndsWith { value, .. } => one(value, Some(At::End)),
        CompiledMatcher::AhoCorasickSet { needles, .. } => {
            all(needles.iter().map(|needle| one(needle, None)).collect())
        }
        CompiledMatcher::Regex(regex) => of_pattern(regex.as_str()).map(anywhere),
        CompiledMatcher::RegexSetMatch { set, mode } => {
            let each = set.patterns().iter().map(|pattern| of_pattern(pattern).map(anywhere)).collect();
            match mode {
                GroupMode::Any => all(each),
                GroupMode::All => best(each),
            }
        }
        CompiledMatcher::AnyOf(children) | CompiledMatcher::CaseInsensitiveGroup { children, mode: GroupMode::Any } => {
            all(children.iter().map(of_matcher).collect())
        }
        CompiledMatcher::AllOf(children) | CompiledMatcher::CaseInsensitiveGroup { children, mode: GroupMode::All } => {
            best(children.iter().map(of_matcher).collect())
        }
        _ => None,
    }
}

fn anywhere(texts: Vec<String>) -> Vec<Word> {
    texts.into_iter().map(|text| Word { text, at: None }).collect()
}

/// How rare the commonest of some texts is.
fn shortest(texts: &[String]) -> usize {
    let worth_of = |text: &String| worth(&Word { text: text.clone(), at: None });
    texts.iter().map(worth_of).min().unwrap_or_default()
}

/// The longest run of a text that is the same to everybody who folds case, and stands on one line.
fn longest_ascii(text: &str) -> Option<String> {
    let runs = text.split(|c: char| !c.is_ascii() || c == '\n' || c == '\r');
    runs.max_by_key(|run| run.len()).filter(|run| !run.is_empty()).map(str::to_ascii_lowercase)
}

/// Texts of which one must stand in what a pattern matches.
fn of_pattern(pattern: &str) -> Option<Vec<String>> {
    of_hir(&regex_syntax::parse(pattern).ok()?)
}

/// The longest text that is put together from repetitions.
const LONGEST: usize = 64;

fn of_hir(hir: &Hir) -> Option<Vec<String>> {
    if let Some(text) = exactly(hir) {
        return longest_ascii(&text).map(|text| vec![text]);
    }
    match hir.kind() {
        HirKind::Concat(pieces) => {
            let mut choices: Vec<Vec<String>> = Vec::new();
            let mut run = String::new();
            for piece in pieces {
                if let Some(text) = exactly(piece) {
                    run.push_str(&text);
                    continue;
                }
                choices.extend(longest_ascii(&run).map(|text| vec![text]));
                run.clear();
                choices.extend(of_hir(piece));
            }
            choices.extend(longest_ascii(&run).map(|text| vec![text]));
            choices.into_iter().max_by_key(|texts| shortest(texts))
        }
        HirKind::Alternation(any) => any.iter().map(of_hir).collect::<Option<Vec<_>>>().map(|all| all.concat()),
        HirKind::Repetition(repetition) if repetition.min > 0 => of_hir(&repetition.sub),
        HirKind::Capture(capture) => of_hir(&capture.sub),
        // One of a few characters.
        HirKind::Class(Class::Unicode(class)) => {
            let mut letters = class.iter().flat_map(|range| range.start()..=range.end());
            let few: Vec<String> = letters.by_ref().take(FEW).map(|letter| folded(letter).to_string()).collect();
            (letters.next().is_none() && few.iter().all(|letter| letter.is_ascii() && letter != "\n" && letter != "\r"))
                .then_some(few)
        }
        _ => None,
    }
}

/// The most characters that are looked for instead of a class of them.
const FEW: usize = 8;

/// The one text that a pattern matches, but for its letters' case.
fn exactly(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(String::new()),
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok().map(str::to_owned),
        HirKind::Class(Class::Unicode(class)) => {
            // A letter in either case; long s and the Kelvin sign come with theirs.
            let mut letters = class.iter().flat_map(|range| range.start()..=range.end()).take(4);
            let first = folded(letters.next()?);
            letters.all(|letter| folded(letter) == first).then(|| first.to_string())
        }
        HirKind::Class(Class::Bytes(class)) => {
            let mut letters = class.iter().flat_map(|range| range.start()..=range.end()).take(3);
            let first = letters.next()?.to_ascii_lowercase();
            (first.is_ascii() && letters.all(|letter| letter.to_ascii_lowercase() == first))
                .then(|| char::from(first).to_string())
        }
        HirKind::Capture(capture) => exactly(&capture.sub),
        HirKind::Concat(pieces) => pieces.iter().map(exactly).collect(),
        HirKind::Repetition(repetition) => {
            let text = exactly(&repetition.sub)?;
            let times = usize::try_from(repetition.min)
                .ok()
                .filter(|times| Some(repetition.min) == repetition.max && *times > 0)?;
            (text.len() * times <= LONGEST).then(|| text.repeat(times))
        }
        HirKind::Alternation(_) => None,
    }
}

fn folded(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    }
}

/// Characters that some who fold case take for ASCII letters.
pub(super) fn folds_to_ascii(c: char) -> bool {
    matches!(c, '\u{17f}' | '\u{212a}' | '\u{130}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pattern_needs_is_read_off_it() {
        for (pattern, expected) in [
            ("(?i)union\\s+select", Some(vec!["select"])),
            ("^/wp-(login|admin)\\.php$", Some(vec!["login", "admin"])),
            ("(?i)(sleep|benchmark)\\(", Some(vec!["sleep", "benchmark"])),
            ("(ab){3}c", Some(vec!["abababc"])),
            ("(?i)\u{e4}skx?", Some(vec!["sk"])),
            ("a*", None),
            ("[a-z]+", None),
            ("(abc)?", None),
            ("abc|", None),
        ] {
            let expected = expected.map(|texts| texts.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(of_pattern(pattern), expected, "{pattern}");
        }
    }

    /// What the search rests on: text without these three folds to ASCII only where it is ASCII.
    #[test]
    fn three_characters_alone_fold_to_ascii_letters() {
        let any_letter = regex::Regex::new("(?i)[a-z]").unwrap();
        for c in '\u{80}'..=char::MAX {
            let folds =
                c.to_lowercase().any(|lower| lower.is_ascii()) || any_letter.is_match(c.encode_utf8(&mut [0; 4]));
            assert_eq!(folds, folds_to_ascii(c), "{c:?}");
        }
    }
}
