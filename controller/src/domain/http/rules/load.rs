//! From files to rules in use.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rsigma_eval::{CompiledRule, compile_rule};
use rsigma_parser::{CorrelationRule, FilterRule, SigmaRule, parse_sigma_yaml};
use yaml_serde::Value;

use super::correlate::{self, Counting};
use super::engine::Sigma;
use super::info::{Kind, RuleInfo, Wanted, tags};
use super::{Overrides, RuleSet, check, fields};
use crate::domain::http::analyzers::settings;
use crate::domain::http::severity::Severity;

/// A file of rules: its name and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleFile<'a> {
    /// Its name, for those who read of it.
    pub name: &'a str,
    /// All of it.
    pub text: &'a str,
    /// Whether it comes with weir: then a field that nobody knows is an error.
    pub shipped: bool,
}

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// The rule is used all the same.
    Warning,
    /// The rule is not used.
    Error,
}

/// Something wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line in it, from 1; 0: all of it.
    pub line: usize,
    /// What is wrong, and the way out.
    pub what: String,
    /// How much it matters.
    pub weight: Weight,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let weight = if self.weight == Weight::Error { "error" } else { "warning" };
        match self.line {
            0 => write!(f, "{}: {weight}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {weight}: {}", self.file, self.what),
        }
    }
}

/// What was made of files.
#[derive(Debug)]
pub struct Loaded {
    /// The rules that can be used.
    pub rules: RuleSet,
    /// What is wrong with those files; the rest goes on.
    pub problems: Vec<Problem>,
}

/// What stands for a file where an override is about no rule there is.
pub const OVERRIDES: &str = "[[rules.override]]";

/// The longest file that is read.
const FILE_BYTES: usize = 1024 * 1024;
/// The most rules that are used.
const RULES: usize = 10_000;

/// One document of a file.
struct Document<'a> {
    file: &'a RuleFile<'a>,
    /// The line before its first.
    before: usize,
    text: String,
    value: Value,
}

/// A rule as read, with where it is from.
struct Read<'a, T> {
    rule: T,
    document: std::rc::Rc<Document<'a>>,
    wanted: Wanted,
    severity: Severity,
    /// Its number among the rules, once it has one.
    number: Option<usize>,
}

