//! What is shown: a table that is redrawn each second on a terminal, else a line a second; a summary at the end.
use std::io::{self, Write};
use std::time::Duration;

use super::phase::{Span, thousands};

/// Where the demo is shown.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    is_terminal: bool,
    lines: usize,
    shown: bool,
}

impl<W: Write> Screen<W> {
    /// Over a writer.
    pub fn new(out: W, is_terminal: bool) -> Self {
        Self { out, is_terminal, lines: 0, shown: false }
    }

    /// A line that stays.
    ///
    /// # Errors
    /// The writer's.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        self.lines = 0;
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// The last second, and all since the start.
    ///
    /// # Errors
    /// The writer's.
    pub fn second(&mut self, time: Duration, phase: &str, last: &Span, all: &Span) -> io::Result<()> {
        if self.is_terminal { self.redraw(time, phase, last, all) } else { self.line(time, phase, last) }
    }

    fn line(&mut self, time: Duration, phase: &str, last: &Span) -> io::Result<()> {
        if !self.shown {
            self.shown = true;
            writeln!(
                self.out,
                "\n time  flood     offered/s   passed/s   denied/s  over limit/s  pages  failed  p50 ms  p99 ms"
            )?;
        }
        let rate = |packets| thousands(last.per_second(packets));
        writeln!(
            self.out,
            "{:>3} s  {phase:<8} {:>10} {:>10} {:>10} {:>13} {:>6} {:>7} {:>7.1} {:>7.1}",
            time.as_secs_f64().round(),
            rate(last.offered),
            rate(last.passed()),
            rate(last.ledger.packets_of("denied")),
            rate(last.ledger.packets_of("rate_source")),
            last.pages.asked,
            last.pages.failed,
            last.pages.p50,
            last.pages.p99,
        )?;
        self.out.flush()
    }

    fn redraw(&mut self, time: Duration, phase: &str, last: &Span, all: &Span) -> io::Result<()> {
        let row = |name: &str, packets, total| {
            format!("  {name:<16} {:>14} {:>16}", thousands(last.per_second(packets)), thousands(total))
        };
        let mut lines = vec![
            String::new(),
            format!("  {:>3} s   {phase}", time.as_secs_f64().round()),
            String::new(),
            format!("  {:<16} {:>14} {:>16}", "verdict", "packets/s", "packets"),
        ];
        for verdict in Span::verdicts(&[all]) {
            let name = verdict.name();
            lines.push(row(name, last.ledger.packets_of(name), all.ledger.packets_of(name)));
        }
        lines.push(row("passed", last.passed(), all.passed()));
        lines.push(row("dropped", last.dropped(), all.dropped()));
        lines.push(row("sent by flood", last.offered, all.offered));
        lines.push(String::new());
        lines.push(format!(
            "  client: {} pages, {} failed, p50 {:.1} ms, p99 {:.1} ms (last second); {} pages, {} failed in all",
            last.pages.asked, last.pages.failed, last.pages.p50, last.pages.p99, all.pages.asked, all.pages.failed
        ));
        if self.lines > 0 {
            // Up to the first line of the table before, and everything below it away.
            write!(self.out, "\x1b[{}A\x1b[J", self.lines)?;
        }
        for line in &lines {
            writeln!(self.out, "{line}")?;
        }
        self.lines = lines.len();
        self.out.flush()
    }

    /// Before, during and after the flood.
    ///
    /// # Errors
    /// The writer's.
    pub fn summary(&mut self, before: &Span, during: &Span, after: &Span) -> io::Result<()> {
        let spans = [before, during, after];
        let mut rows: Vec<(String, [String; 3])> = Vec::new();
        let rate = |count: &dyn Fn(&Span) -> u64| spans.map(|span| thousands(span.per_second(count(span))));
        rows.push(("sent by the flood/s".to_owned(), rate(&|span| span.offered)));
        rows.push(("lost before weir/s".to_owned(), rate(&|span| span.lost)));
        rows.push(("seen by weir/s".to_owned(), rate(&|span| span.passed() + span.dropped())));
        rows.push(("passed/s".to_owned(), rate(&Span::passed)));
        rows.push(("dropped/s".to_owned(), rate(&Span::dropped)));
        for verdict in Span::verdicts(&spans) {
            let name = verdict.name();
            rows.push((format!("  {name}, packets"), spans.map(|span| thousands(span.ledger.packets_of(name)))));
        }
        rows.push(("pages asked for".to_owned(), spans.map(|span| span.pages.asked.to_string())));
        rows.push(("  that did not come".to_owned(), spans.map(|span| span.pages.failed.to_string())));
        rows.push(("  latency p50, ms".to_owned(), spans.map(|span| format!("{:.2}", span.pages.p50))));
        rows.push(("  latency p99, ms".to_owned(), spans.map(|span| format!("{:.2}", span.pages.p99))));
        rows.push(("  latency max, ms".to_owned(), spans.map(|span| format!("{:.2}", span.pages.max))));
        writeln!(self.out, "\n{:<26} {:>14} {:>14} {:>14}", "the flood:", "before", "during", "after")?;
        for (name, [before, during, after]) in rows {
            writeln!(self.out, "{name:<26} {before:>14} {during:>14} {after:>14}")?;
        }
        writeln!(self.out)?;
        self.out.flush()
    }
}
