use super::*;

mod attacks;
mod whole;

/// A context on the 21st of November 2026.
pub(super) fn context() -> Context {
    Context { received: "2026-11-21T02:00:00Z".parse().unwrap(), zone: TimeZone::UTC }
}

pub(super) fn reader(format: Format) -> Reader {
    Reader::new(&Choice { format, ..Choice::default() }).unwrap()
}

/// The event of a line.
#[track_caller]
pub(super) fn event(format: Format, line: &str) -> Box<Event> {
    match reader(format).read(line.as_bytes(), &context()) {
        Line::Event(event) => event,
        other => panic!("{other:?}: {line}"),
    }
}

/// What an event holds, for comparison: `name=value` of what it has, in a fixed order.
pub(super) fn said(event: &Event) -> String {
    let names = [
        "event-type",
        "c-ip",
        "cs-username",
        "cs-method",
        "cs-uri",
        "cs-version",
        "sc-status",
        "sc-bytes",
        "cs-bytes",
        "cs-host",
        "cs-referer",
        "cs-user-agent",
        "cs-cookie",
        "x-forwarded-for",
        "time-taken",
        "component",
        "message",
    ];
    let mut said: Vec<String> =
        names.iter().filter_map(|name| event.field(name).map(|value| format!("{name}={value}"))).collect();
    said.extend(event.details.iter().map(|(name, value)| format!("{name}={value}")));
    said.join("\n")
}

/// A line is one of its format, by name and by itself, and says what is expected.
#[track_caller]
pub(super) fn check(format: Format, line: &str, expected: &[&str]) {
    for chosen in [format, Format::Auto] {
        let event = event(chosen, line);
        let expected = expected.join("\n");
        assert_eq!(said(&event), expected, "{chosen}: {line}");
    }
}
