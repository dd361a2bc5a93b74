//! Whole commands against a daemon that answers as told: what is asked, printed, and exited with.
pub(crate) mod kernel;
mod pins;

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::adapters::client::fake::FakeDaemon;
use crate::domain::report::REFUSED;

/// What was written, for the test to read.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn with(self, status: u8, err: &str) -> Self {
        assert!(self.status == status && self.err.contains(err), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn well(self) -> Self {
        self.with(0, "")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }
}

pub(crate) fn run_with(line: &str, socket: &Path, input: &'static str) -> Ended {
    let (out, err) = (Written::default(), Written::default());
    let mut io = Io::new(input.as_bytes(), out.clone(), err.clone());
    let line = format!("weir --socket {} {line}", socket.display());
    let status = main(line.split(' ').map(OsString::from), &mut io);
    Ended { status, out: out.text(), err: err.text() }
}

fn run(line: &str, daemon: &FakeDaemon) -> Ended {
    run_with(line, &daemon.socket(), "")
}

/// Answers as the daemon does.
fn daemon() -> FakeDaemon {
    FakeDaemon::new(|_, path| {
        let path = path.strip_prefix("/api/").unwrap_or(path);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let change = json!({"changed": true, "dry_run": false, "notes": ["a note"],
            "changes": [{"prefix": "192.0.2.7/32", "change": "added", "list": "block"}]});
        let config = json!({"changed": true, "dry_run": false, "generation": 3, "pending": null, "notes": []});
        let body = match path {
            "status" => status_document(),
            "top" => json!([{"address": "192.0.2.7", "packets": 9, "bytes": 540, "dropped": 1,
                "packets_per_second": 1.5, "bytes_per_second": 90.0, "country": null, "asn": null}]),
            "block" | "allow" => change,
            "block/import" | "allow/import" => json!({"list": "ipsum", "format": "plain", "lines": 2, "accepted": 2,
                "rejected": 0, "rejects": [], "prefixes_v4": 2, "prefixes_v6": 0, "addresses_v4": 2,
                "share_v4_percent": 0.0, "well_behaved": 0, "well_behaved_first": [], "changed": true, "dry_run": false, "generation": 3}),
            "block/export" | "allow/export" if query == "format=json" => {
                return (200, r#"[{"prefix":"192.0.2.7/32","expires_in_s":null}]"#.to_owned());
            }
            "block/export" | "allow/export" => return (200, "192.0.2.7\n2001:db8::/32\n".to_owned()),
            "feeds" => json!([]),
            "feeds/refresh" => json!({"changed": false, "feeds": []}),
            "config" => json!([{"key": "mode", "value": "\"auto\"", "source": "default"}]),
            "enforcement" => json!({"changed": true, "state": "observe"}),
            _ if path.starts_with("explain/") => json!({"address": "192.0.2.7", "verdict": "pass", "reason": "nothing",
                "entries": [], "protected": null, "never_block": null, "country": null, "asn": null,
                "as_name": null, "reputation": null, "rate": null, "alerts": []}),
            _ if path.starts_with("config/") => config,
            "alerts" => json!({"alerts": [], "total": 0}),
            "alerts/stats" => json!({"total": 0, "severity_counts": {}, "status_counts": {}, "analyzer_counts": {},
                "top_mitre": []}),
            "alerts/analyzers/list" => json!([{"name": "anomaly", "description": "odd", "enabled": true,
                "parameters": []}]),
            "alerts/rules/list" | "users/denied" => json!([]),
            _ if path.starts_with("users/denied/") => json!({"changed": true, "state": "not denied"}),
            _ if path.starts_with("alerts/rules") => {
                json!({"id": "x", "changed": true, "dry_run": false, "warnings": []})
            }
            _ => return (500, String::new()),
        };
        (200, body.to_string())
    })
}

fn status_document() -> Value {
    let totals = json!({"seen": 3, "passed": 2, "dropped": 1, "would_drop": 0, "replied": 0});
    json!({"version": "0.1.0", "uptime_s": 60, "enforcement": "enforce", "generation": 2, "bypass": false,
        "pending": null, "interfaces": [{"name": "eth0", "index": 2, "mode": "native"}],
        "emergency": {"state": "off", "setting": "off", "since": null}, "threat_level": null,
        "packets": totals, "bytes": totals, "verdicts": {}, "lists": [], "feeds": [], "crowdsec": null,
        "geo": [], "capacity": {},
        "health": {"ok": true, "problems": []}})
}

#[test]
fn each_command_asks_its_one_question() {
    let daemon = daemon();
    let list = daemon.folder().join("ipsum.txt");
    std::fs::write(&list, "192.0.2.7\n").unwrap();
    let import = format!("block import {} --format plain --skip-bad --dry-run", list.display());
    let file = |name: &str, text: &str| {
        let path = daemon.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let create = format!("rules create {}", file("x.yml", "title: x"));
    let replace = format!("rules update x {} --dry-run", file("x.json", r#"{"name":"x"}"#));
    for (line, asked) in [
        ("status", "GET /api/status"),
        ("top --once -n 5 --by drops", "GET /api/top?n=5&by=drops"),
        ("top --group network --filter 10.0.0.0/8", "GET /api/top?n=20&by=packets&group=network&filter=10.0.0.0%2F8"),
        ("explain 2001:db8::1", "GET /api/explain/2001:db8::1"),
        (
            "block add 192.0.2.7 --for 15m --reason x --origin fail2ban --observe --force --dry-run",
            r#"POST /api/block {"prefixes":["192.0.2.7/32"],"for_s":900,"reason":"x","origin":"fail2ban","observe":true,"force":true,"dry_run":true}"#,
        ),
        (
            "allow add 192.0.2.0/24",
            r#"POST /api/allow {"prefixes":["192.0.2.0/24"],"reason":"","observe":false,"force":false,"dry_run":false}"#,
        ),
        (
            "block remove 192.0.2.7 --origin operator",
            r#"DELETE /api/block {"prefixes":["192.0.2.7/32"],"reason":"","origin":"operator","observe":false,"force":false,"dry_run":false}"#,
        ),
        (&import, "POST /api/block/import?name=ipsum&format=plain&skip_bad=true&dry_run=true 192.0.2.7"),
        ("allow import - --name office", "POST /api/allow/import?name=office&format=auto&skip_bad=false&dry_run=false"),
        ("block export", "GET /api/block/export"),
        ("feeds list", "GET /api/feeds"),
        ("feeds refresh a b --force", "POST /api/feeds/refresh?force=true&dry_run=false&names=a%2Cb"),
        ("alerts list", "GET /api/alerts?limit=50&offset=0"),
        (
            "alerts list --status new --min-severity HIGH --analyzer rules --source ::ffff:192.0.2.7 --user bob -l 5 --offset 5",
            "GET /api/alerts?limit=5&offset=5&status=new&min_severity=high&analyzer=rules&source=192.0.2.7&user=bob",
        ),
        ("alerts stats", "GET /api/alerts/stats"),
        ("alerts analyzers", "GET /api/alerts/analyzers/list"),
        ("alerts users list", "GET /api/users/denied"),
        ("alerts users lift a/b --dry-run", "DELETE /api/users/denied/a%2Fb?dry_run=true"),
        ("rules list --enabled false", "GET /api/alerts/rules/list?enabled=false"),
        ("rules disable x --dry-run", r#"PUT /api/alerts/rules/x?dry_run=true {"enabled":false}"#),
        ("rules enable x", r#"PUT /api/alerts/rules/x?dry_run=false {"enabled":true}"#),
        (
            "rules update x --severity high --threshold 3 --within 10m --response deny --for 2h",
            r#"PUT /api/alerts/rules/x?dry_run=false {"severity":"high","threshold":3,"within_s":600,"response":{"do":"deny","for_s":7200}}"#,
        ),
        (&create, "POST /api/alerts/rules?dry_run=false title: x"),
        (&replace, r#"PUT /api/alerts/rules/x?dry_run=true {"name":"x"}"#),
        ("rules delete x", "DELETE /api/alerts/rules/x?dry_run=false"),
        ("config show", "GET /api/config"),
        ("config reload --dry-run", "POST /api/config/reload?dry_run=true"),
        ("config apply --confirm 60s", "POST /api/config/apply?dry_run=false&confirm_s=60"),
        ("config confirm", "POST /api/config/confirm"),
        ("config rollback", "POST /api/config/rollback"),
        ("enforcement observe --dry-run", "POST /api/enforcement?to=observe&dry_run=true"),
    ] {
        let ended = run(line, &daemon).well();
        assert!(!ended.out.is_empty(), "{line}");
        assert_eq!(daemon.asked(), [asked], "{line}");
        let ended = run(&format!("-o json {line}"), &daemon).well();
        assert!(ended.json().is_object() || ended.json().is_array(), "{line}");
        daemon.asked();
    }
}

#[test]
fn nothing_is_confirmed_or_rolled_back_by_a_dry_run() {
    for verb in ["confirm", "rollback"] {
        let daemon = daemon();
        run(&format!("config {verb} --dry-run"), &daemon).with(failure::FAILED, "no settings change waits");
        assert_eq!(daemon.asked(), ["GET /api/status"]);
        let daemon = FakeDaemon::new(|_, _| {
            let mut status = status_document();
            status["pending"] = json!({"deadline": "2100-01-01T00:00:00Z", "seconds_left": 60});
            (200, status.to_string())
        });
        let ended = run(&format!("config {verb} --dry-run -o json"), &daemon).well();
        assert_eq!((&ended.json()["changed"], &ended.json()["dry_run"]), (&json!(true), &json!(true)));
        assert_eq!(daemon.asked(), ["GET /api/status"]);
    }
}

#[test]
fn text_is_for_people() {
    let daemon = daemon();
    assert!(run("status", &daemon).out.starts_with("weir 0.1.0, up 1m, generation 2\n"));
    assert_eq!(run("block add 192.0.2.7", &daemon).out, "192.0.2.7/32 added (block)\nnote: a note\n");
    assert_eq!(run("block export", &daemon).out, "192.0.2.7\n2001:db8::/32\n");
    assert_eq!(run("enforcement observe", &daemon).out, "enforcement: observe from now on\n");
    let json = run("block export -o json", &daemon).json();
    assert_eq!(json, json!([{"prefix": "192.0.2.7/32", "expires_in_s": null}]));
}

#[test]
fn what_is_taken_for_something_else_is_said() {
    let ended = run("block add 192.0.2.7/24", &daemon()).well();
    assert_eq!(ended.err, "note: 192.0.2.7/24 is taken as 192.0.2.0/24\n");
}

#[test]
fn standard_input_names_prefixes_line_by_line() {
    let daemon = daemon();
    let input = "# mine\n192.0.2.7\n\n 2001:db8::/32 ; because\n192.0.2.9/24\n";
    run_with("block add 198.51.100.1 -", &daemon.socket(), input)
        .with(0, "1 of standard input's lines had host bits set");
    let asked = daemon.asked();
    assert!(asked[0].contains(r#"["198.51.100.1/32","192.0.2.7/32","2001:db8::/32","192.0.2.0/24"]"#), "{asked:?}");
    run_with("block remove -", &daemon.socket(), "192.0.2.7\nnonsense\n")
        .with(failure::USAGE, "standard input, line 2: \"nonsense\"");
    run_with("block remove -", &daemon.socket(), "# nobody\n").with(failure::USAGE, "names no address");
    assert_eq!(daemon.asked(), Vec::<String>::new());
}

#[test]
fn each_way_to_fail_has_its_status() {
    let daemon = FakeDaemon::refusing(507, "about:blank", "5 addresses do not fit");
    run("block add 192.0.2.7", &daemon).with(failure::FAILED, "error: 5 addresses do not fit\n");
    run("block add 192.0.2.0/33", &daemon).with(failure::USAGE, "192.0.2.0/33");
    run("frobnicate", &daemon).with(failure::USAGE, "frobnicate");
    let missing = FakeDaemon::refusing(404, "about:blank", "no such entry");
    run("explain 192.0.2.7", &missing).with(failure::NOT_FOUND, "no such entry");
    let refused = FakeDaemon::refusing(403, REFUSED, "0.0.0.0/0 covers 192.0.2.1 (own address)");
    run("block add 0.0.0.0/0", &refused).with(failure::REFUSED, "error: 0.0.0.0/0 covers 192.0.2.1 (own address)\n");
    let socket = missing.folder().join("nobody.sock");
    run_with("status", &socket, "").with(failure::UNREACHABLE, "no such file; start it with `weir run");
    run("block import /nonexistent/list", &daemon).with(failure::FAILED, "read /nonexistent/list: No such file");
    let stranger = FakeDaemon::always(200, "hello");
    run("status", &stranger).with(failure::FAILED, "another version");
    for ended in [run("status", &daemon), run("block add 192.0.2.0/33", &daemon)] {
        assert_eq!(ended.out, "");
    }
}

#[test]
fn the_daemons_words_reach_a_terminal_escaped() {
    let daemon = FakeDaemon::refusing(409, "about:blank", "evil\x1b[2J\u{202e}");
    run("status", &daemon).with(failure::FAILED, "error: evil\\u{1b}[2J\\u{202e}\n");
}

#[test]
fn help_goes_to_standard_output() {
    let daemon = daemon();
    let ended = run("block add --help", &daemon).well();
    assert!(ended.out.contains("--force") && ended.err.is_empty());
    let ended = run("--version", &daemon).well();
    assert_eq!(ended.out, format!("weir {}\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&format!("completions {shell}"), &daemon).well().out.contains("enforcement"));
    }
    assert_eq!(daemon.asked(), Vec::<String>::new());
}

/// A standard output nobody reads, or that is full.
struct Deaf(io::ErrorKind);

impl Write for Deaf {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[test]
fn a_closed_standard_output_is_quiet_success_and_a_full_one_is_not() {
    let daemon = daemon();
    for line in ["status", "block export", "top", "--help", "completions bash", "-o json config show"] {
        let line = format!("weir --socket {} {line}", daemon.socket().display());
        for (kind, status) in [(io::ErrorKind::BrokenPipe, 0), (io::ErrorKind::StorageFull, failure::FAILED)] {
            let err = Written::default();
            let mut io = Io::new(&b""[..], Deaf(kind), err.clone());
            let ended = main(line.split(' ').map(OsString::from), &mut io);
            let quiet = !err.text().contains("error");
            assert!(ended == status && quiet == (status == 0), "{line}: {ended}, {}", err.text());
        }
    }
}

#[test]
fn settings_are_shown_and_checked_without_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let (file, nobody) = (folder.path().join("weir.toml"), folder.path().join("nobody.sock"));
    std::fs::write(&file, "mode = \"generic\"\n").unwrap();
    let named = |line: &str| run_with(&format!("{line} -c {}", file.display()), &nobody, "");
    let ended = named("config show").with(0, "note: settings of ");
    assert!(ended.out.contains("\"generic\""), "{ended:?}");
    assert!(named("config show -o json").json().as_array().is_some_and(|rows| rows.len() > 10));
    assert!(named("config check").well().out.ends_with("weir.toml: ok\n"));
    std::fs::write(&file, "[limits.source]\npackets_per_secnd = 5\n").unwrap();
    let ended = named("config check").with(failure::FAILED, "weir.toml:2:1");
    assert!(ended.err.contains("packets_per_second") && ended.out.is_empty(), "{ended:?}");
    let ended = named("config check -o json").with(failure::FAILED, "weir.toml:2:1");
    assert_eq!(ended.json()["ok"], json!(false));
    named("status").with(failure::UNREACHABLE, "nobody.sock");
}

#[test]
fn the_daemons_settings_come_before_the_files() {
    let daemon = daemon();
    let ended = run("config show", &daemon).with(0, "note: settings of the daemon at ");
    assert_eq!(ended.out, "setting  value   from\nmode     \"auto\"  default\n");
}

#[test]
fn the_doctor_looks_at_the_configuration_the_state_and_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, format!("[state]\ndir = {:?}\n", folder.path())).unwrap();
    let outcomes = |ended: &Ended| -> Vec<(String, String)> {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        ended.json().as_array().unwrap().iter().map(|row| (text(row, "name"), text(row, "outcome"))).collect()
    };
    let line = format!("doctor -i lo -o json -c {}", file.display());
    let found = outcomes(&run(&line, &daemon()).well());
    for name in ["configuration", "memory", "state folder", "daemon"] {
        assert!(found.contains(&(name.to_owned(), "good".to_owned())), "{name}: {found:?}");
    }
    assert!(found.iter().all(|(_, outcome)| outcome != "missing"), "this test needs root: {found:?}");
    std::fs::write(&file, "mood = \"good\"\n").unwrap();
    let ended = run_with(&line, &folder.path().join("nobody.sock"), "").with(failure::FAILED, "without: configuration");
    let found = outcomes(&ended);
    assert!(found.contains(&("configuration".to_owned(), "missing".to_owned())), "{found:?}");
    assert!(found.contains(&("daemon".to_owned(), "degraded".to_owned())), "{found:?}");
}
