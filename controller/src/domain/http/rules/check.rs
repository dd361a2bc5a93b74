//! What a rule may cost, before it is used: sizes when it is read, time over inputs made to be slow.
use regex::RegexBuilder;
use rsigma_parser::{Detection, DetectionItem, FieldSpec, Modifier, SigmaRule, SigmaValue};
use yaml_serde::Value;

use super::load::{Problem, RuleFile, Weight, load};
use super::{Overrides, RuleInfo};
use crate::domain::http::decode::Views;
use crate::domain::http::event::{Event, EventKind};

/// Nanoseconds that a rule may take for each KiB of an event at most, whatever is in it.
pub const CHECK_BUDGET_NS: u64 = 50_000;

/// Bytes that one compiled pattern may have.
const PATTERN_BYTES: usize = 1024 * 1024;
/// Bytes of one pattern as written.
const PATTERN_LEN: usize = 8_192;
/// Bytes of one text: a search for many that repeat themselves takes longer to build than their length says.
const TEXT_LEN: usize = 512;
/// Bytes of all texts of one rule, those counted that a modifier makes of one.
const TEXTS_LEN: usize = 32 * 1_024;
/// Values of one field in one rule.
const VALUES: usize = 4_096;
/// Dashes of a value that stands for all kinds of dash: five times as many values for each.
const DASHES: usize = 3;
/// Characters of a condition.
const CONDITION_LEN: usize = 4_096;
/// Parentheses within each other in a condition, or words `not`.
const CONDITION_DEPTH: usize = 32;

/// Whether a document's conditions are short and shallow enough to be read at all.
pub(super) fn conditions(document: &Value) -> Result<(), String> {
    match document {
        Value::Mapping(mapping) => mapping.iter().try_for_each(|(key, value)| {
            if key.as_str() == Some("condition") {
                let one = value.as_str().into_iter();
                let more = value.as_sequence().into_iter().flatten().filter_map(Value::as_str);
                one.chain(more).try_for_each(condition)?;
            }
            conditions(value)
        }),
        Value::Sequence(all) => all.iter().try_for_each(conditions),
        Value::Tagged(tagged) => conditions(&tagged.value),
        _ => Ok(()),
    }
}

fn condition(text: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let nots = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.eq_ignore_ascii_case("not"));
    if text.len() > CONDITION_LEN || deepest > CONDITION_DEPTH || nots.count() > CONDITION_DEPTH {
        return Err(format!(
            "condition of {} characters; write at most {CONDITION_LEN}, with at most {CONDITION_DEPTH} parentheses within each \
             other and words \"not\"",
            text.len()
        ));
    }
    Ok(())
}

/// Has keywords looked for anywhere in a text, also where a modifier such as `|all` stands with them: the library then holds
/// each against the whole of a text, and no text is two words at once.
pub(super) fn keywords_anywhere(rule: &mut SigmaRule) {
    fn each(detection: &mut Detection) {
        match detection {
            Detection::AllOf(items) => items.iter_mut().filter(|item| item.field.name.is_none()).for_each(|item| {
                let compared =
                    [Modifier::Contains, Modifier::StartsWith, Modifier::EndsWith, Modifier::Re, Modifier::Cidr];
                if !item.field.modifiers.iter().any(|modifier| compared.contains(modifier)) {
                    item.field.modifiers.push(Modifier::Contains);
                }
            }),
            Detection::AnyOf(all) | Detection::And(all) => all.iter_mut().for_each(each),
            // Without a field, an array's member is meant.
            Detection::ArrayMatch { .. } | Detection::Keywords(_) | Detection::Conditional { .. } => {}
        }
    }
    rule.detection.named.values_mut().for_each(each);
}

/// The word of a rule that is at fault, and what is wrong with it.
pub(super) type AtFault = (String, String);

/// What looks at each item of a rule.
type See<'s> = dyn FnMut(&DetectionItem) -> Result<(), AtFault> + 's;

