//! Whether a source acts as sources use to, learned from all of them.
//!
//! A source's requests are looked at in windows: at least five minutes and at least twenty requests, an hour at the most.
//! Each window comes to six numbers ([`features`]). What is usual is learned from past windows of all sources, and of a
//! source that is known, from its own ([`model`]): where a crowd of monitors is regular, being regular is nothing.
mod features;
mod model;

use std::net::IpAddr;

use jiff::Timestamp;

use super::super::event::{Event, EventKind};
use super::super::finding::Finding;
use super::super::severity::Severity;
use super::clock::Clock;
use super::keys::Seen;
use super::saying::{Lines, Said, Speaker, line_of};
use super::settings;
use super::table::{Kept, Places, Table, rank_of_many};
use features::{COUNT, Features, Open};
use model::{Model, Own};

/// Above this, a source is said to be far out.
const FAR: f64 = 0.9;

/// A window may be as long as so many of the shortest.
const LONGEST: i64 = 12;

/// Windows without which not even the end of a file is judged.
const LEAST_WINDOWS: f64 = 50.0;

/// A source's rank is for a day.
const RANKING_S: i64 = 86_400;

/// What is remembered of a silent source, should there be no room, is worth keeping for so long.
const IDLE_S: u64 = 3 * 86_400;

#[derive(Debug)]
pub(super) struct Anomaly {
    pub(super) table: Table<Watched>,
    clock: Clock,
    model: Model,
    lines: Lines,
    settings: settings::Anomaly,
    speaker: Speaker,
    window_ms: i64,
    trained_ms: Option<i64>,
    swept_ms: i64,
    now_ms: i64,
}

/// A source.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    key: u64,
    source: Option<IpAddr>,
    open: Open,
    own: Own,
    /// The last window that ended before there was a model.
    unjudged: Option<Features>,
    total: u32,
    worst: f32,
    worst_ms: i64,
    said: Said,
}

/// What a window came to.
#[derive(Clone, Debug)]
struct Verdict {
    key: u64,
    source: IpAddr,
    features: Features,
    score: f64,
    out: [f64; COUNT],
}

impl Kept for Watched {
    fn rank(&self) -> u8 {
        rank_of_many(self.total)
    }
}

