//! Whether a user acts as they use to: the hour, the country, the mix of endpoints.
//!
//! A day is learned when it is over, and whatever was done in it weighs as one of fourteen. So nobody makes a habit of
//! anything in one session: an hour takes two days to become usual, a country three, and a mix moves by a fourteenth a day.
use super::super::event::EventKind;
use super::super::finding::Finding;
use super::super::severity::Severity;
use super::clock::Clock;
use super::keys::{Seen, user};
use super::saying::{Said, Speaker, line_of};
use super::settings;
use super::table::{Kept, Places, Table, rank_of};

const DAY_S: i64 = 86_400;

/// Endpoints are sorted into so many groups in two ways: one that is new shares both with what is usual seldom.
const GROUPS: usize = 64;
const BOTH: usize = 2 * GROUPS;

/// How much a day weighs, once there are more of them.
const DAY_WEIGHT: f32 = 1.0 / 14.0;

/// An hour in which, or next to which, a user is active on one day in ten is usual.
const USUAL_HOUR: f32 = 0.1;

/// A country is a user's own once they were there on so many days.
const OWN_COUNTRY_DAYS: u8 = 3;

/// Countries remembered of a user, and of one of their days.
const COUNTRIES: usize = 6;

/// Events without which a day is not learned.
const LEAST_A_DAY: u32 = 3;

/// Requests from which on endpoints that a user never asks for are noticed.
const LEAST_NEW: u32 = 3;

/// Part of a user's requests below which a group of endpoints is new for them.
const NEW_BELOW: f32 = 0.01;

/// How unlike the usual a mix may be for any user, as half the sum of differences between shares.
const UNLIKE: f32 = 0.5;

/// A user silent for so long starts anew, should there be no room.
const IDLE_S: u64 = 60 * 86_400;

#[derive(Debug)]
pub(super) struct Behaviour {
    pub(super) table: Table<Profile>,
    clock: Clock,
    settings: settings::Behaviour,
    speaker: Speaker,
}

/// A user: what they use to do, and what they did today.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    days: u16,
    hours: [f32; 24],
    countries: [(u16, u8); COUNTRIES],
    mix: Mix<f32>,
    /// How unlike the usual a day's most unlike hours are, on average, and how much that varies.
    unlike: f32,
    spread: f32,
    today: Today,
    said: Said,
}

#[derive(Clone, Debug, Default)]
struct Today {
    day: i64,
    events: u32,
    hours: u32,
    countries: [u16; COUNTRIES],
    mix: Mix<u16>,
    most_unlike: f32,
    /// The hour, and what was asked for in it.
    hour: i64,
    requests: u32,
    new: u32,
    hour_mix: Mix<u16>,
}

/// Parts of requests or numbers of them by group, one way after the other.
#[derive(Clone, Debug)]
struct Mix<T>([T; BOTH]);

impl<T: Copy + Default> Default for Mix<T> {
    fn default() -> Self {
        Self([T::default(); BOTH])
    }
}

/// How unusual it is, part by part: from 0 to 1 each.
#[derive(Clone, Copy, Debug, Default)]
struct Unusual {
    hour: bool,
    country: bool,
    endpoints: f32,
}

impl Kept for Profile {
    fn rank(&self) -> u8 {
        rank_of(u32::from(self.days) + 1)
    }
}

