//! What people make of an alert: how far they are with it, whose it is, what it belongs to.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{MOST_LABELS, NAME_CHARS, Status};

/// Characters of a note.
const NOTE_CHARS: usize = 2_000;

/// What people say of an alert. Detection never changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Triage {
    /// How far people are with it.
    pub status: Status,
    /// The case it belongs to, by the name that people give it.
    pub case: Option<String>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// The hunt it belongs to.
    pub hunt_id: Option<String>,
    /// The dataset it was found in.
    pub dataset_id: Option<String>,
    /// What was last said of it.
    pub note: Option<String>,
    /// When somebody first took it up.
    pub acknowledged_at: Option<Timestamp>,
    /// When it was first closed.
    pub resolved_at: Option<Timestamp>,
}

/// What is to be other about an alert; absent: as it is, empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertUpdate {
    /// How far people are with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The case it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// Who works on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// The hunt it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hunt_id: Option<String>,
    /// Why, or what is to be remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Its labels, in place of those it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// Why an alert is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TriageError {
    /// From there it cannot become that.
    #[error("an alert that is {from} cannot become {to}: from {from} it can become {}", names(*from))]
    Transition {
        /// What it is.
        from: Status,
        /// What it was to be.
        to: Status,
    },
    /// A text is too long.
    #[error("`{name}` has {found} characters, {most} are the most")]
    TooLong {
        /// The key.
        name: &'static str,
        /// Its characters.
        found: usize,
        /// How many it may have.
        most: usize,
    },
    /// Too many labels.
    #[error("{0} tags, {MOST_LABELS} are the most")]
    TooManyTags(usize),
    /// Nothing is to be changed.
    #[error("nothing is to be changed; say status, case, assignee, hunt_id, note or tags")]
    Nothing,
}

fn names(from: Status) -> String {
    let names: Vec<&str> = from.successors().iter().map(|status| status.name()).collect();
    names.join(", ")
}

impl Status {
    /// What it can become. Nothing becomes new again: somebody has looked.
    pub const fn successors(self) -> &'static [Self] {
        match self {
            Self::New => &[Self::Acknowledged, Self::Investigating, Self::Resolved, Self::FalsePositive],
            Self::Acknowledged => &[Self::Investigating, Self::Resolved, Self::FalsePositive],
            Self::Investigating => &[Self::Acknowledged, Self::Resolved, Self::FalsePositive],
            Self::Resolved => &[Self::Investigating, Self::FalsePositive],
            // What was denied for it is lifted: it is looked at anew before it is anything else.
            Self::FalsePositive => &[Self::Investigating],
        }
    }
}

impl AlertUpdate {
    /// Whether it asks for something, and nothing that is too long.
    ///
    /// # Errors
    /// [`TriageError`], never of a transition.
    pub fn check(&self) -> Result<(), TriageError> {
        if *self == Self::default() {
            return Err(TriageError::Nothing);
        }
        for (name, text, most) in [
            ("case", &self.case, NAME_CHARS),
            ("assignee", &self.assignee, NAME_CHARS),
            ("hunt_id", &self.hunt_id, NAME_CHARS),
            ("note", &self.note, NOTE_CHARS),
        ] {
            within(name, text.as_deref().unwrap_or_default(), most)?;
        }
        let tags = self.tags.as_deref().unwrap_or_default();
        if tags.len() > MOST_LABELS {
            return Err(TriageError::TooManyTags(tags.len()));
        }
        tags.iter().try_for_each(|tag| within("tags", tag, NAME_CHARS))
    }

    /// Whether the alert becomes a false positive by it, and was none.
    pub fn clears(&self, before: &Triage) -> bool {
        self.status == Some(Status::FalsePositive) && before.status != Status::FalsePositive
    }
}

fn within(name: &'static str, text: &str, most: usize) -> Result<(), TriageError> {
    let found = text.chars().count();
    if found > most { Err(TriageError::TooLong { name, found, most }) } else { Ok(()) }
}

