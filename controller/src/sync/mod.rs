//! The sync task: the one writer of tables, classes and overlay, and the one place where what is desired changes.
//!
//! It is a thread that takes commands one after the other. A change is made in the order kernel, store, answer: commands
//! that wait together share one store transaction. Tables are built and written by a worker while live changes go on
//! through the overlay.
mod again;
mod batch;
mod change;
mod confirm;
mod import;
mod job;
mod policy;
mod settings;
mod state;
pub mod takeover;
mod trail;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::oneshot;

pub use confirm::pending_row;
pub(crate) use confirm::{CONFIG_KEY, ENFORCEMENT_KEY, GIVEN_UP, PENDING_KEY, REJECTED_KEY};
pub use policy::{BuildFailure, class_lists_of, totals_of};
pub use settings::Settings;
pub use state::{InterfaceState, ListTotals, Pending, Shared, State};
pub use trail::{MOST as TRAIL, Trail};

use crate::adapters::clock;
use crate::adapters::kernel::writer::{KernelWriter, WriteError};
use crate::adapters::store::{AuditRecord, Change, Store};
use crate::domain::decision::{Enforcement, Kind, ListEnforcement, Origin};
use crate::domain::erasure::Mentions;
use crate::domain::guard::{Guards, Refusal};
use crate::domain::report::{ChangeReport, ConfigReport, SwitchReport};
use crate::domain::tables::BuildError;
use crate::domain::time::Expiry;

/// How long the task sleeps when nothing happens: expiries, deadlines and folds are looked at this often.
const TICK: Duration = Duration::from_millis(200);

/// How often records of changes that are past their time go.
const TRIM_EVERY: Duration = Duration::from_mins(10);