fn each_item(detection: &Detection, see: &mut See<'_>) -> Result<(), AtFault> {
    match detection {
        Detection::AllOf(items) => items.iter().try_for_each(see),
        Detection::AnyOf(all) | Detection::And(all) => all.iter().try_for_each(|one| each_item(one, see)),
        Detection::ArrayMatch { body, .. } => each_item(body, see),
        Detection::Conditional { named, .. } => {
            let mut names: Vec<&String> = named.keys().collect();
            names.sort_unstable();
            names.into_iter().filter_map(|name| named.get(name)).try_for_each(|one| each_item(one, see))
        }
        Detection::Keywords(values) => {
            see(&DetectionItem { field: FieldSpec::new(None, Vec::new()), values: values.clone() })
        }
    }
}

fn each_named(rule: &SigmaRule, see: &mut See<'_>) -> Result<(), AtFault> {
    let mut names: Vec<&String> = rule.detection.named.keys().collect();
    names.sort_unstable();
    names.into_iter().filter_map(|name| rule.detection.named.get(name)).try_for_each(|one| each_item(one, see))
}

/// Names of the fields that a rule asks for.
pub(super) fn field_names(rule: &SigmaRule) -> Vec<String> {
    let mut names = Vec::new();
    let seen = each_named(rule, &mut |item| {
        names.extend(item.field.name.clone());
        if item.field.has_modifier(Modifier::FieldRef) {
            names.extend(item.values.iter().filter_map(text).map(str::to_owned));
        }
        Ok(())
    });
    // Nothing above fails.
    debug_assert!(seen.is_ok(), "{seen:?}");
    names
}

fn text(value: &SigmaValue) -> Option<&str> {
    match value {
        SigmaValue::String(text) => Some(&text.original),
        _ => None,
    }
}

/// Whether a rule's values are small enough to be compiled; the word at fault and what is wrong with it.
pub(super) fn values(rule: &SigmaRule) -> Result<(), AtFault> {
    let mut all = 0;
    each_named(rule, &mut |item| {
        let name = item.field.name.clone().unwrap_or_else(|| "detection".to_owned());
        if item.values.len() > VALUES {
            return Err((name, format!("{} values of one field; write at most {VALUES}", item.values.len())));
        }
        for value in item.values.iter().filter_map(text) {
            let is_pattern = item.field.has_modifier(Modifier::Re);
            let most = if is_pattern { PATTERN_LEN } else { TEXT_LEN };
            if value.len() > most {
                return Err((name, format!("a value of {} bytes; write at most {most}", value.len())));
            }
            let dashes = if item.field.has_modifier(Modifier::WindAsh) { value.matches('-').count() } else { 0 };
            if dashes > DASHES {
                let what = format!("windash with more than {DASHES} dashes stands for too many values: {value}");
                return Err((name, what));
            }
            if !is_pattern {
                all += (0..dashes).fold(value.len(), |bytes, _| 5 * bytes);
                if all > TEXTS_LEN {
                    return Err((
                        name,
                        format!("more than {TEXTS_LEN} bytes of values in one rule; make several of it"),
                    ));
                }
            }
            if is_pattern && let Err(wrong) = RegexBuilder::new(value).size_limit(PATTERN_BYTES).nest_limit(64).build()
            {
                let what = match wrong {
                    regex::Error::CompiledTooBig(_) => {
                        format!(
                            "a pattern of more than {PATTERN_BYTES} bytes compiled; write smaller repetitions: {value}"
                        )
                    }
                    wrong => format!("no pattern: {}", wrong.to_string().replace('\n', " ")),
                };
                return Err((name, what));
            }
        }
        Ok(())
    })
}

/// How long one rule takes at worst.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    /// The rule's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Nanoseconds for each KiB of the worst input.
    pub ns_per_kib: u64,
    /// The worst input.
    pub input: &'static str,
    /// Whether that is more than [`CHECK_BUDGET_NS`].
    pub over: bool,
}

