//! What is usual: of all sources by where the upper end of each feature lies, of a known source by its own mean.
use std::array;

use super::features::{COUNT, Features, NAMES};

/// Bins of a histogram, and what each feature may come to.
const BINS: usize = 512;
const LEAST: [f64; COUNT] = [-4.0, 0.0, 0.0, 0.0, 0.0, 0.0];
const MOST: [f64; COUNT] = [14.0, 3.15, 10.0, 6.0, 25.0, 26.0];

/// The smallest scale: less is chance.
const LEAST_SCALE: [f64; COUNT] = [0.10, 0.05, 0.10, 0.10, 0.10, 0.15];

/// What the past weighs after each training. Of what was learned a day ago a third is left.
const KEPT: f64 = 0.955;

/// How many scales beyond the upper end of the usual make a score of 0.7.
const SCALES: f64 = 10.0;

/// With fewer windows, where one in a hundred lies cannot be seen.
const FEW: f64 = 300.0;

/// Windows after which a source is known.
const KNOWN: u16 = 12;

/// What a window weighs in a source's own mean, once there are some.
const OWN_WEIGHT: f32 = 1.0 / 24.0;

/// Where one in a hundred lies, if deviations fall off as they use to: in mean deviations.
const ONE_IN_HUNDRED: f64 = 3.9;

/// A feature this many scales out is worth a word.
const WORTH_A_WORD: f64 = 3.0;

type Histogram = [f32; BINS];

/// Learned from all sources.
#[derive(Clone, Debug)]
pub(super) struct Model {
    learned: Vec<Histogram>,
    windows: f64,
    usual: Option<[Usual; COUNT]>,
    pub(super) crowd: Crowd,
}

/// The upper end of a feature.
#[derive(Clone, Copy, Debug, Default)]
struct Usual {
    /// One in a hundred is above.
    high: f64,
    /// How fast it gets rarer from there: by a factor of e for each.
    scale: f64,
}

impl Default for Model {
    fn default() -> Self {
        Self { learned: vec![[0.0; BINS]; COUNT], windows: 0.0, usual: None, crowd: Crowd::default() }
    }
}

impl Model {
    pub(super) fn is_ready(&self) -> bool {
        self.usual.is_some()
    }

    /// Windows that were learned; older ones count less.
    pub(super) fn windows(&self) -> f64 {
        self.windows
    }

    pub(super) fn bytes(&self) -> usize {
        self.learned.capacity() * size_of::<Histogram>()
    }

    /// Remembers a window until the next training.
    pub(super) fn learn(&mut self, features: &Features, weight: f32) {
        for ((histogram, value), (least, most)) in
            self.learned.iter_mut().zip(features.compared).zip(LEAST.into_iter().zip(MOST))
        {
            if let Some(bin) = histogram.get_mut(bin_of(value, least, most)) {
                *bin += weight;
            }
        }
        self.windows += f64::from(weight);
    }

    /// Learns from what is remembered.
    pub(super) fn train(&mut self) {
        let mut histograms = self.learned.iter();
        self.usual = Some(array::from_fn(|feature| {
            let bounds = (LEAST.get(feature).copied().unwrap_or(0.0), MOST.get(feature).copied().unwrap_or(1.0));
            let floor = LEAST_SCALE.get(feature).copied().unwrap_or(1.0);
            histograms.next().map_or_else(Usual::default, |histogram| Usual::of(histogram, bounds, floor))
        }));
        self.windows *= KEPT;
        #[expect(clippy::cast_possible_truncation, reason = "a factor")]
        let kept = KEPT as f32;
        self.learned.iter_mut().flatten().for_each(|bin| *bin *= kept);
    }

    /// How much a window stands out, from 0 to 1, and how far out each feature is, in scales.
    pub(super) fn score(&self, features: &Features, own: &Own) -> (f64, [f64; COUNT]) {
        let Some(usual) = &self.usual else { return (0.0, [0.0; COUNT]) };
        let mut all = usual.iter().zip(features.compared).map(|(usual, value)| (value - usual.high) / usual.scale);
        let mut out = array::from_fn(|_| all.next().unwrap_or(0.0));
        if let Some(own) = own.out(features) {
            for (place, (all, own)) in out.iter_mut().zip(own).enumerate() {
                // A source that is known has a rate of its own, whatever others have. The rest is odd only if it is so for
                // the source and among all.
                *all = if place == 0 { own } else { all.min(own) };
            }
        }
        let out: [f64; COUNT] = out.map(|scales| if scales.is_finite() { scales.clamp(0.0, 1_000.0) } else { 0.0 });
        let far = out.iter().map(|scales| scales * scales).sum::<f64>().sqrt();
        (1.0 - 0.3f64.powf(far / SCALES), out)
    }

    /// The features that stand out, the farthest first, in words.
    pub(super) fn words(&self, features: &Features, out: &[f64; COUNT]) -> Vec<String> {
        let usual = self.usual.unwrap_or_default();
        let mut standing: Vec<(f64, String)> = Vec::new();
        for (place, ((name, told), (scales, usual))) in
            NAMES.iter().zip(features.told).zip(out.iter().zip(usual)).enumerate()
        {
            if *scales >= WORTH_A_WORD {
                let (told, high) = (in_words(place, told), in_words(place, uncompared(place, usual.high)));
                standing
                    .push((*scales, format!("{name}: {told}, {scales:.0} scales out; 99 of 100 stay below {high}")));
            }
        }
        standing.sort_by(|(first, _), (second, _)| second.total_cmp(first));
        standing.into_iter().map(|(_, words)| words).collect()
    }
}