/// Commands that share one store transaction at the most.
const GROUP: usize = 256;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// A safety rule refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The generation it needs could not be made.
    #[error("{0}")]
    Build(Arc<BuildFailure>),
    /// It does not fit.
    #[error(transparent)]
    Full(#[from] BuildError),
    /// The kernel refused.
    #[error("the kernel refused the change, what was in force still is: {0}")]
    Kernel(#[from] WriteError),
    /// In force but not saved.
    #[error("the change is in force but could not be saved, so it would not survive a restart: {0}")]
    NotSaved(String),
    /// A confirm is pending.
    #[error("a settings change waits for its confirmation until {0}; `weir config confirm` or `rollback` first")]
    Pending(jiff::Timestamp),
    /// Nothing to confirm or to roll back.
    #[error("{0}")]
    Nothing(&'static str),
    /// A name is not one, or is taken.
    #[error(transparent)]
    List(#[from] crate::domain::desired::ListError),
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

/// An answer on its way back.
pub type Reply<T> = oneshot::Sender<Result<T, SyncError>>;

/// Entries to add.
#[derive(Clone, Debug)]
pub struct Add {
    /// Lets through or drops.
    pub kind: Kind,
    /// What to cover; canonical.
    pub prefixes: Vec<IpNet>,
    /// Seconds until it ends.
    pub for_s: Option<u64>,
    /// Why.
    pub reason: Arc<str>,
    /// On whose word.
    pub origin: Origin,
    /// Counted or carried out.
    pub enforcement: Enforcement,
    /// Override protection.
    pub force: bool,
    /// Change nothing.
    pub dry_run: bool,
}

/// Entries to remove.
#[derive(Clone, Debug)]
pub struct Remove {
    /// From allow lists or deny lists.
    pub kind: Kind,
    /// What; canonical.
    pub prefixes: Vec<IpNet>,
    /// Only this origin's; `None`: any.
    pub origin: Option<Origin>,
    /// Change nothing.
    pub dry_run: bool,
}

/// A list's content, as a whole.
#[derive(Clone, Debug)]
pub struct Import {
    /// Lets through or drops.
    pub kind: Kind,
    /// The list's name.
    pub name: String,
    /// On whose word.
    pub origin: Origin,
    /// What becomes of its entries where the settings do not say.
    pub usual: ListEnforcement,
    /// Its prefixes.
    pub prefixes: crate::domain::prefixes::Prefixes,
    /// Prefixes that end by themselves, with the seconds left. They come on top of those that the list has.
    pub ending: Vec<(IpNet, u64)>,
    /// Change nothing.
    pub dry_run: bool,
}

/// What became of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Whether the list changed.
    pub changed: bool,
    /// The policy in force afterwards.
    pub generation: u64,
}

/// Entries of one list, each with an end and a reason of its own, changed together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The list's name.
    pub list: String,
    /// On whose word.
    pub origin: Origin,
    /// What becomes of the list where the settings do not say.
    pub usual: ListEnforcement,
    /// What is to be on the list; canonical.
    pub put: Vec<(IpNet, Put)>,
    /// What is no longer to be on it; canonical.
    pub remove: Vec<IpNet>,
    /// Whether what is not put goes.
    pub replace: bool,
    /// Only entries whose reason has this in it are changed or removed: none that somebody else has made of them.
    pub only_with: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
}

/// One entry of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// When it ends; `None`: never by itself.
    pub expiry: Option<Expiry>,
    /// Why.
    pub reason: Arc<str>,
    /// Counted or carried out.
    pub enforcement: Enforcement,
}

/// What became of a [`Batch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batched {
    /// Entries added or changed.
    pub put: u64,
    /// Entries taken out.
    pub removed: u64,
    /// Prefixes that a safety rule keeps out, each with its label.
    pub refused: Vec<(IpNet, &'static str)>,
    /// The policy in force afterwards.
    pub generation: u64,
}

/// What the sync task is asked to do, with who asked.
#[derive(Debug)]
pub enum Command {
    /// Add entries.
    Add(Add, String, Reply<ChangeReport>),
    /// Remove entries.
    Remove(Remove, String, Reply<ChangeReport>),
    /// Replace a list's content.
    Import(Import, String, Reply<Imported>),
    /// Change many entries of one list.
    Batch(Batch, String, Reply<Batched>),
    /// Replace the content of many lists with one flip, and take others away: those of feeds and countries that are no
    /// longer followed.
    Lists(Vec<Import>, Vec<String>, String, Reply<Imported>),
    /// Put settings in force, undone after so many seconds unless confirmed.
    Apply(Arc<Settings>, Option<u64>, bool, String, Reply<ConfigReport>),
    /// Keep the pending settings.
    Confirm(String, Reply<ConfigReport>),
    /// Go back to the settings before.
    Rollback(String, Reply<ConfigReport>),
    /// Enforce or observe, over the settings.
    Enforcement(Enforcement, String, Reply<SwitchReport>),
    /// The bypass switch.
    Bypass(bool, String, Reply<SwitchReport>),
    /// Protection has changed.
    Guards(Guards),
    /// An interface's state has changed.
    Interfaces(Vec<InterfaceState>),
    /// Something is wrong with a part, or is not any more.
    Problem(String, Option<String>),
    /// Save what other tasks keep in the store, with a line for the audit trail (who, what, to what, the rest), and answer
    /// once it is.
    Save(Vec<Change>, Option<(String, String, String, serde_json::Value)>, Option<Reply<()>>),
    /// Limits were broken: whose, and how, and how many more there were.
    Offences {
        /// Prefix and particulars.
        records: Vec<(String, serde_json::Value)>,
        /// How many are left out.
        left_out: usize,
    },
    /// Blot out who is to be mentioned nowhere in the records of changes, wherever these are kept; in how many they were.
    Erase(Mentions, oneshot::Sender<Result<u64, String>>),
    /// A worker is done with a slot.
    Built(Box<policy::Built>),
    /// A worker has waited out the grace period of a slot.
    Retired(policy::Retired),
    /// Save and stop. What is in force stays in force.
    Stop(oneshot::Sender<()>),
}

/// The way to the sync task.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: Sender<Command>,
}

impl Handle {
    /// Sends a command that has no answer.
    ///
    /// # Errors
    /// [`SyncError::Stopping`].
    pub fn send(&self, command: Command) -> Result<(), SyncError> {
        self.commands.send(command).map_err(|_stopped| SyncError::Stopping)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// The command's.
    pub async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SyncError> {
        self.asking(command).await
    }

    /// Has a change noted in the audit trail, and waits until that is saved: who did what, to what, and the rest.
    ///
    /// # Errors
    /// [`SyncError::NotSaved`], [`SyncError::Stopping`].
    pub async fn note(
        &self,
        actor: &str,
        action: &str,
        target: &str,
        detail: serde_json::Value,
    ) -> Result<(), SyncError> {
        let record = (actor.to_owned(), action.to_owned(), target.to_owned(), detail);
        self.ask(|reply| Command::Save(Vec::new(), Some(record), Some(reply))).await
    }

    /// Sends a command now; its answer can be waited for elsewhere.
    ///
    /// # Errors
    /// The command's, when it is waited for.
    pub fn asking<T, F: FnOnce(Reply<T>) -> Command>(
        &self,
        command: F,
    ) -> impl Future<Output = Result<T, SyncError>> + use<T, F> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(command(reply));
        async move {
            sent?;
            answer.await.map_err(|_stopped| SyncError::Stopping)?
        }
    }
}

