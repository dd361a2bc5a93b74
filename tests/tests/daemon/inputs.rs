//! What people and programs may ask for, and must not get: refused with the reason, and nothing changes.
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use weir_tests::frames::{SERVER_V4, V4};
use weir_tests::harness::{Site, addresses};

fn from(last: u8) -> Vec<u8> {
    V4::from([192, 0, 2, last]).frame()
}

/// The space for benchmarks.
const MANY: [u8; 4] = [198, 18, 0, 0];

#[track_caller]
fn is_untouched(site: &Site) {
    assert_eq!(site.weir(&["block", "export"]).well(), "");
    assert_eq!(site.api().status().generation, 1);
}

#[test]
fn the_whole_internet_and_its_own_addresses_are_refused_with_whom_it_would_have_hit() {
    let site = Site::new("");
    site.weir(&["block", "add", "0.0.0.0/0"])
        .badly(5, &["0.0.0.0/0 covers", "203.0.113.80 (address of wv0)", "--force"]);
    site.weir(&["block", "add", "::/0"]).badly(5, &["::/0 covers", "2001:db8:0:53::80 (address of wv0)"]);
    site.weir(&["block", "add", "203.0.113.80"]).badly(5, &["203.0.113.80 (address of wv0)", "must not be cut off"]);
    site.weir(&["block", "add", "203.0.113.0/24"]).badly(5, &["203.0.113.80 (address of wv0)"]);
    site.weir(&["block", "add", "240.0.0.0/4"]).badly(5, &["1/16 of all IPv4 addresses"]);
    site.weir(&["block", "add", "127.0.0.1"]).badly(5, &["loopback"]);
    // One that may not be refuses the others it came with.
    site.weir(&["block", "add", "192.0.2.1", "203.0.113.80"]).badly(5, &["203.0.113.80"]);
    is_untouched(&site);
    // The API says the same, and whom it would have hit as data.
    let body = serde_json::to_vec(&json!({"prefixes": ["203.0.113.0/24"]})).unwrap();
    let problem = site.api().ask("POST", "/api/block", &body).problem(403);
    assert_eq!(problem.kind, "urn:weir:refused");
    let hits: Vec<String> = problem.hits.iter().map(|hit| format!("{} {}", hit.prefix, hit.why)).collect();
    assert_eq!(hits, ["203.0.113.80/32 address of wv0"]);
    // And in the kernel: what a list covers all the same does not cut off the protected.
    let own = V4::from(SERVER_V4).to([203, 0, 113, 81]).frame();
    site.weir(&["block", "add", "203.0.0.0/16", "--force"]).well();
    site.send(&[V4::from([203, 0, 1, 1]).frame()]);
    site.saw(&[("denied", 1)]);
    site.weir(&["block", "remove", "203.0.0.0/16"]).well();
    site.weir(&["block", "add", "203.0.113.80", "--force"]).well();
    site.send(&[own]);
    site.saw(&[("denied", 1)]);
}

#[test]
fn an_address_the_machine_gets_later_is_not_cut_off_by_an_older_block() {
    let site = Site::new("");
    site.api().block(&["192.0.2.0/24"]);
    site.send(&[from(7)]);
    site.saw(&[("denied", 1)]);
    // The interface gets an address inside the denied prefix: now it is the machine's own.
    site.server.ip(&["address", "add", "192.0.2.7/32", "dev", "wv0"]);
    weir_tests::harness::wait_for("the new address is protected", weir_tests::harness::PATIENCE, || {
        let explained = site.api().explain("192.0.2.7");
        (explained.protected.is_some() && explained.verdict == "pass").then_some(())
    });
    site.send(&[from(7), from(8)]);
    site.saw(&[("pass", 1), ("denied", 1)]);
}

