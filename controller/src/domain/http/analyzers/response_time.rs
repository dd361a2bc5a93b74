//! How long answers take, per endpoint.
use super::super::finding::Finding;
use super::super::severity::Severity;
use super::keys::{Seen, endpoint_name};
use super::saying::{Lines, Said, Speaker};
use super::settings;
use super::table::{Kept, Places, Table, rank_of_many};
use super::window::{Width, Window};

/// Slow answers are sorted by their time, in steps of half above the warning level.
const STEPS: usize = 8;

/// All answers, those above the critical level, and the slow ones by step.
const COUNTS: usize = STEPS + 2;

/// A percentile of 95: more than one in twenty above it.
const ONE_IN: u32 = 20;

#[derive(Debug)]
pub(super) struct ResponseTime {
    pub(super) table: Table<Times>,
    lines: Lines,
    width: Width,
    settings: settings::ResponseTime,
    speaker: Speaker,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    window: Window<COUNTS>,
    said: Said,
    total: u32,
}

impl Kept for Times {
    fn rank(&self) -> u8 {
        rank_of_many(self.total)
    }
}

impl ResponseTime {
    pub(super) fn new(settings: &settings::ResponseTime) -> Self {
        Self {
            table: Table::new(settings.max_keys, settings.window_s, Places::Contested),
            lines: Lines::default(),
            width: Width::of_window(settings.window_s),
            settings: settings.clone(),
            speaker: Speaker::new("response_time", "Slow responses", &[]),
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>, found: &mut Vec<Finding>) {
        // A connection that was upgraded lasts as long as it lasts, and what is not there is no endpoint: scanners would fill
        // the table with those.
        if !seen.is_request() || matches!(seen.event.status, Some(101 | 404)) {
            return;
        }
        let seconds = seen.event.duration_s.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        let (Some(seconds), Some(key)) = (seconds, seen.keys.endpoint) else { return };
        let (settings, width) = (&self.settings, self.width);
        let is_slow = seconds > settings.warning_s;
        if is_slow {
            self.lines.push(key, seen.event);
        }
        let judged = self.table.with(key, seen.at_s(), |times| {
            times.window.add(width, seen.at_ms, counts(seconds, settings));
            times.total = times.total.saturating_add(1);
            if !is_slow {
                return None;
            }
            let sums = times.window.sums(width, seen.at_ms);
            let [total, critical, slow @ ..] = sums;
            let slow_all = slow.iter().fold(0u32, |sum, count| sum.saturating_add(*count));
            let is_above = |count: u32| count > total / ONE_IN;
            let level = u8::from(is_above(slow_all)) + u8::from(is_above(critical));
            let level = if total < settings.minimum { 0 } else { level };
            let is_due = times.said.is_due(level, seen.at_s(), settings.window_s);
            is_due.then(|| (total, slow_all, percentile(total, &slow, settings.warning_s), level))
        });
        let Some((total, slow, percentile, level)) = judged.flatten() else { return };
        let (severity, threshold) =
            if level > 1 { (Severity::Critical, settings.critical_s) } else { (Severity::Medium, settings.warning_s) };
        let mut finding = self.speaker.finding(seen.event, severity, 90, settings.response);
        finding.about = seen.event.endpoint().map(endpoint_name);
        finding.value = Some(percentile.max(threshold));
        finding.threshold = Some(threshold);
        finding.indicators = vec![format!("{slow} of {total} answers took more than {} s", settings.warning_s)];
        finding.evidence = self.lines.of(key);
        found.push(finding);
    }
}

fn counts(seconds: f64, settings: &settings::ResponseTime) -> [u32; COUNTS] {
    let mut counts = [0; COUNTS];
    let [total, critical, slow @ ..] = &mut counts;
    *total = 1;
    *critical = u32::from(seconds > settings.critical_s);
    if seconds > settings.warning_s {
        let mut step = 0;
        let mut edge = settings.warning_s * 1.5;
        while step + 1 < STEPS && seconds > edge {
            step += 1;
            edge *= 1.5;
        }
        if let Some(count) = slow.get_mut(step) {
            *count = 1;
        }
    }
    counts
}

/// The 95th percentile, which is among the slow: within its step as if they were spread evenly.
fn percentile(total: u32, slow: &[u32; STEPS], warning_s: f64) -> f64 {
    let mut above = total / ONE_IN;
    let mut low = warning_s * 1.5f64.powi(7);
    for count in slow.iter().rev() {
        if *count > above {
            let share = f64::from(above) / f64::from(*count);
            return low * (1.0 + 0.5 * (1.0 - share));
        }
        above -= count;
        low /= 1.5;
    }
    warning_s
}