impl Triage {
    /// Takes over what is to be changed `now`, all of it or nothing; whether anything is other than before.
    ///
    /// The times of the first look and of the first closing are set once: they stay whatever comes later.
    ///
    /// # Errors
    /// [`TriageError`].
    pub fn apply(&mut self, update: &AlertUpdate, now: Timestamp) -> Result<bool, TriageError> {
        update.check()?;
        let before = self.clone();
        if let Some(to) = update.status.filter(|to| *to != self.status) {
            if !self.status.successors().contains(&to) {
                return Err(TriageError::Transition { from: self.status, to });
            }
            self.status = to;
            self.acknowledged_at.get_or_insert(now);
            if to.is_closed() {
                self.resolved_at.get_or_insert(now);
            }
        }
        for (place, given) in [
            (&mut self.case, &update.case),
            (&mut self.assignee, &update.assignee),
            (&mut self.hunt_id, &update.hunt_id),
            (&mut self.note, &update.note),
        ] {
            if let Some(given) = given {
                *place = Some(given.clone()).filter(|text| !text.is_empty());
            }
        }
        Ok(*self != before)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn to(status: Status) -> AlertUpdate {
        AlertUpdate { status: Some(status), ..AlertUpdate::default() }
    }

    #[test]
    fn times_are_set_by_the_first_transition_and_stay() {
        let mut triage = Triage::default();
        assert_eq!(triage.apply(&to(Status::Acknowledged), at(1)), Ok(true));
        assert_eq!(triage.apply(&to(Status::Acknowledged), at(2)), Ok(false));
        assert_eq!(triage.apply(&to(Status::Resolved), at(3)), Ok(true));
        assert_eq!(triage.apply(&to(Status::Investigating), at(4)), Ok(true));
        assert_eq!(triage.apply(&to(Status::FalsePositive), at(5)), Ok(true));
        assert_eq!((triage.acknowledged_at, triage.resolved_at), (Some(at(1)), Some(at(3))));
    }

    #[test]
    fn who_closes_an_alert_at_once_has_taken_it_up() {
        let mut triage = Triage::default();
        triage.apply(&to(Status::FalsePositive), at(7)).unwrap();
        assert_eq!((triage.acknowledged_at, triage.resolved_at), (Some(at(7)), Some(at(7))));
    }

    #[test]
    fn an_impossible_transition_names_those_there_are_and_changes_nothing() {
        let mut triage = Triage { status: Status::FalsePositive, ..Triage::default() };
        let before = triage.clone();
        let update = AlertUpdate { case: Some("C-1".to_owned()), ..to(Status::Resolved) };
        let error = triage.apply(&update, at(1)).unwrap_err().to_string();
        assert_eq!(
            error,
            "an alert that is false-positive cannot become resolved: from false-positive it can become investigating"
        );
        assert_eq!(triage, before);
    }

    #[test]
    fn what_is_empty_is_taken_away_and_what_is_absent_stays() {
        let mut triage = Triage { case: Some("C-1".to_owned()), assignee: Some("bob".to_owned()), ..Triage::default() };
        let update = AlertUpdate { case: Some(String::new()), ..AlertUpdate::default() };
        assert_eq!(triage.apply(&update, at(1)), Ok(true));
        assert_eq!((triage.case, triage.assignee.as_deref()), (None, Some("bob")));
    }

    #[test]
    fn what_asks_for_nothing_or_too_much_is_refused() {
        for (update, expected) in [
            (AlertUpdate::default(), "nothing is to be changed"),
            (AlertUpdate { note: Some("x".repeat(2_001)), ..AlertUpdate::default() }, "`note` has 2001 characters"),
            (AlertUpdate { tags: Some(vec![String::new(); 33]), ..AlertUpdate::default() }, "33 tags"),
        ] {
            let error = update.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_becomes_new_again_and_times_never_move(steps in prop::collection::vec(0usize..5, 0..20)) {
            let mut triage = Triage::default();
            let mut times = (None, None);
            for (at_second, step) in steps.into_iter().enumerate() {
                let before = triage.clone();
                let wanted = Status::ALL[step];
                let outcome = triage.apply(&to(wanted), at(i64::try_from(at_second).unwrap()));
                let may = wanted == before.status || before.status.successors().contains(&wanted);
                prop_assert_eq!(outcome.is_ok(), may);
                if before.status != Status::New {
                    prop_assert_ne!(triage.status, Status::New);
                }
                times = (times.0.or(triage.acknowledged_at), times.1.or(triage.resolved_at));
                prop_assert_eq!((triage.acknowledged_at, triage.resolved_at), times);
                prop_assert_eq!(triage.resolved_at.is_some(), times.1.is_some());
            }
        }
    }
}