#[test]
fn automations_cannot_cross_the_never_block_set_and_the_operator_can() {
    let site = Site::new("[never_block]\naddresses = [\"192.0.2.0/28\"]");
    let said = site.weir(&["block", "add", "192.0.2.1", "--origin", "fail2ban"]);
    said.badly(5, &["192.0.2.0/28", "never-block"]);
    site.weir(&["block", "add", "192.0.0.0/16", "--origin", "fail2ban"]).badly(5, &["never-block"]);
    site.weir(&["block", "add", "203.0.113.80", "--origin", "fail2ban", "--force"]).badly(5, &["address of wv0"]);
    is_untouched(&site);
    site.weir(&["block", "add", "192.0.2.1"]).well();
    site.send(&[from(1), from(2)]);
    site.saw(&[("denied", 1), ("pass", 1)]);
}

#[test]
fn a_bad_line_refuses_the_file_with_its_number_and_text_and_skip_bad_takes_the_rest() {
    let site = Site::new("");
    let file = site
        .place
        .file("list.txt", "# a list\n192.0.2.1\nnonsense here\n192.0.2.3 ; a comment\n203.0.113.80\n192.0.2.4/33\n");
    let said = site.weir(&["block", "import", &file]);
    said.badly(1, &["3 of 6 lines", "line 3", "nonsense here", "line 6", "192.0.2.4/33", "203.0.113.80", "--skip-bad"]);
    is_untouched(&site);
    let said = site.weir(&["-o", "json", "block", "import", &file, "--skip-bad"]).well();
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&report["accepted"], &report["rejected"]), (&json!(2), &json!(3)), "{report}");
    let lines: Vec<u64> = report["rejects"].as_array().unwrap().iter().filter_map(|row| row["line"].as_u64()).collect();
    assert!(lines.contains(&3) && lines.contains(&6), "{report}");
    site.send(&[from(1), from(2), from(3), from(4)]);
    site.saw(&[("denied", 2), ("pass", 2)]);
}

#[test]
fn files_that_are_no_lists_are_refused() {
    let site = Site::new("");
    let missing = site.place.folder().join("missing.txt").display().to_string();
    site.weir(&["block", "import", &missing]).badly(1, &["missing.txt", "No such file"]);
    let binary = site.place.file("binary", (0..=255u8).cycle().take(100_000).collect::<Vec<u8>>());
    site.weir(&["block", "import", &binary]).badly(1, &["no list", "binary", "nothing was imported"]);
    let file = site.place.file("list.txt", "192.0.2.1\n");
    site.weir(&["block", "import", &file, "--format", "xml"]).badly(2, &["xml", "plain", "ipsum"]);
    is_untouched(&site);
}

#[test]
fn what_does_not_fit_is_refused_with_how_much_and_what_was_before_stays() {
    let site = Site::new("never_block.shipped = false\nstate.max_addresses = 100");
    site.api().import("feed", &addresses(MANY, 50)).document::<Value>();
    let first = V4::from([198, 18, 0, 0]).frame();
    let later = V4::from([198, 18, 0, 149]).frame();
    site.send(&[first.clone(), later.clone()]);
    site.saw(&[("denied", 1), ("pass", 1)]);
    let file = site.place.file("many.txt", addresses(MANY, 150));
    let before = site.api().status();
    // Beside the list's there are the machine's own protected addresses in the tables.
    let said = site.weir(&["block", "import", &file, "--name", "feed"]);
    let text = said.badly(1, &["IPv4 addresses do not fit", "100 fit", "feed", "nothing was changed", "max_addresses"]);
    let over: u64 = text.split_whitespace().find_map(|word| word.parse().ok()).expect("how many did not fit");
    assert!((50..60).contains(&over), "{text}");
    let problem = site.api().import("feed", &addresses(MANY, 150)).problem(507);
    assert!(problem.detail.contains("do not fit"), "{}", problem.detail);
    let after = site.api().status();
    assert_eq!((after.generation, after.lists[0].entries), (before.generation, before.lists[0].entries));
    site.send(&[first, later]);
    site.saw(&[("denied", 1), ("pass", 1)]);
    assert!(site.api().status().health.ok);
}

