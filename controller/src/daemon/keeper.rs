//! Who writes alerts, events and evidence, and changes what is kept of them: a thread of its own, so that nobody who judges
//! waits for a disk.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::load;
use crate::adapters::store::{EventStore, Privacy, StoreError};
use crate::adapters::{clock, privacy_key};
use crate::domain::http::recorded::Recorded;
use crate::sync::{Command, Handle, Settings, Shared};

/// Orders that wait.
const QUEUE: usize = 256;
/// How often it is looked what is over or could not be written.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often what is past its time is let go.
const LET_GO_EVERY: Duration = Duration::from_secs(30);
/// How often a database that cannot be opened is tried again.
const OPEN_EVERY: Duration = Duration::from_secs(10);
/// Events that wait for a database that takes none; of more, the first go.
const MOST_UNSAVED: usize = 100_000;
/// Events that are written together.
const TOGETHER: usize = 5_000;
/// The part that problems with the database are noted under.
const PART: &str = "events store";
/// The part that problems with the database at its opening are noted under.
const START_PART: &str = "events store at start";

/// Something to be done with the database; or why there is none.
type Job = Box<dyn FnOnce(Result<&mut EventStore, &str>) + Send>;

enum Order {
    Do(Job),
    Record(Vec<Recorded>, u64),
    Stop(oneshot::Sender<()>),
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum KeepError<E> {
    /// The database is not open.
    #[error("the database of alerts and events is not open: {0}")]
    Closed(String),
    /// The daemon stops.
    #[error("the daemon is stopping")]
    Stopping,
    /// The database, or what was asked of it.
    #[error(transparent)]
    Refused(E),
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub struct Keeper {
    orders: mpsc::Sender<Order>,
    /// Events that are on their way.
    queued: Arc<AtomicUsize>,
}

impl Keeper {
    /// Has something done and waits for what comes of it.
    ///
    /// # Errors
    /// [`KeepError`].
    pub async fn ask<T, E>(
        &self,
        what: impl FnOnce(&mut EventStore) -> Result<T, E> + Send + 'static,
    ) -> Result<T, KeepError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            let outcome = match store {
                Ok(store) => what(store).map_err(KeepError::Refused),
                Err(why) => Err(KeepError::Closed(why.to_owned())),
            };
            // Who asked may have gone; what was done stands.
            let _gone = tell.send(outcome);
        });
        self.orders.send(Order::Do(job)).await.map_err(|_stopped| KeepError::Stopping)?;
        told.await.map_err(|_dropped| {
            if self.orders.is_closed() {
                return KeepError::Stopping;
            }
            KeepError::Closed("it failed at this; the daemon's log says how".to_owned())
        })?
    }

    /// Has events written; `left_out` more were not kept. They come back where the thread is too busy to take them.
    pub(super) fn record(&self, events: Vec<Recorded>, left_out: u64) -> Result<(), (Vec<Recorded>, u64)> {
        if self.queued.load(Ordering::Relaxed) >= MOST_UNSAVED {
            return Err((events, left_out));
        }
        self.queued.fetch_add(events.len(), Ordering::Relaxed);
        let count = events.len();
        let given = self.give(events, left_out);
        if given.is_err() {
            self.queued.fetch_sub(count, Ordering::Relaxed);
        }
        given
    }

    fn give(&self, events: Vec<Recorded>, left_out: u64) -> Result<(), (Vec<Recorded>, u64)> {
        self.orders.try_send(Order::Record(events, left_out)).map_err(|error| match error.into_inner() {
            Order::Record(events, left_out) => (events, left_out),
            Order::Do(_) | Order::Stop(_) => (Vec::new(), 0),
        })
    }

    /// Ends the thread once all that was ordered is done.
    pub(super) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.orders.send(Order::Stop(done)).await.is_ok() {
            let _stopped = stopped.await;
        }
    }
}

/// Starts the thread, which opens the database. Must be called on a runtime.
///
/// # Errors
/// There can be no thread.
pub(super) fn start(shared: &Shared, sync: &Handle, folder: &Path) -> std::io::Result<Keeper> {
    let (orders, given) = mpsc::channel(QUEUE);
    let queued = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Handle::current();
    let work = Work {
        shared: shared.clone(),
        sync: sync.clone(),
        folder: folder.to_owned(),
        store: Err("nothing is kept yet".to_owned()),
        opened_at: None,
        unsaved: Vec::new(),
        left_out: 0,
        told: None,
        settings: None,
        queued: Arc::clone(&queued),
        looked: Instant::now(),
        let_go: Instant::now(),
    };
    std::thread::Builder::new().name("weir-events".to_owned()).spawn(move || runtime.block_on(work.run(given)))?;
    Ok(Keeper { orders, queued })
}

