//! What follows from a score: nothing, a tighter limit, a short denial, a long one.
use super::assessment::Assessment;

/// The longest short denial, in seconds: it may rest on what anybody can forge.
pub const SHORT_LONGEST_S: u64 = 3_600;
/// The longest time of a tighter limit, in seconds.
pub const LIMIT_LONGEST_S: u64 = 6 * 3_600;

/// What follows from scores. A threshold of 0 is never reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether anything is done at all.
    pub enforce: bool,
    /// The score from which a source has the tighter limit.
    pub limit_at: u8,
    /// For how long the first time, in seconds; at most [`LIMIT_LONGEST_S`].
    pub limit_for_s: u64,
    /// The score from which a source is denied for a short time.
    pub short_at: u8,
    /// For how long the first time, in seconds; at most [`SHORT_LONGEST_S`].
    pub short_for_s: u64,
    /// The score from which a source is denied for a long time: the one that rests on proven evidence.
    pub deny_at: u8,
    /// For how long the first time, in seconds.
    pub deny_for_s: u64,
    /// How long anything lasts at the most, in seconds.
    pub longest_s: u64,
    /// How long what has ended is remembered against its source, in seconds.
    pub memory_s: u64,
    /// Most sources that are remembered.
    pub most_sources: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enforce: true,
            limit_at: 40,
            limit_for_s: 600,
            short_at: 60,
            short_for_s: 600,
            deny_at: 80,
            deny_for_s: 3_600,
            longest_s: 7 * 86_400,
            memory_s: 30 * 86_400,
            most_sources: 65_536,
        }
    }
}

/// How bad it is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Nothing follows.
    Nothing,
    /// The tighter limit.
    Limit,
    /// A short denial.
    Short,
    /// A long denial.
    Long,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// Nothing, or nothing more than is in force.
    Nothing,
    /// The source has the tighter limit.
    Limit {
        /// How long, in seconds.
        for_s: u64,
    },
    /// The source is denied for a short time.
    Short {
        /// How long, in seconds.
        for_s: u64,
    },
    /// The source is denied for a long time.
    Long {
        /// How long, in seconds.
        for_s: u64,
    },
}

impl Policy {
    /// How bad what is said of a source is, whether or not anything is done about it. A long denial rests on proven
    /// evidence only.
    pub fn grade(&self, assessment: &Assessment) -> Grade {
        let reaches = |score: u8, threshold: u8| threshold > 0 && score >= threshold;
        if reaches(assessment.score.min(assessment.proven), self.deny_at) {
            Grade::Long
        } else if reaches(assessment.score, self.short_at) {
            Grade::Short
        } else if reaches(assessment.score, self.limit_at) {
            Grade::Limit
        } else {
            Grade::Nothing
        }
    }

    /// The answer of a grade to a source that had it so many times before: each lasts twice as long as the one before.
    pub(super) fn answer(&self, grade: Grade, before: u32) -> Answer {
        let for_s = |first_s: u64, longest_s: u64| {
            first_s.saturating_mul(1 << before.min(32)).clamp(1, longest_s.min(self.longest_s).max(1))
        };
        match grade {
            Grade::Nothing => Answer::Nothing,
            Grade::Limit => Answer::Limit { for_s: for_s(self.limit_for_s, LIMIT_LONGEST_S) },
            Grade::Short => Answer::Short { for_s: for_s(self.short_for_s, SHORT_LONGEST_S) },
            Grade::Long => Answer::Long { for_s: for_s(self.deny_for_s, u64::MAX) },
        }
    }
}

impl Answer {
    /// How long it lasts, in seconds; of nothing, 0.
    pub const fn for_s(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Limit { for_s } | Self::Short { for_s } | Self::Long { for_s } => for_s,
        }
    }

    /// Its grade.
    pub const fn grade(self) -> Grade {
        match self {
            Self::Nothing => Grade::Nothing,
            Self::Limit { .. } => Grade::Limit,
            Self::Short { .. } => Grade::Short,
            Self::Long { .. } => Grade::Long,
        }
    }
}

#[cfg(test)]
mod tests;
