//! What is held of one source: a bounded number of lines, each of which adds up evidence of one origin.
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::assessment::Line;
use super::evidence::{Evidence, Kind, MOST_POINTS};
use super::fading::{Fading, HalfLife, Rank};
use crate::domain::http::alert::AlertId;

/// Most lines of a source, apart from those that others were merged into: of these there is one for each [`Class`].
pub const MOST_LINES: usize = 8;

/// Most points that all good behaviour of a source counts for.
pub const GOOD_AT_MOST: f64 = 20.0;

/// More points than any line has: so many can still be added up.
const FAR: f64 = 1e30;

/// What a correction says that it rests on.
const FALSE_POSITIVE: &str = "false-positive";

/// What a line may be used for. Lines of two classes are never merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Evidence that nobody else can forge.
    Proven,
    /// Evidence that anybody can forge in the source's name.
    Spoofable,
    /// Good behaviour.
    Good,
}

impl Class {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Spoofable => "spoofable",
            Self::Good => "good",
        }
    }
}

/// One line, as it is held and saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The kind of its evidence.
    pub kind: Kind,
    /// What it may be used for.
    pub class: Class,
    /// What found it. Of what was merged, the class.
    pub source: Arc<str>,
    /// The alert it is of, if it is of one.
    pub alert: Option<AlertId>,
    /// All points as they were given, before any fading.
    pub weight: f64,
    /// Points at the time `at`.
    pub points: f64,
    /// When the points were that many.
    pub at: Timestamp,
    /// Pieces of evidence.
    pub count: u64,
    /// When the first was.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
}

impl Held {
    /// The line of a piece of evidence; `None` if it says nothing: its points are no number, their sign does not suit its
    /// kind, or the kind is the ledger's own.
    pub(super) fn of(evidence: &Evidence) -> Option<Self> {
        let points = evidence.points.clamp(-MOST_POINTS, MOST_POINTS);
        let (suits, class) = match evidence.kind {
            Kind::Alert | Kind::Offence if evidence.spoofable => (points >= 0.0, Class::Spoofable),
            Kind::Alert | Kind::Offence => (points >= 0.0, Class::Proven),
            Kind::SignIn | Kind::Calm => (points <= 0.0, Class::Good),
            Kind::Correction | Kind::Merged => (false, Class::Proven),
        };
        let says_something = suits && evidence.points.is_finite();
        says_something
            .then(|| Self::new(evidence.kind, class, Arc::clone(&evidence.source), evidence.alert, points, evidence.at))
    }

    fn new(kind: Kind, class: Class, source: Arc<str>, alert: Option<AlertId>, points: f64, at: Timestamp) -> Self {
        Self { kind, class, source, alert, weight: points, points, at, count: 1, first: at, last: at }
    }

    /// A saved line as it may be taken in; `None` if it contradicts itself. What is of the future is of `now`: it would
    /// not fade until then.
    pub(super) fn restored(mut self, now: Timestamp) -> Option<Self> {
        let is_good = self.class == Class::Good;
        let is_possible = self.kind == Kind::Merged || self.kind.is_good() == is_good;
        if !is_possible || !self.points.is_finite() || !self.weight.is_finite() {
            return None;
        }
        let (least, most) = if is_good || self.kind == Kind::Correction { (-FAR, 0.0) } else { (0.0, FAR) };
        self.points = self.points.clamp(least, most);
        self.weight = self.weight.clamp(-FAR, FAR);
        self.at = self.at.min(now);
        self.first = self.first.min(now);
        self.last = self.last.min(now);
        Some(self)
    }

    /// What is left of it.
    pub(super) fn fading(&self) -> Fading {
        Fading { points: self.points, at: self.at }
    }

    /// Whether it speaks against the source.
    pub(super) fn is_bad(&self) -> bool {
        self.class != Class::Good && self.kind != Kind::Correction
    }

    /// Whether it tells of what was merged away.
    fn is_merged(&self) -> bool {
        matches!(self.kind, Kind::Merged | Kind::Correction)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.class == other.class && self.alert == other.alert && self.source == other.source
    }

    fn merge(&mut self, other: &Self, half_life: HalfLife) {
        self.set(self.fading().plus(other.fading(), half_life));
        self.weight += other.weight;
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    fn set(&mut self, fading: Fading) {
        (self.points, self.at) = (fading.points, fading.at);
    }

    /// As it is shown, `scale` being the part of its points that counts.
    fn read(&self, now: Timestamp, half_life: HalfLife, scale: f64) -> Line {
        Line {
            kind: self.kind.name().to_owned(),
            source: self.source.as_ref().to_owned(),
            alert: self.alert,
            weight: self.weight,
            points: self.fading().left(now, half_life) * scale,
            count: self.count,
            first: Some(self.first),
            last: Some(self.last),
            spoofable: self.class == Class::Spoofable,
        }
    }
}

/// The lines of a source.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Vec<Held>);

impl Lines {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.0.iter()
    }

