//! The picture of the screen's state. Everything from outside has been made safe to print where lines are made.
pub(super) mod layout;
mod over;
mod rows;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style as Look};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::app::App;
use super::meter::{KEPT, Series};
use super::view::View;
use crate::domain::decision::Enforcement;
use crate::domain::report::{InterfaceRow, Status};
use crate::render::numbers::{rate, whole};
use crate::render::{Style, plain, times};

/// Columns of the words before and behind a graph.
const LABEL: u16 = 8;
const PEAK: u16 = 12;
/// On fewer columns only the view that is looked at has a name.
const NARROW: u16 = 60;

/// The looks of what is drawn. Without colours, only what a terminal has besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks {
    style: Style,
}

impl Looks {
    /// As a terminal is to be written to.
    pub(super) fn new(style: Style) -> Self {
        Self { style }
    }

    fn colour(self, colour: Color) -> Look {
        match self.style {
            Style::Plain => Look::new(),
            Style::Coloured => Look::new().fg(colour),
        }
    }

    fn good(self) -> Look {
        self.colour(Color::Green)
    }

    fn doubtful(self) -> Look {
        self.colour(Color::Yellow)
    }

    fn bad(self) -> Look {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn quiet() -> Look {
        Look::new().add_modifier(Modifier::DIM)
    }

    fn strong() -> Look {
        Look::new().add_modifier(Modifier::BOLD)
    }

    fn chosen() -> Look {
        Look::new().add_modifier(Modifier::REVERSED)
    }
}

/// Draws the screen.
pub(super) fn draw(app: &App, looks: Looks, frame: &mut Frame<'_>) {
    let screen = frame.area();
    let areas = layout::areas(screen.width, screen.height);
    let put = |frame: &mut Frame<'_>, line: Line<'_>, area: Option<Rect>| {
        if let Some(area) = area {
            frame.render_widget(Paragraph::new(line), area);
        }
    };
    let urgent = app.lost.as_ref().map(|lost| {
        let gone = times::span(app.now.saturating_sub(lost.since).as_secs());
        // What it is comes before why: on a narrow screen the end is cut off.
        let text = format!("NO ANSWER for {gone}, asking on: {}", plain::line(&lost.why));
        Line::styled(text, looks.bad())
    });
    let prompt = prompt(app);
    put(frame, urgent.clone().unwrap_or_else(|| title(app, looks)), areas.title);
    put(frame, rates(app, looks), areas.rates);
    graph(app, Series::Passed, looks, areas.passed, frame);
    graph(app, Series::Dropped, looks, areas.dropped, frame);
    // Where there is no line of its own for it, what is urgent stands in for the views.
    let tabs = urgent.filter(|_| areas.title.is_none());
    let tabs = tabs
        .or_else(|| prompt.clone().filter(|_| areas.keys.is_none()))
        .unwrap_or_else(|| tabs_line(app, looks, screen.width));
    put(frame, tabs, areas.tabs);
    rows::draw(app, areas.table, frame);
    put(frame, Line::styled(tracked(app), Looks::quiet()), areas.tracked);
    put(frame, Line::styled(share(app), Looks::quiet()), areas.share);
    put(frame, prompt.unwrap_or_else(keys), areas.keys);
    over::draw(app, frame);
}

fn title(app: &App, looks: Looks) -> Line<'static> {
    let Some(status) = &app.known.status else { return Line::raw("weir: asking the daemon") };
    let mut spans = vec![Span::styled(format!("weir {}", plain::line(&status.version)), Looks::strong())];
    spans.push(Span::raw("  "));
    spans.push(match status.enforcement {
        Enforcement::Enforce => Span::styled("enforce", looks.good()),
        Enforcement::Observe => Span::styled("observe: nothing is dropped", looks.doubtful()),
    });
    if status.bypass {
        spans.push(Span::styled("  BYPASS: nothing is filtered", looks.bad()));
    }
    if status.pending.is_some() {
        spans.push(Span::styled("  settings on trial", looks.doubtful()));
    }
    spans.push(Span::raw(format!("  generation {}  ", status.generation)));
    spans.push(health(status, looks));
    // Last, for there may be many.
    for interface in &status.interfaces {
        spans.push(Span::raw("  "));
        spans.push(interface_of(interface, looks));
    }
    Line::from(spans)
}

fn interface_of(interface: &InterfaceRow, looks: Looks) -> Span<'static> {
    let name = plain::line(&interface.name);
    match (&interface.index, &interface.mode) {
        (Some(_), Some(mode)) => Span::raw(format!("{name} {}", plain::line(mode))),
        (Some(_), None) => Span::raw(name.into_owned()),
        (None, _) => Span::styled(format!("{name} NOT ATTACHED"), looks.bad()),
    }
}

fn health(status: &Status, looks: Looks) -> Span<'static> {
    match status.health.problems.len() {
        0 if status.health.ok => Span::styled("health ok", looks.good()),
        1 => Span::styled("1 problem: weir status", looks.bad()),
        count => Span::styled(format!("{count} problems: weir status"), looks.bad()),
    }
}