impl Behaviour {
    pub(super) fn new(settings: &settings::Behaviour) -> Self {
        Self {
            table: Table::new(settings.max_keys, IDLE_S, Places::Contested),
            clock: Clock::default(),
            settings: settings.clone(),
            speaker: Speaker::new("behaviour", "Unusual behaviour of a user", &["T1078"]),
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>, found: &mut Vec<Finding>) {
        // What is refused is not the user's own doing, and somebody else must not be able to shape their profile.
        if !seen.is_signed_in() || seen.event.kind == EventKind::ServerMessage {
            return;
        }
        let Some(key) = seen.keys.user else { return };
        if !self.clock.believes(seen.at_ms) {
            return;
        }
        let settings = &self.settings;
        let at_s = seen.at_s();
        let country = seen.event.country.as_deref().and_then(country_code);
        let groups = seen.keys.endpoint.map(groups);
        let judged = self.table.with(key, at_s, |profile| {
            profile.begin(at_s);
            let unusual = profile.note(at_s, country, groups, settings);
            if u32::from(profile.days) < settings.history_days {
                return None;
            }
            let score = thousandths(f64::from(u8::from(unusual.hour)) * settings.hour)
                + thousandths(f64::from(u8::from(unusual.country)) * settings.country)
                + thousandths(f64::from(unusual.endpoints) * settings.endpoints);
            let is_due = profile.said.is_due(u8::from(score > thousandths(settings.threshold)), at_s, 86_400);
            is_due.then_some((score, unusual))
        });
        let Some((score, unusual)) = judged.flatten() else { return };
        let score = f64::from(score) / 1_000.0;
        let mut finding = self.speaker.finding(seen.event, Severity::High, 65, settings.response);
        finding.source = seen.event.client;
        finding.user = user(seen.event).map(str::to_owned);
        finding.value = Some(score);
        finding.threshold = Some(settings.threshold);
        finding.indicators = unusual.words(seen);
        finding.evidence = line_of(seen.event);
        found.push(finding);
    }
}

impl Unusual {
    fn words(self, seen: &Seen<'_>) -> Vec<String> {
        let mut words = Vec::new();
        if self.hour {
            words.push(format!("unusual hour: {:02} UTC", seen.at_s().div_euclid(3_600).rem_euclid(24)));
        }
        if self.country {
            words.push(format!("new country: {}", seen.event.country.as_deref().unwrap_or_default()));
        }
        if self.endpoints > 0.0 {
            words.push(format!("unusual mix of endpoints: {:.0} %", self.endpoints * 100.0));
        }
        words
    }
}

impl Profile {
    /// Learns the days that are over.
    fn begin(&mut self, at_s: i64) {
        let day = at_s.div_euclid(DAY_S);
        // A little late around midnight belongs to the day that began.
        if day == self.today.day || day == self.today.day - 1 {
            return;
        }
        if day > self.today.day && self.today.events >= LEAST_A_DAY {
            self.learn();
        }
        self.today = Today { day, ..Today::default() };
    }

    fn learn(&mut self) {
        self.days = self.days.saturating_add(1);
        let weight = DAY_WEIGHT.max(1.0 / f32::from(self.days));
        let today = &self.today;
        for (hour, usual) in self.hours.iter_mut().enumerate() {
            let is_active = if today.hours >> hour & 1 == 1 { 1.0 } else { 0.0 };
            *usual += weight * (is_active - *usual);
        }
        if let Some(shares) = today.mix.shares() {
            for (usual, share) in self.mix.0.iter_mut().zip(shares.0) {
                *usual += weight * (share - *usual);
            }
        }
        self.unlike += weight * (today.most_unlike - self.unlike);
        self.spread += weight * ((today.most_unlike - self.unlike).abs() - self.spread);
        for code in today.countries.into_iter().filter(|code| *code != 0) {
            if let Some((_, days)) = self.countries.iter_mut().find(|(known, _)| *known == code) {
                *days = days.saturating_add(1);
            } else if let Some(least) = self.countries.iter_mut().min_by_key(|(_, days)| *days) {
                *least = (code, 1);
            }
        }
    }

