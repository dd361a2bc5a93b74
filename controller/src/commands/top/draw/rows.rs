//! The table.
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style as Look};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::Looks;
use crate::commands::top::app::App;
use crate::commands::top::table::{Column, Line as Row};

/// Cells between columns, at least and at most.
const GAP: u16 = 1;
const WIDE_GAP: u16 = 3;

pub(super) fn draw(app: &App, area: Rect, frame: &mut Frame<'_>) {
    if area.height == 0 || area.width == 0 {
        return;
    }
    let place = app.place();
    let in_sight: Vec<&Row> = app.lines.iter().skip(place.offset).take(usize::from(area.height)).collect();
    let columns = columns(app.view.columns(), &in_sight, place.sort, area.width);
    let gap = gap(&columns, area.width);
    let mut lines = vec![header(app, &columns, &gap)];
    for (at, row) in in_sight.iter().enumerate() {
        let is_chosen = place.offset + at == place.at;
        lines.push(line(row, &columns, &gap, if is_chosen { Looks::chosen() } else { Look::new() }));
    }
    if in_sight.is_empty() {
        lines.push(Line::styled(nothing(app), Looks::quiet()));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// A column that is shown, and how wide it is.
struct Shown {
    at: usize,
    column: Column,
    width: u16,
}

/// The columns there is room for, as wide as what is in them. The first and the one that is sorted by are always among
/// them.
fn columns(all: &[Column], rows: &[&Row], sort: usize, room: u16) -> Vec<Shown> {
    let wide = |at: usize, column: &Column| {
        let cells = rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| Span::raw(&cell.text).width());
        let widest = cells.max().unwrap_or(0);
        // The mark of the order stands beside the title.
        let title = column.title.len() + usize::from(at == sort);
        u16::try_from(widest.max(title)).unwrap_or(u16::MAX).max(column.width)
    };
    let mut shown: Vec<Shown> =
        all.iter().enumerate().map(|(at, column)| Shown { at, column: *column, width: wide(at, column) }).collect();
    let taken = |shown: &[Shown]| {
        shown.iter().fold(0u16, |sum, column| sum.saturating_add(column.width).saturating_add(GAP)).saturating_sub(GAP)
    };
    while taken(&shown) > room {
        let expendable = shown.iter().enumerate().filter(|(_, column)| column.at != 0 && column.at != sort);
        let Some((last, _)) = expendable.max_by_key(|(_, column)| (column.column.expendable, column.at)) else { break };
        shown.remove(last);
    }
    shown
}

/// What stands between columns: more where there is room.
fn gap(columns: &[Shown], room: u16) -> String {
    let taken = columns.iter().fold(0u16, |sum, column| sum.saturating_add(column.width));
    let gaps = u16::try_from(columns.len().saturating_sub(1)).unwrap_or(u16::MAX).max(1);
    " ".repeat(usize::from((room.saturating_sub(taken) / gaps).clamp(GAP, WIDE_GAP)))
}

fn header(app: &App, columns: &[Shown], gap: &str) -> Line<'static> {
    let place = app.place();
    let mut spans = Vec::new();
    for shown in columns {
        let is_sorted = shown.at == place.sort;
        let mark = match (is_sorted, place.reversed) {
            (false, _) => "",
            (true, false) => "▼",
            (true, true) => "▲",
        };
        let look = if is_sorted { Looks::strong().add_modifier(Modifier::UNDERLINED) } else { Looks::strong() };
        let text = format!("{}{mark}", shown.column.title);
        spans.push(Span::styled(fit(&text, shown.width, shown.column.figures), look));
        spans.push(Span::raw(gap.to_owned()));
    }
    Line::from(spans)
}

fn line(row: &Row, columns: &[Shown], gap: &str, look: Look) -> Line<'static> {
    let mut text = String::new();
    for shown in columns {
        let cell = row.cells.get(shown.at).map_or("", |cell| cell.text.as_str());
        text.push_str(&fit(cell, shown.width, shown.column.figures));
        text.push_str(gap);
    }
    Line::styled(text, look)
}

/// A text in a column's width.
fn fit(text: &str, width: u16, figures: bool) -> String {
    let blank = " ".repeat(usize::from(width).saturating_sub(Span::raw(text).width()));
    if figures { blank + text } else { text.to_owned() + &blank }
}

fn nothing(app: &App) -> &'static str {
    if app.known.status.is_none() {
        "nothing is known yet"
    } else if !app.filter.is_empty() {
        "nothing that the filter takes; Esc shows all"
    } else {
        "nobody sends anything"
    }
}
