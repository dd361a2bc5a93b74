//! `weir rules`.
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::client;
use super::failure::UsageError;
use super::io::Io;
use crate::adapters::client::RuleText;
use crate::adapters::clock;
use crate::adapters::rules::Files;
use crate::cli::{Global, RuleChange, Rules, RulesCheck, RulesCreate, RulesUpdate};
use crate::domain::http::finding::Response;
use crate::domain::http::rules::check;
use crate::domain::report::OverrideRequest;
use crate::render;

/// Largest file of a rule that is sent.
const LONGEST: u64 = 1 << 20;

/// Carries out a verb of `weir rules`.
pub(super) fn run(verb: &Rules, global: &Global, io: &mut Io) -> Result<()> {
    let report = match verb {
        Rules::List(args) => {
            let rows = client(global)?.rules(args.enabled)?;
            return Ok(io.report(global.output, rows.as_slice(), render::rules::list)?);
        }
        Rules::Show(args) => {
            let rule = client(global)?.rule(&args.id)?;
            return Ok(io.report(global.output, &rule, render::rules::rule)?);
        }
        Rules::Check(args) => return check(args, global, io),
        Rules::Create(RulesCreate { file, dry_run }) => {
            let text = read(file, io)?;
            client(global)?.put_rule(None, kind(&text), *dry_run)?
        }
        Rules::Update(args) => update(args, global, io)?,
        Rules::Delete(RuleChange { id, dry_run }) => client(global)?.delete_rule(id, *dry_run)?,
        Rules::Enable(args) => switch(args, true, global)?,
        Rules::Disable(args) => switch(args, false, global)?,
    };
    Ok(io.report(global.output, &report, render::rules::change)?)
}

fn switch(args: &RuleChange, enabled: bool, global: &Global) -> Result<crate::domain::report::RuleReport> {
    let change = OverrideRequest { enabled: Some(enabled), ..OverrideRequest::default() };
    Ok(client(global)?.override_rule(&args.id, &change, args.dry_run)?)
}

fn update(args: &RulesUpdate, global: &Global, io: &mut Io) -> Result<crate::domain::report::RuleReport> {
    if let Some(file) = &args.file {
        let text = read(file, io)?;
        return Ok(client(global)?.put_rule(Some(&args.id), kind(&text), args.dry_run)?);
    }
    let response = args.response.map(|word| Response::named(word.name(), args.for_s)).transpose()?;
    if args.for_s.is_some() && response.is_some_and(|response| response.for_s().is_none()) {
        return Err(UsageError("--for is for limit, deny and deny_user: the others do not last".to_owned()).into());
    }
    let change = OverrideRequest {
        enabled: None,
        severity: args.severity,
        threshold: args.threshold,
        within_s: args.within_s,
        response,
    };
    if change.is_empty() {
        return Err(UsageError("nothing is to be changed: name a FILE, or --severity, --response …".to_owned()).into());
    }
    Ok(client(global)?.override_rule(&args.id, &change, args.dry_run)?)
}

/// JSON is an object from its first letter on; no rule in YAML begins so.
fn kind(text: &str) -> RuleText<'_> {
    if text.trim_start().starts_with('{') { RuleText::Json(text) } else { RuleText::Yaml(text) }
}

fn read(file: &Path, io: &mut Io) -> Result<String> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io.input.by_ref().take(LONGEST + 1).read_to_end(&mut bytes).context("read standard input")?;
    } else {
        let opened = std::fs::File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
        opened.with_context(|| format!("read {}", file.display()))?;
    }
    if bytes.len() as u64 > LONGEST {
        bail!("{}: more than {LONGEST} bytes are too many for a rule", file.display());
    }
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))
}

fn check(args: &RulesCheck, global: &Global, io: &mut Io) -> Result<()> {
    let files = Files::read(false, &args.files);
    let report = check::check(&files.as_rules(), &clock::thread_cpu_ns);
    io.report(global.output, &report, render::rules::checked)?;
    if let Some(unread) = files.unread.first() {
        bail!("{}: {}", unread.path.display(), unread.why);
    }
    if !report.is_good() {
        let (remarks, slow) = (report.problems.len(), report.costs.iter().filter(|cost| cost.over).count());
        bail!("not all of it is well: {remarks} remarks, {slow} rules too slow; see above");
    }
    Ok(())
}
