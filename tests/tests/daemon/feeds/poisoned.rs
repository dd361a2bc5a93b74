//! Content that is no list, not the whole of one, or somebody's attack.
use std::fmt::Write as _;
use std::process::Command;

use weir::domain::report::FeedState;
use weir_tests::harness::{Plan, Site};

use super::{Files, PUBLIC, all_in_force, feeds, from, idle, list, of_file, outcome, refreshed};

/// Entries of a good list.
const GOOD: u32 = 1_000;

/// Memory that any of them may take above what the good lists took, in kibibytes: a line of 100 MiB is among them.
const MOST_KIB: u64 = 192 << 10;

/// What is in a feed's file, by the feed's place.
type Content = fn(u8) -> Vec<u8>;

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn json_lines(place: u8, says: u32) -> Vec<u8> {
    let mut text = String::new();
    for at in 0..8 {
        writeln!(text, "{{\"cidr\":\"{PUBLIC}.{place}.{at}.0/24\",\"sblid\":\"SBL{at}\",\"rir\":\"arin\"}}").unwrap();
    }
    let count = format!("\"records\":{says}");
    writeln!(
        text,
        "{{\"type\":\"metadata\",\"timestamp\":1700000000,\"size\":1000,{count},\"copyright\":\"(c)\",\"terms\":\"\"}}"
    )
    .unwrap();
    text.into_bytes()
}

