//! The rules that come with weir, embedded: `weir` needs no files to judge by.
use crate::domain::http::rules::RuleFile;

/// Each file's name below `controller/rules`, and all of it.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// The files of the pack, by name.
pub fn files() -> Vec<RuleFile<'static>> {
    FILES.iter().map(|&(name, text)| RuleFile { name, text, shipped: true }).collect()
}

#[cfg(test)]
mod tests;