    /// Lines there is memory for.
    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Adds a line. If there are too many, the one with the least points is merged away: one of the same class, so that
    /// what is forged hides nothing else. Other evidence that is alone in its class has the place of any other line.
    pub(super) fn add(&mut self, held: &Held, half_life: HalfLife) {
        if let Some(same) = self.0.iter_mut().find(|line| line.is_same(held)) {
            same.merge(held, half_life);
            return;
        }
        self.0.push(held.clone());
        if self.0.iter().filter(|line| line.kind != Kind::Merged).count() <= MOST_LINES {
            return;
        }
        let is_peer = |line: &Held| line.class == held.class;
        let newest = self.0.len().saturating_sub(1);
        let is_alone = self.0.iter().filter(|line| line.kind != Kind::Merged && is_peer(line)).count() <= 1;
        let least = if is_alone && held.class != Class::Spoofable {
            self.least(half_life, |place, _| place != newest)
        } else {
            self.least(half_life, |_, line| is_peer(line))
        };
        if let Some(place) = least {
            let line = self.0.remove(place);
            self.merge_away(&line, half_life);
        }
    }

    /// The place of the line that has the least points, of those that may go.
    fn least(&self, half_life: HalfLife, may_go: impl Fn(usize, &Held) -> bool) -> Option<usize> {
        let lines = self.0.iter().enumerate().filter(|(_, line)| line.kind != Kind::Merged);
        let lines = lines.filter(|(place, line)| may_go(*place, line));
        let size = |line: &Held| Fading { points: line.points.abs(), at: line.at }.rank(half_life);
        lines.min_by_key(|(_, line)| size(line)).map(|(place, _)| place)
    }

    fn merge_away(&mut self, line: &Held, half_life: HalfLife) {
        let merged = Held { kind: Kind::Merged, source: line.class.name().into(), alert: None, ..line.clone() };
        match self.0.iter_mut().find(|line| line.is_same(&merged)) {
            Some(same) => same.merge(&merged, half_life),
            None => self.0.push(merged),
        }
    }

    /// Counts evidence of no points up where its line is, or what that was merged into. Returns whether there is one.
    pub(super) fn note(&mut self, held: &Held, half_life: HalfLife) -> bool {
        let own = self.0.iter().position(|line| line.is_same(held));
        let merged = || self.0.iter().position(|line| line.kind == Kind::Merged && line.class == held.class);
        let line = own.or_else(merged).and_then(|place| self.0.get_mut(place));
        line.map(|line| line.merge(held, half_life)).is_some()
    }

    /// Takes what an alert says against the source out.
    pub(super) fn remove_alert(&mut self, alert: AlertId) -> Vec<Held> {
        self.0.extract_if(.., |line| line.alert == Some(alert) && line.is_bad()).collect()
    }

    /// Takes up to `estimate` back from what was merged, the proven first, and returns the corrections made. Each alert is
    /// corrected once.
    pub(super) fn correct(&mut self, alert: AlertId, estimate: Fading, half_life: HalfLife) -> Vec<Held> {
        let mut made = Vec::new();
        if self.0.iter().any(|line| line.kind == Kind::Correction && line.alert == Some(alert)) {
            return made;
        }
        let mut open = estimate;
        for class in [Class::Proven, Class::Spoofable] {
            let merged = self.0.iter().filter(|line| line.class == class && line.is_merged());
            let Some(merged) = Fading::total(merged.map(Held::fading), half_life) else { continue };
            open = open.as_of(merged.at, half_life);
            let taken = merged.left(open.at, half_life).min(open.points);
            if taken > 0.0 {
                open.points -= taken;
                made.push(Held::new(Kind::Correction, class, FALSE_POSITIVE.into(), Some(alert), -taken, open.at));
            }
        }
        for correction in &made {
            self.add(correction, half_life);
        }
        made
    }

    /// All that was proven, less what was taken back.
    pub(super) fn proven(&self, half_life: HalfLife) -> Option<Fading> {
        proven(&self.0, half_life)
    }

    /// Where the source stands among others by what speaks against it.
    pub(super) fn rank(&self, half_life: HalfLife) -> Rank {
        let bad = self.0.iter().filter(|line| line.class != Class::Good);
        Fading::total(bad.map(Held::fading), half_life).map_or(Rank::LEAST, |bad| bad.rank(half_life))
    }

    /// Points left, good behaviour being no more than it may be.
    pub(super) fn sum(&self, now: Timestamp, half_life: HalfLife) -> f64 {
        let (good, bad) = self.split(now, half_life);
        bad + good.max(-GOOD_AT_MOST)
    }

    /// The lines as they are shown: they add up to [`Lines::sum`].
    pub(super) fn read(&self, now: Timestamp, half_life: HalfLife) -> Vec<Line> {
        let (good, _) = self.split(now, half_life);
        let scale = if good < -GOOD_AT_MOST { GOOD_AT_MOST / -good } else { 1.0 };
        let scale_of = |line: &Held| if line.class == Class::Good { scale } else { 1.0 };
        self.0.iter().map(|line| line.read(now, half_life, scale_of(line))).collect()
    }

    /// Points for the source, and points against it.
    fn split(&self, now: Timestamp, half_life: HalfLife) -> (f64, f64) {
        self.0.iter().fold((0.0, 0.0), |(good, bad), line| {
            let left = line.fading().left(now, half_life);
            if line.class == Class::Good { (good + left, bad) } else { (good, bad + left) }
        })
    }

    /// Notes what is left `now`, before it fades by another half-life.
    pub(super) fn settle(&mut self, now: Timestamp, half_life: HalfLife) {
        for line in &mut self.0 {
            line.set(line.fading().as_of(now, half_life));
        }
    }
}

/// All that is proven of these.
pub(super) fn proven(lines: &[Held], half_life: HalfLife) -> Option<Fading> {
    Fading::total(lines.iter().filter(|line| line.class == Class::Proven).map(Held::fading), half_life)
}

#[cfg(test)]
mod tests;
