//! Feeds: a task each, and one that makes them agree with the settings.
pub(crate) mod content;
mod follower;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use self::follower::{Ask, Asked, Follower};
use crate::adapters::feeds::cache::Cache;
use crate::adapters::feeds::fetch::{Fetcher, Settings as FetchSettings};
use crate::config::Feed;
use crate::domain::decision::Origin;
use crate::domain::desired::Desired;
use crate::domain::guard::Guards;
use crate::domain::report::{FeedRow, FeedState, RefreshReport};
use crate::followed::Followed;
use crate::sync::{Command, Handle, Settings, Shared};

/// How often settings are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Why the addresses of feeds' hosts are protected.
const HOSTS: &str = "a feed comes from";
/// Feeds are asked one after the other with this pause, so that a start with many is no burst.
const BETWEEN_STARTS: Duration = Duration::from_millis(50);
/// Feeds that are asked and read at once: each may take the memory of its `most_mib` several times.
const AT_ONCE: usize = 8;

/// The part that problems of a feed are noted under.
fn part(feed: &str) -> String {
    format!("feed {feed}")
}

/// A feed that is not configured.
#[derive(Debug, thiserror::Error)]
#[error("there is no feed {0:?}; `weir feeds list` prints those there are")]
pub struct UnknownFeed(String);

/// Feeds to be asked now.
#[derive(Debug)]
pub(super) struct Refresh {
    names: Vec<String>,
    force: bool,
    dry_run: bool,
    actor: String,
    reply: oneshot::Sender<Result<RefreshReport, UnknownFeed>>,
}

/// The way to the feeds' task.
#[derive(Clone, Debug)]
pub struct FeedsHandle(mpsc::Sender<Refresh>);

impl FeedsHandle {
    /// A way, and its other end.
    pub(super) fn new() -> (Self, mpsc::Receiver<Refresh>) {
        let (sender, receiver) = mpsc::channel(16);
        (Self(sender), receiver)
    }

    /// Has feeds asked now, none named all of them, and waits for what comes of it.
    ///
    /// # Errors
    /// [`UnknownFeed`].
    pub async fn refresh(
        &self,
        names: Vec<String>,
        force: bool,
        dry_run: bool,
        actor: String,
    ) -> Result<RefreshReport, UnknownFeed> {
        let (reply, answer) = oneshot::channel();
        // A daemon that stops answers nobody.
        let _stopping = self.0.send(Refresh { names, force, dry_run, actor, reply }).await;
        answer.await.unwrap_or_else(|_stopped| Ok(RefreshReport::default()))
    }
}

/// Puts the kept copies of feeds among what is desired, before anything is in force. What cannot be used is a problem.
pub(super) fn at_start(
    settings: &Settings,
    state: &Path,
    guards: &Guards,
    followed: &Followed,
    desired: &mut Desired,
) -> Vec<(String, String)> {
    let feeds = &settings.feeds;
    let is_followed = |name: &str| feeds.iter().any(|feed| feed.name == name);
    let gone: Vec<_> = desired
        .lists()
        .filter(|list| matches!(list.origin, Origin::Feed(_)))
        .filter(|list| {
            !is_followed(&list.name) || feeds.iter().any(|f| f.name == *list.name && f.action.kind() != list.kind)
        })
        .map(|list| list.id)
        .collect();
    for id in gone {
        desired.remove_list(id);
    }
    followed.set_feeds(feeds.iter().map(follower::new_row).collect());
    if feeds.is_empty() {
        return Vec::new();
    }
    let cache = match Cache::open(state) {
        Ok(cache) => cache,
        Err(error) => return vec![("feeds".to_owned(), error.to_string())],
    };
    let mut problems = Vec::new();
    for (place, feed) in (0u16..).zip(feeds.iter()) {
        let id = match desired.list_for(&feed.name, feed.action.kind(), &Origin::Feed(place)) {
            Ok(id) => id,
            Err(error) => {
                problems.push((part(&feed.name), error.to_string()));
                continue;
            }
        };
        let Some(list) = desired.list_mut(id) else { continue };
        list.origin = Origin::Feed(place);
        list.usual = feed.action.enforcement();
        settings.apply_to(list);
        match follower::restore(feed, &cache, guards, followed) {
            Ok(None) => list.imported_at = None,
            Ok(Some((meta, content, bytes))) => {
                list.imported_at = Some(meta.fetched_at);
                let entries = content.prefixes.len() as u64;
                list.imported = content.prefixes;
                followed.update_feed(&feed.name, |row| {
                    row.state = FeedState::Ok;
                    row.last_success = Timestamp::from_second(meta.checked_at.as_second()).ok();
                    follower::told(row, &content.parsed, entries, bytes);
                });
            }
            Err(problem) => {
                list.imported_at = None;
                followed.update_feed(&feed.name, |row| row.problem = Some(problem.clone()));
                problems.push((part(&feed.name), problem));
            }
        }
    }
    problems
}

/// What all feeds share when they ask.
struct Asking {
    fetcher: Arc<Fetcher>,
    turns: Arc<Semaphore>,
}

