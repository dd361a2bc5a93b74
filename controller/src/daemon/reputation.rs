//! Reputation: evidence into the ledger, and what the score asks for into the sync task.
mod answer;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::answer::Decisions;
pub(super) use self::answer::{DENIALS, LIMITS};
use super::keeper::Keeper;
use crate::adapters::clock;
use crate::adapters::store::{Privacy, Save, StoreError};
use crate::causes::panicked;
use crate::domain::geo;
use crate::domain::http::alert::{Alert, AlertId};
use crate::domain::http::severity::Severity;
use crate::domain::http::source;
use crate::domain::privacy::Names;
use crate::domain::reputation::{Answers, Evidence, Kind, Ledger, PastRow, Weights, Who};
use crate::sync::{Command, Handle, Settings, Shared, SyncError};
use crate::views;

/// What waits to be weighed; of more, the rest is counted and left out.
const QUEUE: usize = 16_384;
/// Pieces of evidence that are weighed together.
const TOGETHER: usize = 256;
/// How often the ledger is written, settings are looked at, and what has faded goes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a database that is not open is asked again for what an earlier run left.
const OPEN_EVERY: Duration = Duration::from_millis(100);
/// How often those who behave well are looked for.
const CALM_EVERY: Duration = Duration::from_hours(1);
/// Sources that are written at one look.
const WRITTEN_AT_ONCE: usize = 2_000;
/// How often a sign-in speaks for a source.
const SIGN_IN_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// How long a task that failed is left alone.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A difference to the time before by which the clock was set back.
const SET_BACK: SignedDuration = SignedDuration::from_mins(-1);
/// The note that past answers are kept under.
const ANSWERS: &str = "reputation answers";
/// The part that problems are noted under.
const PART: &str = "reputation";

/// Something was found at a source.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) address: IpAddr,
    /// The rule or analyzer.
    pub(super) detector: Arc<str>,
    pub(super) alert: AlertId,
    pub(super) severity: Severity,
    pub(super) confidence: u8,
    /// How often it was seen, this time among them.
    pub(super) count: u64,
    pub(super) at: Timestamp,
    pub(super) spoofable: bool,
}

/// What became of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Whether there was something to forget.
    pub changed: bool,
    /// Its score now.
    pub score: u8,
    /// What is no longer denied or limited for its score.
    pub lifted: Vec<IpNet>,
}

enum Note {
    Found(Found),
    /// A limit was broken: whose, which.
    Offence(IpAddr, Arc<str>, Timestamp),
    SignedIn(IpAddr, Timestamp),
    /// An alert was nothing.
    Cleared(Box<Alert>, oneshot::Sender<Cleared>),
    /// A source is to be forgotten; or would be.
    Reset(IpNet, bool, oneshot::Sender<Cleared>),
    /// All that is kept under these names is to be forgotten.
    Erased(Vec<String>, oneshot::Sender<()>),
    /// Nothing more is to be written.
    Stop(oneshot::Sender<()>),
}

/// The way to the task.
#[derive(Clone, Debug)]
pub struct ReputationHandle {
    notes: mpsc::Sender<Note>,
    shared: Shared,
}

impl ReputationHandle {
    fn note(&self, note: Note) {
        if self.notes.try_send(note).is_err() {
            self.shared.detected.weigh_left_out();
        }
    }

    /// Takes in what was found. Most repeats of an alert weigh nothing; of many, a few tell that it goes on.
    pub(super) fn found(&self, found: Found) {
        if found.count < 100 || found.count.is_multiple_of(64) || points(&found) > 0.0 {
            self.note(Note::Found(found));
        }
    }

    /// Takes in that a source broke a limit.
    pub(super) fn offended(&self, address: IpAddr, limit: &str, at: Timestamp) {
        self.note(Note::Offence(address, limit.into(), at));
    }

    /// Takes in that somebody signed in rightly from there.
    pub(super) fn signed_in(&self, address: Option<IpAddr>, at: Timestamp) {
        if let Some(address) = address {
            self.note(Note::SignedIn(address, at));
        }
    }

    /// An alert was a false positive: what it weighed is taken back, and what was done for the score with it.
    ///
    /// # Errors
    /// [`SyncError::Stopping`]: nothing is taken back.
    pub async fn cleared(&self, alert: Alert) -> Result<Cleared, SyncError> {
        self.ask(|tell| Note::Cleared(Box::new(alert), tell)).await
    }