/// What a check of files found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// The rules that can be used.
    pub rules: Vec<RuleInfo>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// How long each detection takes at worst, the slowest first.
    pub costs: Vec<Cost>,
}

impl Report {
    /// Whether anything is to be done: an error, or a rule above its budget.
    pub fn is_good(&self) -> bool {
        self.problems.iter().all(|problem| problem.weight != Weight::Error) && self.costs.iter().all(|cost| !cost.over)
    }
}

/// Reads files and times each rule over hostile inputs, by a clock of nanoseconds.
pub fn check(files: &[RuleFile<'_>], clock: &dyn Fn() -> u64) -> Report {
    let loaded = load(files, &Overrides::new());
    let rules = loaded.rules;
    let inputs = hostile();
    let mut costs: Vec<Cost> = Vec::new();
    for (number, info) in rules.infos.iter().enumerate().take_while(|(number, _)| *number < rules.detections()) {
        let mut worst =
            Cost { id: info.id.to_string(), title: info.title.to_string(), ns_per_kib: 0, input: "", over: false };
        for (name, event) in &inputs {
            let views = Views::new(event);
            views.warm();
            // The fastest of three: what else the machine did is not the rule's.
            let took = (0..3).map(|_| {
                let before = clock();
                std::hint::black_box(rules.engine.matches(number, &views));
                clock().saturating_sub(before)
            });
            let ns = per_kib(took.min().unwrap_or_default(), event);
            if ns > worst.ns_per_kib || worst.input.is_empty() {
                worst.ns_per_kib = ns;
                worst.input = name;
            }
        }
        worst.over = worst.ns_per_kib > CHECK_BUDGET_NS;
        costs.push(worst);
    }
    costs.sort_by(|a, b| b.ns_per_kib.cmp(&a.ns_per_kib).then_with(|| a.id.cmp(&b.id)));
    Report { rules: rules.describe(), problems: loaded.problems, costs }
}

/// A time, for each KiB of the event it was taken of; for at least one.
pub(super) fn per_kib(ns: u64, event: &Event) -> u64 {
    let texts =
        [&event.uri, &event.user_agent, &event.referer, &event.cookie, &event.host, &event.user, &event.message];
    let bytes: usize = texts.into_iter().flatten().map(String::len).sum();
    ns.saturating_mul(1_024) / u64::try_from(bytes).unwrap_or(u64::MAX).max(1_024)
}

/// Requests made to be slow to judge, with their names.
fn hostile() -> Vec<(&'static str, Event)> {
    const BYTES: usize = 48 * 1_024;
    let filled = |piece: &str| piece.repeat(BYTES / piece.len());
    let nested = "(".repeat(BYTES / 2) + &")".repeat(BYTES / 2);
    let texts = [
        ("one letter, again and again", filled("a")),
        ("digits", filled("0123456789")),
        ("blanks", filled(" ")),
        ("quotes", filled("'\"`")),
        ("a long query", filled("a=b&c=1&")),
        ("traversal", filled("../")),
        ("encoded traversal", filled("%252e%252e%252f")),
        ("brackets within each other", nested),
        ("tags", filled("<a href=")),
        ("SQL words", filled("union select from where or 1=1 ")),
        ("half of a payload", filled("${jndi:${lower:")),
        ("letters of no Latin script", filled("\u{44f}\u{6f22}")),
    ];
    let mut events = Vec::new();
    for (name, text) in texts {
        let mut event = Event::new(jiff::Timestamp::UNIX_EPOCH, EventKind::HttpRequest);
        event.method = Some("GET".to_owned());
        event.status = Some(200);
        let in_place = |place: fn(&mut Event, String)| {
            let mut event = event.clone();
            place(&mut event, text.clone());
            (name, event)
        };
        events.push(in_place(|event, text| event.uri = Some(format!("/?q={text}"))));
        events.push(in_place(|event, text| event.uri = Some(format!("/{text}"))));
        events.push(in_place(|event, text| event.user_agent = Some(text)));
        events.push(in_place(|event, text| event.message = Some(text)));
    }
    events
}
