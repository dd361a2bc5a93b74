//! The task: lines and events in, alerts and decisions out, one after the other.
mod people;
mod saved;
mod told;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use jiff::SignedDuration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::saved::Kept;
use super::actions::{self, Actions, Answered, NotDone};
use super::engine::{Matcher, OwnAnalyzers};
use super::lines::Lines;
use super::rules::Compiled;
use super::{Context, Rejections, Waiting};
use crate::adapters::logs::{self, Batch, Inputs};
use crate::adapters::store::{Privacy, Save};
use crate::adapters::{clock, random};
use crate::config::AlertSettings;
use crate::daemon::reputation::Found;
use crate::domain::audit::Class;
use crate::domain::http::alert::AlertId;
use crate::domain::http::analyzers::Analyzers;
use crate::domain::http::book::{Book, Folding};
use crate::domain::http::detector::{Detector, Moment, Outcome};
use crate::domain::http::event::Event;
use crate::domain::http::follow::Checkpoint;
use crate::domain::http::recorded::{self, Gathered, Recorded};
use crate::domain::http::respond::{Consequence, Responder, Withheld};
use crate::domain::http::rules::{Caps, Correlator, Matches};
use crate::sync::{Command, Settings};

/// How often changes are written, at the most.
const WRITE_EVERY: Duration = Duration::from_millis(100);
/// How often reports are renewed, settings looked at and what is over forgotten.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it is judged what ended by time.
const JUDGE_EVERY: Duration = Duration::from_mins(1);
/// How often a database that is not open is asked again for what an earlier run left.
const OPEN_EVERY: Duration = Duration::from_secs(1);
/// How often events are handed over to be kept.
const RECORD_EVERY: Duration = Duration::from_millis(500);
/// How long is waited at start and end for what is on its way to be in force and written.
const STORE_PATIENCE: Duration = Duration::from_secs(3);
/// Events after which decisions are sent off, however many are still to be judged.
const SEND_AFTER: usize = 64;
/// Alerts that wait for a database that takes none; of more, the first go.
const MOST_UNSAVED: usize = 5_000;

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The daemon stops.
    Stop,
    /// Nothing is to be read or heard any more.
    Off,
}

/// A file or socket, by input and path.
type Place = (Arc<str>, Arc<str>);

/// One run, from the moment something is to be heard until nothing is.
pub(super) struct Session<'a> {
    context: &'a Context,
    settings: Arc<Settings>,
    detector: Detector,
    matcher: Option<Matcher>,
    own: OwnAnalyzers,
    lines: Lines,
    actions: Actions,
    inputs: Option<Inputs>,
    batches: mpsc::Receiver<Batch>,
    /// Whether what an earlier run left is taken up: only then is anything written over it.
    is_open: bool,
    is_saving: bool,
    /// What came of what was to be written.
    kept: mpsc::UnboundedReceiver<Kept>,
    tell_kept: mpsc::UnboundedSender<Kept>,
    /// Events that are to be kept.
    gathered: Gathered,
    /// What sources were last called.
    privacy: Option<Arc<Privacy>>,
    /// What could not be written yet.
    unsaved: Save,
    /// How far logs are read and acted upon, and how far they are read.
    checkpoints: BTreeMap<Place, Checkpoint>,
    acting: Vec<(u64, Place, Checkpoint)>,
    has_new_checkpoints: bool,
    rejections: Rejections,
    refused: BTreeMap<String, u64>,
    alerts: BTreeMap<&'static str, u64>,
    rate: Rate,
    /// Inputs that problems are noted for.
    troubled: Vec<String>,
}

/// Events a second, of late.
#[derive(Debug)]
struct Rate {
    since: Instant,
    events: u64,
    per_second: f64,
}

impl Rate {
    /// Takes in how many there were by now.
    #[expect(clippy::cast_precision_loss, reason = "events of a second")]
    fn take(&mut self, events: u64) {
        let span = self.since.elapsed().as_secs_f64();
        if span >= 1.0 {
            self.per_second = events.saturating_sub(self.events) as f64 / span;
            (self.since, self.events) = (Instant::now(), events);
        }
    }
}

