//! Who writes alerts and checkpoints: a thread of its own, so that nobody who judges waits for a disk.
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::adapters::store::{EventStore, PastDenial, Save};
use crate::domain::http::alert::Alert;

/// What the thread is asked to do.
enum Order {
    Save(Box<Save>),
    LetGo { most: u64, oldest: Timestamp },
    Stop(oneshot::Sender<()>),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Kept {
    /// All of it is written.
    Saved,
    /// Nothing of it is; it comes back, with why.
    NotSaved(Box<Save>, String),
    /// So many alerts were let go, or why not.
    LetGo(Result<u64, String>),
}

/// The way to the thread, and what comes back.
#[derive(Debug)]
pub(super) struct Keeper {
    orders: SyncSender<Order>,
    /// What came of orders, in their order.
    pub(super) kept: mpsc::UnboundedReceiver<Kept>,
}

/// What an earlier run left.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Alerts that may still be repeated.
    pub(super) alerts: Vec<Alert>,
    /// Denials that count against their sources, in the order they were made.
    pub(super) denials: Vec<PastDenial>,
    /// How far logs were read.
    pub(super) checkpoints: Option<String>,
    /// What was wrong with the database and has been dealt with.
    pub(super) problem: Option<String>,
    /// The database, to ask.
    pub(super) reader: Option<crate::adapters::store::EventReader>,
}

/// The note that checkpoints are kept under.
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// Opens the database and reads what an earlier run left: alerts last seen within `fold`, denials within `memory`.
pub(super) fn open(
    folder: &Path,
    now: Timestamp,
    (fold, memory): (SignedDuration, SignedDuration),
    most: usize,
) -> Result<(Keeper, Past), String> {
    let ago = |span: SignedDuration| now.checked_sub(span).unwrap_or(Timestamp::MIN);
    let (store, problem) = EventStore::open(folder).map_err(|error| crate::causes::chain(&error))?;
    let read = || -> Result<Past, crate::adapters::store::StoreError> {
        Ok(Past {
            alerts: store.open_since(ago(fold), most)?,
            denials: store.denials_since(ago(memory))?,
            checkpoints: store.note(CHECKPOINTS)?,
            problem,
            reader: Some(store.reader()?),
        })
    };
    let past = read().map_err(|error| crate::causes::chain(&error))?;
    // One order waits at the most: whoever gives them waits for what comes of the last.
    let (orders, given) = sync_channel(4);
    let (tell, kept) = mpsc::unbounded_channel();
    let name = "weir-events".to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || work(store, &given, &tell));
    thread.map_err(|error| format!("start the thread that writes alerts: {error}"))?;
    Ok((Keeper { orders, kept }, past))
}

fn work(mut store: EventStore, orders: &Receiver<Order>, tell: &mpsc::UnboundedSender<Kept>) {
    while let Ok(order) = orders.recv() {
        let kept = match order {
            Order::Save(save) => match store.save(&save) {
                Ok(()) => Kept::Saved,
                Err(error) => Kept::NotSaved(save, crate::causes::chain(&error)),
            },
            Order::LetGo { most, oldest } => {
                Kept::LetGo(store.let_go(most, oldest).map_err(|error| crate::causes::chain(&error)))
            }
            Order::Stop(done) => {
                // Closed before anybody hears of it, so that the next one can open it.
                drop(store);
                let _gone = done.send(());
                return;
            }
        };
        if tell.send(kept).is_err() {
            return;
        }
    }
}

impl Keeper {
    /// Has something written. `false`: the thread is gone or busy, and it is not.
    pub(super) fn save(&self, save: Save) -> Result<(), Box<Save>> {
        self.orders.try_send(Order::Save(Box::new(save))).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(Order::Save(save))
            | std::sync::mpsc::TrySendError::Disconnected(Order::Save(save)) => save,
            _ => Box::default(),
        })
    }

    /// Lets go of what is too old or too many.
    pub(super) fn let_go(&self, most: u64, oldest: Timestamp) {
        // A thread that is busy is asked again.
        drop(self.orders.try_send(Order::LetGo { most, oldest }));
    }

    /// Ends the thread once all that was ordered is done.
    pub(super) async fn stop(self) {
        let (done, stopped) = oneshot::channel();
        let orders = self.orders;
        let asked = tokio::task::spawn_blocking(move || orders.send(Order::Stop(done))).await;
        if matches!(asked, Ok(Ok(()))) {
            let _stopped = stopped.await;
        }
    }
}
