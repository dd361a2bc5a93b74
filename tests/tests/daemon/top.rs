//! The live screen of `weir top` in a terminal, against a real daemon and real packets.
use weir_tests::frames::V4;
use weir_tests::harness::terminal::Terminal;
use weir_tests::harness::traffic::Traffic;
use weir_tests::harness::{PATIENCE, Site, wait_for};

/// Three senders, the first of them four times as loud as each of the others.
fn traffic(site: &Site) -> Traffic {
    let from = |source: [u8; 4]| V4::from(source).frame();
    let loud = || from([192, 0, 2, 7]);
    let frames = vec![loud(), loud(), from([198, 51, 100, 9]), loud(), loud(), from([45, 0, 0, 1])];
    site.traffic(frames, 600)
}

fn top(site: &Site, columns: u16, lines: u16) -> Terminal {
    let config = site.place.config().display().to_string();
    Terminal::weir(&["-c".to_owned(), config, "top".to_owned()], columns, lines)
}

/// Addresses in the table, from the top.
fn addresses(lines: &[String]) -> Vec<String> {
    let first = lines.iter().position(|line| line.starts_with("Address")).unwrap_or(lines.len());
    let words = lines.iter().skip(first + 1).filter_map(|line| line.split_whitespace().next());
    words.take_while(|word| word.contains('.') || word.contains(':')).map(str::to_owned).collect()
}

#[track_caller]
fn sees(screen: &Terminal, expected: &[&str]) {
    screen.until(&format!("rows {expected:?}"), |lines| (addresses(lines) == expected).then_some(()));
}