fn rates(app: &App, looks: Looks) -> Line<'static> {
    let Some(rates) = app.known.meter.rates() else { return Line::styled("measuring", Looks::quiet()) };
    let bits = rate(rates.bits);
    let space = if bits.contains(' ') { "" } else { " " };
    let mut spans = vec![
        Span::raw(format!("seen {}/s  ", rate(rates.seen))),
        Span::styled(format!("passed {}/s  ", rate(rates.passed)), looks.good()),
        Span::styled(
            format!("dropped {}/s  ", rate(rates.dropped)),
            if rates.dropped > 0.0 { looks.bad() } else { Look::new() },
        ),
    ];
    if rates.would_drop > 0.0 {
        spans.push(Span::styled(format!("would drop {}/s  ", rate(rates.would_drop)), looks.doubtful()));
    }
    spans.push(Span::raw(format!("{bits}{space}bit/s")));
    Line::from(spans)
}

fn graph(app: &App, which: Series, looks: Looks, area: Option<Rect>, frame: &mut Frame<'_>) {
    let Some(area) = area else { return };
    let (name, look) = match which {
        Series::Passed => ("passed", looks.good()),
        Series::Dropped => ("dropped", looks.colour(Color::Red)),
    };
    let room = area.width.saturating_sub(LABEL + PEAK);
    let series = app.known.meter.series(which, usize::from(room));
    let peak = series.iter().flatten().max().copied().unwrap_or(0);
    frame.render_widget(Paragraph::new(name), Rect { width: LABEL.min(area.width), ..area });
    let width = room.min(u16::try_from(KEPT).unwrap_or(room));
    if width == 0 {
        return;
    }
    // The present stands at the right edge, as long as there is a past to its left.
    let missing = usize::from(width).saturating_sub(series.len());
    let bars: Vec<Option<u64>> = std::iter::repeat_n(None, missing).chain(series).collect();
    let line = Sparkline::default().data(bars).max(peak.max(1)).absent_value_symbol(" ").style(look);
    frame.render_widget(line, Rect { x: area.x + LABEL, width, ..area });
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let text = format!(" max {}/s", rate(peak as f64));
    frame.render_widget(
        Paragraph::new(Line::styled(text, Looks::quiet())),
        Rect { x: area.x + LABEL + width, width: PEAK, height: 1, ..area },
    );
}

fn tabs_line(app: &App, looks: Looks, width: u16) -> Line<'static> {
    let is_wide = width >= NARROW;
    let mut spans = Vec::new();
    for (at, view) in View::ALL.iter().enumerate() {
        let is_whole = is_wide || *view == app.view;
        let text = if is_whole { format!(" {} {} ", at + 1, view.title()) } else { format!(" {} ", at + 1) };
        spans.push(if *view == app.view { Span::styled(text, Looks::chosen()) } else { Span::raw(text) });
    }
    if app.is_paused {
        spans.push(Span::styled("  PAUSED", looks.doubtful().add_modifier(Modifier::BOLD)));
    }
    if !app.filter.is_empty() {
        spans.push(Span::styled(format!("  only {}", plain::line(app.filter.trim())), looks.doubtful()));
    }
    Line::from(spans)
}

/// How many sources are known, and what happens to the others.
fn tracked(app: &App) -> String {
    let Some(report) = app.report() else { return String::new() };
    if !report.counting {
        return "sources are not counted: [top] track is off".to_owned();
    }
    format!(
        "{} sources tracked on {} of {} lines; when full, the quietest are forgotten",
        whole(report.tracked),
        whole(report.lines_used),
        whole(report.lines)
    )
}

/// How much of the traffic the rows account for.
fn share(app: &App) -> String {
    let Some(report) = app.report() else {
        return "rates of all packets, from one second to the next".to_owned();
    };
    let shown: f64 = app.lines.iter().map(|line| line.packets_per_second).sum();
    let share = if report.packets_per_second > 0.0 {
        // The two are read one after the other: a little more than all is all.
        format!("{:.0} % of all packets now", (shown / report.packets_per_second * 100.0).clamp(0.0, 100.0))
    } else {
        "no packets now".to_owned()
    };
    let rows = app.lines.len() as u64;
    let of = if rows < report.matching { format!(" of {}", whole(report.matching)) } else { String::new() };
    format!("{}{of} rows: {share}; IPv6 by /64, totals since tracked", whole(rows))
}

/// What is typed, or is to be told once.
fn prompt(app: &App) -> Option<Line<'static>> {
    if app.is_typing {
        let text = format!("only: {}_   Enter: keep   Esc: show all", plain::line(&app.filter));
        return Some(Line::styled(text, Looks::strong()));
    }
    app.notice.as_ref().map(|notice| Line::styled(plain::line(notice).into_owned(), Looks::strong()))
}

fn keys() -> Line<'static> {
    let text = "q quit  ? keys  / only  s sort  e explain  b block  u unblock  space stop";
    Line::styled(text, Looks::quiet())
}