struct Work {
    shared: Shared,
    sync: Handle,
    folder: PathBuf,
    store: Result<EventStore, String>,
    opened_at: Option<Instant>,
    /// Events that could not be written.
    unsaved: Vec<Recorded>,
    /// Events that are not kept, since the start.
    left_out: u64,
    /// What was last noted of the database.
    told: Option<String>,
    /// The settings that were last looked at.
    settings: Option<Arc<Settings>>,
    queued: Arc<AtomicUsize>,
    /// When it was last looked, and when what is past its time last went.
    looked: Instant,
    let_go: Instant,
}

impl Work {
    async fn run(mut self, mut given: mpsc::Receiver<Order>) {
        // Nothing is made before there is something to keep.
        if EventStore::is_in(&self.folder) {
            self.open();
        }
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut let_go = tokio::time::interval(LET_GO_EVERY);
        for ticks in [&mut look, &mut let_go] {
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                biased;
                order = given.recv() => match order {
                    Some(Order::Do(job)) => self.guarded(|work| work.done(job)),
                    Some(Order::Record(events, left_out)) => self.guarded(|work| work.record(events, left_out)),
                    Some(Order::Stop(done)) => {
                        self.guarded(Self::flush);
                        self.shared.detected.set_alerts(None);
                        // Closed before anybody hears of it, so that the next one can open it.
                        drop(self.store);
                        let _gone = done.send(());
                        return;
                    }
                    None => return,
                },
                _ = look.tick() => {
                    self.looked = Instant::now();
                    self.guarded(Self::look);
                }
                _ = let_go.tick() => self.guarded(Self::let_go),
            }
            // However many orders wait.
            if self.looked.elapsed() >= 4 * LOOK_EVERY {
                self.looked = Instant::now();
                self.guarded(Self::look_at_settings);
            }
            if self.let_go.elapsed() >= LET_GO_EVERY {
                self.guarded(Self::let_go);
            }
        }
    }

    /// Does something. Where that panics, the database is opened anew a while later, and the thread goes on: what is in
    /// force does not hang on what is kept.
    fn guarded(&mut self, what: impl FnOnce(&mut Self)) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| what(self))) else { return };
        let why = format!("a fault in weir itself: {}", crate::causes::panicked(&*panic));
        tracing::error!(why, "the database of alerts and events is closed for now");
        self.shared.detected.set_alerts(None);
        self.store = Err(why.clone());
        self.opened_at = Some(Instant::now());
        self.tell(Some(why));
    }

    /// Takes over other settings, opens what could not be opened, writes what waits.
    fn look(&mut self) {
        self.look_at_settings();
        if self.store.is_err() && self.opened_at.is_some_and(|at| at.elapsed() >= OPEN_EVERY) {
            self.open();
        }
        self.flush();
    }

    fn problem(&self, part: &str, problem: Option<String>) {
        let _stopping = self.sync.send(Command::Problem(part.to_owned(), problem));
    }

    /// Notes how the database does, where that is anything else than before.
    fn tell(&mut self, why: Option<String>) {
        if self.told == why {
            return;
        }
        let problem = why.as_ref().map(|why| format!("alerts are made and acted upon, and not kept: {why}"));
        self.problem(PART, problem);
        self.told = why;
    }

    /// Has addresses called as the settings say.
    fn look_at_settings(&mut self) {
        let settings = Arc::clone(&self.shared.read().settled);
        if self.settings.as_ref().is_some_and(|before| Arc::ptr_eq(before, &settings)) {
            return;
        }
        let is_first = self.settings.is_none();
        let privacy = &self.shared.detected.privacy;
        let wanted = settings.privacy;
        let is_hashed = !privacy.load().names.is_plain();
        if is_first || (is_hashed, privacy.load().drop_requests) == (wanted.hash_addresses, wanted.drop_requests) {
            self.settings = Some(settings);
            return;
        }
        match load::names(&settings, &self.folder) {
            Ok(names) => {
                privacy.store(Arc::new(Privacy { names, drop_requests: wanted.drop_requests }));
                self.settings = Some(settings);
                self.problem("privacy", None);
            }
            // Tried again at the next look.
            Err(error) => self.problem("privacy", Some(format!("addresses are kept as before: {error:#}"))),
        }
    }

    /// Opens the database the first time that there is something to be done with it.
    fn open_first(&mut self) {
        if self.opened_at.is_none() {
            self.open();
        }
    }

    fn open(&mut self) {
        self.opened_at = Some(Instant::now());
        let opened =
            EventStore::open(&self.folder, Arc::clone(&self.shared.detected.privacy)).and_then(|(store, problem)| {
                let reader = store.reader()?;
                let mut tally = self.shared.detected.tally_mut();
                tally.clear();
                let mut latest = None;
                store.event_heads(|head| {
                    let seen = head.seen();
                    latest = latest.max(Some(seen.at));
                    tally.push(&seen);
                })?;
                if let Some(latest) = latest {
                    self.shared.detected.last_kept(latest);
                }
                Ok((store, reader, problem))
            });
        match opened {
            Ok((store, reader, problem)) => {
                self.store = Ok(store);
                self.shared.detected.set_alerts(Some(reader));
                self.tell(None);
                if let Some(problem) = problem {
                    self.problem(START_PART, Some(problem));
                }
            }
            Err(error) => {
                let why = crate::causes::chain(&error);
                self.store = Err(why.clone());
                self.tell(Some(why));
            }
        }
    }

    fn done(&mut self, job: Job) {
        self.open_first();
        // What is to be found again must be there.
        self.flush();
        match &mut self.store {
            Ok(store) => job(Ok(store)),
            Err(why) => job(Err(why)),
        }
    }

    fn record(&mut self, events: Vec<Recorded>, left_out: u64) {
        self.queued.fetch_sub(events.len(), Ordering::Relaxed);
        self.left_out = self.left_out.saturating_add(left_out);
        self.unsaved.extend(events);
        self.open_first();
        if self.told.is_none() {
            self.flush();
        }
        let too_many = self.unsaved.len().saturating_sub(MOST_UNSAVED);
        if too_many > 0 {
            self.unsaved.drain(..too_many);
            self.left_out = self.left_out.saturating_add(too_many as u64);
        }
    }

    /// Writes what waits.
    fn flush(&mut self) {
        let Ok(store) = &mut self.store else { return };
        let retention = span(self.shared.read().settled.audit.retention_s);
        let now = self.shared.detected.now().wall.min(clock::now().wall);
        let oldest = now.checked_sub(retention).unwrap_or(Timestamp::MIN);
        // What is past its time as it comes is not taken in: logs may be years old.
        self.unsaved.retain(|event| event.at >= oldest);
        let mut why = None;
        while !self.unsaved.is_empty() {
            let together = self.unsaved.len().min(TOGETHER);
            // Taken out first: what makes it panic is not tried again.
            let events: Vec<Recorded> = self.unsaved.drain(..together).collect();
            match store.record(&events) {
                Ok(heads) => {
                    let mut tally = self.shared.detected.tally_mut();
                    for head in &heads {
                        tally.push(&head.seen());
                    }
                }
                Err(error) => {
                    self.unsaved.splice(..0, events);
                    why = Some(crate::causes::chain(&error));
                    break;
                }
            }
        }
        self.shared.detected.set_events_left_out(self.left_out);
        self.tell(why);
    }

    /// Lets go of what is past its time or too much.
    fn let_go(&mut self) {
        self.let_go = Instant::now();
        let settings = Arc::clone(&self.shared.read().settled);
        let (alerts, audit) = (&settings.detection.alerts, &settings.audit);
        let detected = &self.shared.detected;
        let ago = |seconds| detected.oldest_kept(seconds).unwrap_or(Timestamp::MIN);
        let Ok(store) = &mut self.store else { return };
        let outcome = (|| -> Result<(), StoreError> {
            while store.let_go(alerts.most, ago(alerts.retention_s))? > 0 {}
            loop {
                let over = detected.tally().over(audit.most_events, ago(audit.retention_s));
                let Some(through) = over else { return Ok(()) };
                let gone = store.let_events_go(through)?;
                detected.tally_mut().remove_through(gone);
            }
        })();
        self.forget_keys(&settings);
        if let Err(error) = outcome {
            tracing::warn!(error = %crate::causes::chain(&error), "what is past its time stays");
        }
    }
}

impl Work {
    /// Forgets keys that nothing is kept under any more.
    fn forget_keys(&self, settings: &Settings) {
        let _one = self.shared.detected.keys();
        let privacy = self.shared.detected.privacy.load_full();
        if privacy.names.is_plain() {
            return;
        }
        // Past denials count for longest; see `Responses`.
        let (alerts, audit) = (settings.detection.alerts.retention_s, settings.audit.retention_s);
        let past = settings.detection.responses().memory_s.max(settings.reputation.policy.memory_s);
        let longest = alerts.max(audit).max(past);
        let Some(oldest) = self.shared.detected.oldest_kept(longest) else { return };
        match privacy_key::forget_before(&self.folder, &privacy.names, oldest) {
            Ok(Some(names)) => self.shared.detected.privacy.store(Arc::new(Privacy { names, ..*privacy })),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a key that is not used any more is kept"),
        }
    }
}

fn span(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}