/// A feed's task and the way to it.
struct Running {
    feed: Feed,
    place: u16,
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows the feeds that the settings name, until the daemon stops.
pub(super) async fn follow(shared: Shared, sync: Handle, state: PathBuf, mut asked: mpsc::Receiver<Refresh>) {
    let fetcher = Arc::new(Fetcher::new(FetchSettings::default()));
    let asking = Asking { fetcher, turns: Arc::new(Semaphore::new(AT_ONCE)) };
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    let mut settings: Option<Arc<Settings>> = None;
    loop {
        // Settings on trial may be undone; feeds follow those that stay.
        let now = Arc::clone(&shared.read().settled);
        if settings.as_ref().is_none_or(|settings| settings.feeds != now.feeds) {
            match Cache::open(&state) {
                Ok(cache) => {
                    let is_first = settings.is_none();
                    agree(&shared, &sync, &cache, &asking, &now, &mut running, is_first).await;
                    settings = Some(now);
                }
                Err(error) => {
                    let _stopping = sync.send(Command::Problem("feeds".to_owned(), Some(error.to_string())));
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            refresh = asked.recv() => if let Some(refresh) = refresh {
                answer(&shared, &running, refresh);
            }
        }
    }
}

/// Starts, restarts and ends tasks, and takes away lists of feeds that are followed no more. At first the kept copies
/// are in force already.
async fn agree(
    shared: &Shared,
    sync: &Handle,
    cache: &Cache,
    asking: &Asking,
    settings: &Settings,
    running: &mut BTreeMap<String, Running>,
    is_first: bool,
) {
    let feeds = &settings.feeds;
    running.retain(|name, run| {
        let stays = feeds
            .iter()
            .enumerate()
            .any(|(at, feed)| feed.name == *name && at == usize::from(run.place) && *feed == run.feed);
        if !stays {
            let _stopping = sync.send(Command::Problem(part(name), None));
        }
        stays
    });
    let gone: Vec<String> = shared
        .read()
        .desired
        .lists()
        .filter(|list| matches!(list.origin, Origin::Feed(_)))
        .filter(|list| !feeds.iter().any(|feed| feed.name == *list.name && feed.action.kind() == list.kind))
        .map(|list| list.name.to_string())
        .collect();
    if !gone.is_empty() {
        let answer = sync.ask(|reply| Command::Lists(Vec::new(), gone, "feeds".to_owned(), reply)).await;
        let problem = answer.err().map(|error| format!("lists of feeds that are not followed any more stay: {error}"));
        let _stopping = sync.send(Command::Problem("feeds".to_owned(), problem));
    }
    let names: Vec<&str> = feeds.iter().map(|feed| feed.name.as_str()).collect();
    if let Err(error) = cache.retain(&names) {
        tracing::warn!(%error, "copies of feeds that are not followed any more stay");
    }
    let hosts: Vec<String> =
        feeds.iter().filter_map(|feed| content::request(feed).ok()).map(|request| request.source.host()).collect();
    asking.fetcher.retain_hosts(|host| hosts.iter().any(|followed| followed == host));
    shared.followed.set_hosts(HOSTS, asking.fetcher.hosts());
    shared.followed.set_feeds(feeds.iter().map(follower::new_row).collect());
    for (place, feed) in (0u16..).zip(feeds.iter()) {
        if running.contains_key(&feed.name) {
            continue;
        }
        let follower = Follower {
            feed: feed.clone(),
            place,
            shared: shared.clone(),
            sync: sync.clone(),
            cache: cache.clone(),
            fetcher: Arc::clone(&asking.fetcher),
            turns: Arc::clone(&asking.turns),
            is_changed: !is_first,
        };
        let (asks, asked) = mpsc::channel(4);
        let task = tokio::spawn(follower.run(asked));
        running.insert(feed.name.clone(), Running { feed: feed.clone(), place, asks, task });
        tokio::time::sleep(BETWEEN_STARTS).await;
    }
}

/// Hands a question on to the feeds it is for, and answers when all have.
fn answer(shared: &Shared, running: &BTreeMap<String, Running>, refresh: Refresh) {
    let Refresh { names, force, dry_run, actor, reply } = refresh;
    if let Some(unknown) = names.iter().find(|name| !running.contains_key(*name)) {
        let _gone = reply.send(Err(UnknownFeed(unknown.clone())));
        return;
    }
    let wanted: Vec<(String, mpsc::Sender<Ask>)> = running
        .iter()
        .filter(|(name, _)| names.is_empty() || names.contains(name))
        .map(|(name, run)| (name.clone(), run.asks.clone()))
        .collect();
    let shared = shared.clone();
    tokio::spawn(async move {
        let mut answers = Vec::new();
        for (_, asks) in &wanted {
            let (reply, answer) = oneshot::channel();
            // A feed that is just being taken away answers nobody.
            let _gone = asks.send(Ask { force, dry_run, actor: actor.clone(), reply }).await;
            answers.push(answer);
        }
        let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
        for ((name, _), answer) in wanted.into_iter().zip(answers) {
            asked.insert(name, answer.await.unwrap_or_default());
        }
        let changed = asked.values().any(|asked| asked.changed);
        let rows = shared.followed.feed_rows().into_iter();
        let feeds = rows.filter_map(|row| Some(FeedRow { problem: asked.get(&row.name)?.problem.clone(), ..row }));
        let _gone = reply.send(Ok(RefreshReport { changed, feeds: feeds.collect() }));
    });
}