/// Reads rules. What is wrong with one is said, and the others are used.
pub fn load(files: &[RuleFile<'_>], overrides: &Overrides) -> Loaded {
    let mut reading = Reading::default();
    for file in files {
        reading.file(file);
    }
    reading.finish(overrides)
}

#[derive(Default)]
struct Reading<'a> {
    detections: Vec<Read<'a, SigmaRule>>,
    correlations: Vec<Read<'a, CorrelationRule>>,
    filters: Vec<(FilterRule, std::rc::Rc<Document<'a>>)>,
    /// Where each id is.
    ids: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Document<'_> {
    /// The line of the first of these words in it that stands as a key or a value.
    fn line_of(&self, word: &str) -> usize {
        let at = |line: &str| {
            line.match_indices(word).any(|(at, _)| {
                let goes_on = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
                !goes_on(line.get(..at).and_then(|text| text.chars().next_back()))
                    && !goes_on(line.get(at + word.len()..).and_then(|text| text.chars().next()))
            })
        };
        self.before + self.text.lines().position(at).map_or(self.first(), |line| line + 1)
    }

    /// Its first line that says something.
    fn first(&self) -> usize {
        let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with(['#', '-', '%']);
        self.text.lines().position(says).map_or(1, |line| line + 1)
    }

    fn problem(&self, weight: Weight, line: usize, what: impl Into<String>) -> Problem {
        Problem { file: self.file.name.to_owned(), line, what: what.into(), weight }
    }

    fn start(&self) -> usize {
        self.before + self.first()
    }
}

impl<'a> Reading<'a> {
    fn file(&mut self, file: &'a RuleFile<'a>) {
        let mut refuse = |line: usize, what: String| {
            self.problems.push(Problem { file: file.name.to_owned(), line, what, weight: Weight::Error });
        };
        if file.text.len() > FILE_BYTES {
            return refuse(
                1,
                format!("the file has {} bytes; split it into files of at most {FILE_BYTES}", file.text.len()),
            );
        }
        for (before, text) in documents(file.text) {
            let value = match yaml_serde::from_str::<Value>(&text) {
                Ok(Value::Null) => continue,
                Ok(value) => value,
                Err(error) => {
                    let line = error.location().map_or(1, |place| place.line());
                    self.problems.push(Problem {
                        file: file.name.to_owned(),
                        line: before + line,
                        what: format!("no YAML: {error}"),
                        weight: Weight::Error,
                    });
                    continue;
                }
            };
            let document = std::rc::Rc::new(Document { file, before, text, value });
            if let Err(problem) = self.document(&document) {
                self.problems.push(problem);
            }
        }
    }

    fn document(&mut self, document: &std::rc::Rc<Document<'a>>) -> Result<(), Problem> {
        let start = document.start();
        let error = |line: usize, what: String| document.problem(Weight::Error, line, what);
        if !document.value.is_mapping() {
            return Err(error(start, "no rule: a mapping with a title and a detection is wanted".to_owned()));
        }
        if document.value.get("action").is_some() {
            let what = "action: global, repeat and reset are not read; write each rule whole".to_owned();
            return Err(error(document.line_of("action"), what));
        }
        if self.detections.len() + self.correlations.len() >= RULES {
            return Err(error(start, format!("more than {RULES} rules")));
        }
        check::conditions(&document.value).map_err(|what| error(document.line_of("condition"), what))?;
        let level = document.value.get("level").and_then(Value::as_str);
        let severity = level.map_or(Ok(Severity::Medium), str::parse);
        let severity: Severity =
            severity.map_err(|wrong| error(document.line_of("level"), format!("level: {wrong}")))?;
        let wanted = Wanted::read(&document.value).map_err(|what| error(document.line_of("weir"), what))?;
        let collection = parse_sigma_yaml(&document.text).map_err(|wrong| error(start, wrong.to_string()))?;
        let nothing =
            collection.rules.is_empty() && collection.correlations.is_empty() && collection.filters.is_empty();
        for what in collection.errors {
            if nothing {
                self.problems.push(error(start, what));
            } else if !what.starts_with("invalid level") {
                self.problems.push(document.problem(Weight::Warning, start, what));
            }
        }
        for mut rule in collection.rules {
            check::keywords_anywhere(&mut rule);
            self.named(document, rule.id.as_ref(), rule.name.as_ref(), &rule.title)?;
            check::values(&rule).map_err(|(word, what)| error(document.line_of(&word), what))?;
            let names = check::field_names(&rule);
            self.fields(document, names.into_iter().chain(wanted.fields()))?;
            self.detections.push(Read {
                rule,
                document: document.clone(),
                wanted: wanted.clone(),
                severity,
                number: None,
            });
        }
        for rule in collection.correlations {
            self.named(document, rule.id.as_ref(), rule.name.as_ref(), &rule.title)?;
            if wanted.repeat.is_some() {
                let what = "weir: repeat belongs to a detection; a correlation has its own condition".to_owned();
                return Err(error(document.line_of("repeat"), what));
            }
            let names = correlate::field_names(&rule);
            self.fields(document, names.into_iter().chain(wanted.fields()))?;
            self.correlations.push(Read {
                rule,
                document: document.clone(),
                wanted: wanted.clone(),
                severity,
                number: None,
            });
        }
        self.filters.extend(collection.filters.into_iter().map(|filter| (filter, document.clone())));
        Ok(())
    }

    /// Takes note of a rule's id; it must be the only one of it.
    fn named(
        &mut self,
        document: &Document<'_>,
        id: Option<&String>,
        name: Option<&String>,
        title: &str,
    ) -> Result<(), Problem> {
        let id = id_of(id, name, title);
        let here = format!("{}:{}", document.file.name, document.start());
        if let Some(there) = self.ids.get(&id) {
            let what = format!("id {id} is taken by the rule in {there}; give this one its own");
            return Err(document.problem(Weight::Error, document.start(), what));
        }
        self.ids.insert(id, here);
        Ok(())
    }

    /// Says of fields that no event has.
    fn fields(&mut self, document: &Document<'_>, names: impl Iterator<Item = String>) -> Result<(), Problem> {
        let mut unknown: Vec<String> = names.filter(|name| !fields::known(name)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        for name in unknown {
            let nearest = fields::nearest(&name).map(|field| format!("; did you mean {field}?")).unwrap_or_default();
            let what = format!("no log has a field {name}{nearest} (details.NAME for one of an application's own)");
            let line = document.line_of(&name);
            if document.file.shipped {
                return Err(document.problem(Weight::Error, line, what));
            }
            self.problems.push(document.problem(Weight::Warning, line, what));
        }
        Ok(())
    }

    fn finish(mut self, overrides: &Overrides) -> Loaded {
        let mut compiled: Vec<CompiledRule> = Vec::new();
        let mut infos: Vec<RuleInfo> = Vec::new();
        let mut detections = Vec::new();
        for read in std::mem::take(&mut self.detections) {
            match compile_rule(&read.rule) {
                Ok(rule) => {
                    compiled.push(rule);
                    infos.push(read.info());
                    detections.push(read);
                }
                Err(wrong) => {
                    self.problems.push(read.document.problem(Weight::Error, read.document.start(), wrong.to_string()));
                }
            }
        }
        let mut compiled = self.filtered(compiled);
        let mut countings = correlate::Building::default();
        for (number, read) in detections.iter().enumerate() {
            countings.detection(number, read.rule.id.as_ref(), read.rule.name.as_ref(), &read.rule.title);
        }
        for (number, read) in detections.iter().enumerate() {
            if let Some((count, within_s)) = read.wanted.repeat {
                countings.repeated(number, count, within_s, &read.wanted.group);
            }
        }
        for read in &mut self.correlations {
            let condition = read.document.value.get("correlation").and_then(|correlation| correlation.get("condition"));
            match countings.correlation(infos.len(), &read.rule, condition.is_some(), &read.wanted.group) {
                Ok(()) => {
                    read.number = Some(infos.len());
                    infos.push(read.info());
                }
                Err((word, what)) => {
                    self.problems.push(read.document.problem(Weight::Error, read.document.line_of(&word), what));
                }
            }
        }
        let names: HashMap<&str, usize> = infos.iter().enumerate().map(|(number, info)| (&*info.id, number)).collect();
        let is_known = |id: &str| names.contains_key(id) || settings::NAMES.contains(&id);
        for id in overrides.keys().filter(|id| !is_known(id)) {
            let likeness = |known: &&str| strsim::jaro_winkler(known, id);
            let nearest = names.keys().copied().chain(settings::NAMES).max_by(|a, b| {
                // Of two alike the first by name, whatever order the map has them in.
                likeness(a).total_cmp(&likeness(b)).then_with(|| b.cmp(a))
            });
            let meant = nearest.filter(|known| likeness(known) > 0.8);
            let meant = meant.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
            self.problems.push(Problem {
                file: OVERRIDES.to_owned(),
                line: 0,
                what: format!("no rule or analyzer is known as {id}{meant}"),
                weight: Weight::Warning,
            });
        }
        let tied = countings.finish(infos.len());
        let (mut countings, feeds, chains) = (tied.countings, tied.feeds, tied.chains);
        for (rule, word, what) in tied.loose {
            let document = self.correlations.iter().find(|read| read.number == Some(rule)).map(|read| &read.document);
            if let (Some(info), Some(document)) = (infos.get_mut(rule), document) {
                info.enabled = false;
                self.problems.push(document.problem(Weight::Error, document.line_of(&word), what));
            }
        }
        for counting in &countings {
            self.silenced(counting, &mut infos);
        }
        apply(overrides, &mut infos, &mut countings);
        let disabled = infos.iter().map(|info| AtomicBool::new(!info.enabled)).collect();
        let engine = match Sigma::new(std::mem::take(&mut compiled)) {
            Ok(engine) => engine,
            Err(wrong) => {
                // All rules together have more texts than memory: none is used, and that is said.
                self.problems.push(Problem {
                    file: "rules".to_owned(),
                    line: 1,
                    what: format!("too many texts to look for: {wrong}"),
                    weight: Weight::Error,
                });
                return Loaded { rules: RuleSet::none(), problems: self.problems };
            }
        };
        let rules = RuleSet { infos, engine: Box::new(engine), countings, feeds, chains, disabled };
        Loaded { rules, problems: self.problems }
    }

    /// Rules with the filters that are about them.
    fn filtered(&mut self, compiled: Vec<CompiledRule>) -> Vec<CompiledRule> {
        if self.filters.is_empty() {
            return compiled;
        }
        let mut engine = rsigma_eval::Engine::new();
        engine.extend_compiled_rules(compiled);
        for (filter, document) in &self.filters {
            if let Err(wrong) = engine.apply_filter(filter) {
                self.problems.push(document.problem(Weight::Error, document.start(), wrong.to_string()));
            }
        }
        engine.rules().to_vec()
    }

    /// A rule that is counted says nothing by itself, unless the correlation has it so. Where the two are in different
    /// files, somebody may not know.
    fn silenced(&mut self, counting: &Counting, infos: &mut [RuleInfo]) {
        if counting.generate {
            return;
        }
        let Some((by, file, repeated)) =
            infos.get(counting.rule).map(|info| (info.title.clone(), info.file.clone(), info.kind == Kind::Repeated))
        else {
            return;
        };
        for rule in &counting.detections {
            let Some(info) = infos.get_mut(*rule) else { continue };
            info.alerts = false;
            if !repeated && info.file != file {
                self.problems.push(Problem {
                    file: file.clone(),
                    line: 1,
                    what: format!(
                        "{} no longer alerts by itself, as {by} counts it; add generate: true to have both",
                        info.title
                    ),
                    weight: Weight::Warning,
                });
            }
        }
    }
}

impl RuleSet {
    /// No rules.
    pub fn none() -> Self {
        load(&[], &Overrides::new()).rules
    }
}

fn apply(overrides: &Overrides, infos: &mut [RuleInfo], countings: &mut [Counting]) {
    for info in infos.iter_mut() {
        let Some(change) = overrides.get(&*info.id) else { continue };
        info.enabled = change.enabled.unwrap_or(info.enabled);
        info.severity = change.severity.unwrap_or(info.severity);
        info.response = change.response.or(info.response);
    }
    for counting in countings {
        let Some(info) = infos.get_mut(counting.rule) else { continue };
        if let Some(change) = overrides.get(&*info.id) {
            counting.change(change.threshold, change.within_s);
        }
        info.threshold = counting.threshold();
        info.within_s = Some(counting.within_s());
        info.counts.clone_from(&counting.names);
        info.group.clone_from(&counting.group_names);
    }
}

/// Files as their documents: the number of lines before each, and its text.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = vec![(0, String::new())];
    for (number, line) in text.lines().enumerate() {
        let starts = line == "---" || line.starts_with("--- ") || line.starts_with("---\t");
        if starts || line.trim_end() == "..." {
            all.push((number + 1, String::new()));
            continue;
        }
        if let Some((_, document)) = all.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    all
}

/// What a rule is known by: its name, which people can read, else its id, else its title in small letters.
fn id_of(id: Option<&String>, name: Option<&String>, title: &str) -> String {
    let slug = || {
        let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
    };
    name.or(id).cloned().unwrap_or_else(slug)
}

impl Wanted {
    /// Names of fields in it.
    fn fields(&self) -> impl Iterator<Item = String> {
        let grouped = self.group.iter().filter(|name| *name != "source");
        grouped.chain(&self.indicator_fields).cloned().collect::<Vec<_>>().into_iter()
    }
}

/// What both kinds of rule say of themselves.
struct Said<'r> {
    id: Option<&'r String>,
    name: Option<&'r String>,
    title: &'r str,
    description: Option<&'r String>,
    tags: &'r [String],
    falsepositives: &'r [String],
    references: &'r [String],
    author: Option<&'r String>,
    kind: Kind,
}

impl<T> Read<'_, T> {
    fn describe(&self, said: &Said<'_>) -> RuleInfo {
        let (techniques, others) = tags(said.tags);
        RuleInfo {
            id: Arc::from(id_of(said.id, said.name, said.title)),
            name: said.name.cloned(),
            title: Arc::from(said.title),
            description: Arc::from(said.description.map_or("", |text| text.trim())),
            kind: said.kind,
            severity: self.severity,
            confidence: self.wanted.confidence,
            techniques,
            tags: others,
            falsepositives: said.falsepositives.to_vec(),
            references: said.references.to_vec(),
            author: said.author.cloned(),
            file: self.document.file.name.to_owned(),
            line: self.document.start(),
            shipped: self.document.file.shipped,
            enabled: self.wanted.enabled,
            alerts: true,
            response: self.wanted.response,
            group: self.wanted.group.clone(),
            threshold: None,
            within_s: None,
            counts: Vec::new(),
            indicator_fields: self.wanted.indicator_fields.clone(),
        }
    }
}

/// What a rule says of itself: the library has the same fields in two types.
macro_rules! said {
    ($rule:expr, $kind:expr) => {
        Said {
            id: $rule.id.as_ref(),
            name: $rule.name.as_ref(),
            title: &$rule.title,
            description: $rule.description.as_ref(),
            tags: &$rule.tags,
            falsepositives: &$rule.falsepositives,
            references: &$rule.references,
            author: $rule.author.as_ref(),
            kind: $kind,
        }
    };
}

impl Read<'_, SigmaRule> {
    fn info(&self) -> RuleInfo {
        let kind = if self.wanted.repeat.is_some() { Kind::Repeated } else { Kind::Detection };
        self.describe(&said!(self.rule, kind))
    }
}

impl Read<'_, CorrelationRule> {
    fn info(&self) -> RuleInfo {
        self.describe(&said!(self.rule, Kind::Correlation))
    }
}
