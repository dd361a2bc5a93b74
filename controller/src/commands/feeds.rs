//! `weir feeds`.
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use ipnet::IpNet;
use jiff::Timestamp;

use super::io::Io;
use super::{client, settings};
use crate::adapters::feeds::fetch::{Fetcher, Outcome, Settings as FetchSettings};
use crate::adapters::geoip::{self, GeoFiles};
use crate::adapters::kernel::object;
use crate::cli::{Feeds, FeedsCheck, FeedsRefresh, Global, Output};
use crate::config::{Feed, Location};
use crate::daemon::{self, feed_content as content, load};
use crate::domain::feed::presets;
use crate::domain::prefixes::single;
use crate::domain::report::{FeedCheck, RejectRow, TopBy};
use crate::followed::Followed;
use crate::render;
use crate::views;

/// Sources that are asked for to tell who would be hit.
const SOURCES: u32 = 10_000;

/// Carries out a verb of `weir feeds`.
pub(super) fn run(verb: &Feeds, global: &Global, io: &mut Io) -> Result<()> {
    let now = Timestamp::now();
    match verb {
        Feeds::List => {
            let rows = client(global)?.feeds()?;
            io.report(global.output, rows.as_slice(), |rows, style, into| {
                render::feeds::feeds(rows, now, style, into)
            })?;
        }
        Feeds::Refresh(FeedsRefresh { names, force, dry_run }) => {
            let progress = io.progress("asking feeds");
            let asked = client(global)?.refresh(names, *force, *dry_run);
            progress.finish_and_clear();
            let report = asked?;
            io.report(global.output, &report, |report, style, into| render::feeds::refresh(report, now, style, into))?;
            // A feed that was asked by name and did not answer as it should is a failure of this command.
            let failed: Vec<&str> = report
                .feeds
                .iter()
                .filter(|feed| feed.problem.is_some() && names.contains(&feed.name))
                .map(|feed| feed.name.as_str())
                .collect();
            if !failed.is_empty() {
                bail!("not refreshed: {}; what was in force before still is", failed.join(", "));
            }
        }
        Feeds::Check(args) => return check(args, global, io),
        Feeds::Presets if global.output == Output::Json => {
            io.report(global.output, presets::presets(), |_, _, _| Ok(()))?;
        }
        Feeds::Presets => {
            io.report(global.output, presets::presets(), |all, _, into| render::feeds::presets(all, into))?;
        }
    }
    Ok(())
}

/// What would be taken of a feed that is not in force, and whom it would hit.
fn check(args: &FeedsCheck, global: &Global, io: &mut Io) -> Result<()> {
    let found = settings::load(global)?;
    let file = found.file.as_deref().unwrap_or(Path::new(load::DEFAULT_FILE));
    let cpus = object::possible_cpus().unwrap_or(1);
    let all = load::settings(&found.text, &found.loaded, &file.display().to_string(), false, cpus)?;
    let feed = feed(args, &all.feeds)?;
    let followed = Followed::default();
    let files = GeoFiles { country: None, asn: all.geo.asn_file.clone() };
    match geoip::load(&files) {
        Ok(geo) => followed.set_geo(Vec::new(), Some(geo.table)),
        // Only a list of numbers needs it, and says so itself.
        Err(error) => io.warn(format_args!("{error}")),
    }
    let guards = daemon::guards_of(&all, &followed);
    let body = body(args, &feed, io)?;
    let sources = sources(global);
    let is_asked = sources.is_some();
    let content = content::read(&body, &feed, &guards, &followed, None, sources.unwrap_or_default(), Timestamp::now());
    let refused = content.refused(false);
    let parsed = &content.parsed;
    let label = |label: &str| parsed.reasons.get(label).copied().unwrap_or(0);
    let mut reach = views::reach_row(&content.reach, &content.would_hit);
    reach.well_behaved = is_asked.then(|| content.reach.well_behaved.total());
    let report = FeedCheck {
        format: parsed.format.name().to_owned(),
        accepted: content.prefixes.len() as u64,
        rejected: parsed.rejected as u64,
        reasons: views::reasons(&parsed.reasons),
        protected: label("protected"),
        never_block: label("never_block"),
        reach,
        refused: refused.clone(),
        rejects: parsed
            .rejects
            .iter()
            .map(|reject| RejectRow { line: reject.line as u64, text: reject.text.clone(), why: reject.why.clone() })
            .collect(),
    };
    io.report(global.output, &report, render::feeds::check)?;
    match refused {
        None => Ok(()),
        Some(why) => Err(anyhow!("{}: the feed as a whole would be refused: {why}", args.source)),
    }
}

/// The feed that the command line means: one of the configuration, a preset, a URL or a file.
fn feed(args: &FeedsCheck, configured: &[Feed]) -> Result<Feed> {
    let source = args.source.as_str();
    let found = configured.iter().find(|feed| feed.name == source).cloned();
    let mut feed = if let Some(feed) = found { feed } else { named(source)? };
    feed.format = args.format.unwrap_or(feed.format);
    feed.column = args.column.clone().or(feed.column);
    feed.least_score = args.least_score.unwrap_or(feed.least_score);
    feed.allow_http |= args.allow_http;
    feed.allow_private |= args.allow_private;
    Ok(feed)
}

/// A preset, a URL or a file that the configuration does not name.
fn named(source: &str) -> Result<Feed> {
    if let Some(preset) = presets::named(source) {
        let mut feed = Feed::checked(Location::Http(preset.url.to_owned()));
        feed.format = preset.format;
        feed.limits.least_entries = usize::try_from(preset.least_entries).ok();
        return Ok(feed);
    }
    let is_url = source.starts_with("http://") || source.starts_with("https://");
    Ok(Feed::checked(if is_url { Location::Http(source.to_owned()) } else { Location::File(absolute(source)?) }))
}

fn absolute(file: &str) -> Result<PathBuf> {
    std::path::absolute(file).with_context(|| format!("find {file}"))
}

fn body(args: &FeedsCheck, feed: &Feed, io: &mut Io) -> Result<Vec<u8>> {
    if args.source == "-" {
        let mut bytes = Vec::new();
        let most = feed.most_bytes;
        let read = io.input.by_ref().take(most.saturating_add(1)).read_to_end(&mut bytes);
        if read.context("read standard input")? as u64 > most {
            bail!("standard input holds more than {most} bytes, the most of a feed");
        }
        return Ok(bytes);
    }
    let progress = io.progress(&format!("asking {}", args.source));
    let fetcher = Fetcher::new(FetchSettings::default());
    let request = content::request(feed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let answer = runtime.block_on(fetcher.fetch(&request, None));
    progress.finish_and_clear();
    let answer = answer?;
    for note in &answer.notes {
        io.note(note);
    }
    match answer.outcome {
        Outcome::Changed(body) => Ok(body),
        Outcome::Unchanged => bail!("{} says that nothing changed, to a first question", args.source),
    }
}

/// Who passes packets now, none of them dropped; `None` where no daemon answers.
fn sources(global: &Global) -> Option<Vec<(IpNet, u64)>> {
    let client = client(global).ok()?;
    let rows = client.wait_for(async {
        tokio::time::timeout(Duration::from_secs(5), client.top(SOURCES, TopBy::Packets)).await.ok()?.ok()
    })?;
    let passing = rows.into_iter().filter(|row| row.dropped == 0);
    let prefix = |text: &str| text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(single));
    Some(passing.filter_map(|row| Some((prefix(row.address.as_deref()?)?, row.packets))).collect())
}