impl Usual {
    fn of(histogram: &Histogram, (least, most): (f64, f64), floor: f64) -> Self {
        let at = |share: f64| quantile(histogram, share, least, most);
        if histogram.iter().copied().map(f64::from).sum::<f64>() < FEW {
            // One in a hundred is nobody: it is drawn out from where there are some.
            let scale = ((at(0.9) - at(0.5)) / 5f64.ln()).max(floor);
            return Self { high: at(0.9) + scale * 10f64.ln(), scale };
        }
        // Quantiles and no means: less than one in a hundred cannot move them, however far out it is.
        let scale = ((at(0.99) - at(0.90)) / 10f64.ln())
            .max((at(0.995) - at(0.95)) / 10f64.ln())
            .max((at(0.999) - at(0.99)) / 10f64.ln())
            .max(floor);
        Self { high: at(0.99), scale }
    }
}

/// Learned from one source: means, and mean deviations from them.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    windows: u16,
    means: [f32; COUNT + 1],
    deviations: [f32; COUNT + 1],
}

impl Own {
    /// What a window of the source weighs among all: the more of them there were, the less. What is usual is what sources do,
    /// and not what the few do that never stop.
    pub(super) fn weight(&self) -> f32 {
        1.0 / (1.0 + f32::from(self.windows)).sqrt()
    }

    #[expect(clippy::cast_possible_truncation, reason = "statistics")]
    pub(super) fn learn(&mut self, features: &Features, weight: f32) {
        self.windows = self.windows.saturating_add(u16::from(weight >= 1.0));
        let weight = weight * OWN_WEIGHT.max(1.0 / f32::from(self.windows.max(1)));
        let values = features.compared.into_iter().chain([features.related]);
        for ((mean, deviation), value) in self.means.iter_mut().zip(&mut self.deviations).zip(values) {
            let away = value as f32 - *mean;
            *mean += weight * away;
            *deviation += weight * (away.abs() - *deviation);
        }
    }

    /// How far beyond its own usual a source is, in scales; `None`: it is not known well enough.
    fn out(&self, features: &Features) -> Option<[f64; COUNT]> {
        if self.windows < KNOWN {
            return None;
        }
        let out = |place: usize, value: f64| {
            let mean = f64::from(self.means.get(place).copied().unwrap_or(0.0));
            let deviation = f64::from(self.deviations.get(place).copied().unwrap_or(0.0));
            let floor = LEAST_SCALE.get(place % COUNT).copied().unwrap_or(1.0);
            let scale = deviation.max(2.0 * floor);
            (value - mean) / scale - ONE_IN_HUNDRED
        };
        let mut values = features.compared.into_iter().enumerate();
        let mut all = array::from_fn(|_| values.next().map_or(0.0, |(place, value)| out(place, value)));
        // Busy for its own, and in relation to how busy everybody is.
        if let Some(rate) = all.first_mut() {
            *rate = rate.min(out(COUNT, features.related));
        }
        Some(all)
    }
}

/// How busy everybody is: requests a minute, of which one source counts for little however many it sends.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd {
    window: i64,
    requests: u32,
    before: u32,
}

impl Crowd {
    pub(super) fn note(&mut self, at_ms: i64, window_ms: i64, counts: bool) {
        let window = at_ms.div_euclid(window_ms.max(1));
        if window != self.window {
            // A request a little late belongs to the window that runs.
            if window == self.window - 1 {
                return;
            }
            self.before = if window == self.window + 1 { self.requests } else { 0 };
            (self.window, self.requests) = (window, 0);
        }
        self.requests = self.requests.saturating_add(u32::from(counts));
    }

    fn minutes(window_ms: i64) -> f64 {
        i32::try_from(window_ms / 1_000).map_or(1.0, |seconds| f64::from(seconds.max(1)) / 60.0)
    }

    pub(super) fn per_minute(&self, window_ms: i64) -> f64 {
        f64::from(self.before.max(self.requests)) / Self::minutes(window_ms)
    }
}

fn bin_of(value: f64, least: f64, most: f64) -> usize {
    let place = (value - least) / (most - least) * 512.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the bins by the clamp; NaN is 0"
    )]
    {
        place.clamp(0.0, 511.0) as usize
    }
}

/// The value below which this share lies.
fn quantile(histogram: &Histogram, share: f64, least: f64, most: f64) -> f64 {
    let total: f64 = histogram.iter().copied().map(f64::from).sum();
    let mut left = share * total;
    let width = (most - least) / 512.0;
    let mut edge = least;
    for bin in histogram.iter().copied().map(f64::from) {
        if bin > 0.0 && bin >= left {
            return edge + width * (left / bin);
        }
        left -= bin;
        edge += width;
    }
    most
}

/// A number as people are told it, of one that is compared.
fn uncompared(place: usize, value: f64) -> f64 {
    match place {
        0 => value.exp(),
        1 => (value / 2.0).sin().powi(2),
        4 => value,
        _ => value.exp() - 1.0,
    }
}

fn in_words(place: usize, told: f64) -> String {
    match place {
        0 => format!("{told:.1} a minute"),
        1 => format!("{:.0} %", told * 100.0),
        4 => format!("{told:.1}"),
        5 => format!("{told:.0} for a usual request"),
        _ => format!("{told:.0}"),
    }
}