    /// Notes an event, and says what is unusual about the hour it came in.
    fn note(
        &mut self,
        at_s: i64,
        country: Option<u16>,
        groups: Option<[usize; 2]>,
        settings: &settings::Behaviour,
    ) -> Unusual {
        let today = &mut self.today;
        let hour = at_s.div_euclid(3_600);
        let of_day = usize::try_from(hour.rem_euclid(24)).unwrap_or(0);
        today.events = today.events.saturating_add(1);
        today.hours |= 1 << of_day;
        if hour > today.hour || today.requests == 0 {
            (today.hour, today.requests, today.new, today.hour_mix) = (hour, 0, 0, Mix::default());
        }
        if let Some(groups) = groups {
            today.requests = today.requests.saturating_add(1);
            let is_new = groups.iter().any(|group| self.mix.0.get(*group).is_some_and(|usual| *usual < NEW_BELOW));
            today.new = today.new.saturating_add(u32::from(is_new));
            today.mix.count(groups);
            today.hour_mix.count(groups);
        }
        if let Some(code) = country
            && !today.countries.contains(&code)
            && let Some(free) = today.countries.iter_mut().find(|code| **code == 0)
        {
            *free = code;
        }
        let around = [of_day + 23, of_day, of_day + 1].map(|hour| self.hours.get(hour % 24).copied().unwrap_or(0.0));
        let is_own = |code: u16| self.countries.iter().any(|(known, days)| *known == code && *days >= OWN_COUNTRY_DAYS);
        Unusual {
            hour: around.into_iter().all(|usual| usual < USUAL_HOUR),
            country: country.is_some_and(|code| !is_own(code)),
            endpoints: self.unlike(settings.minimum),
        }
    }

    /// How unusual the mix of this hour's requests is: the part that goes where the user never goes, or how unlike the usual
    /// it is beyond what is usual for the user.
    fn unlike(&mut self, minimum: u32) -> f32 {
        let today = &mut self.today;
        if today.requests < LEAST_NEW {
            return 0.0;
        }
        let new = ratio(today.new, today.requests);
        let Some(shares) = today.hour_mix.shares().filter(|_| today.requests >= minimum) else { return new };
        let unlike = shares.unlike(&self.mix);
        today.most_unlike = today.most_unlike.max(unlike);
        let usual = (self.unlike + 3.0 * self.spread).clamp(UNLIKE, 0.9);
        new.max((unlike - usual) / (1.0 - usual)).clamp(0.0, 1.0)
    }
}

impl Mix<u16> {
    fn count(&mut self, groups: [usize; 2]) {
        for group in groups {
            if let Some(count) = self.0.get_mut(group) {
                *count = count.saturating_add(1);
            }
        }
    }

    fn shares(&self) -> Option<Mix<f32>> {
        // Each is in it twice, one way and the other.
        let total: f32 = self.0.iter().copied().map(f32::from).sum::<f32>() / 2.0;
        (total > 0.0).then(|| Mix(self.0.map(|count| f32::from(count) / total)))
    }
}

impl Mix<f32> {
    /// Half the sum of the differences between shares: 0 the same, 1 nothing in common.
    fn unlike(&self, other: &Self) -> f32 {
        let differences = self.0.iter().zip(&other.0).map(|(share, usual)| (share - usual).abs());
        differences.sum::<f32>() / 4.0
    }
}

/// The groups of an endpoint, one way and the other.
fn groups(endpoint: u64) -> [usize; 2] {
    let group = |bits: u64| usize::try_from(bits % 64).unwrap_or(0);
    [group(endpoint), GROUPS + group(endpoint >> 32)]
}

fn ratio(part: u32, of: u32) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
    {
        (f64::from(part) / f64::from(of.max(1))) as f32
    }
}

fn country_code(country: &str) -> Option<u16> {
    match country.as_bytes() {
        [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
            Some(u16::from_be_bytes([first.to_ascii_uppercase(), second.to_ascii_uppercase()]))
        }
        _ => None,
    }
}

/// In thousandths: 0.3 and 0.4 are 0.7, and not above it.
fn thousandths(number: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range by the clamp")]
    {
        (number * 1_000.0).round().clamp(0.0, 1_000_000.0) as u32
    }
}

#[cfg(test)]
mod tests;
