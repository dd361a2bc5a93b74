//! Each rule finds what is planted and leaves alone what is allowed.
use super::*;

type Rule = fn(&str, &str) -> Vec<Finding>;

#[track_caller]
fn finds(rule: Rule, path: &str, text: &str, lines: &[usize]) {
    let found: Vec<usize> = rule(path, text).iter().map(|finding| finding.line).collect();
    assert_eq!(found, lines, "{path}: {text}");
}

#[test]
fn members_are_read_across_lines_and_comments() {
    assert_eq!(members("[workspace]\nmembers = [\"a\", \"b\"]\nother = [\"c\"]\n"), ["a", "b"]);
    assert_eq!(
        members("members = [\n    \"a\", # \"not\"\n    \"b/c\",\n]\ndefault-members = [\"a\"]\n"),
        ["a", "b/c"]
    );
}

#[test]
fn member_without_inherited_lints_is_found() {
    finds(inherits_lints, "a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n", &[]);
    finds(inherits_lints, "a/Cargo.toml", "[package]\nname = \"a\"\n", &[1]);
    finds(
        inherits_lints,
        "a/Cargo.toml",
        "[dependencies]\nx.workspace = true\n[lints.rust]\nunused = \"warn\"\n",
        &[1],
    );
    finds(inherits_lints, "a/Cargo.toml", "[package]\n[other]\nworkspace = true\n[lints]\n", &[1]);
}

#[test]
fn impurity_in_the_domain_is_found_wherever_it_hides() {
    let path = "controller/src/domain/plan.rs";
    for impure in NOT_IN_DOMAIN {
        finds(domain_is_pure, path, &format!("fn f() {{\n    {impure}();\n}}\n"), &[2]);
    }
    finds(domain_is_pure, path, "use std::{collections::HashMap, fs};\n", &[1]);
    finds(domain_is_pure, path, "use std::{\n    io,\n    env::var,\n};\n", &[1]);
}

#[test]
fn purity_allows_words_tests_and_other_layers() {
    let path = "controller/src/domain/plan.rs";
    finds(domain_is_pure, path, "//! No tokio here.\nconst A: &str = \"std::fs\";\nfn asynchronous() {}\n", &[]);
    finds(domain_is_pure, path, "use std::net::IpAddr;\nuse std::time::{Duration, Instant};\n", &[]);
    finds(domain_is_pure, path, "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n", &[]);
    finds(domain_is_pure, "controller/src/domain/plan/tests.rs", "use std::fs;\n", &[]);
    finds(domain_is_pure, "controller/src/daemon.rs", "use tokio::net;\n", &[]);
}

#[test]
fn standard_library_and_unsafe_in_common_are_found() {
    finds(common_is_bare, "common/src/rate.rs", "use std::collections::HashMap;\nuse core::fmt;\n", &[1]);
    finds(common_is_bare, "common/src/rate.rs", "fn f() {\n    unsafe { g() }\n}\n", &[2]);
    finds(common_is_bare, "common/src/model.rs", "use std::rc::Rc;\nfn f() { unsafe { g() } }\n", &[2]);
    finds(common_is_bare, "common/src/lib.rs", "extern crate alloc;\n#![forbid(unsafe_code)]\n", &[1]);
}

#[test]
fn common_may_use_the_standard_library_in_tests_and_model() {
    finds(common_is_bare, "common/src/model.rs", "use std::rc::Rc;\n", &[]);
    finds(common_is_bare, "common/src/rate.rs", "#[cfg(test)]\nmod tests {\n    use std::rc::Rc;\n}\n", &[]);
    finds(common_is_bare, "common/src/rate.rs", "/// Like `std::time`.\nuse core::time;\n", &[]);
    finds(common_is_bare, "common/tests/a.rs", "use std::rc::Rc;\n", &[]);
}

#[test]
fn verdict_named_in_the_program_is_found() {
    let path = "xdp-ebpf/src/main.rs";
    finds(program_decides_nothing, path, "let v = judge();\nreturn Verdict::Denied;\n", &[2]);
    finds(program_decides_nothing, path, "use weir_common::verdict::Action;\n// Verdict::Pass\n", &[]);
    finds(program_decides_nothing, "common/src/judge.rs", "Verdict::Denied\n", &[]);
}

#[test]
fn second_writer_of_the_kernel_tables_is_found() {
    let text = "use crate::adapters::kernel::KernelWriter;\n";
    for path in ["controller/src/daemon.rs", "controller/src/commands/block.rs", "controller/src/syncing.rs"] {
        finds(one_writer, path, text, &[1]);
    }
    for path in ["controller/src/sync.rs", "controller/src/sync/apply.rs", "controller/src/adapters/kernel/maps.rs"] {
        finds(one_writer, path, text, &[]);
    }
    finds(one_writer, "tests/tests/kernel.rs", text, &[]);
    finds(one_writer, "ARCHITECTURE.md", text, &[]);
}

#[test]
fn places_of_one_machine_are_found_in_any_file() {
    for (head, tail) in PLACES {
        finds(names_no_machine, "docs/notes.md", &format!("fine\nsee {head}{tail}x\n"), &[2]);
    }
    let (head, tail) = PLACES[0];
    finds(names_no_machine, "a.sh", &format!("cd '{head}{tail}x'\n"), &[1]);
    finds(names_no_machine, "a.sh", &format!("cd ..{head}{tail}x\ncd $HOME{head}{tail}\n"), &[]);
}

#[test]
fn a_rule_without_a_sample_is_found_and_a_sample_without_a_rule() {
    let found = |paths: &[&str]| rules_have_samples(paths).into_iter().map(|finding| finding.path).collect::<Vec<_>>();
    let (rule, sample) = ("controller/rules/a/b.yml", "controller/rules/a/b.log");
    assert_eq!(found(&[rule, sample, "docs/a.yml"]), Vec::<String>::new());
    assert_eq!(found(&[rule, "controller/rules/b.log"]), [rule, "controller/rules/b.log"]);
    assert_eq!(found(&["controller/rules/notes.md"]), ["controller/rules/notes.md"]);
    let (head, tail) = PLACES[1];
    finds(names_no_machine, rule, &format!("'{head}{tail}.ssh/id_rsa'\n"), &[]);
}

#[test]
fn registry_source_is_allowed_in_the_lock_file_only() {
    let (head, tail) = PLACES[2];
    let line = format!("source = \"registry+https://github.com/rust-lang/{head}{tail}-index\"\n");
    finds(names_no_machine, "Cargo.lock", &line, &[]);
    finds(names_no_machine, "Cargo.toml", &line, &[1]);
    finds(names_no_machine, "Cargo.lock", &format!("name = \"{head}{tail}\"\n"), &[1]);
}

#[test]
fn long_source_file_is_remarked_on() {
    finds(is_short, "controller/src/a.rs", &"x\n".repeat(MAX_LINES), &[]);
    finds(is_short, "controller/src/a.rs", &"x\n".repeat(MAX_LINES + 1), &[MAX_LINES + 1]);
    finds(is_short, "docs/a.md", &"x\n".repeat(MAX_LINES + 1), &[]);
}
