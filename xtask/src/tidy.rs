//! What lints can't check: the layering, the kernel ABI's version, and that no file names the machine it was made on.
pub mod abi;
pub mod code;
pub mod rules;

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use self::abi::Abi;
use crate::shell;

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Relative to the workspace.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// What is wrong, and how to right it.
    pub message: String,
}

impl Finding {
    /// A finding in `path` at `line`.
    pub fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A file of the repository; bytes that are not text are replaced.
#[derive(Clone, Debug)]
pub struct Source {
    /// Relative to the workspace.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// Errors and remarks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What must be put right.
    pub errors: Vec<Finding>,
    /// What is worth a look.
    pub remarks: Vec<Finding>,
}

/// Holds all files against all rules.
pub fn judge(files: &[Source]) -> Findings {
    let text_of = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let mut findings = Findings::default();
    for file in files {
        for rule in [
            rules::domain_is_pure,
            rules::common_is_bare,
            rules::program_decides_nothing,
            rules::one_writer,
            rules::names_no_machine,
        ] {
            findings.errors.extend(rule(&file.path, &file.text));
        }
        findings.remarks.extend(rules::is_short(&file.path, &file.text));
    }

    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    findings.errors.extend(rules::rules_have_samples(&paths));

    let members = rules::members(text_of("Cargo.toml").unwrap_or_default());
    if members.is_empty() {
        findings.errors.push(Finding::new("Cargo.toml", 1, "no `members` are listed"));
    }
    for member in members {
        let path = format!("{member}/Cargo.toml");
        match text_of(&path) {
            Some(manifest) => findings.errors.extend(rules::inherits_lints(&path, manifest)),
            None => findings.errors.push(Finding::new("Cargo.toml", 1, format!("member {member} has no manifest"))),
        }
    }

    let recorded = text_of(abi::LOCK).and_then(Abi::from_lock);
    let complaint = match current_abi(files) {
        Some(current) => current.complaint(recorded.as_ref()),
        None => Some("no `ABI_VERSION` is defined".to_owned()),
    };
    findings.errors.extend(complaint.map(|complaint| Finding::new(abi::SOURCE, 1, complaint)));
    findings
}

fn current_abi(files: &[Source]) -> Option<Abi> {
    let text_of = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let others =
        files.iter().filter(|file| file.path != abi::SOURCE && abi::OTHERS.iter().any(|at| file.path.starts_with(at)));
    let mut others: Vec<&Source> = others.collect();
    others.sort_by_key(|file| &file.path);
    let mut layouts: Vec<&str> = others.into_iter().map(|file| file.text.as_str()).collect();
    layouts.push(text_of(abi::SOURCE)?);
    Abi::of(&layouts, text_of(abi::VERDICTS)?)
}

/// Reads the repository and reports what breaks a rule; with `bless`, first records the kernel ABI as it is.
///
/// # Errors
/// When a rule is broken or the repository can't be read.
pub fn run(root: &Path, bless: bool, out: &mut impl Write) -> Result<()> {
    let mut files = sources(root)?;
    if bless {
        let lock = current_abi(&files).with_context(|| format!("{} defines no ABI_VERSION", abi::SOURCE))?.lock();
        fs::write(root.join(abi::LOCK), &lock).with_context(|| format!("cannot write {}", abi::LOCK))?;
        files.retain(|file| file.path != abi::LOCK);
        files.push(Source { path: abi::LOCK.to_owned(), text: lock });
    }
    let Findings { errors, remarks } = judge(&files);
    for remark in &remarks {
        writeln!(out, "remark: {remark}")?;
    }
    for error in &errors {
        writeln!(out, "error: {error}")?;
    }
    if !errors.is_empty() {
        bail!("rules are broken in {} places", errors.len());
    }
    writeln!(out, "{} files in order, {} remarks", files.len(), remarks.len())?;
    Ok(())
}

/// Every file that is or could be committed: tracked, or neither tracked nor ignored.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut git = std::process::Command::new("git");
    git.current_dir(root).args(["ls-files", "-co", "--exclude-standard", "-z"]);
    let list = shell::output(&mut git).context("`git ls-files` failed: tidy needs git and a repository")?;
    let mut files = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        match fs::read(root.join(path)) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                files.push(Source { path: path.to_owned(), text });
            }
            // Deleted and not yet committed as such.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
        }
    }
    // A tracked file with a conflict is listed once a side.
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    fn repository() -> Vec<Source> {
        let layout = "pub const ABI_VERSION: u32 = 1;\n";
        let lock = Abi::of(&[layout], "").unwrap().lock();
        vec![
            source("Cargo.toml", "[workspace]\nmembers = [\"common\"]\n"),
            source("common/Cargo.toml", "[package]\n[lints]\nworkspace = true\n"),
            source(abi::SOURCE, layout),
            source(abi::VERDICTS, ""),
            source(abi::LOCK, &lock),
        ]
    }

    #[test]
    fn repository_in_order_has_no_findings() {
        assert_eq!(judge(&repository()), Findings::default());
    }

    #[test]
    fn every_kind_of_rule_is_applied() {
        let planted = [
            source("common/Cargo.toml", "[package]\n"),
            source("common/src/rate.rs", "use std::fs;\n"),
            source("controller/src/domain/plan.rs", "fn f() { tokio::spawn(); }\n"),
            source("controller/src/daemon.rs", "fn f(w: KernelWriter) {}\n"),
            source("xdp-ebpf/src/main.rs", "fn f() { Verdict::Pass; }\n"),
            source("docs/notes.md", concat!("see /ro", "ot/notes\n")),
            source("controller/rules/xss/a.yml", "title: a\n"),
            source(abi::LOCK, ""),
            source("common/src/abi/counters.rs", "pub struct Tally(u64);\n"),
            source("common/src/area.rs", "pub const CONTROL: Area = 1;\n"),
        ];
        for file in planted {
            let mut files = repository();
            files.retain(|known| known.path != file.path);
            files.push(file.clone());
            assert_eq!(judge(&files).errors.len(), 1, "{}", file.path);
        }
    }

    #[test]
    fn member_without_manifest_is_found() {
        let mut files = repository();
        files.retain(|file| file.path != "common/Cargo.toml");
        assert_eq!(judge(&files).errors.len(), 1);
    }
}
