//! What settings call a log, and where it is.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::domain::http::follow::{is_appended_name, is_compressed_name};

/// Links that are resolved one after the other.
const MOST_LINKS: usize = 8;
/// Names that globs are tried on at one look.
const MOST_MATCHES: usize = 65_536;

/// A path or glob of the settings.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// One path, resolved.
    Path(PathBuf),
    /// A glob.
    Glob(String),
    /// Neither, and why.
    Refused(String),
}

impl Pattern {
    /// Reads one, and resolves a path that is a link: once, so that it cannot be pointed elsewhere later.
    pub(super) fn new(text: &str) -> Self {
        if !text.starts_with('/') {
            return Self::Refused("must be an absolute path, such as /var/log/nginx/access.log".to_owned());
        }
        if !text.contains(['*', '?', '[']) {
            return Self::Path(resolve(Path::new(text)));
        }
        if text.contains("**") {
            return Self::Refused(
                "`**` could be any number of files; name the folders, with one `*` for each".to_owned(),
            );
        }
        match glob::Pattern::new(text) {
            Ok(_) => Self::Glob(text.to_owned()),
            Err(error) => Self::Refused(format!("is no glob: {error}; write `[*]` for a star that is meant")),
        }
    }
}

/// A path without links, as far as it exists.
fn resolve(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name()) {
            path = fs::canonicalize(folder).unwrap_or_else(|_missing| folder.to_path_buf()).join(name);
        }
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => break,
        }
    }
    path
}

/// What patterns come to at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The files, by name.
    pub(super) files: BTreeSet<PathBuf>,
    /// Those of them that are named one by one, and waited for if they are not there.
    pub(super) named: BTreeSet<PathBuf>,
    /// The folders in which there may be more.
    pub(super) folders: BTreeSet<PathBuf>,
    /// Globs that match nothing.
    pub(super) unmatched: BTreeSet<String>,
    /// Files that are not followed since there are too many.
    pub(super) beyond: usize,
}

/// Looks for what patterns match: at most so many files. Of what globs find, compressed files are left out, links, and files
/// named as the rotated ones of another.
pub(super) fn expand<'a>(patterns: impl Iterator<Item = &'a Pattern>, most: usize) -> Expanded {
    let mut expanded = Expanded::default();
    let mut found = BTreeSet::new();
    for pattern in patterns {
        match pattern {
            Pattern::Path(path) => {
                expanded.named.insert(path.clone());
                expanded.folders.extend(path.parent().map(Path::to_path_buf));
            }
            Pattern::Glob(pattern) => {
                let before = found.len();
                find(pattern, &mut found, &mut expanded.folders);
                if found.len() == before {
                    expanded.unmatched.insert(pattern.clone());
                }
            }
            Pattern::Refused(_) => {}
        }
    }
    let is_rotated = |path: &PathBuf| {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return true };
        // Every base of `access.log.1` sorts before it, and is one of its beginnings.
        (1..name.len()).filter_map(|end| name.get(..end)).any(|base| {
            is_appended_name(base, name) && {
                let base = path.with_file_name(base);
                found.contains(&base) || expanded.named.contains(&base)
            }
        })
    };
    let matched = found.iter().filter(|path| !expanded.named.contains(*path) && !is_rotated(path));
    let all: Vec<PathBuf> = expanded.named.iter().chain(matched).cloned().collect();
    expanded.beyond = all.len().saturating_sub(most);
    expanded.files = all.into_iter().take(most).collect();
    expanded
}

fn find(pattern: &str, found: &mut BTreeSet<PathBuf>, folders: &mut BTreeSet<PathBuf>) {
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let folder = if folder.is_empty() { "/" } else { folder };
    let Ok(name) = glob::Pattern::new(name) else { return };
    let Ok(matching) = glob::glob_with(folder, options) else { return };
    for folder in matching.filter_map(Result::ok).take(MOST_MATCHES) {
        let Ok(folder) = fs::canonicalize(folder) else { continue };
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.take(MOST_MATCHES).filter_map(Result::ok) {
            let is_match = entry
                .file_name()
                .to_str()
                .is_some_and(|text| name.matches_with(text, options) && !is_compressed_name(text));
            if is_match && found.len() < MOST_MATCHES && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                found.insert(entry.path());
            }
        }
        folders.insert(folder);
    }
}