    /// Forgets a source: its evidence, and what was done for its score.
    ///
    /// # Errors
    /// [`SyncError::Stopping`]: nothing is forgotten.
    pub async fn reset(&self, prefix: IpNet, dry_run: bool) -> Result<Cleared, SyncError> {
        self.ask(|tell| Note::Reset(prefix, dry_run, tell)).await
    }

    async fn ask<T>(&self, note: impl FnOnce(oneshot::Sender<T>) -> Note) -> Result<T, SyncError> {
        let (tell, told) = oneshot::channel();
        self.notes.send(note(tell)).await.map_err(|_stopped| SyncError::Stopping)?;
        told.await.map_err(|_stopped| SyncError::Stopping)
    }

    /// Forgets all that is kept under these names, and has that written; what is in force stays.
    pub(super) async fn erased(&self, names: Vec<String>) {
        let (tell, told) = oneshot::channel();
        if self.notes.send(Note::Erased(names, tell)).await.is_ok() {
            let _stopped = told.await;
        }
    }

    /// Writes what is not written yet, and ends the task.
    pub(super) async fn stop(&self) {
        let (tell, told) = oneshot::channel();
        if self.notes.send(Note::Stop(tell)).await.is_ok() {
            let _stopped = told.await;
        }
    }
}

fn points(found: &Found) -> f64 {
    let severity = u8::try_from(found.severity as u32).unwrap_or(0);
    Weights::default().of_alert(severity, found.confidence, found.count, found.count.saturating_sub(1))
}

/// Who a source is in the ledger.
pub(crate) fn who(names: &Names, address: IpAddr, place: &geo::Place) -> Who {
    let prefix = source::prefix(address);
    let network = match prefix {
        IpNet::V4(one) => IpNet::new(one.addr().into(), 24),
        IpNet::V6(one) => IpNet::new(one.addr().into(), 48),
    };
    Who {
        key: names.prefix(prefix).into(),
        network: network.map_or_else(|_| Arc::from(""), |network| names.prefix(network.trunc()).into()),
        asn: place.asn,
    }
}

/// Starts the task. Must be called on a runtime.
pub(super) fn start(shared: &Shared, sync: &Handle, keeper: &Keeper) -> ReputationHandle {
    let (notes, given) = mpsc::channel(QUEUE);
    let handle = ReputationHandle { notes, shared: shared.clone() };
    let (shared, sync, keeper) = (shared.clone(), sync.clone(), keeper.clone());
    *shared.detected.ledger() = Ledger::new(shared.read().settled.reputation.limits);
    tokio::spawn(async move {
        let mut given = given;
        loop {
            let run = AssertUnwindSafe(Task::new(&shared, &sync, &keeper).run(&mut given));
            let Err(panic) = run.catch_unwind().await else { return };
            let why = format!("evidence of the last second may be lost: {}", panicked(&*panic));
            tracing::error!(why, "a fault in weir itself: the task of scores starts anew");
            problem(&sync, Some(why));
            tokio::time::sleep(AFTER_FAILURE).await;
            // What was written is taken up again.
            *shared.detected.ledger() = Ledger::new(shared.read().settled.reputation.limits);
        }
    });
    handle
}

struct Task {
    shared: Shared,
    keeper: Keeper,
    settings: Arc<Settings>,
    /// By whose names all is called that was called by its address.
    privacy: Arc<Privacy>,
    answers: Answers,
    decisions: Decisions,
    /// Whether what an earlier run left is taken up.
    is_open: bool,
    /// What could not be written yet.
    unsaved: Save,
    answers_changed: bool,
    /// When it was last looked.
    looked: Instant,
    /// What time it last was: where it is earlier, the clock was set back.
    time: Timestamp,
    /// When a sign-in last spoke for a source.
    signed_in: BTreeMap<Arc<str>, Timestamp>,
}

impl Task {
    fn new(shared: &Shared, sync: &Handle, keeper: &Keeper) -> Self {
        let settings = Arc::clone(&shared.read().settled);
        Self {
            decisions: Decisions::new(shared.clone(), sync.clone()),
            answers: Answers::new(settings.reputation.policy),
            shared: shared.clone(),
            keeper: keeper.clone(),
            settings,
            privacy: shared.detected.privacy.load_full(),
            is_open: false,
            unsaved: Save::default(),
            answers_changed: false,
            looked: Instant::now(),
            time: shared.detected.now().wall,
            signed_in: BTreeMap::new(),
        }
    }