#[test]
fn senders_are_shown_sorted_and_filtered() {
    let site = Site::new("");
    let _traffic = traffic(&site);
    let mut screen = top(&site, 80, 24);
    screen.shows(&["weir ", "wv0 native", "enforce", "health ok"]);
    screen.until("the loudest first", |lines| (addresses(lines).first()? == "192.0.2.7").then_some(()));
    screen.shows(&["3 rows: ", " % of all packets now"]);
    screen.shows(&["3 sources tracked on ", "forgotten"]);
    // Of all that comes in two thirds are the first one's.
    let row = screen.until("a rate", |lines| {
        let row = lines.iter().find(|line| line.starts_with("192.0.2.7"))?;
        row.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    assert!((200..=600).contains(&row), "{row} packets/s");
    screen.types("A");
    sees(&screen, &["45.0.0.1", "192.0.2.7", "198.51.100.9"]);
    screen.types("r");
    sees(&screen, &["198.51.100.9", "192.0.2.7", "45.0.0.1"]);
    screen.types("/192.0.0.0/6\r");
    sees(&screen, &["192.0.2.7"]);
    screen.shows(&["only 192.0.0.0/6"]);
    screen.types("\x1b");
    sees(&screen, &["198.51.100.9", "192.0.2.7", "45.0.0.1"]);
    screen.types("2");
    screen.shows(&["192.0.2.0/24"]);
    screen.types("3");
    screen.shows(&["unknown", "3"]);
    screen.types("4");
    screen.shows(&["pass"]);
    screen.resize(20, 5);
    screen.until("a small screen", |lines| (lines.len() == 5 && lines[2].starts_with("pass")).then_some(()));
    screen.types("q");
    assert!(screen.ends().success());
}

#[test]
fn a_row_is_explained_blocked_and_unblocked_from_the_screen() {
    let site = Site::new("");
    let _traffic = traffic(&site);
    let mut screen = top(&site, 100, 30);
    screen.until("the loudest first", |lines| (addresses(lines).first()? == "192.0.2.7").then_some(()));
    screen.types("e");
    screen.shows(&["explain 192.0.2.7"]);
    screen.shows(&["192.0.2.7: pass: no list names it"]);
    screen.types("q");
    screen.until("the popup is gone", |lines| (!lines.iter().any(|line| line.contains("explain 192"))).then_some(()));
    screen.types("b");
    screen.shows(&["for     1h_"]);
    screen.types("\ttoo loud\r");
    screen.shows(&["192.0.2.7/32 would be added (block)"]);
    assert_eq!(site.api().status().packets.dropped, 0, "nothing is blocked before a yes");
    screen.types("y");
    screen.shows(&["192.0.2.7/32 added (block)"]);
    wait_for("drops", PATIENCE, || (site.api().status().verdicts["denied"].packets > 100).then_some(()));
    let explained = site.api().explain("192.0.2.7");
    let entry = &explained.entries[0];
    assert_eq!(
        (explained.verdict.as_str(), entry.reason.as_str(), entry.prefix.as_str()),
        ("denied", "too loud", "192.0.2.7/32")
    );
    let ends = entry.expires_at.expect("after an hour").duration_since(jiff::Timestamp::now()).as_secs();
    assert!((3_500..=3_600).contains(&ends), "{ends} s");
    // What is dropped is seen, in the row and above it.
    screen.until("all of the row is dropped", |lines| {
        let row = lines.iter().find(|line| line.starts_with("192.0.2.7"))?;
        (row.split_whitespace().last()? == "100").then_some(())
    });
    screen.until("drops in the title", |lines| (!lines[1].contains("dropped 0/s")).then_some(()));
    screen.types("u");
    screen.shows(&["192.0.2.7/32 would be removed (block)"]);
    screen.types("y");
    screen.shows(&["192.0.2.7/32 removed (block)"]);
    assert_eq!(site.api().explain("192.0.2.7").verdict, "pass");
    screen.types("\x03");
    assert!(screen.ends().success());
}

#[test]
fn what_is_protected_cannot_be_blocked_from_the_screen() {
    let site = Site::new("[protected]\naddresses = [\"192.0.2.0/28\"]\n");
    let _traffic = traffic(&site);
    let mut screen = top(&site, 100, 30);
    screen.until("the loudest first", |lines| (addresses(lines).first()? == "192.0.2.7").then_some(()));
    screen.types("b");
    screen.shows(&["for     1h_"]);
    screen.types("\r");
    screen.shows(&["nothing was changed"]);
    screen.shows(&["192.0.2.0/28"]);
    screen.types("y");
    screen.types("\x1b");
    screen.until("the dialog is left", |lines| (!lines.iter().any(|line| line.contains("nothing was"))).then_some(()));
    assert_eq!(site.api().explain("192.0.2.7").verdict, "pass");
    assert!(site.api().explain("192.0.2.7").entries.is_empty());
}

#[test]
fn a_daemon_that_goes_away_is_waited_for() {
    let mut site = Site::new("");
    let _traffic = traffic(&site);
    let mut screen = top(&site, 100, 30);
    screen.until("the loudest first", |lines| (addresses(lines).first()? == "192.0.2.7").then_some(()));
    site.kill();
    screen.shows(&["NO ANSWER for "]);
    // Its rows stay, and its keys work.
    assert!(screen.lines().iter().any(|line| line.starts_with("192.0.2.7")), "{:#?}", screen.lines());
    screen.types("e");
    screen.shows(&["explain 192.0.2.7"]);
    screen.until("why it is not explained", |lines| {
        (lines.iter().filter(|line| line.contains("no daemon answers")).count() == 2).then_some(())
    });
    screen.types("\x1b");
    site.start();
    screen.shows(&["weir ", "wv0 native", "health ok"]);
    screen.types("q");
    assert!(screen.ends().success());
}

#[test]
fn a_signal_ends_the_screen_and_leaves_the_terminal_as_it_was() {
    let site = Site::new("");
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        let mut screen = top(&site, 80, 24);
        screen.shows(&["health ok"]);
        assert!(screen.is_raw() && screen.is_on_other_screen());
        let pid = libc::pid_t::try_from(screen.pid()).unwrap();
        // SAFETY: the child is not waited for yet, so the number is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        assert!(screen.ends().success(), "signal {signal}");
    }
}

#[test]
fn no_key_is_lost_that_comes_with_a_change_of_size() {
    let site = Site::new("");
    let mut screen = top(&site, 80, 24);
    screen.shows(&["health ok"]);
    for round in 0..20 {
        screen.resize(60 + round, 20);
        screen.types(if round % 2 == 0 { "?" } else { "q" });
        let is_open = |lines: &[String]| lines.iter().any(|line| line.contains("┌ keys ─"));
        screen.until("the key's effect", |lines| (is_open(lines) == (round % 2 == 0)).then_some(()));
    }
}

#[test]
fn a_half_key_does_not_keep_it_from_ending() {
    let site = Site::new("");
    let mut screen = top(&site, 80, 24);
    screen.shows(&["health ok"]);
    // What arrow keys begin with.
    screen.types("\x1b[");
    let pid = libc::pid_t::try_from(screen.pid()).unwrap();
    // SAFETY: the child is not waited for yet, so the number is still its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    assert!(screen.ends().success());
}

#[test]
fn without_a_daemon_there_is_a_line_and_no_screen() {
    let site = Site::idle(&weir_tests::harness::Plan::default());
    let mut screen = top(&site, 120, 24);
    screen.shows(&["error: no daemon answers at"]);
    assert_eq!(screen.ends().code(), Some(4));
}

#[test]
fn networks_and_countries_are_sums_over_all_tracked_sources() {
    let site = Site::new("");
    let frames: Vec<Vec<u8>> = (1..=200).map(|last| V4::from([192, 0, 2, last]).frame()).collect();
    site.send(&frames);
    site.send(&[V4::from([198, 51, 100, 1]).frame(), V4::from([198, 51, 100, 1]).frame()]);
    site.saw(&[("pass", 202)]);
    let rows = |args: &[&str]| -> Vec<serde_json::Value> {
        let args: Vec<&str> = ["-o", "json", "top", "-n", "1"].iter().chain(args).copied().collect();
        serde_json::from_str(&site.weir(&args).well()).unwrap()
    };
    let networks = rows(&["--group", "network"]);
    let row = &networks[0];
    assert_eq!(
        (networks.len(), row["address"].as_str(), row["sources"].as_u64()),
        (1, Some("192.0.2.0/24"), Some(200))
    );
    assert_eq!(row["packets"], 200);
    let countries = rows(&["--group", "country"]);
    assert_eq!((countries[0]["address"].is_null(), countries[0]["sources"].as_u64()), (true, Some(201)));
    let filtered = rows(&["--group", "network", "--filter", "198.51.0.0/16"]);
    assert_eq!((filtered[0]["address"].as_str(), filtered[0]["packets"].as_u64()), (Some("198.51.100.0/24"), Some(2)));
    let live: weir::domain::report::TopReport = site.api().get("/api/top/live?n=1&group=network");
    assert!(live.counting && live.lines >= 24_576, "{live:?}");
    assert_eq!((live.tracked, live.matching, live.rows.len()), (201, 2, 1));
    assert!((201..=202).contains(&live.lines_used), "{live:?}");
}