impl Anomaly {
    pub(super) fn new(settings: &settings::Anomaly) -> Self {
        let window_ms = i64::try_from(settings.window_s.saturating_mul(1_000)).unwrap_or(i64::MAX / LONGEST);
        Self {
            table: Table::new(settings.max_keys, IDLE_S, Places::Contested),
            clock: Clock::default(),
            model: Model::default(),
            lines: Lines::default(),
            settings: settings.clone(),
            speaker: Speaker::new("anomaly", "Source unlike the others", &[]),
            window_ms,
            trained_ms: None,
            swept_ms: i64::MIN,
            now_ms: i64::MIN,
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>, found: &mut Vec<Finding>) {
        let (Some(key), Some(source), EventKind::HttpRequest) = (seen.keys.source, seen.event.client, seen.event.kind)
        else {
            return;
        };
        if !self.clock.believes(seen.at_ms) {
            return;
        }
        self.now_ms = seen.at_ms;
        self.train_if_due(found);
        let (window_ms, minimum) = (self.window_ms, self.settings.minimum);
        let model = &mut self.model;
        let verdict = self.table.with(key, seen.at_s(), |watched| {
            watched.key = key;
            watched.source = Some(source);
            watched.total = watched.total.saturating_add(1);
            let verdict = if watched.open.ends_before(seen.at_ms, window_ms, minimum) {
                watched.close(model, window_ms, minimum)
            } else {
                None
            };
            watched.open.note(seen, window_ms);
            model.crowd.note(seen.at_ms, window_ms, watched.open.requests <= minimum);
            (verdict, watched.open.requests)
        });
        let Some((verdict, requests)) = verdict else { return };
        // The 16th, 32nd, 64th … request of a window: a few lines of those who send many.
        if requests >= 16 && requests.is_power_of_two() {
            self.lines.push(key, seen.event);
        }
        if let Some(verdict) = verdict {
            self.say(&verdict, Some(seen.event), found);
        }
    }

    pub(super) fn tick(&mut self, now: Timestamp, found: &mut Vec<Finding>) {
        let now_ms = now.as_millisecond();
        if now_ms.saturating_sub(self.swept_ms) >= self.window_ms {
            self.sweep(now_ms, found);
        }
    }

    pub(super) fn finish(&mut self, found: &mut Vec<Finding>) {
        if !self.model.is_ready() {
            for watched in self.table.values() {
                if let Some(features) = watched.open.features(self.window_ms, self.settings.minimum) {
                    self.model.learn(&features, 1.0);
                }
            }
            if self.model.windows() >= LEAST_WINDOWS {
                self.train(found);
            }
        }
        self.sweep(i64::MAX, found);
    }

    pub(super) fn ranking(&self, most: usize) -> Vec<(IpAddr, f64)> {
        let is_recent = |watched: &&Watched| self.now_ms.saturating_sub(watched.worst_ms) <= RANKING_S * 1_000;
        let recent = self.table.values().filter(is_recent).filter(|watched| watched.worst > 0.0);
        let mut scores: Vec<_> =
            recent.filter_map(|watched| Some((watched.source?, f64::from(watched.worst)))).collect();
        scores.sort_by(|(a, first), (b, second)| second.total_cmp(first).then_with(|| a.cmp(b)));
        scores.truncate(most);
        scores
    }

    pub(super) fn model_bytes(&self) -> usize {
        size_of_val(&self.model) + self.model.bytes() + Lines::most_bytes()
    }

    /// Trains once there is enough to learn from, and each time the interval is over.
    fn train_if_due(&mut self, found: &mut Vec<Finding>) {
        let interval_ms = i64::try_from(self.settings.retrain_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let is_due = match self.trained_ms {
            None => self.model.windows() >= f64::from(self.settings.history),
            Some(then) => self.now_ms.saturating_sub(then).saturating_abs() >= interval_ms,
        };
        if is_due {
            self.train(found);
            self.sweep(self.now_ms, found);
        }
    }

    fn train(&mut self, found: &mut Vec<Finding>) {
        let is_first = !self.model.is_ready();
        self.trained_ms = Some(self.now_ms);
        self.model.train();
        if !is_first {
            return;
        }
        // What ended before anything was known is judged now.
        let model = &self.model;
        let judge = |watched: &mut Watched| {
            let features = watched.unjudged.take()?;
            watched.judge(model, features)
        };
        let verdicts: Vec<Verdict> = self.table.values_mut().filter_map(judge).collect();
        for verdict in &verdicts {
            self.say(verdict, None, found);
        }
    }

    /// Ends the windows of those who fell silent.
    fn sweep(&mut self, now_ms: i64, found: &mut Vec<Finding>) {
        self.swept_ms = now_ms;
        let (window_ms, minimum, model) = (self.window_ms, self.settings.minimum, &mut self.model);
        let silent = self.table.values_mut().filter(|watched| watched.open.is_silent(now_ms, window_ms));
        let verdicts: Vec<Verdict> = silent.filter_map(|watched| watched.close(model, window_ms, minimum)).collect();
        for verdict in &verdicts {
            self.say(verdict, None, found);
        }
    }

    fn say(&mut self, verdict: &Verdict, event: Option<&Event>, found: &mut Vec<Finding>) {
        if verdict.score <= self.settings.threshold {
            return;
        }
        let level = if verdict.score > FAR { 2 } else { 1 };
        let at_s = verdict.features.ended_ms.div_euclid(1_000);
        let is_due = self.table.with(verdict.key, at_s, |watched| watched.said.is_due(level, at_s, 3_600));
        if is_due != Some(true) {
            return;
        }
        let ended = Timestamp::from_millisecond(verdict.features.ended_ms).unwrap_or_default();
        let ended = Event::new(ended, EventKind::HttpRequest);
        let severity = if level > 1 { Severity::High } else { Severity::Medium };
        let mut finding =
            self.speaker.finding(event.unwrap_or(&ended), severity, confidence(verdict.score), self.settings.response);
        finding.source = Some(verdict.source);
        finding.value = Some(verdict.score);
        finding.threshold = Some(self.settings.threshold);
        finding.indicators = self.model.words(&verdict.features, &verdict.out);
        finding.evidence = self.lines.of(verdict.key);
        if finding.evidence.is_empty() {
            finding.evidence = event.map(line_of).unwrap_or_default();
        }
        found.push(finding);
    }
}

impl Watched {
    /// Ends the window, judges it by the past, and then learns from it.
    fn close(&mut self, model: &mut Model, window_ms: i64, minimum: u32) -> Option<Verdict> {
        let features = self.open.features(window_ms, minimum);
        self.open = Open::default();
        let mut features = features?;
        features.relate_to_crowd(model.crowd.per_minute(window_ms));
        if !model.is_ready() {
            self.unjudged = Some(features);
            model.learn(&features, self.own.weight());
            self.own.learn(&features, 1.0);
            return None;
        }
        let verdict = self.judge(model, features);
        let score = verdict.as_ref().map_or(0.0, |verdict| verdict.score);
        // What stands out is learned slowly, so that it stays outstanding; and at all, so that a new custom becomes one.
        let weight = if score > 0.5 { 0.1 } else { 1.0 };
        model.learn(&features, weight * self.own.weight());
        self.own.learn(&features, weight);
        verdict
    }

    fn judge(&mut self, model: &Model, features: Features) -> Option<Verdict> {
        let (score, out) = model.score(&features, &self.own);
        #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1, to be ranked by")]
        let rounded = score as f32;
        if rounded >= self.worst || features.ended_ms.saturating_sub(self.worst_ms).saturating_abs() > RANKING_S * 1_000
        {
            (self.worst, self.worst_ms) = (rounded, features.ended_ms);
        }
        Some(Verdict { key: self.key, source: self.source?, features, score, out })
    }
}

fn confidence(score: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 95 by the clamp")]
    {
        (score * 100.0 - 10.0).clamp(0.0, 90.0) as u8
    }
}

#[cfg(test)]
mod tests;