/// How findings are folded, as the settings say.
fn folding(alerts: &AlertSettings) -> Folding {
    Folding { window_s: alerts.fold_s, ..Folding::default() }
}

fn span(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

impl<'a> Session<'a> {
    /// Opens the database, starts the readers and takes up what an earlier run left.
    pub(super) async fn start(context: &'a Context, settings: Arc<Settings>) -> Self {
        let detection = &settings.detection;
        let compiled = context.rules.renew(detection, &settings.rule_files);
        let mut detector = Detector::new(
            None,
            Some(Analyzers::new(&detection.analyzers)),
            Responder::new(detection.responses()),
            Book::new(folding(&detection.alerts), random::number()),
        );
        // Whether a line is of the past is known here; the detector knows only what its clock says.
        detector.oldest_s = u64::MAX;
        let mut actions = Actions::new(context.shared.clone(), context.sync.clone());
        actions.set_enforce(detection.alerts.enforce);
        let (nobody, batches) = mpsc::channel(1);
        drop(nobody);
        let (tell_kept, kept) = mpsc::unbounded_channel();
        let mut session = Self {
            context,
            lines: Lines::new(detection),
            detector,
            matcher: None,
            own: OwnAnalyzers::default(),
            actions,
            inputs: None,
            batches,
            is_open: false,
            is_saving: false,
            kept,
            tell_kept,
            gathered: Gathered::default(),
            privacy: None,
            unsaved: Save::default(),
            checkpoints: BTreeMap::new(),
            acting: Vec::new(),
            has_new_checkpoints: false,
            rejections: Rejections::default(),
            refused: BTreeMap::new(),
            alerts: BTreeMap::new(),
            rate: Rate { since: Instant::now(), events: 0, per_second: 0.0 },
            troubled: Vec::new(),
            settings: Arc::clone(&settings),
        };
        session.adopt(&compiled);
        session.look_at_names();
        session.take_up().await;
        session.start_inputs();
        session.begin().await;
        session.tell();
        session
    }

    /// Waits until all is read or listened to, and stores where: what is written from now on is judged, whenever this ends.
    async fn begin(&mut self) {
        let Some(mut inputs) = self.inputs.take() else { return };
        loop {
            tokio::select! {
                () = inputs.begun() => break,
                Some(batch) = self.batches.recv() => self.batch(&batch),
            }
        }
        while let Ok(batch) = self.batches.try_recv() {
            self.batch(&batch);
        }
        self.inputs = Some(inputs);
        self.acted().await;
        self.write();
        self.written().await;
    }

    /// Waits for decisions on their way, so that what is stored is what is in force.
    async fn acted(&mut self) {
        let patience = Instant::now() + STORE_PATIENCE;
        while !self.actions.is_done(self.actions.mark())
            && let Ok(Some(answered)) = tokio::time::timeout_at(patience, self.actions.answers.recv()).await
        {
            self.answered(answered);
        }
        self.settle();
    }

    /// Waits for what is being written.
    async fn written(&mut self) {
        if self.is_saving
            && let Ok(Some(kept)) = tokio::time::timeout(STORE_PATIENCE, self.kept.recv()).await
        {
            self.kept_one(kept);
        }
    }

    fn problem(&self, part: &str, problem: Option<String>) {
        let _stopping = self.context.sync.send(Command::Problem(part.to_owned(), problem));
    }

    /// Starts to read and to listen, from where it was left.
    fn start_inputs(&mut self) {
        let stored = self
            .checkpoints
            .iter()
            .map(|((input, _), checkpoint)| logs::Stored { input: Arc::clone(input), checkpoint: checkpoint.clone() });
        let (inputs, batches) = logs::start(super::lines::inputs(&self.settings.detection), stored.collect());
        (self.inputs, self.batches) = (Some(inputs), batches);
    }

    /// Goes on until the daemon stops or nothing is to be heard.
    pub(super) async fn run(&mut self, waiting: &mut Waiting, stop: &mut watch::Receiver<bool>) -> End {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut write = tokio::time::interval(WRITE_EVERY);
        let mut record = tokio::time::interval(RECORD_EVERY);
        let mut judge = tokio::time::interval(JUDGE_EVERY);
        let mut open = tokio::time::interval(OPEN_EVERY);
        for ticks in [&mut look, &mut write, &mut record, &mut judge, &mut open] {
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        open.reset();
        loop {
            tokio::select! {
                biased;
                _ = stop.changed() => return End::Stop,
                Some(answered) = self.actions.answers.recv() => self.answered(answered),
                Some(kept) = self.kept.recv() => self.kept_one(kept),
                _ = look.tick() => {
                    if let Some(end) = self.look().await {
                        return end;
                    }
                }
                _ = write.tick() => self.write(),
                _ = record.tick() => self.record(),
                _ = judge.tick() => self.tick(),
                _ = open.tick(), if !self.is_open => self.take_up().await,
                Some(told) = waiting.triaged.recv() => self.by_people(told).await,
                Some(events) = waiting.events.recv() => self.submitted(events),
                Some(compiled) = waiting.rules.recv() => self.adopt(&compiled),
                Some(batch) = self.batches.recv(), if self.inputs.is_some() => self.batch(&batch),
            }
        }
    }

    /// Events of applications.
    fn submitted(&mut self, submitted: super::Queued) {
        self.rejections.take(&submitted.rejected);
        let oldest = span(self.settings.detection.events.oldest_s);
        let mut judged = 0;
        for mut event in submitted.events {
            let now = clock::now().wall;
            let is_history = now.duration_since(event.time) > oldest;
            let matches = self.matcher.as_ref().map(|matcher| matcher.matches(&event));
            self.observe(&mut event, matches, is_history);
            judged += 1;
            if judged % SEND_AFTER == 0 {
                self.actions.send();
            }
        }
        self.actions.send();
        drop(submitted.room);
    }

    /// Lines of a log.
    fn batch(&mut self, batch: &Batch) {
        if let Some(checkpoint) = &batch.checkpoint {
            self.context.set_in_work(Some((Arc::clone(&batch.input), checkpoint.clone())));
        }
        let limit = span(self.settings.detection.events.oldest_s);
        let judged = self.lines.judge(batch, self.matcher.as_ref(), &mut self.detector.counters);
        let mut at = 0;
        for (mut event, matches) in judged {
            let is_history = batch.is_history(event.has_own_time.then_some(event.time), limit);
            self.observe(&mut event, matches, is_history);
            at += 1;
            if at % SEND_AFTER == 0 {
                self.actions.send();
            }
        }
        self.actions.send();
        if let Some(checkpoint) = &batch.checkpoint {
            let place = (Arc::clone(&batch.input), Arc::clone(&checkpoint.path));
            // Stored once what followed from the lines is in force.
            self.acting.push((self.actions.mark(), place, checkpoint.clone()));
            self.context.set_in_work(None);
        }
    }

    /// One event through the detector, and what follows.
    fn observe(&mut self, event: &mut Event, matches: Option<Matches>, is_history: bool) {
        if let Some(client) = event.client {
            event.country = event
                .country
                .take()
                .or_else(|| self.context.shared.followed.place(client).country.map(|country| country.to_string()));
        }
        let found = self.judged(is_history, |detector, own, moment| {
            let mut outcomes = detector.observe(event, matches, moment);
            let withheld = is_history.then_some(Withheld::History);
            outcomes.extend(detector.answered(own.observe(event), withheld, moment));
            outcomes
        });
        let settings = &self.settings;
        let class = recorded::class_of(event);
        if settings.audit.events.keeps(class, found > 0) {
            self.gathered.add(Recorded::of(event, class, !settings.privacy.drop_requests));
        }
        // Who signed in rightly, here and now, has a good name.
        if class == Class::SignIn && !is_history && event.doubt.is_none() {
            self.context.reputation.signed_in(event.client, event.time);
        }
    }

    /// What ended by time, and what follows.
    fn tick(&mut self) {
        let _found = self.judged(false, |detector, own, moment| {
            let mut outcomes = detector.tick(moment);
            outcomes.extend(detector.answered(own.tick(moment.now.wall), None, moment));
            outcomes
        });
        self.actions.send();
    }

    /// What the detector and rules of one's own say now, and what follows.
    fn judged(
        &mut self,
        is_history: bool,
        judge: impl FnOnce(&mut Detector, &mut OwnAnalyzers, &Moment<'_>) -> Vec<Outcome>,
    ) -> usize {
        let label = std::cell::Cell::new(None);
        let (shared, origin) = (&self.context.shared, actions::origin());
        let guard = |prefix: IpNet| {
            let (reason, why) = actions::guarded(shared, prefix, &origin)?;
            label.set(Some(reason));
            Some(why)
        };
        let outcomes = judge(&mut self.detector, &mut self.own, &Moment::live(clock::now(), is_history, &guard));
        for outcome in &outcomes {
            self.follow(outcome, label.get());
        }
        outcomes.len()
    }

    fn follow(&mut self, outcome: &Outcome, guarded: Option<&'static str>) {
        if outcome.folded.is_new {
            if let Some(hunt) = self.own.hunt_of(outcome.finding.detector.name()) {
                self.detector.alerts.put_to_hunt(outcome.folded.id, hunt);
            }
            *self.alerts.entry(outcome.finding.severity.name()).or_default() += 1;
        }
        match &outcome.consequence {
            Consequence::Refused { .. } => {
                *self.refused.entry(guarded.unwrap_or("other").to_owned()).or_default() += 1;
            }
            // Somebody lifted it: what is found next counts anew.
            Consequence::InForce { action, prefix, .. } if !self.actions.is_in_force(*action, *prefix) => {
                self.detector.responder.lifted(*action, *prefix, clock::now());
            }
            Consequence::Notify if outcome.folded.is_new => self.notify(outcome.folded.id),
            _ => {}
        }
        self.weigh(outcome);
        if let Err(not_done) = self.actions.carry_out(outcome) {
            self.not_done(&not_done);
        }
    }

    /// Tells who keeps the ledger of sources what was found. What is past, and what somebody else may have written, is held
    /// against nobody.
    fn weigh(&self, outcome: &Outcome) {
        let finding = &outcome.finding;
        let (Some(address), None) = (finding.source, outcome.withheld) else { return };
        let Some(alert) = self.detector.alerts.get(outcome.folded.id) else { return };
        // One that stands for many sources is nobody's in particular.
        if alert.source.is_none() {
            return;
        }
        self.context.reputation.found(Found {
            address,
            detector: finding.detector.name().into(),
            alert: alert.id,
            severity: alert.severity,
            confidence: alert.confidence,
            count: alert.count,
            at: finding.time,
            spoofable: finding.spoofable,
        });
    }

    fn notify(&self, id: AlertId) {
        if let Some(alert) = self.detector.alerts.get(id) {
            tracing::warn!(alert = %id, severity = %alert.severity, title = alert.title, "an alert to be told of");
            self.context.shared.detected.notify(Arc::new(alert.clone()));
        }
    }

    fn answered(&mut self, answered: Answered) {
        for not_done in self.actions.answered(answered) {
            self.not_done(&not_done);
        }
        self.settle();
    }

    fn not_done(&mut self, not_done: &NotDone) {
        let NotDone { alert, action, prefix, label, why } = not_done;
        *self.refused.entry((*label).to_owned()).or_default() += 1;
        self.detector.refused(*alert, *action, *prefix, why, clock::now());
    }

    /// Renews the report, and takes over other settings.
    async fn look(&mut self) -> Option<End> {
        self.look_at_names();
        self.actions.sweep_users();
        self.detector.responder.sweep(clock::now());
        self.slow_rules();
        self.tell();
        let now = Arc::clone(&self.context.shared.read().settled);
        if !Arc::ptr_eq(&now, &self.settings) {
            return self.change(now).await;
        }
        None
    }

    /// Has sources called as they are called where they are kept.
    fn look_at_names(&mut self) {
        let privacy = self.context.shared.detected.privacy.load_full();
        if self.privacy.as_ref().is_some_and(|before| Arc::ptr_eq(before, &privacy)) {
            return;
        }
        self.detector.alerts.set_names(privacy.names.clone());
        self.detector.responder.set_names(privacy.names.clone());
        self.privacy = Some(privacy);
    }

    /// Other settings: only what they are about changes.
    async fn change(&mut self, settings: Arc<Settings>) -> Option<End> {
        let before = std::mem::replace(&mut self.settings, settings);
        let (old, new) = (Arc::clone(&before.detection), Arc::clone(&self.settings.detection));
        if !new.is_on() {
            return Some(End::Off);
        }
        self.detector.alerts.set_folding(folding(&new.alerts));
        self.detector.responder.set(new.responses());
        self.actions.set_enforce(new.alerts.enforce);
        if old.analyzers != new.analyzers {
            // They have other windows and levels: what they have learned does not fit them.
            self.detector.analyzers = Some(Analyzers::new(&new.analyzers));
        }
        if old.rules != new.rules || before.rule_files != self.settings.rule_files {
            let compiled = self.context.rules.renew(&new, &self.settings.rule_files);
            if old.rules.enabled != new.rules.enabled
                || old.rules.max_state != new.rules.max_state
                || old.rules.budget_us_per_kib != new.rules.budget_us_per_kib
            {
                self.detector.rules = None;
            }
            self.adopt(&compiled);
        }
        if old.logs != new.logs || old.events != new.events {
            if let Some(inputs) = self.inputs.take() {
                inputs.stop().await;
            }
            while let Ok(batch) = self.batches.try_recv() {
                self.batch(&batch);
            }
            self.lines = Lines::new(&new);
            // Where reading goes on: what was read is acted upon in this very task.
            for (_, place, checkpoint) in &self.acting {
                self.checkpoints.insert(place.clone(), checkpoint.clone());
            }
            let names: Vec<&str> = new.logs.iter().map(|log| log.name.as_str()).collect();
            self.checkpoints.retain(|(input, _), _| names.contains(&&**input));
            self.start_inputs();
        }
        None
    }

    /// Takes other rules in use.
    fn adopt(&mut self, compiled: &Compiled) {
        let detection = &self.settings.detection;
        match &mut self.detector.rules {
            Some(rules) => rules.adopt(Arc::clone(&compiled.set)),
            None if detection.rules.enabled => {
                let budget_ns = detection.rules.budget_us_per_kib.saturating_mul(1_000);
                let caps = Caps { groups: detection.rules.max_state, budget_ns, ..Caps::default() };
                self.detector.rules = Some(Correlator::new(Arc::clone(&compiled.set), caps));
            }
            None => {}
        }
        self.matcher = detection.rules.enabled.then(|| Matcher::new(Arc::clone(&compiled.set)));
        self.own.adopt(&compiled.own);
    }

    /// Rules that take too long are not run any more, and told of.
    fn slow_rules(&mut self) {
        let slow = self.detector.rules.as_mut().map(Correlator::take_slow).unwrap_or_default();
        for rule in slow {
            let (took, may) = (rule.mean_ns / 1_000, rule.budget_ns / 1_000);
            let what = format!(
                "it takes {took} µs for each KiB of an event, where {may} µs are the most, and is not run any more; `weir \
                 rules check` finds out by what"
            );
            self.problem(&format!("rule {}", rule.id), Some(what));
        }
    }

    /// Writes all that is not written, and closes everything.
    pub(super) async fn end(mut self) {
        if let Some(inputs) = self.inputs.take() {
            inputs.stop().await;
        }
        while let Ok(batch) = self.batches.try_recv() {
            self.batch(&batch);
        }
        self.acted().await;
        self.written().await;
        let changed = self.detector.alerts.take_all(clock::now().wall);
        self.hand_over(changed);
        self.record();
        // What is handed over later is in this queue as well: it is written before another run asks.
        self.written().await;
        for part in std::mem::take(&mut self.troubled) {
            self.problem(&part, None);
        }
        self.context.shared.detected.set_row(None);
    }
}

/// What was in work when a task failed: kept outside of it.
pub(super) type InWork = Mutex<Option<(Arc<str>, Checkpoint)>>;

impl Context {
    fn in_work(&self) -> Option<(Arc<str>, Checkpoint)> {
        self.in_work.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set_in_work(&self, work: Option<(Arc<str>, Checkpoint)>) {
        *self.in_work.lock().unwrap_or_else(PoisonError::into_inner) = work;
    }
}
