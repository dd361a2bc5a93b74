//! What is drawn.
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::commands::top::draw::{Looks, draw};
use crate::render::Style;

pub(super) fn buffer(app: &App, columns: u16, lines: u16, style: Style) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    terminal.draw(|frame| draw(app, Looks::new(style), frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn picture(app: &App, columns: u16, lines: u16) -> Vec<String> {
    let buffer = buffer(app, columns, lines, Style::Plain);
    let line = |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..lines).map(line).collect()
}

fn resized(mut app: App, columns: u16, lines: u16) -> App {
    app.update(Event::Size(columns, lines));
    app
}

/// Two seconds of traffic.
fn measured() -> App {
    let mut app = app();
    app.update(answered(2, status(1_200, 150), Some(sources())));
    app.update(answered(3, status(1_300, 250), Some(sources())));
    app
}

#[test]
fn a_screen_of_80_by_24_shows_everything() {
    let mut expected = vec![
        "weir 0.1.0  enforce  generation 3  health ok  eth0 native".to_owned(),
        "seen 100/s  passed 0/s  dropped 100/s  48 kbit/s".to_owned(),
        format!("{}█  max 150/s", "passed".to_owned() + &" ".repeat(60)),
        format!("{}▄█ max 100/s", "dropped".to_owned() + &" ".repeat(59)),
        " 1 Sources  2 Networks  3 Countries  4 Verdicts".to_owned(),
        "Address           Packets/s▼ Bytes/s pacKets bYtes Dropped drOp% From asN".to_owned(),
        "192.0.2.7                 60   3.6 k   1.0 k  60 k      10    25 DE   AS64496".to_owned(),
        "2001:db8:7:1::/64         40   2.4 k   1.0 k  60 k      10    25".to_owned(),
        "198.51.100.9              20   1.2 k   1.0 k  60 k      10    25 FR   AS64496".to_owned(),
    ];
    expected.extend(vec![String::new(); 12]);
    expected.push("1,234 sources tracked on 2,000 of 49,152 lines; when full, the quietest are forgotten".to_owned());
    expected.push("3 of 1,234 rows: 60 % of all packets now; IPv6 by /64, totals since tracked".to_owned());
    expected.push("q quit  ? keys  / only  s sort  e explain  b block  u unblock  space stop".to_owned());
    let cut = |line: &String| line.chars().take(80).collect::<String>();
    assert_eq!(picture(&measured(), 80, 24), expected.iter().map(cut).collect::<Vec<_>>());
}

#[test]
fn a_small_screen_shows_rows_and_a_wide_one_all_columns() {
    let small = picture(&resized(measured(), 20, 5), 20, 5);
    assert_eq!(
        small,
        [" 1 Sources  2  3  4", "Address           Pa", "192.0.2.7", "2001:db8:7:1::/64", "198.51.100.9"]
    );
    let wide = picture(&resized(measured(), 200, 60), 200, 60);
    let title = wide.iter().find(|line| line.starts_with("Address")).unwrap();
    assert_eq!(title.split_whitespace().count(), 9, "{title}");
}

#[test]
fn on_a_narrow_screen_the_column_that_is_sorted_by_stays() {
    let mut app = resized(measured(), 40, 12);
    letter(&mut app, 'N');
    let lines = picture(&app, 40, 12);
    assert!(lines.iter().any(|line| line.starts_with("Address") && line.contains("asN▼")), "{lines:#?}");
}

#[test]
fn the_chosen_row_the_view_and_the_order_can_be_seen_without_colours() {
    let app = measured();
    let plain = buffer(&app, 80, 24, Style::Plain);
    assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let has = |x, y, modifier| plain[(x, y)].modifier.contains(modifier);
    assert!(has(1, 4, Modifier::REVERSED) && has(1, 6, Modifier::REVERSED) && has(20, 5, Modifier::UNDERLINED));
    assert!(!has(1, 7, Modifier::REVERSED) && !has(14, 4, Modifier::REVERSED));
    let coloured = buffer(&app, 80, 24, Style::Coloured);
    assert!(coloured.content.iter().any(|cell| cell.fg == Color::Green));
}

#[test]
fn what_the_rows_account_for_is_said_honestly() {
    let last = |app: &App| picture(app, 120, 24)[22].clone();
    let mut app = resized(measured(), 120, 24);
    let mut quiet = sources();
    quiet.packets_per_second = 0.0;
    app.update(answered(4, status(1_300, 250), Some(quiet)));
    assert_eq!(last(&app), "3 of 1,234 rows: no packets now; IPv6 by /64, totals since tracked");
    let mut off = sources();
    off.counting = false;
    app.update(answered(5, status(1_300, 250), Some(off)));
    assert_eq!(picture(&app, 120, 24)[21], "sources are not counted: [top] track is off");
}

#[test]
fn a_daemon_that_is_away_is_said_at_any_size() {
    let mut app = measured();
    app.update(Event::Polled(Duration::from_secs(4), Err("nobody listens".to_owned())));
    app.update(Event::Tick(Duration::from_secs(9)));
    for (columns, lines) in [(80, 24), (40, 10), (20, 5)] {
        let lines = picture(&resized(app.clone(), columns, lines), columns, lines);
        assert!(lines[0].starts_with("NO ANSWER for 5s"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("192.0.2.7")), "{lines:#?}");
    }
}

#[test]
fn troubles_of_the_daemon_stand_in_the_title() {
    let mut app = measured();
    let mut bad = status(1_300, 250);
    bad.enforcement = crate::domain::decision::Enforcement::Observe;
    bad.bypass = true;
    bad.health.ok = false;
    bad.health.problems = vec!["one".to_owned(), "two".to_owned()];
    bad.interfaces[0].index = None;
    app.update(answered(4, bad, None));
    let title = picture(&app, 200, 24).remove(0);
    for words in ["observe: nothing is dropped", "BYPASS", "2 problems", "eth0 NOT ATTACHED"] {
        assert!(title.contains(words), "{title}");
    }
}

#[test]
fn popups_show_their_content_and_what_is_cut_off_can_be_reached() {
    let mut app = measured();
    letter(&mut app, 'e');
    let said = (0..40).map(|line| format!("line {line} {}", "x".repeat(100))).collect();
    app.update(Event::Explained("192.0.2.7".parse().unwrap(), Ok(said)));
    let lines = picture(&app, 80, 24);
    assert!(lines[0].contains("explain 192.0.2.7") && lines[1].contains("line 0 ") && lines[23].contains("the rest"));
    press(&mut app, KeyCode::End);
    assert!(picture(&app, 80, 24)[22].contains("line 39 "));
    for _ in 0..20 {
        press(&mut app, KeyCode::Right);
    }
    assert!(picture(&app, 80, 24)[22].ends_with("xx │"), "{:?}", picture(&app, 80, 24)[22]);
}

#[test]
fn the_dialog_says_what_would_be_done_and_what_was_refused() {
    let mut app = measured();
    letter(&mut app, 'b');
    let has = |app: &App, words: &str| picture(app, 80, 24).iter().any(|line| line.contains(words));
    assert!(has(&app, "block 192.0.2.7") && has(&app, "for     1h_") && has(&app, "Enter: see what it would do"));
    press(&mut app, KeyCode::Enter);
    assert!(has(&app, "asking the daemon"));
    app.update(Event::Changed(Ok(would("added", true))));
    assert!(has(&app, "192.0.2.7/32 would be added (block)") && has(&app, "y: block 192.0.2.7"));
    letter(&mut app, 'e');
    press(&mut app, KeyCode::Enter);
    app.update(Event::Changed(Err("it is protected\n  192.0.2.7/32 (a login session)".to_owned())));
    assert!(
        has(&app, "it is protected") && has(&app, "192.0.2.7/32 (a login session)") && has(&app, "nothing was changed")
    );
    assert!(!has(&app, "y: block"));
}

#[test]
fn text_from_outside_reaches_the_terminal_escaped() {
    const EVIL: &str = "a\x1b[2J\u{9b}\u{202e}\r\nb";
    let mut app = App::new((200, 50), 9, TopBy::Packets, TopGroup::Source, "");
    let mut bad = status(10, 5);
    bad.version = EVIL.to_owned();
    bad.interfaces[0].name = EVIL.to_owned();
    bad.interfaces[0].mode = Some(EVIL.to_owned());
    let denied = bad.verdicts["denied"];
    bad.verdicts.insert(EVIL.to_owned(), denied);
    let rows = vec![row("192.0.2.7", 9.0, Some(EVIL)), row(EVIL, 1.0, Some(EVIL))];
    app.update(answered(1, bad, Some(report(TopGroup::Source, rows))));
    let mut seen = String::new();
    let mut look = |app: &App| {
        for lines in [3, 5, 24, 50] {
            seen += &picture(app, 200, lines).join("\n");
        }
    };
    look(&app);
    letter(&mut app, '4');
    look(&app);
    letter(&mut app, '1');
    tried(&mut app);
    app.update(Event::Changed(Err(EVIL.to_owned())));
    look(&app);
    letter(&mut app, 'e');
    press(&mut app, KeyCode::Enter);
    let mut report = would("added", true);
    report.notes = vec![EVIL.to_owned()];
    report.changes[0].list = EVIL.to_owned();
    app.update(Event::Changed(Ok(report)));
    look(&app);
    app.update(Event::Polled(Duration::from_secs(4), Err(EVIL.to_owned())));
    look(&app);
    assert!(seen.contains("a\\u{1b}[2J\\u{9b}\\u{202e}"), "{seen}");
    assert!(!seen.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{seen:?}");
}