    async fn run(mut self, given: &mut mpsc::Receiver<Note>) {
        self.take_up().await;
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut open = tokio::time::interval(OPEN_EVERY);
        let mut calm = tokio::time::interval(CALM_EVERY);
        for ticks in [&mut look, &mut open, &mut calm] {
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        calm.reset();
        let mut notes = Vec::with_capacity(TOGETHER);
        loop {
            tokio::select! {
                biased;
                count = given.recv_many(&mut notes, TOGETHER) => {
                    if count == 0 {
                        return;
                    }
                    self.follow_names().await;
                    if self.take(notes.drain(..)).await {
                        return;
                    }
                    // However much comes.
                    if self.looked.elapsed() >= LOOK_EVERY {
                        self.take_up().await;
                        self.look().await;
                    }
                }
                _ = look.tick() => {
                    self.follow_names().await;
                    self.look().await;
                }
                _ = open.tick(), if !self.is_open => self.take_up().await,
                _ = calm.tick() => self.calm(),
            }
        }
    }

    fn forget(&mut self, names: &[String]) {
        let mut ledger = self.shared.detected.ledger();
        for name in names {
            ledger.reset(name);
            self.answers.forget(name);
        }
        drop(ledger);
        self.unsaved.reputation.retain(|row| !names.iter().any(|name| **name == *row.key));
        self.answers_changed = true;
    }

    /// Writes all that has changed, if the database takes it.
    async fn write_all(&mut self) {
        while self.look().await >= WRITTEN_AT_ONCE {}
    }

    /// Takes up what an earlier run left, if the database is open.
    async fn take_up(&mut self) {
        if self.is_open {
            return;
        }
        // Whoever has something to keep opens it.
        if self.shared.detected.alerts().is_none() && self.shared.detected.ledger().is_empty() {
            return;
        }
        let asked = self.keeper.ask(|store| Ok::<_, StoreError>((store.reputation()?, store.note(ANSWERS)?))).await;
        let Ok((saved, answers)) = asked else { return };
        // A clock that begins in 1970 must not take what is known for tomorrow's. Half of it: one row proves nothing.
        let mut times: Vec<Timestamp> = saved.iter().flat_map(|row| &row.lines).map(|line| line.last).collect();
        let half = times.len() / 2;
        if half < times.len() {
            self.shared.detected.has_kept(*times.select_nth_unstable(half).1);
        }
        let now = self.shared.detected.now();
        // Nor may one that is ahead have all of it faded: what is over goes once the clock is known to be steady.
        let as_of = times.iter().max().map_or(now.wall, |latest| now.wall.min(*latest));
        self.shared.detected.ledger().restore(saved, as_of);
        let answers: Option<(Timestamp, Vec<PastRow>)> = answers.and_then(|text| serde_json::from_str(&text).ok());
        if let Some((written, rows)) = answers {
            let ago = now.wall.duration_since(written).as_secs().max(0);
            self.answers.restore(rows, signed(now.boot.0).saturating_sub(ago));
        }
        self.is_open = true;
        // It may have been written under other settings.
        self.rename_all().await;
    }

    /// Weighs what came, and has done what follows; whether that was the end.
    async fn take(&mut self, notes: impl Iterator<Item = Note>) -> bool {
        for note in notes {
            match note {
                Note::Found(found) => {
                    let points = points(&found);
                    let alert = Some(found.alert);
                    self.weigh(found.address, Kind::Alert, found.detector, alert, points, found.at, found.spoofable);
                }
                Note::Offence(address, limit, at) => {
                    let points = Weights::default().offence;
                    self.weigh(address, Kind::Offence, limit, None, points, at, true);
                }
                Note::SignedIn(address, at) => self.signed_in(address, at),
                Note::Cleared(alert, tell) => {
                    self.decisions.send(&mut self.answers).await;
                    let cleared = self.cleared(&alert).await;
                    self.write_all().await;
                    let _gone = tell.send(cleared);
                }
                Note::Reset(prefix, dry_run, tell) => {
                    self.decisions.send(&mut self.answers).await;
                    let cleared = self.reset(prefix, dry_run).await;
                    self.write_all().await;
                    let _gone = tell.send(cleared);
                }
                Note::Erased(names, tell) => {
                    self.forget(&names);
                    self.write_all().await;
                    let _gone = tell.send(());
                }
                Note::Stop(tell) => {
                    self.decisions.send(&mut self.answers).await;
                    self.write_all().await;
                    let _gone = tell.send(());
                    return true;
                }
            }
        }
        self.answers_changed |= self.decisions.waits();
        self.decisions.send(&mut self.answers).await;
        false
    }

    /// One piece of evidence, and what the score asks for with it.
    #[expect(clippy::too_many_arguments, reason = "the parts of a piece of evidence")]
    fn weigh(
        &mut self,
        address: IpAddr,
        kind: Kind,
        source: Arc<str>,
        alert: Option<AlertId>,
        points: f64,
        at: Timestamp,
        spoofable: bool,
    ) {
        let names = &self.shared.detected.privacy.load().names;
        let place = self.shared.followed.place(address);
        let who = who(names, address, &place);
        let prefix = source::prefix(address);
        let now = self.shared.detected.now();
        let priors = views::reputation::priors(&self.shared, address, &place);
        let mut ledger = self.shared.detected.ledger();
        for old in names.all_of(prefix) {
            // What is kept under a key that is not used any more goes on under the one that is.
            ledger.rename(&old, &who.key);
            self.answers_changed |= self.answers.rename(&old, &who.key);
        }
        // Clocks elsewhere do not make evidence last longer.
        let at = at.min(now.wall);
        let taken = ledger.add(&Evidence { who: who.clone(), kind, source, alert, points, at, spoofable });
        // A repeat that weighs nothing asks for nothing either.
        if !taken || points <= 0.0 {
            return;
        }
        let assessment = ledger.assess(&who, &priors, now.wall);
        drop(ledger);
        // What people read of its end is by the wall clock as it is.
        self.decisions.answer(prefix, &who.key, &assessment, &mut self.answers, clock::now());
    }

    /// Somebody who signs in rightly has a better name, once an hour, if there is anything against them at all.
    fn signed_in(&mut self, address: IpAddr, at: Timestamp) {
        let at = at.min(self.shared.detected.now().wall);
        let names = &self.shared.detected.privacy.load().names;
        let who = who(names, address, &self.shared.followed.place(address));
        let mut ledger = self.shared.detected.ledger();
        let last = self.signed_in.get(&who.key);
        if !ledger.contains(&who.key) || last.is_some_and(|last| at.duration_since(*last).abs() < SIGN_IN_EVERY) {
            return;
        }
        self.signed_in.insert(Arc::clone(&who.key), at);
        let points = Weights::default().sign_in;
        ledger.add(&Evidence {
            who,
            kind: Kind::SignIn,
            source: "sign-in".into(),
            alert: None,
            points,
            at,
            spoofable: false,
        });
    }

    /// Those who send, and of whom nothing was dropped nor found in the last hour, have a better name.
    fn calm(&mut self) {
        let names = &self.shared.detected.privacy.load().names;
        let now = self.shared.detected.now().wall;
        let hour_ago = now.checked_sub(SIGN_IN_EVERY).unwrap_or(Timestamp::MIN);
        if self.shared.detected.ledger().is_empty() {
            return;
        }
        let behaving = views::well_behaved(&self.shared);
        let behaving: Vec<(IpNet, String)> =
            behaving.into_iter().map(|(prefix, _)| (prefix, names.prefix(prefix))).collect();
        let mut ledger = self.shared.detected.ledger();
        for (prefix, name) in behaving {
            if ledger.last_bad(&name).is_some_and(|last| last < hour_ago) {
                let who = who(names, prefix.addr(), &self.shared.followed.place(prefix.addr()));
                let points = Weights::default().calm;
                let source = "nothing dropped".into();
                ledger.add(&Evidence { who, kind: Kind::Calm, source, alert: None, points, at: now, spoofable: false });
            }
        }
    }

    /// The name of the source that an alert is held against.
    fn called_now(&self, alert: AlertId) -> Option<String> {
        let now = self.shared.detected.now().wall;
        let ledger = self.shared.detected.ledger();
        let is_held = |key: &&Arc<str>| {
            let who = Who { key: Arc::clone(key), network: "".into(), asn: None };
            ledger.assess(&who, &[], now).lines.iter().any(|line| line.alert == Some(alert))
        };
        ledger.keys_with_evidence().find(is_held).map(ToString::to_string)
    }

    async fn cleared(&mut self, alert: &Alert) -> Cleared {
        let Some(source) = alert.source.as_deref() else { return Cleared::default() };
        let now = self.shared.detected.now();
        let names = self.shared.detected.privacy.load().names.clone();
        let severity = u8::try_from(alert.severity as u32).unwrap_or(0);
        // What never weighed anything, or was taken back before, takes nothing of what others weigh.
        let is_weighed =
            alert.analyzer != "manual" && alert.triage.dataset_id.is_none() && alert.triage.resolved_at.is_none();
        let estimate =
            if is_weighed { Weights::default().estimate(severity, alert.confidence, alert.count) } else { 0.0 };
        let called = match source.parse::<IpAddr>() {
            Ok(address) => names.all_of(source::prefix(address)),
            // Under a key that is used no more it has another name.
            Err(_) => [source.to_owned()].into_iter().chain(self.called_now(alert.id)).collect(),
        };
        let mut cleared = Cleared::default();
        for name in called {
            let (taken, score) = {
                let mut ledger = self.shared.detected.ledger();
                // Where it is, is forgotten with the last of its lines.
                let who = views::reputation::known(&ledger, &name);
                let taken = ledger.remove_alert(&name, alert.id, estimate, alert.last_seen.min(now.wall));
                (taken, ledger.assess(&who, &[], now.wall).score)
            };
            cleared.changed |= taken > 0.0;
            cleared.score = cleared.score.max(score);
            if taken > 0.0 {
                cleared.lifted.extend(self.decisions.lift(&name, true, &mut self.answers).await);
                self.answers_changed = true;
            }
        }
        cleared
    }

    async fn reset(&mut self, prefix: IpNet, dry_run: bool) -> Cleared {
        let names = self.shared.detected.privacy.load().names.clone();
        let mut cleared = Cleared::default();
        for name in names.all_of(prefix) {
            if dry_run {
                cleared.changed |= self.shared.detected.ledger().contains(&name);
                continue;
            }
            cleared.changed |= self.shared.detected.ledger().reset(&name);
            cleared.lifted.extend(self.decisions.lift(&name, false, &mut self.answers).await);
            self.answers.forget(&name);
            self.answers_changed = true;
        }
        cleared.changed |= !cleared.lifted.is_empty();
        cleared
    }

    /// Writes what has changed, takes over other settings, forgets what has faded.
    /// How many sources that were; 0 where they could not be written.
    async fn look(&mut self) -> usize {
        let now = self.shared.detected.now();
        self.looked = Instant::now();
        let mut written_now = 0;
        let settings = Arc::clone(&self.shared.read().settled);
        if !Arc::ptr_eq(&settings, &self.settings) {
            self.shared.detected.ledger().set_limits(settings.reputation.limits, now.wall);
            self.answers.set(settings.reputation.policy);
            self.settings = settings;
        }
        self.answers.sweep(signed(now.boot.0));
        self.signed_in.retain(|_, last| now.wall.duration_since(*last) < SIGN_IN_EVERY);
        let mut save = std::mem::take(&mut self.unsaved);
        {
            let mut ledger = self.shared.detected.ledger();
            if now.wall.duration_since(self.time) < SET_BACK {
                ledger.set_back(now.wall);
            }
            self.time = now.wall;
            if self.shared.detected.is_steady(self.settings.reputation.limits.half_life_s) {
                ledger.sweep(now.wall);
            }
            if self.is_open {
                let gone = ledger.take_gone();
                let changed = ledger.take_changed(WRITTEN_AT_ONCE);
                written_now = changed.len();
                if !save.reputation.is_empty() {
                    let newer: BTreeSet<&Arc<str>> = changed.iter().map(|row| &row.key).chain(&gone).collect();
                    save.reputation.retain(|row| !newer.contains(&row.key));
                }
                save.reputation.extend(changed);
                save.forgotten.extend(gone);
            }
        }
        if self.is_open && std::mem::take(&mut self.answers_changed) {
            let rows = (now.wall, self.answers.to_save(signed(now.boot.0)));
            save.notes = serde_json::to_string(&rows).map(|text| (ANSWERS.to_owned(), text)).into_iter().collect();
        }
        if save.is_empty() {
            return 0;
        }
        let save = Arc::new(save);
        let written = Arc::clone(&save);
        if self.keeper.ask(move |store| store.save(&written)).await.is_err() {
            // The keeper says why. What has faded meanwhile is not written again.
            self.unsaved = Arc::unwrap_or_clone(save);
            let kept: usize = self.settings.reputation.limits.most_sources;
            self.unsaved.reputation.truncate(kept);
            self.unsaved.forgotten.truncate(kept);
            return 0;
        }
        written_now
    }
}

/// Notes that decisions for a score were not carried out, or that they are again.
fn problem(sync: &Handle, problem: Option<String>) {
    let _stopping = sync.send(Command::Problem(PART.to_owned(), problem));
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
