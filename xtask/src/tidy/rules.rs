//! The rules, each a function from a file's path and text to what is wrong with it.
use super::Finding;
use super::code;

/// Longest source file that is not remarked on.
const MAX_LINES: usize = 600;

/// What the domain must not know: runtimes, the kernel, files, the environment, sockets, processes, clocks, logs.
const NOT_IN_DOMAIN: [&str; 24] = [
    "tokio",
    "aya",
    "libc",
    "rusqlite",
    "axum",
    "reqwest",
    "tracing",
    "async",
    "await",
    "std::fs",
    "std::env",
    "std::process",
    "std::os",
    "std::thread",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "ToSocketAddrs",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
];

/// Modules of `std` that the domain must not reach through a grouped import either.
const NOT_IMPORTED_IN_DOMAIN: [&str; 5] = ["fs", "env", "process", "os", "thread"];

/// Who may name the writer of the kernel's tables: the sync task, the adapter that is it, and tests.
const WRITERS: [&str; 6] = [
    "controller/src/sync.rs",
    "controller/src/sync/",
    "controller/src/adapters/kernel.rs",
    "controller/src/adapters/kernel/",
    // Writes the tables of a private instance that nothing is attached to.
    "controller/src/commands/simulate/",
    "tests/",
];

/// Paths and hosts that are true of one machine only, in two halves so that this file does not name them.
const PLACES: [(&str, &str); 4] = [("/wo", "rk/"), ("/ro", "ot/"), ("crates", ".io"), ("static.", "rust-lang")];

/// Where the detection rules stand that come with weir.
const DETECTIONS: &str = "controller/rules/";

/// The members a workspace's `Cargo.toml` lists.
pub fn members(workspace: &str) -> Vec<&str> {
    let after = workspace.lines().position(|line| line.starts_with("members"));
    let list = after.map(|start| workspace.lines().skip(start).collect::<Vec<_>>()).unwrap_or_default();
    let mut members = Vec::new();
    for line in list {
        let line = line.split('#').next().unwrap_or_default();
        members.extend(line.split('"').skip(1).step_by(2));
        if line.contains(']') {
            break;
        }
    }
    members
}

/// Every member takes its lints from the workspace: a crate without the line is linted by nobody.
pub fn inherits_lints(path: &str, manifest: &str) -> Vec<Finding> {
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let words: String = line.split_whitespace().collect();
        if section == "[lints]" && words == "workspace=true" || section.is_empty() && words == "lints.workspace=true" {
            return Vec::new();
        }
    }
    vec![Finding::new(path, 1, "a member needs `[lints] workspace = true`")]
}

/// The domain is pure: it is told the time and given its input.
pub fn domain_is_pure(path: &str, text: &str) -> Vec<Finding> {
    if !path.starts_with("controller/src/domain/") && path != "controller/src/domain.rs" || is_test_file(path) {
        return Vec::new();
    }
    let code = code::shipped(text);
    let named = NOT_IN_DOMAIN.iter().flat_map(|word| {
        let lines = code::lines_with(&code, word).into_iter();
        lines.map(move |line| Finding::new(path, line, format!("the domain is pure and must not name `{word}`")))
    });
    let imported = grouped_std_imports(&code).into_iter().filter(|(_, name)| NOT_IMPORTED_IN_DOMAIN.contains(&&**name));
    let imported = imported
        .map(|(line, name)| Finding::new(path, line, format!("the domain is pure and must not import `std::{name}`")));
    named.chain(imported).collect()
}

/// What `use std::{…}` brings in, with the line of the `use`.
fn grouped_std_imports(code: &str) -> Vec<(usize, String)> {
    let groups = code.match_indices("std::{");
    groups
        .flat_map(|(start, open)| {
            let line = code::line_at(code, start);
            let group = code.get(start + open.len()..).and_then(|rest| rest.split(';').next()).unwrap_or_default();
            let names = group.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty());
            names.map(move |name| (line, name.to_owned())).collect::<Vec<_>>()
        })
        .collect()
}

