//! Every published rule finds what it looks for, in each of the ways that it has: requests are made up from the rules
//! themselves.
use std::collections::{BTreeMap, HashMap};

use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, Modifier, Quantifier, SelectorPattern, SigmaRule, SigmaValue, SpecialChar,
    StringPart,
};

use super::*;

/// More ways than any rule has.
const WAYS: usize = 256;

/// A text that a pattern matches. Published rules have few patterns, so each is known here.
fn matching(pattern: &str) -> String {
    let known = [(".{150}", "a".repeat(150))];
    let Some((_, text)) = known.into_iter().find(|(known, _)| *known == pattern) else {
        panic!("which text matches {pattern}?");
    };
    text
}

/// What a value looks for. What stands for any text may be none.
fn text(value: &SigmaValue) -> String {
    match value {
        SigmaValue::Integer(number) => number.to_string(),
        SigmaValue::String(text) => {
            let part = |part: &StringPart| match part {
                StringPart::Plain(text) => text.clone(),
                StringPart::Special(SpecialChar::WildcardMulti) => String::new(),
                StringPart::Special(SpecialChar::WildcardSingle) => "?".to_owned(),
            };
            text.parts.iter().map(part).collect()
        }
        other => panic!("what looks like {other:?}?"),
    }
}

/// Names of selections that a pattern names, in order.
fn chosen<'a>(pattern: &SelectorPattern, named: &'a HashMap<String, Detection>) -> Vec<&'a str> {
    let all = named.keys().map(String::as_str);
    let mut these: Vec<&str> = all.filter(|name| pattern.matches_detection_name(name)).collect();
    these.sort_unstable();
    these
}

/// A field's text in the making.
#[derive(Debug, Default)]
struct Pieces {
    start: String,
    middle: String,
    end: String,
}

impl Pieces {
    fn whole(&self) -> String {
        format!("{}{}{}", self.start, self.middle, self.end)
    }
}

/// A request in the making.
#[derive(Debug, Default)]
struct Draft {
    /// What there is left to choose by: each choice takes its part.
    way: usize,
    fields: BTreeMap<String, Pieces>,
    /// What is looked for anywhere.
    words: String,
    /// The selections that it is to satisfy.
    selections: Vec<String>,
}

impl Draft {
    /// One that satisfies a rule in the way of this number; `None`: it has no such way.
    fn of(rule: &SigmaRule, way: usize) -> Option<Self> {
        let mut draft = Self { way, ..Self::default() };
        let condition = draft.one_of(&rule.detection.conditions);
        draft.satisfy(condition, &rule.detection.named);
        (draft.way == 0).then_some(draft)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.way % all.len();
        self.way /= all.len();
        &all[at]
    }

    fn satisfy(&mut self, condition: &ConditionExpr, named: &HashMap<String, Detection>) {
        match condition {
            ConditionExpr::And(all) => {
                for one in all {
                    self.satisfy(one, named);
                }
            }
            ConditionExpr::Or(any) => {
                let one = self.one_of(any);
                self.satisfy(one, named);
            }
            ConditionExpr::Not(one) => self.leave(one, named),
            ConditionExpr::Identifier(name) => self.select(name, named),
            ConditionExpr::Selector { quantifier, pattern } => {
                let these = chosen(pattern, named);
                match quantifier {
                    Quantifier::All => {
                        for name in these {
                            self.select(name, named);
                        }
                    }
                    Quantifier::Any => {
                        let name = self.one_of(&these);
                        self.select(name, named);
                    }
                    Quantifier::Count(count) => panic!("how are {count} of {pattern} satisfied?"),
                }
            }
        }
    }

    /// Leaves a filter unsatisfied. What nobody asks for is not there, so only one that wants something to be absent
    /// needs anything.
    fn leave(&mut self, filter: &ConditionExpr, named: &HashMap<String, Detection>) {
        let these = match filter {
            ConditionExpr::Identifier(name) => vec![name.as_str()],
            ConditionExpr::Selector { pattern, .. } => chosen(pattern, named),
            other => panic!("how is {other} left unsatisfied?"),
        };
        for name in these {
            let Detection::AllOf(items) = &named[name] else { continue };
            for item in items.iter().filter(|item| item.values.contains(&SigmaValue::Null)) {
                if let Some(field) = &item.field.name {
                    self.put(field, &[], "x");
                }
            }
        }
    }