fn utf16(text: &str) -> Vec<u8> {
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn wide(place: u8) -> Vec<u8> {
    let mut list = list(place, GOOD);
    for first in 11..=60 {
        writeln!(list, "{first}.0.0.0/8").unwrap();
    }
    list.into_bytes()
}

/// What is refused as a whole: its name, the label of what must speak against it, the content.
const REFUSED: &[(&str, &str, Content)] = &[
    ("html-page", "unfit", |_| text("<!DOCTYPE html>\n<html><body>Too many requests</body></html>\n")),
    ("json-error", "unfit", |_| text("{\"error\":\"quota exceeded\"}")),
    ("json-cut", "unfit", |_| text("[{\"ip_address\":\"45.0.0.1\"},{\"ip_addr")),
    ("empty", "empty", |_| Vec::new()),
    ("comments-alone", "empty", |_| text("# no entries today\n")),
    ("too-few-json-lines", "declared", |place| json_lines(place, 500)),
    ("json-lines-without-end", "unfit", |place| {
        let mut lines = json_lines(place, 8);
        lines.truncate(300);
        lines
    }),
    ("shrunk-to-a-tenth", "shrank", |place| list(place, GOOD / 10).into_bytes()),
    ("ten-times-as-long", "grew", |place| list(place, GOOD * 10).into_bytes()),
    ("private-space", "suspicious", |_| {
        let lines: Vec<String> = (0..1_000).map(|at| format!("10.0.{}.{}", at / 250, at % 250)).collect();
        text(&(lines.join("\n") + "\n"))
    }),
    ("everything", "empty", |_| text("0.0.0.0/0\n::/0\n")),
    ("everything-in-halves", "empty", |_| text("0.0.0.0/1\n128.0.0.0/1\n")),
    ("a-fifth-of-everything", "too_wide", wide),
    ("a-fifth-garbage", "rejected", |place| (list(place, GOOD) + &"gar8age\n".repeat(250)).into_bytes()),
    ("one-glued-line", "rejected", |place| list(place, GOOD).replace('\n', "").into_bytes()),
    ("octal-and-hex", "rejected", |_| text(&"0055.0.0.1\n0x2d000001\n754974721\n45.1\n".repeat(250))),
    ("utf-16", "unfit", |place| utf16(&list(place, GOOD))),
    ("carriage-returns-alone", "rejected", |place| list(place, GOOD).replace('\n', "\r").into_bytes()),
    ("nul-bytes", "rejected", |_| vec![0; 100_000]),
    ("a-gzip-file", "unfit", |place| super::cases::gzip(list(place, GOOD).as_bytes())),
    ("a-line-of-100-mib", "rejected", |_| vec![b'1'; 100 << 20]),
];

/// What cannot be read at all: its name, the label, and what makes it of a path.
const UNREADABLE: &[(&str, &str, &[&str])] = &[
    ("gone", "file", &["true"]),
    ("a-folder", "not_a_file", &["mkdir"]),
    ("a-pipe", "not_a_file", &["mkfifo"]),
    ("a-device", "not_a_file", &["ln", "-s", "/dev/zero"]),
    ("too-large", "too_many_bytes", &["truncate", "-s", "3G"]),
];

fn judged(site: &Site, names: &[&str]) {
    let mut frames = Vec::new();
    for (_, place) in names.iter().zip(1u8..) {
        frames.push(from(&format!("{PUBLIC}.{place}.0.1")));
        frames.push(from(&format!("{PUBLIC}.{place}.3.232")));
        // Beyond the good list's end.
        frames.push(from(&format!("{PUBLIC}.{place}.3.233")));
        frames.push(from(&format!("{PUBLIC}.{place}.7.1")));
    }
    frames.extend(["10.0.0.1", "11.0.0.1", "192.0.2.1"].map(from));
    let count = names.len() as u64;
    site.send(&frames);
    site.saw(&[("feed", 2 * count), ("pass", 2 * count + 3)]);
}

#[test]
fn poisoned_content_changes_nothing_and_each_is_told_by_name() {
    let mut site = idle(&Plan::default());
    let files = Files::new();
    let cases: Vec<(&str, &str)> = REFUSED
        .iter()
        .map(|(name, wanted, _)| (*name, *wanted))
        .chain(UNREADABLE.iter().map(|(name, wanted, _)| (*name, *wanted)))
        .collect();
    let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    let mut config = String::new();
    for (name, place) in names.iter().zip(1u8..) {
        files.put(name, list(place, GOOD));
        config.write_str(&files.feed(name, "most_mib = 128")).unwrap();
    }
    site.place.configure(&config);
    site.start();
    let before = all_in_force(&site);
    judged(&site, &names);
    let generation = site.api().status().generation;
    let most_before = site.daemon().kibibytes("VmHWM");

    for ((name, _, content), place) in REFUSED.iter().zip(1u8..) {
        files.put(name, content(place));
    }
    for (name, _, make) in UNREADABLE {
        let path = files.path(name);
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new(make[0]).args(&make[1..]).arg(&path).status().unwrap().success());
    }
    std::fs::write(files.path("gone"), "").unwrap();
    std::fs::remove_file(files.path("gone")).unwrap();
    // One after the other, as they would be due.
    for name in &names {
        let said = refreshed(&site, &[name]);
        assert!(said.code == Some(1) && said.err.contains("what was in force before still is"), "{name}: {said:?}");
    }
    let most = site.daemon().kibibytes("VmHWM").saturating_sub(most_before);
    let mut wrong = String::new();
    for ((name, wanted), (was, row)) in cases.iter().zip(before.iter().zip(feeds(&site))) {
        let is_told = row.problem.as_deref().is_some_and(|problem| problem.len() > 20);
        let counted = outcome(&row, wanted) == 1 && outcome(&row, "changed") == 1;
        let stays = row.entries == u64::from(GOOD) && row.last_success == was.last_success;
        let is_refused = matches!(row.state, FeedState::Refused | FeedState::Failing);
        if !(is_told && counted && stays && is_refused) {
            let mut row = row;
            row.problem = row.problem.map(|problem| problem.chars().take(300).collect());
            writeln!(wrong, "{name}: wanted {wanted}: {row:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    judged(&site, &names);
    let status = site.api().status();
    assert_eq!(status.generation, generation);
    // What was refused is an alarm, with its name.
    for (name, _, _) in REFUSED {
        let part = format!("feed {name}: ");
        assert!(status.health.problems.iter().any(|problem| problem.starts_with(&part)), "{name}: {:?}", status.health);
    }
    println!("{} poisoned files: 0 changes, memory {most} KiB above the good lists' at the most", names.len());
    assert!(most < MOST_KIB, "{most} KiB");
}

#[test]
fn a_line_that_must_not_go_in_is_refused_by_itself_and_counted() {
    // What is refused in a list that is good otherwise, by reason.
    const LINES: &[(&str, &str, &str)] = &[
        ("private", "192.168.1.1", "special"),
        ("everything", "0.0.0.0/0", "too_wide"),
        ("half", "128.0.0.0/1", "too_wide"),
        ("gateway", "44.0.0.1", "protected"),
        ("network-of-the-gateway", "44.0.0.0/24", "protected"),
        ("never-block", "46.0.0.53", "never_block"),
        ("glued", "45.1.0.145.1.0.2", "syntax"),
        ("octal", "45.010.0.1", "syntax"),
        ("cut", "45.1.0", "syntax"),
        ("zone", "fe80::1%eth0", "syntax"),
        ("integer", "754974721", "syntax"),
    ];
    let mut site = idle(&Plan::default());
    let link = site.links[0].name.clone();
    site.server.ip(&["address", "add", "44.0.0.2/24", "dev", &link]);
    site.server.ip(&["route", "add", "default", "via", "44.0.0.1"]);
    let files = Files::new();
    let mut config = "never_block.addresses = [\"46.0.0.53\"]\n".to_owned();
    for ((name, line, _), place) in LINES.iter().zip(1u8..) {
        files.put(name, list(place, GOOD) + line + "\n");
        config.write_str(&of_file(name, &files.path(name), "")).unwrap();
    }
    site.place.configure(&config);
    site.start();
    let rows = all_in_force(&site);
    for ((name, _, reason), row) in LINES.iter().zip(&rows) {
        let one: Vec<(&str, u64)> = row.reasons.iter().map(|(reason, lines)| (reason.as_str(), *lines)).collect();
        println!("{name}: {one:?}");
        assert!(row.entries == u64::from(GOOD) && row.rejected == 1, "{row:?}");
        assert_eq!(one, [(*reason, 1)], "{name}");
    }
    let sources = ["44.0.0.1", "44.0.0.9", "46.0.0.53", "192.168.1.1", "128.1.1.1"];
    site.send(&sources.map(from));
    site.send(&[from("45.1.0.1")]);
    site.saw(&[("pass", sources.len() as u64), ("feed", 1)]);
}
