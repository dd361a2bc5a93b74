//! `weir feeds` for people.
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::changes::refused_line;
use super::grid::{Grid, figures, words};
use super::numbers::{bytes, counted, whole};
use super::{Style, plain, times};
use crate::domain::feed::presets::Preset;
use crate::domain::report::{FeedCheck, FeedRow, FeedState, ReachRow, RefreshReport};

/// Refused lines that are shown.
const REJECTS: usize = 20;

/// Writes a line for each feed, and what is wrong below.
///
/// # Errors
/// The writer's.
pub fn feeds(rows: &[FeedRow], now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return writeln!(into, "no feeds; `weir feeds presets` prints well-known ones");
    }
    let mut grid = Grid::new(&[
        words("feed"),
        words("state"),
        words("action"),
        figures("entries"),
        words("change"),
        figures("refused"),
        figures("bytes"),
        words("last good"),
        words("next"),
        words("source"),
    ]);
    for row in rows {
        grid.row([
            plain::line(&row.name).into_owned(),
            state(row.state, style),
            plain::line(&row.action).into_owned(),
            whole(row.entries),
            row.change
                .map_or_else(String::new, |change| format!("+{} -{}", whole(change.added), whole(change.removed))),
            whole(row.rejected),
            bytes(row.bytes),
            row.last_success.map_or_else(|| "never".to_owned(), |at| times::ago(at, now)),
            row.next.map_or_else(String::new, |at| times::until(Some(at), now)),
            plain::line(&row.source).into_owned(),
        ]);
    }
    grid.write(into, "")?;
    for row in rows {
        let name = plain::line(&row.name);
        if let Some(problem) = &row.problem {
            writeln!(into, "  {} {name}: {}", style.red("!"), plain::line(problem))?;
        }
        if !row.reasons.is_empty() {
            writeln!(into, "  {name}: lines refused: {}", reasons(&row.reasons))?;
        }
    }
    Ok(())
}

fn state(state: FeedState, style: Style) -> String {
    match state {
        FeedState::Ok => style.green("ok"),
        FeedState::Waiting => style.usual("waiting"),
        FeedState::Refused => style.red("refused"),
        FeedState::Failing => style.yellow("failing"),
        FeedState::Expired => style.red("expired"),
    }
    .into_owned()
}

fn reasons(reasons: &BTreeMap<String, u64>) -> String {
    let all: Vec<String> =
        reasons.iter().map(|(reason, count)| format!("{} {}", whole(*count), plain::line(reason))).collect();
    all.join(", ")
}

/// Writes what came of asking.
///
/// # Errors
/// The writer's.
pub fn refresh(report: &RefreshReport, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    feeds(&report.feeds, now, style, into)?;
    writeln!(into, "{}", if report.changed { "changed" } else { "unchanged" })
}

/// Writes what would be taken of a feed, and whom it would hit.
///
/// # Errors
/// The writer's.
pub fn check(check: &FeedCheck, style: Style, into: &mut impl Write) -> fmt::Result {
    let (accepted, format) = (counted(check.accepted, "entry", "entries"), plain::line(&check.format));
    writeln!(into, "{accepted} accepted, {} refused ({format})", counted(check.rejected, "line", "lines"))?;
    reach(&check.reach, style, into)?;
    if !check.reasons.is_empty() {
        writeln!(into, "refused: {}", reasons(&check.reasons))?;
    }
    for reject in check.rejects.iter().take(REJECTS) {
        writeln!(into, "  {}", refused_line(reject))?;
    }
    let shown = check.rejects.len().min(REJECTS) as u64;
    if check.rejected > shown {
        writeln!(into, "  and {} more", whole(check.rejected - shown))?;
    }
    match &check.refused {
        Some(why) => writeln!(into, "{} {}", style.red("the feed as a whole would be refused:"), plain::line(why)),
        None => writeln!(into, "{}", style.green("the feed would be taken")),
    }
}

/// Writes whom a list would hit.
///
/// # Errors
/// The writer's.
pub fn reach(reach: &ReachRow, style: Style, into: &mut impl Write) -> fmt::Result {
    let v4 = counted(reach.prefixes_v4, "IPv4 prefix", "IPv4 prefixes");
    let addresses = counted(reach.addresses_v4, "address", "addresses");
    let v6 = counted(reach.prefixes_v6, "IPv6 prefix", "IPv6 prefixes");
    writeln!(into, "reach: {v4} = {addresses} ({:.4} % of IPv4), {v6}", reach.share_v4_percent)?;
    for (set, hit) in [("protected", &reach.protected_hit), ("never-block", &reach.never_block_hit)] {
        if !hit.is_empty() {
            let named: Vec<String> =
                hit.iter().map(|(prefix, why)| format!("{} ({})", plain::line(prefix), plain::line(why))).collect();
            writeln!(into, "{set} addresses that refused lines would have hit: {}", named.join(", "))?;
        }
    }
    match reach.well_behaved {
        None | Some(0) => Ok(()),
        Some(hit) => {
            let sources = counted(hit, "source", "sources");
            let first: Vec<_> = reach.well_behaved_first.iter().map(|source| plain::line(source)).collect();
            let text = format!("{sources} that now pass without a drop would be hit: {}", first.join(", "));
            writeln!(into, "{}", style.yellow(&text))
        }
    }
}

/// Writes the well-known feeds.
///
/// # Errors
/// The writer's.
pub fn presets(presets: &[Preset], into: &mut impl Write) -> fmt::Result {
    for preset in presets {
        writeln!(into, "{}: {}", preset.name, preset.title)?;
        writeln!(into, "  {}", preset.url)?;
        let every = times::span(preset.interval_s);
        writeln!(into, "  {}, every {every} at the soonest; {}; {}", preset.format, preset.licence, preset.terms)?;
        if !preset.note.is_empty() {
            writeln!(into, "  {}", preset.note)?;
        }
    }
    Ok(())
}