    fn select(&mut self, name: &str, named: &HashMap<String, Detection>) {
        self.selections.push(name.to_owned());
        self.detect(&named[name]);
    }

    fn detect(&mut self, detection: &Detection) {
        match detection {
            Detection::AllOf(items) => {
                for item in items {
                    self.item(item);
                }
            }
            Detection::AnyOf(any) => {
                let one = self.one_of(any);
                self.detect(one);
            }
            Detection::Keywords(words) => {
                let word = self.one_of(words);
                self.words.push_str(&text(word));
            }
            other => panic!("how is {other:?} satisfied?"),
        }
    }

    fn item(&mut self, item: &DetectionItem) {
        let modifiers = &item.field.modifiers;
        let values: Vec<&SigmaValue> = if modifiers.contains(&Modifier::All) {
            item.values.iter().collect()
        } else {
            vec![self.one_of(&item.values)]
        };
        // What is to be absent is left out.
        for value in values.into_iter().filter(|value| **value != SigmaValue::Null) {
            let mut text = text(value);
            if modifiers.contains(&Modifier::Re) {
                text = matching(&text);
            }
            match &item.field.name {
                Some(field) => self.put(field, modifiers, &text),
                None => self.words.push_str(&text),
            }
        }
    }

    fn put(&mut self, field: &str, modifiers: &[Modifier], text: &str) {
        let pieces = self.fields.entry(field.to_owned()).or_default();
        let piece = if modifiers.contains(&Modifier::Contains) {
            &mut pieces.middle
        } else if modifiers.contains(&Modifier::EndsWith) {
            &mut pieces.end
        } else {
            &mut pieces.start
        };
        piece.push_str(text);
    }

    fn uri(&self) -> String {
        let whole = |field: &str| self.fields.get(field).map(Pieces::whole);
        let mut uri = match (whole("cs-uri-stem"), whole("cs-uri-query")) {
            (Some(stem), Some(query)) => format!("{stem}?{query}"),
            (Some(stem), None) => stem,
            // Published rules write the path under the query's name too.
            (None, Some(query)) if query.starts_with('/') => query,
            (None, Some(query)) => format!("/?{query}"),
            (None, None) => "/".to_owned(),
        };
        if !self.words.is_empty() {
            uri.push(if uri.contains('?') { '&' } else { '?' });
            uri.push_str(&self.words);
        }
        uri
    }

    fn event(&self) -> Event {
        let mut event = request(0, &self.uri());
        for (field, pieces) in &self.fields {
            let text = pieces.whole();
            match field.as_str() {
                "cs-uri-stem" | "cs-uri-query" => {}
                "cs-method" => event.method = Some(text),
                "sc-status" => event.status = Some(text.parse().unwrap()),
                "cs-user-agent" => event.user_agent = Some(text),
                "cs-referer" => event.referer = Some(text),
                "cs-host" => event.host = Some(text),
                "cs-username" => event.user = Some(text),
                // Where a log has it, it is among the rest.
                "cs-content-type" => {
                    event.details.insert(field.clone(), text);
                }
                other => panic!("where in a request is {other}?"),
            }
        }
        event
    }
}

#[test]
fn each_published_rule_finds_what_it_looks_for() {
    let Some(files) = same::published() else { return };
    let loaded = load(&same::with(&files), &Overrides::new());
    let errors: Vec<_> = loaded.problems.iter().filter(|problem| problem.weight == Weight::Error).collect();
    assert_eq!((errors, loaded.rules.len()), (vec![], files.len()));
    // All of them together, so that the search for candidates is put to the test too.
    let rules = loaded.rules;
    let mut wrong = Vec::new();
    for (file, source) in &files {
        let parsed = rsigma_parser::parse_sigma_yaml(source).unwrap().rules;
        let [rule] = &parsed[..] else { panic!("{file} has {} rules", parsed.len()) };
        let mut ways = 0;
        for draft in (0..WAYS).filter_map(|way| Draft::of(rule, way)) {
            ways += 1;
            let event = draft.event();
            if !rules.matches(&event).hits.iter().any(|hit| rules.infos[hit.rule].file == *file) {
                wrong.push(format!("{file} does not find {event:?} by {:?}", draft.selections));
            }
        }
        assert!(ways > 0, "{file} has no way");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
