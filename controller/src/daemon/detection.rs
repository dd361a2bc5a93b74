//! Detection: logs and events are judged by rules and analyzers, and what they find becomes alerts and decisions.
//!
//! It has a thread of its own, on which events are judged one after the other; what rules see in a single event is looked
//! at by several, where there are many. A panic in it ends in a new start of the task: what is in force stays in force.
mod actions;
mod engine;
mod lines;
mod rules;
mod task;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use self::rules::RuleBook;
use self::task::{End, InWork, Session};
use super::keeper::Keeper;
use super::reputation::ReputationHandle;
use crate::adapters::store::{Change, Store};
use crate::causes::panicked;
use crate::domain::decision::{ListEnforcement, Origin};
use crate::domain::desired::Desired;
use crate::domain::erasure::Mentions;
use crate::domain::http::alert::{Action, Alert, AlertId};
use crate::domain::http::event::Event;
use crate::domain::http::submitted::{Refusal, Rejected, Submitted};
use crate::sync::{Command, Handle, Shared, SyncError};

use self::actions::origin;
pub(super) use self::actions::{DENIALS, LIMITS, batch, guarded, has_limit};
pub use self::rules::{RuleChange, RuleError};
pub(super) use self::rules::{files as rule_files, parameter_given};

/// Events of applications that wait to be judged.
const QUEUE: u32 = 65_536;
/// Requests with such events that wait.
const REQUESTS: usize = 256;
/// How long a task that failed is left alone.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often it is looked whether something is to be heard.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The part that problems are noted under.
const PART: &str = "detection";

/// Why events are not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too many wait.
    #[error("{QUEUE} events wait to be judged already; send these again in a moment")]
    Full,
    /// Nobody judges them.
    #[error("the daemon is stopping")]
    Stopping,
}

/// Events of applications on their way.
#[derive(Debug)]
struct Queued {
    events: Vec<Event>,
    rejected: Vec<Refusal>,
    /// Given back once they are judged.
    room: Option<OwnedSemaphorePermit>,
}

/// An alert that people changed.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Triaged {
    /// Which.
    pub(in crate::daemon) id: AlertId,
    /// Whether what comes next is to be another alert.
    pub(in crate::daemon) is_closed: bool,
    /// What was undone with it.
    pub(in crate::daemon) undone: Vec<Undone>,
}

/// A denial or limit that is no longer as it was made.
#[derive(Clone, Copy, Debug)]
pub(in crate::daemon) struct Undone {
    /// Which of the two.
    pub(in crate::daemon) action: Action,
    /// Whose.
    pub(in crate::daemon) prefix: IpNet,
    /// Until when it lasts now; `None`: it is lifted.
    pub(in crate::daemon) until: Option<Timestamp>,
}

/// What people did that the task must know.
#[derive(Debug)]
enum Told {
    /// They changed an alert.
    Triaged(Triaged),
    /// They lifted by hand what was asked for of a source by these names.
    Unasked { names: Vec<String> },
    /// They want to know which alerts are open of a source by these names.
    Asked { names: Vec<String>, reply: oneshot::Sender<Vec<Alert>> },
    /// They had somebody forgotten.
    Erased { who: Mentions, done: oneshot::Sender<()> },
}

/// What waits for the task.
#[derive(Debug)]
struct Waiting {
    events: mpsc::Receiver<Queued>,
    rules: mpsc::Receiver<Arc<rules::Compiled>>,
    triaged: mpsc::Receiver<Told>,
    /// Told once logs are heard, or once it is known that none is to be.
    begin: Option<oneshot::Sender<()>>,
}

impl Waiting {
    fn has_begun(&mut self) {
        if let Some(begin) = self.begin.take() {
            // Nobody waits where the daemon is stopping.
            let _nobody = begin.send(());
        }
    }
}