#[test]
fn single_blocks_beyond_what_fits_are_refused_and_never_stand_in_the_way_of_a_restart() {
    let mut site = Site::new("never_block.shipped = false\nstate.max_addresses = 100");
    let text = addresses(MANY, 150);
    let mut refused = 0;
    for address in text.lines() {
        let body = serde_json::to_vec(&json!({"prefixes": [address]})).unwrap();
        let answer = site.api().ask("POST", "/api/block", &body);
        if answer.status != 200 {
            refused += 1;
            assert!(answer.problem(507).detail.contains("fit"), "{}", answer.text());
        }
    }
    assert!((50..60).contains(&refused), "{refused} of 150 were refused where 100 fit");
    site.kill();
    site.start();
    assert_eq!(site.weir(&["block", "export"]).well().lines().count(), 150 - refused);
}

#[test]
fn what_the_api_does_not_understand_is_a_problem_document() {
    let site = Site::new("");
    let api = site.api();
    let bad = |body: &str| api.ask("POST", "/api/block", body.as_bytes()).problem(400).detail;
    assert!(bad("{\"prefixes\": [").contains("not understood"));
    assert!(bad("{}").contains("prefixes"));
    assert!(bad("{\"prefixes\": [\"192.0.2.1\"], \"resaon\": \"x\"}").contains("resaon"));
    assert!(bad("{\"prefixes\": []}").contains("no prefix"));
    assert!(bad("{\"prefixes\": [\"192.0.2.256\"]}").contains("192.0.2.256"));
    assert!(bad("{\"prefixes\": [\"192.0.2.1\"], \"origin\": \"\"}").contains("origin"));
    let long = json!({"prefixes": ["192.0.2.1"], "reason": "x".repeat(501)}).to_string();
    assert!(bad(&long).contains("reason"));
    let many = json!({"prefixes": vec!["192.0.2.1"; 10_001]}).to_string();
    assert!(bad(&many).contains("10000"));
    assert!(api.ask("GET", "/api/nothing", b"").problem(404).detail.contains("/api/nothing"));
    assert!(api.ask("PUT", "/api/block", b"{}").problem(405).detail.contains("PUT"));
    assert!(api.ask("GET", "/api/explain/192.0.2.0%2f24", b"").problem(400).detail.contains("192.0.2.0/24"));
    assert!(api.ask("POST", "/api/config/apply?confirm_s=0", b"").problem(400).detail.contains("1 second"));
    for query in ["/api/top?n=many", "/api/top?order=none", "/api/enforcement?to=maybe", "/api/bypass"] {
        let method = if query.starts_with("/api/top") { "GET" } else { "POST" };
        let answer = api.ask(method, query, b"");
        assert_eq!(
            (answer.status, answer.kind.as_str()),
            (400, "application/problem+json"),
            "{query}: {}",
            answer.text()
        );
    }
    is_untouched(&site);
}

#[test]
fn what_is_too_large_is_refused_and_what_is_no_http_ends_the_connection() {
    let site = Site::new("");
    let body = vec![b' '; (1 << 20) + 1];
    let answer = site.api().ask("POST", "/api/block", &body);
    assert_eq!((answer.status, answer.kind.as_str()), (413, "application/problem+json"), "{}", answer.text());
    let mut stream = UnixStream::connect(site.place.socket()).unwrap();
    stream.write_all(b"\x16\x03\x01 what is this\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{said}");
    is_untouched(&site);
    assert!(site.api().status().health.ok);
}

#[test]
fn a_daemon_that_is_not_there_is_told_with_its_socket() {
    let site = Site::idle(&weir_tests::harness::Plan::default());
    for command in [&["status"][..], &["block", "add", "192.0.2.1"], &["block", "list"], &["explain", "192.0.2.1"]] {
        site.weir(command).badly(4, &["weir.sock"]);
    }
    site.weir(&["block", "add", "192.0.2.1/40"]).badly(2, &["192.0.2.1/40"]);
    site.weir(&["block", "add", "192.0.2.1", "--for", "soon"]).badly(2, &["soon"]);
    site.weir(&["explain", "192.0.2.0/24"]).badly(2, &["192.0.2.0/24"]);
}
