//! A window of one source's requests, and the six numbers it comes to.
use super::super::keys::Seen;

/// Features there are.
pub(super) const COUNT: usize = 6;

/// Their names, in their order.
pub(super) const NAMES: [&str; COUNT] =
    ["request rate", "error share", "distinct paths", "agent changes", "timing regularity", "bytes"];

/// Steps in which evenness is looked at, in milliseconds.
const STEP_MS: i64 = 10_000;

/// Bits of which each distinct path sets one: enough for some thousands.
const PATH_WORDS: usize = 16;

/// Requests of a source since its window opened, in constant memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    pub(super) requests: u32,
    errors: u32,
    start_ms: i64,
    last_ms: i64,
    /// Logarithms: one big file among many pages is nothing.
    bytes: f64,
    paths: [u64; PATH_WORDS],
    agents: [u64; 2],
    last_agent: u64,
    changes: u32,
    gaps_s: f64,
    gaps_squared: f64,
    step: i64,
    in_step: u32,
    steps_squared: f64,
}

/// What a window came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Features {
    /// The numbers that are compared: logarithms and the like, so that equal steps mean equal surprise.
    pub(super) compared: [f64; COUNT],
    /// The numbers that people are told.
    pub(super) told: [f64; COUNT],
    /// The rate in relation to the crowd's: comparable by day and by night.
    pub(super) related: f64,
    pub(super) ended_ms: i64,
}

impl Features {
    pub(super) fn relate_to_crowd(&mut self, per_minute: f64) {
        let [rate, ..] = self.compared;
        self.related = rate - (per_minute + 1.0).ln();
    }
}

impl Open {
    /// Whether a request at this time belongs to another window.
    pub(super) fn ends_before(&self, at_ms: i64, window_ms: i64, minimum: u32) -> bool {
        if self.requests == 0 {
            return false;
        }
        let age = at_ms.saturating_sub(self.start_ms);
        let is_enough = self.requests >= minimum && age >= window_ms;
        let is_silent = at_ms.saturating_sub(self.last_ms) >= window_ms && self.requests >= minimum;
        is_enough || is_silent || age >= window_ms.saturating_mul(super::LONGEST) || age < -window_ms
    }

    /// Whether nothing came for the length of a window.
    pub(super) fn is_silent(&self, now_ms: i64, window_ms: i64) -> bool {
        self.requests > 0 && now_ms.saturating_sub(self.last_ms) >= window_ms
    }

    pub(super) fn note(&mut self, seen: &Seen<'_>, window_ms: i64) {
        let event = seen.event;
        if self.requests == 0 {
            (self.start_ms, self.last_ms) = (seen.at_ms, seen.at_ms);
        }
        let gap_s = lossy(seen.at_ms.saturating_sub(self.last_ms).clamp(-window_ms, window_ms)).abs() / 1_000.0;
        self.gaps_s += gap_s;
        self.gaps_squared += gap_s * gap_s;
        // What comes a little late counts for the step that runs.
        let step = seen.at_ms.saturating_sub(self.start_ms).div_euclid(STEP_MS);
        if step > self.step {
            self.steps_squared += f64::from(self.in_step).powi(2);
            (self.step, self.in_step) = (step, 0);
        }
        self.in_step = self.in_step.saturating_add(1);
        self.requests = self.requests.saturating_add(1);
        self.last_ms = self.last_ms.max(seen.at_ms);
        self.errors = self.errors.saturating_add(u32::from(event.status.is_some_and(|status| status >= 400)));
        self.bytes += (1.0 + lossy_unsigned(event.bytes_sent.unwrap_or(0))).ln();
        if let Some(path) = event.endpoint() {
            set(&mut self.paths, seen.seed.text(b'p', path));
        }
        let agent = event.user_agent.as_deref().map_or(0, |agent| seen.seed.text(b'a', agent));
        self.changes = self.changes.saturating_add(u32::from(self.requests > 1 && agent != self.last_agent));
        self.last_agent = agent;
        set(&mut self.agents, agent);
    }

    /// What the window came to, if it has enough requests.
    pub(super) fn features(&self, window_ms: i64, minimum: u32) -> Option<Features> {
        if self.requests < minimum.max(2) {
            return None;
        }
        let requests = f64::from(self.requests);
        let minutes = lossy(self.last_ms.saturating_sub(self.start_ms).max(window_ms)) / 60_000.0;
        let rate = requests / minutes;
        let errors = f64::from(self.errors) / requests;
        let (paths, agents) = (distinct(&self.paths), distinct(&self.agents).min(f64::from(self.changes) + 1.0));
        // The more requests, the less by chance.
        let regularity = self.regularity() * (1.0 + (requests / f64::from(minimum.max(2))).ln());
        let bytes = self.bytes / requests;
        // The arcsine makes shares comparable whatever they are: what chance does to them is the same everywhere.
        let share = (f64::from(self.errors) + 0.375) / (requests + 0.75);
        Some(Features {
            compared: [
                rate.ln(),
                2.0 * share.clamp(0.0, 1.0).sqrt().asin(),
                (1.0 + paths).ln(),
                (1.0 + agents).ln(),
                regularity,
                bytes,
            ],
            told: [rate, errors, paths, agents, regularity, bytes.exp() - 1.0],
            related: 0.0,
            ended_ms: self.last_ms,
        })
    }

    /// How much more even than chance the requests come; 0: as by chance, or in bursts as people's.
    ///
    /// With long gaps, by how much they vary; with many requests in each ten seconds, by how much their number does: times
    /// in whole seconds are exact enough for both.
    fn regularity(&self) -> f64 {
        let gaps = f64::from(self.requests - 1);
        let mean_s = self.gaps_s / gaps;
        if mean_s >= 2.0 {
            let deviation = (self.gaps_squared / gaps - mean_s * mean_s).max(0.0).sqrt();
            return -(deviation / mean_s + 0.03).min(1.0).ln();
        }
        // Steps that are over: part of one would look like a lull, or the even rest of it like a rule.
        let steps = lossy(self.step);
        let over = f64::from(self.requests - self.in_step);
        let mean = over / steps.max(1.0);
        if steps < 12.0 || mean < 1.0 {
            return 0.0;
        }
        // By chance, this is about the number of steps: the index of dispersion.
        let dispersion = (self.steps_squared / mean - over).max(0.0);
        -((dispersion + 1.0) / (steps + 1.0)).min(1.0).ln()
    }
}

/// Sets the bit of a hash.
fn set<const N: usize>(bits: &mut [u64; N], hash: u64) {
    let place = usize::try_from(hash >> 6).ok().and_then(|place| bits.get_mut(place % N));
    if let Some(word) = place {
        *word |= 1 << (hash & 63);
    }
}

/// About how many different hashes set these bits: linear counting (Whang and others, 1990).
fn distinct<const N: usize>(bits: &[u64; N]) -> f64 {
    let free: u32 = bits.iter().map(|word| word.count_zeros()).sum();
    let all: u32 = bits.iter().map(|_| u64::BITS).sum();
    let all = f64::from(all);
    all * (all / f64::from(free.max(1))).ln()
}

#[expect(clippy::cast_precision_loss, reason = "statistics, and far below 2^53")]
fn lossy(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "statistics")]
fn lossy_unsigned(number: u64) -> f64 {
    number as f64
}