/// The task itself: owned by its thread.
pub struct Sync {
    shared: Shared,
    writer: Arc<KernelWriter>,
    store: Store,
    boot_id: String,
    commands: Receiver<Command>,
    to_self: Sender<Command>,
    /// What is done in the kernel and waits for the store: changes and the answers behind them.
    unsaved: Vec<Change>,
    answers: Vec<Answer>,
    /// Changes that come with a flip, in order.
    queue: VecDeque<job::Job>,
    job: Option<policy::Running>,
    retiring: bool,
    /// When live changes are folded again, and changed guards built again, after that failed.
    fold_again: again::Again,
    guards_again: again::Again,
    last_flip: std::time::Instant,
    last_expiry: std::time::Instant,
    last_sweep: std::time::Instant,
    last_copy: std::time::Instant,
    last_trim: std::time::Instant,
}

impl std::fmt::Debug for Sync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sync").field("queue", &self.queue.len()).finish_non_exhaustive()
    }
}

/// An answer that waits for the store's word.
type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

impl Sync {
    /// Starts the task over a state that is in force already.
    pub fn start(shared: Shared, writer: Arc<KernelWriter>, store: Store, boot_id: String) -> (Handle, JoinHandle<()>) {
        let (sender, receiver) = channel();
        let now = std::time::Instant::now();
        let mut task = Self {
            shared,
            writer,
            store,
            boot_id,
            commands: receiver,
            to_self: sender.clone(),
            unsaved: Vec::new(),
            answers: Vec::new(),
            queue: VecDeque::new(),
            job: None,
            retiring: false,
            fold_again: again::Again::default(),
            guards_again: again::Again::default(),
            last_flip: now,
            last_expiry: now,
            last_sweep: now,
            last_copy: now,
            last_trim: now,
        };
        let thread = std::thread::spawn(move || task.run());
        (Handle { commands: sender }, thread)
    }