/// The verdict code is compiled for the kernel: no standard library, and nothing the compiler can't check.
pub fn common_is_bare(path: &str, text: &str) -> Vec<Finding> {
    if !path.starts_with("common/src/") || !is_rust(path) || is_test_file(path) {
        return Vec::new();
    }
    let code = code::shipped(text);
    let unchecked = code::lines_with(&code, "unsafe").into_iter();
    let unchecked = unchecked.map(|line| Finding::new(path, line, "common has no `unsafe`: it belongs in xdp-ebpf"));
    if path == "common/src/model.rs" || path.starts_with("common/src/model/") {
        return unchecked.collect();
    }
    let hosted = ["std::", "alloc::", "extern crate"].iter().flat_map(|word| {
        let lines = code::lines_with(&code, word).into_iter();
        lines.map(move |line| Finding::new(path, line, format!("common is compiled for the kernel: no `{word}`")))
    });
    unchecked.chain(hosted).collect()
}

/// The program reads bytes and looks up maps; a verdict named there would be a decision made there.
pub fn program_decides_nothing(path: &str, text: &str) -> Vec<Finding> {
    if !path.starts_with("xdp-ebpf/src/") {
        return Vec::new();
    }
    let lines = code::lines_with(&code::shipped(text), "Verdict::").into_iter();
    lines.map(|line| Finding::new(path, line, "no decision lives in xdp-ebpf: `Verdict::` belongs in common")).collect()
}

/// One task writes the kernel's tables.
pub fn one_writer(path: &str, text: &str) -> Vec<Finding> {
    if !is_rust(path) || WRITERS.iter().any(|allowed| path.starts_with(allowed)) {
        return Vec::new();
    }
    let lines = code::lines_with(&code::code(text, code::Literals::Blank), "KernelWriter").into_iter();
    lines.map(|line| Finding::new(path, line, "only the sync task may use `KernelWriter`")).collect()
}

/// Nothing names a path or a host of the machine it was written on. Detection rules name what attackers ask for.
pub fn names_no_machine(path: &str, text: &str) -> Vec<Finding> {
    if path.starts_with(DETECTIONS) {
        return Vec::new();
    }
    let is_lock = path == "Cargo.lock" || path.ends_with("/Cargo.lock");
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // Cargo itself writes the registry's address there, whatever mirror it came through.
        if is_lock && line.starts_with("source = \"registry+") {
            continue;
        }
        for (head, tail) in PLACES {
            let place = format!("{head}{tail}");
            if line.match_indices(&place).any(|(start, _)| !continues_a_path(line, start, &place)) {
                findings.push(Finding::new(path, index + 1, format!("`{place}` is true of one machine only")));
            }
        }
    }
    findings
}

/// Whether `place`, an absolute path, only ends a longer one there: `../a/b/` holds `/b/` and means something else.
fn continues_a_path(line: &str, start: usize, place: &str) -> bool {
    let before = start.checked_sub(1).and_then(|before| line.as_bytes().get(before));
    place.starts_with('/')
        && before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'}'))
}

/// Each detection rule has a sample log beside it, and each sample its rule.
pub fn rules_have_samples(paths: &[&str]) -> Vec<Finding> {
    let beside = |path: &&str| {
        let (stem, wanted, what) = match (path.strip_suffix(".yml"), path.strip_suffix(".log")) {
            (Some(stem), _) => (stem, ".log", "a rule has a sample log beside it"),
            (_, Some(stem)) => (stem, ".yml", "a sample log has a rule beside it"),
            _ => return Some(Finding::new(path, 1, "only rules (.yml) and their samples (.log) stand here")),
        };
        let wanted = format!("{stem}{wanted}");
        let there = paths.contains(&wanted.as_str());
        (!there).then(|| Finding::new(path, 1, format!("{what}: {wanted} is not there")))
    };
    paths.iter().filter(|path| path.starts_with(DETECTIONS)).filter_map(beside).collect()
}

/// A file this long holds more than one noun. A remark, not an error.
pub fn is_short(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    if !is_rust(path) || lines <= MAX_LINES {
        return Vec::new();
    }
    vec![Finding::new(path, lines, format!("{lines} lines: past {MAX_LINES}, split by noun"))]
}

fn is_rust(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// `x/tests.rs` and what lies under `x/tests/` are compiled only for tests, by the line that declares them.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

#[cfg(test)]
mod tests;
