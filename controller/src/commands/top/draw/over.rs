//! What lies over the table.
use ratatui::Frame;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::Looks;
use super::layout::middle;
use crate::commands::top::app::App;
use crate::commands::top::popup::{HELP, Popup, Scroll};
use crate::domain::guard::bare;

pub(super) fn draw(app: &App, frame: &mut Frame<'_>) {
    let (title, text, scroll) = match &app.popup {
        Popup::None => return,
        Popup::Help(scroll) => {
            ("keys".to_owned(), HELP.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), *scroll)
        }
        Popup::Explain(explanation) => {
            (format!("explain {}", bare(explanation.of)), explanation.text(), explanation.scroll)
        }
        Popup::Change(change) => {
            (format!("{} {}", change.deed.word(), change.name()), change.lines(), Scroll::default())
        }
    };
    let is_dialog = matches!(app.popup, Popup::Change(_));
    let screen = frame.area();
    let text = if is_dialog { wrapped(&text, usize::from(screen.width.saturating_sub(4)).clamp(1, 96)) } else { text };
    let widest = text.iter().map(|line| Span::raw(line).width()).max().unwrap_or(0);
    let cells = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
    let width = cells(widest).saturating_add(4).max(cells(title.len()).saturating_add(4)).max(40);
    let height = cells(text.len()).saturating_add(2);
    let area = middle(screen, width, height);
    let is_cut = area.width < width || area.height < height;
    let mut block = Block::bordered().title(Line::styled(format!(" {title} "), Looks::strong()));
    if !is_dialog {
        block = block.title_bottom(if is_cut { " arrows: the rest  Esc: back " } else { " Esc: back " });
    }
    let inner = block.inner(area);
    // Not past the end: the last line stays in sight.
    let most = |length: usize, room: u16| cells(length).saturating_sub(room);
    let down = scroll.down.min(most(text.len(), inner.height));
    let right = scroll.right.min(most(widest + 2, inner.width));
    let lines: Vec<Line<'_>> = text.iter().map(|line| Line::raw(format!(" {line}"))).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines).scroll((down, right)), inner);
}

/// Lines broken where they are too long, at spaces as far as there are any.
fn wrapped(lines: &[String], width: usize) -> Vec<String> {
    let mut all = Vec::new();
    for line in lines {
        let mut rest: &str = line;
        while let Some((at, _)) = rest.char_indices().nth(width) {
            let (head, _) = rest.split_at(at);
            let cut = head.rfind(' ').filter(|cut| *cut > 0).unwrap_or(at);
            let (head, tail) = rest.split_at(cut);
            all.push(head.to_owned());
            rest = tail.trim_start();
        }
        all.push(rest.to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_and_nothing_is_lost() {
        let lines = ["one two three".to_owned(), String::new(), "ääääääääää".to_owned()];
        assert_eq!(wrapped(&lines, 8), ["one two", "three", "", "ääääääää", "ää"]);
    }
}