    fn run(&mut self) {
        loop {
            let mut stop = None;
            match self.commands.recv_timeout(TICK) {
                Ok(command) => {
                    stop = self.obey(command);
                    // Whatever waits already shares the transaction.
                    for _ in 1..GROUP {
                        if stop.is_some() {
                            break;
                        }
                        let Ok(command) = self.commands.try_recv() else { break };
                        stop = self.obey(command);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tick();
            self.trim_audit();
            self.save();
            if let Some(done) = stop {
                self.save_totals();
                self.save();
                if let Err(error) = self.store.save_good_copy() {
                    tracing::warn!(%error, "no good copy of the store was saved");
                }
                // The asker may have gone; there is nobody else to tell.
                let _gone = done.send(());
                return;
            }
        }
    }

    fn obey(&mut self, command: Command) -> Option<oneshot::Sender<()>> {
        match command {
            Command::Add(add, actor, reply) => self.add(&add, &actor, reply),
            Command::Remove(remove, actor, reply) => self.remove(&remove, &actor, reply),
            Command::Import(import, actor, reply) => self.import(import, &actor, reply),
            Command::Batch(batch, actor, reply) => self.batch(batch, &actor, reply),
            Command::Lists(put, remove, actor, reply) => self.lists(put, &remove, &actor, reply),
            Command::Apply(settings, confirm_s, dry_run, actor, reply) => {
                self.apply(&settings, confirm_s, dry_run, &actor, reply);
            }
            Command::Confirm(actor, reply) => self.confirm(&actor, reply),
            Command::Rollback(actor, reply) => self.rollback(&actor, reply),
            Command::Enforcement(to, actor, reply) => self.set_enforcement(to, &actor, reply),
            Command::Bypass(on, actor, reply) => self.set_bypass(on, &actor, reply),
            Command::Guards(guards) => self.set_guards(guards),
            Command::Interfaces(interfaces) => self.shared.write().interfaces = interfaces,
            Command::Problem(part, what) => self.problem(&part, what),
            Command::Save(changes, audit, reply) => {
                self.unsaved.extend(changes);
                if let Some((actor, action, target, detail)) = audit {
                    self.audit(&actor, &action, &target, &detail);
                }
                if let Some(reply) = reply {
                    self.answer_saved(reply, ());
                }
            }
            Command::Offences { records, left_out } => {
                for (target, detail) in records {
                    self.audit("limits", "offence", &target, &detail);
                }
                if left_out != 0 {
                    self.audit("limits", "offences", "", &serde_json::json!({"more": left_out}));
                }
            }
            Command::Erase(mentions, reply) => {
                let erased = self.erase(&mentions);
                // Who asked may have gone; what is erased stays so.
                let _gone = reply.send(erased);
            }
            Command::Built(built) => self.built(*built),
            Command::Retired(retired) => self.retired(&retired),
            Command::Stop(done) => return Some(done),
        }
        None
    }

    /// Notes a problem, loudly, or that it is over.
    fn problem(&self, part: &str, what: Option<String>) {
        let mut state = self.shared.write();
        match what {
            Some(what) => {
                if state.problems.get(part) != Some(&what) {
                    tracing::warn!(part, problem = %what, "something is wrong");
                }
                state.problems.insert(part.to_owned(), what);
            }
            None => {
                if state.problems.remove(part).is_some() {
                    tracing::info!(part, "the problem is over");
                }
            }
        }
    }

    /// Notes an audit line with the next transaction.
    fn audit(&mut self, actor: &str, action: &str, target: &str, detail: &serde_json::Value) {
        let names = &self.shared.detected.privacy.load().names;
        let target = names.text(target).into_owned();
        let detail = if names.is_plain() {
            detail.clone()
        } else {
            // Names stand within the quotes that addresses stood in.
            let text = names.text(&detail.to_string()).into_owned();
            serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
        };
        tracing::info!(actor, action, target, %detail, "changed");
        let (actor, action) = (actor.to_owned(), action.to_owned());
        let record = AuditRecord { at: clock::now().wall, actor, action, target, detail };
        self.shared.trail.push(record.clone());
        self.unsaved.push(Change::Audit(record));
    }

    /// Lets go of records of changes that are past their time.
    fn trim_audit(&mut self) {
        if self.last_trim.elapsed() < TRIM_EVERY {
            return;
        }
        self.last_trim = std::time::Instant::now();
        let retention_s = self.shared.read().settled.audit.retention_s;
        if let Some(oldest) = self.shared.detected.oldest_kept(retention_s) {
            self.unsaved.push(Change::TrimAudit { oldest });
        }
    }

    /// Blots out who is to be mentioned nowhere in the records of changes, in the good copy as well.
    fn erase(&mut self, mentions: &Mentions) -> Result<u64, String> {
        self.unsaved.push(Change::EraseAudit { mentions: mentions.clone() });
        self.save();
        if !self.unsaved.is_empty() {
            return Err("the records of changes could not be written; see `weir status`".to_owned());
        }
        let mut changed = 0;
        self.shared.trail.rewrite(|record| changed += u64::from(record.blot(mentions)));
        self.store.forget_the_past().map_err(|error| error.to_string())?;
        Ok(changed)
    }

    /// Answers once what is unsaved by now is in the store.
    fn answer_saved<T: Send + 'static>(&mut self, reply: Reply<T>, value: T) {
        self.answers.push(Box::new(move |saved| {
            let answer = saved.map(|()| value).map_err(SyncError::NotSaved);
            // The asker may have gone; the change stands.
            let _gone = reply.send(answer);
        }));
    }

    /// One transaction for everything unsaved, then the answers.
    fn save(&mut self) {
        let changes = std::mem::take(&mut self.unsaved);
        let answers = std::mem::take(&mut self.answers);
        let mut saved = Ok(());
        if !changes.is_empty() {
            match self.store.apply(&changes) {
                Ok(()) => self.problem("store", None),
                Err(error) => {
                    let text = error.to_string();
                    self.problem("store", Some(format!("changes are in force but not saved: {text}")));
                    saved = Err(text);
                    // Kept for the next try: what is in force and what is saved must meet again.
                    self.unsaved = changes;
                }
            }
        }
        for answer in answers {
            answer(saved.clone());
        }
    }
}

/// Answers at once; the asker may have gone.
fn answer<T>(reply: Reply<T>, value: Result<T, SyncError>) {
    let _gone = reply.send(value);
}
