//! Whatever happens, at whatever size.
use proptest::prelude::*;

use super::picture::buffer;
use super::*;
use crate::render::Style;

fn code() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        6 => proptest::sample::select("1234sSrqebuyjk/? ADOPKYNF".chars().collect::<Vec<_>>()).prop_map(KeyCode::Char),
        2 => any::<char>().prop_map(KeyCode::Char),
        6 => proptest::sample::select(vec![
            KeyCode::Enter,
            KeyCode::Esc,
            KeyCode::Tab,
            KeyCode::BackTab,
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::Left,
            KeyCode::Right,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::Backspace,
            KeyCode::Delete,
            KeyCode::F(1),
            KeyCode::Null,
        ]),
    ]
}

fn key() -> impl Strategy<Value = Event> {
    let modifiers =
        prop_oneof![4 => Just(KeyModifiers::NONE), 1 => Just(KeyModifiers::CONTROL), 1 => Just(KeyModifiers::SHIFT)];
    (code(), modifiers).prop_map(|(code, modifiers)| Event::Key(KeyEvent::new(code, modifiers)))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z]{0,12}", Just("192.0.2.7".to_owned()), Just("2001:db8::/48".to_owned())]
}

prop_compose! {
    fn any_row()(
        address in prop::option::of(text()),
        country in prop::option::of(text()),
        asn in any::<Option<u32>>(),
        counts in any::<[u64; 4]>(),
        rates in any::<[f64; 3]>(),
    ) -> TopRow {
        let [packets, bytes, dropped, sources] = counts;
        let [packets_per_second, bytes_per_second, dropped_per_second] = rates;
        TopRow { address, packets, bytes, dropped, packets_per_second, bytes_per_second, dropped_per_second, country, asn, sources }
    }
}

fn any_report() -> impl Strategy<Value = TopReport> {
    let group = proptest::sample::select(vec![TopGroup::Source, TopGroup::Network, TopGroup::Country]);
    (group, prop::collection::vec(any_row(), 0..30), any::<bool>(), any::<f64>(), any::<u64>()).prop_map(
        |(group, rows, counting, packets_per_second, matching)| TopReport {
            counting,
            packets_per_second,
            matching,
            ..report(group, rows)
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let at = || any::<u32>().prop_map(|millis| Duration::from_millis(u64::from(millis % 20_000)));
    let seen = || any::<u32>().prop_map(u64::from);
    prop_oneof![
        20 => key(),
        2 => (0..250u16, 0..80u16).prop_map(|(columns, lines)| Event::Size(columns, lines)),
        2 => at().prop_map(Event::Tick),
        4 => (at(), seen(), prop::option::of(any_report()))
            .prop_map(|(at, seen, top)| Event::Polled(at, Ok(Box::new(Polled { status: status(seen, seen / 3), top })))),
        1 => (at(), text()).prop_map(|(at, why)| Event::Polled(at, Err(why))),
        1 => prop::collection::vec("[ -~]{0,200}", 0..60)
            .prop_map(|lines| Event::Explained("192.0.2.7".parse().unwrap(), Ok(lines))),
        1 => prop_oneof![Just(Ok(would("added", true))), text().prop_map(Err)].prop_map(Event::Changed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing makes it fail, nothing a terminal acts upon is drawn, and without a yes to a dry run nothing is changed.
    #[test]
    fn no_event_and_no_size_makes_it_fail(events in prop::collection::vec(event(), 0..60), size in (0..250u16, 0..80u16)) {
        let mut app = App::new((80, 24), 500, TopBy::Packets, TopGroup::Source, "");
        for event in events {
            let is_tried = matches!(&app.popup, Popup::Change(change) if matches!(change.step, Step::Tried(_)));
            let is_yes = matches!(&event, Event::Key(key) if key.code == KeyCode::Char('y'));
            if let Some(Request::Change(_, change)) = app.update(event) {
                prop_assert!(change.dry_run || is_tried && is_yes);
            }
            prop_assert!(app.lines.is_empty() || app.place().at < app.lines.len());
        }
        let drawn = buffer(&app, size.0, size.1, Style::Coloured);
        prop_assert!(drawn.content.iter().all(|cell| !cell.symbol().contains(char::is_control)));
    }
}
