//! What is to be said of a source: its score, and each line that it rests on.
use jiff::Timestamp;
use serde::Serialize;

use super::evidence::MOST_POINTS;
use crate::domain::http::alert::AlertId;

/// What is known of a source before any evidence of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Prior {
    /// Where it is from: "feed", "country", "asn", "network".
    pub kind: &'static str,
    /// The feed, the country and the like, by name.
    pub source: String,
    /// Points, which do not fade. What is no number is left out, and more than [`MOST_POINTS`] are cut.
    pub points: f64,
}

/// One line of what a score rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The kind of its evidence, or where a prior is from, by name.
    pub kind: String,
    /// What found it: a rule, an analyzer, a limit, a feed.
    pub source: String,
    /// The alert it is of, if it is of one.
    pub alert: Option<AlertId>,
    /// All points as they were given, before any fading.
    pub weight: f64,
    /// Points now. Those of all lines are the sum.
    pub points: f64,
    /// Pieces of evidence; 0 of a prior.
    pub count: u64,
    /// When the first was; `None` of a prior.
    pub first: Option<Timestamp>,
    /// When the last was; `None` of a prior.
    pub last: Option<Timestamp>,
    /// Whether anybody can forge all of it in the source's name.
    pub spoofable: bool,
}

impl Line {
    /// The line of a prior; `None` if it says nothing.
    pub(super) fn of(prior: &Prior) -> Option<Self> {
        let points = prior.points.clamp(-MOST_POINTS, MOST_POINTS);
        points.is_finite().then(|| Self::prior(prior.kind, prior.source.clone(), points))
    }

    pub(super) fn prior(kind: &str, source: String, points: f64) -> Self {
        Self {
            kind: kind.to_owned(),
            source,
            alert: None,
            weight: points,
            points,
            count: 0,
            first: None,
            last: None,
            spoofable: false,
        }
    }
}

/// What is to be said of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Assessment {
    /// 0, good, to 100, bad.
    pub score: u8,
    /// The same without what anybody can forge in the source's name.
    pub proven: u8,
    /// What the score is made of: all points that are left, which may be less than 0 and more than 100.
    pub sum: f64,
    /// The lines it is the sum of, those that move it most first.
    pub lines: Vec<Line>,
}

impl Assessment {
    pub(super) fn new(mut lines: Vec<Line>) -> Self {
        lines.sort_by(|a, b| {
            let by_name = || (&a.kind, &a.source, a.alert).cmp(&(&b.kind, &b.source, b.alert));
            b.points.abs().total_cmp(&a.points.abs()).then_with(by_name)
        });
        let sum = |lines: &[Line], counts: fn(&Line) -> bool| {
            lines.iter().filter(|line| counts(line)).fold(0.0, |sum, line| sum + line.points)
        };
        let all = sum(&lines, |_| true);
        let proven = sum(&lines, |line| !line.spoofable);
        Self { score: score(all), proven: score(proven), sum: all, lines }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number from 0 to 100")]
fn score(sum: f64) -> u8 {
    sum.round().clamp(0.0, 100.0) as u8
}