/// Events of applications that were not taken, by reason.
#[derive(Debug, Default)]
struct Rejections(BTreeMap<&'static str, u64>);

impl Rejections {
    fn take(&mut self, rejected: &[Refusal]) {
        for refusal in rejected {
            *self.0.entry(refusal.name()).or_default() += 1;
        }
    }

    fn rows(&self) -> BTreeMap<String, u64> {
        let all =
            Refusal::ALL.map(|refusal| (refusal.name().to_owned(), self.0.get(refusal.name()).copied().unwrap_or(0)));
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// What a task works with.
#[derive(Debug)]
struct Context {
    shared: Shared,
    sync: Handle,
    keeper: Keeper,
    reputation: ReputationHandle,
    rules: Arc<RuleBook>,
    in_work: InWork,
}

/// The way to the task.
#[derive(Clone, Debug)]
pub struct DetectionHandle {
    shared: Shared,
    sync: Handle,
    events: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    rules: Arc<RuleBook>,
    triaged: mpsc::Sender<Told>,
}

impl DetectionHandle {
    /// Has what is in memory of somebody forgotten, and all that waits written.
    pub(in crate::daemon) async fn erased(&self, who: Mentions) {
        let (done, erased) = oneshot::channel();
        if self.triaged.send(Told::Erased { who, done }).await.is_ok() {
            let _stopping = erased.await;
        }
    }

    /// Says that people changed an alert.
    pub(in crate::daemon) async fn triaged(&self, triaged: Triaged) {
        // Where the daemon is stopping, what is written is all that counts.
        let _stopping = self.triaged.send(Told::Triaged(triaged)).await;
    }

    /// Says that nothing is asked for any more of a source by these names.
    pub(in crate::daemon) async fn unasked(&self, names: Vec<String>) {
        let _stopping = self.triaged.send(Told::Unasked { names }).await;
    }

    /// The alerts that are open of a source by these names, and may not be written yet; what was told before is done then.
    pub(in crate::daemon) async fn open_alerts(&self, names: Vec<String>) -> Vec<Alert> {
        let (reply, answer) = oneshot::channel();
        if self.triaged.send(Told::Asked { names, reply }).await.is_err() {
            return Vec::new();
        }
        // Where the daemon is stopping, what is written is all that counts.
        answer.await.unwrap_or_default()
    }

    /// Has events judged; without waiting for what comes of them.
    ///
    /// # Errors
    /// [`SubmitError`]: none of them is.
    pub fn submit(&self, submitted: Submitted) -> Result<(), SubmitError> {
        let rejected = submitted.rejected.iter().map(|Rejected { refusal, .. }| *refusal).collect();
        let count = u32::try_from(submitted.events.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(count).map_err(|_full| SubmitError::Full)?;
        let queued = Queued { events: submitted.events, rejected, room: Some(room) };
        self.events.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Full,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
        })
    }

    /// Lets a user in again; whether one was denied.
    ///
    /// # Errors
    /// [`SyncError::NotSaved`]: it is so, and would not be after a restart.
    pub async fn lift(&self, user: String, actor: String) -> Result<bool, SyncError> {
        let lifted = self.shared.detected.users().lift(&user);
        let Some(lifted) = lifted else { return Ok(false) };
        let audit = (actor, "lift user".to_owned(), lifted.user.clone(), serde_json::json!({}));
        let changes = vec![Change::RemoveUser { user: lifted.user }];
        self.sync.ask(|reply| Command::Save(changes, Some(audit), Some(reply))).await?;
        Ok(true)
    }

    /// The rules.
    pub fn rules(&self) -> &RuleBook {
        &self.rules
    }
}

/// The task's thread, to be ended.
#[derive(Debug)]
pub(super) struct Service {
    begun: oneshot::Receiver<()>,
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl Service {
    /// Waits until what is written to logs from now on is heard, if anything is to be.
    pub(super) async fn begun(&mut self) {
        // Where the task failed on the way, it says so itself, and tries again.
        let _failed = (&mut self.begun).await;
    }

    /// Ends the task once what it has found is written.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let thread = self.thread;
        // A panic on the way out has been told already.
        drop(tokio::task::spawn_blocking(move || thread.join()).await);
    }
}

/// Has the store agree with what was loaded of denied users: whose time was over while nobody looked is forgotten.
pub(super) fn settle(store: &mut Store, changes: &[Change]) {
    let of_users = |change: &&Change| matches!(change, Change::PutUser(_) | Change::RemoveUser { .. });
    let changes: Vec<Change> = changes.iter().filter(of_users).cloned().collect();
    if !changes.is_empty()
        && let Err(error) = store.apply(&changes)
    {
        // The next start works it out anew.
        tracing::warn!(%error, "users whose denial is over stay in the store");
    }
}

/// Lists that an earlier run left are what they were: the store does not say what is usual for them.
pub(super) fn at_start(desired: &mut Desired) {
    for list in desired.lists_mut() {
        let by_rules = *list.name == *LIMITS && list.origin == origin();
        let by_score = *list.name == *super::reputation::LIMITS && list.origin == Origin::Reputation;
        if by_rules || by_score {
            list.usual = ListEnforcement::Limit;
        }
    }
}

/// Starts the task's thread. Must be called on a runtime.
///
/// # Errors
/// There can be no thread.
pub(super) fn start(
    shared: &Shared,
    sync: &Handle,
    keeper: &Keeper,
    reputation: &ReputationHandle,
    stored: BTreeMap<String, String>,
) -> std::io::Result<(DetectionHandle, Service)> {
    let (events, wait_events) = mpsc::channel(REQUESTS);
    let (triaged, wait_triaged) = mpsc::channel(REQUESTS);
    let (swap, wait_rules) = mpsc::channel(1);
    let book = Arc::new(RuleBook::new(shared.clone(), sync.clone(), stored, swap));
    let handle = DetectionHandle {
        shared: shared.clone(),
        sync: sync.clone(),
        events,
        room: Arc::new(Semaphore::new(QUEUE as usize)),
        rules: Arc::clone(&book),
        triaged,
    };
    let context = Context {
        shared: shared.clone(),
        sync: sync.clone(),
        keeper: keeper.clone(),
        reputation: reputation.clone(),
        rules: book,
        in_work: InWork::default(),
    };
    let (stop, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Handle::current();
    let (starting, begun) = oneshot::channel();
    let waiting = Waiting { events: wait_events, rules: wait_rules, triaged: wait_triaged, begin: Some(starting) };
    let thread = std::thread::Builder::new()
        .name("weir-detection".to_owned())
        .spawn(move || supervise(&runtime, &context, waiting, stopped))?;
    Ok((handle, Service { begun, stop, thread }))
}

/// Runs the task, and runs it again where it fails.
fn supervise(
    runtime: &tokio::runtime::Handle,
    context: &Context,
    mut waiting: Waiting,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        // What the task had in hand is given up; what it shares with others is whole between any two steps.
        let run = AssertUnwindSafe(|| runtime.block_on(run(context, &mut waiting, &mut stop)));
        let Err(panic) = catch_unwind(run) else { return };
        context.shared.detected.set_row(None);
        waiting.has_begun();
        let problem = format!(
            "it failed and was started anew, past the lines it was at; please report this: {}",
            panicked(panic.as_ref())
        );
        tracing::error!(problem, "detection");
        let _stopping = context.sync.send(Command::Problem(PART.to_owned(), Some(problem)));
        if *stop.borrow() {
            return;
        }
        std::thread::sleep(AFTER_FAILURE);
    }
}

async fn run(context: &Context, waiting: &mut Waiting, stop: &mut watch::Receiver<bool>) {
    loop {
        let settings = Arc::clone(&context.shared.read().settled);
        if settings.detection.is_on() {
            let mut session = Session::start(context, settings).await;
            waiting.has_begun();
            let end = session.run(waiting, stop).await;
            session.end().await;
            if end == End::Stop {
                return;
            }
            continue;
        }
        waiting.has_begun();
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            // Nobody is there to judge them.
            Some(queued) = waiting.events.recv() => drop(queued),
            Some(swap) = waiting.rules.recv() => drop(swap),
            Some(triaged) = waiting.triaged.recv() => drop(triaged),
        }
    }
}
