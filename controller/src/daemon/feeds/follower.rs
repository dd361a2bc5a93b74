//! One feed: asked when it is due, its answer put in force or refused, and kept.
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::content::{self, Content};
use crate::adapters::clock;
use crate::adapters::feeds::cache::{Cache, Meta};
use crate::adapters::feeds::error::FetchError;
use crate::adapters::feeds::fetch::{Answer, Fetcher, Known, Outcome, Request};
use crate::adapters::random;
use crate::config::Feed;
use crate::domain::decision::Origin;
use crate::domain::feed::presets;
use crate::domain::feed::reach::change;
use crate::domain::feed::schedule::{Schedule, Silence, State};
use crate::domain::prefixes::Prefixes;
use crate::domain::report::{FeedChange, FeedRow, FeedState};
use crate::followed::Followed;
use crate::sync::{Command, Handle, Import, Shared, SyncError};

/// How often the time is looked at: a clock that is set must not let a feed sleep.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a list that may not be put in force now is left alone.
const AFTER_CONFLICT: Duration = Duration::from_secs(3);
/// Longest wait for one of the feeds that are being asked to be done.
const LONGEST_TURN: Duration = Duration::from_secs(20);

/// Somebody wants the feed asked now.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) force: bool,
    pub(super) dry_run: bool,
    pub(super) actor: String,
    /// What came of it.
    pub(super) reply: oneshot::Sender<Asked>,
}

/// What came of asking a feed.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Whether it changed (would change).
    pub(super) changed: bool,
    /// Why its answer was not taken (would not be).
    pub(super) problem: Option<String>,
}

/// One feed and all that it needs.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) feed: Feed,
    /// Its place among feeds.
    pub(super) place: u16,
    pub(super) shared: Shared,
    pub(super) sync: Handle,
    pub(super) cache: Cache,
    pub(super) fetcher: Arc<Fetcher>,
    /// As many feeds are asked and read at once as there are permits.
    pub(super) turns: Arc<Semaphore>,
    /// Whether the settings are others than those that what is in force was read by.
    pub(super) is_changed: bool,
}

/// Why a feed's task wakes.
enum Wake {
    /// It is time to ask.
    Due,
    /// Somebody asks.
    Asked(Ask),
    /// The kept copy has another meaning than when it was read: an entry's own end has come, or what numbers of
    /// autonomous systems stand for has changed.
    Reread,
}

/// What the meaning of a list depends on beside its text.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// Second at which the first of its entries ends by itself.
    first_end: Option<u64>,
    /// The database by which its numbers of autonomous systems were read.
    asns_by: Option<u64>,
}

/// How a feed is asked.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    /// Doubts that yield to a person's word are no reason to refuse.
    force: bool,
    /// Nothing is changed.
    dry_run: bool,
}

/// Why nothing new is in force.
enum Trouble {
    /// It could not be asked.
    Fetch(FetchError),
    /// What it answered is not taken.
    Refused(String, Vec<&'static str>),
    /// What it answered cannot be put in force.
    Sync(SyncError),
    /// Something of our own failed.
    Own(String),
}

impl Trouble {
    fn text(&self) -> String {
        match self {
            Self::Fetch(error) => crate::causes::chain(error),
            Self::Refused(why, _) | Self::Own(why) => why.clone(),
            Self::Sync(error) => error.to_string(),
        }
    }
}

impl Follower {
    /// Follows the feed until the task is ended. `asks` come in between.
    pub(super) async fn run(self, mut asks: mpsc::Receiver<Ask>) {
        let schedule = Schedule {
            interval_s: self.feed.interval_s,
            min_interval_s: self.feed.least_pause_s.min(self.feed.interval_s),
            expire_after_s: self.feed.expire_s,
        };
        let request = match content::request(&self.feed) {
            Ok(request) => request,
            Err(error) => return self.cannot_ask(&error, asks).await,
        };
        let mut meta = self.kept(&request).await;
        let mut state = State::new(seconds());
        if let Some(meta) = &meta {
            let checked = u64::try_from(meta.checked_at.as_second()).unwrap_or(0);
            state.last_success = Some(checked);
            state.last_in_full = u64::try_from(meta.fetched_at.as_second()).ok();
            // A restart is no reason to ask a publisher sooner.
            state.next = checked.saturating_add(schedule.interval_s.min(schedule.after_success(random::number())));
        }
        // At a start the copy was read by today's settings and databases, but not when its entries end.
        let mut reading = Reading { first_end: meta.as_ref().map(|_| 0), asns_by: None };
        if self.is_changed {
            self.reread(&request, &mut reading).await;
        }
        loop {
            self.row(|row| row.next = moment(state.next));
            let (ask, actor) = match self.wait(&schedule, &mut state, &reading, &mut asks).await {
                Wake::Reread => {
                    self.reread(&request, &mut reading).await;
                    continue;
                }
                Wake::Due => (None, "feed".to_owned()),
                Wake::Asked(ask) => {
                    let actor = ask.actor.clone();
                    (Some(ask), actor)
                }
            };
            let manner =
                ask.as_ref().map_or(Manner::default(), |ask| Manner { force: ask.force, dry_run: ask.dry_run });
            let asked = self.once(&request, &schedule, &mut state, (&mut meta, &mut reading), manner, &actor).await;
            self.fetcher_hosts();
            if let Some(ask) = ask {
                // Whoever asked may have gone.
                let _gone = ask.reply.send(asked);
            }
        }
    }

    /// Reads the kept copy anew and puts what it means now in force. It was judged when it came, so it is not again.
    async fn reread(&self, request: &Request, reading: &mut Reading) {
        reading.first_end = None;
        let Some(body) = self.copy(request).await else { return };
        let bytes = body.len() as u64;
        let Ok((content, _)) = self.read(body).await else { return };
        *reading = self.reading(&content);
        if let Some(why) = content.refused(true) {
            return self.failed(&Trouble::Refused(why, content.doubts()));
        }
        let entries = content.prefixes.len() as u64;
        match self.put(content.prefixes, "feed").await {
            Ok(_) => self.row(|row| {
                row.state = FeedState::Ok;
                told(row, &content.parsed, entries, bytes);
            }),
            Err(error) => self.failed(&Trouble::Sync(error)),
        }
    }

    fn reading(&self, content: &Content) -> Reading {
        Reading {
            first_end: content.first_end_s().map(|left| seconds().saturating_add(left).saturating_add(1)),
            asns_by: (!content.parsed.asns.is_empty()).then(|| self.shared.followed.table_version()),
        }
    }

    /// A feed that cannot be asked as it is configured says so until it is configured otherwise.
    async fn cannot_ask(&self, error: &FetchError, mut asks: mpsc::Receiver<Ask>) {
        let problem = error.to_string();
        self.row(|row| {
            row.state = FeedState::Failing;
            row.problem = Some(problem.clone());
            *row.outcomes.entry(error.label().to_owned()).or_default() += 1;
        });
        self.alarm(Some(problem));
        while let Some(ask) = asks.recv().await {
            let _gone = ask.reply.send(Asked { changed: false, problem: Some(error.to_string()) });
        }
    }

    /// Until it is time, or somebody asks. What is silent for too long ends meanwhile.
    async fn wait(
        &self,
        schedule: &Schedule,
        state: &mut State,
        reading: &Reading,
        asks: &mut mpsc::Receiver<Ask>,
    ) -> Wake {
        loop {
            let now = seconds();
            if state.is_due(schedule, now) {
                return Wake::Due;
            }
            let is_other_table = reading.asns_by.is_some_and(|by| by != self.shared.followed.table_version());
            if is_other_table || reading.first_end.is_some_and(|end| now >= end) {
                return Wake::Reread;
            }
            match state.silence(schedule, now) {
                Silence::None => {}
                Silence::Alarm => self.silent(state),
                Silence::Expired => self.expire().await,
            }
            let left = Duration::from_secs(state.next.saturating_sub(now)).min(LOOK_EVERY);
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                ask = asks.recv() => if let Some(ask) = ask { return Wake::Asked(ask) },
            }
        }
    }

    fn silent(&self, state: &State) {
        let known = state.last_success.and_then(moment);
        let since = known.map_or_else(|| "since it was configured".to_owned(), |at| format!("since {at}"));
        let cause = self.problem().unwrap_or_default();
        self.alarm(Some(format!("nothing was heard of it {since}; its entries stay: {cause}")));
    }

    /// Ends the entries of a feed that could not be asked for as long as the operator lets them stay.
    async fn expire(&self) {
        if self.row_state() == Some(FeedState::Expired) {
            return;
        }
        match self.put(Prefixes::default(), "feed expired").await {
            Ok(_) => {
                let why = "nothing was heard of it for longer than `expire`; its entries have ended".to_owned();
                self.row(|row| {
                    row.state = FeedState::Expired;
                    row.entries = 0;
                    row.problem = Some(why.clone());
                });
                self.alarm(Some(why));
            }
            Err(error) => tracing::warn!(feed = self.feed.name, %error, "its entries should have ended"),
        }
    }

    /// Asks once.
    async fn once(
        &self,
        request: &Request,
        schedule: &Schedule,
        state: &mut State,
        (meta, reading): (&mut Option<Meta>, &mut Reading),
        manner: Manner,
        actor: &str,
    ) -> Asked {
        let known = meta.as_ref().map(|meta| Known { in_full: state.in_full(seconds()), ..meta.known() });
        let (fetched, _turn) = loop {
            // Servers that answer slowly hold up the others for so long and no longer.
            let turn = tokio::time::timeout(LONGEST_TURN, self.turns.acquire()).await;
            match self.fetcher.fetch(request, known.as_ref()).await {
                // Another feed of the host was asked a moment ago.
                Err(FetchError::TooSoon { wait_ms, .. }) => {
                    drop(turn);
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                }
                fetched => break (fetched, turn),
            }
        };
        let taken = match fetched {
            Ok(answer) => self.take(request, answer, (meta, reading), manner, actor).await,
            Err(error) => Err(Trouble::Fetch(error)),
        };
        let now = seconds();
        match taken {
            Ok((changed, in_full)) => {
                if manner.dry_run {
                    return Asked { changed, problem: None };
                }
                if in_full {
                    state.changed(schedule, now, random::number());
                } else {
                    state.unchanged(schedule, now, random::number());
                }
                let what = if changed { "changed" } else { "unchanged" };
                // As the kept copy says it after a restart.
                let checked = meta.as_ref().and_then(|meta| u64::try_from(meta.checked_at.as_second()).ok());
                self.row(|row| {
                    row.state = FeedState::Ok;
                    row.last_success = moment(checked.unwrap_or(now));
                    row.problem = None;
                    *row.outcomes.entry(what.to_owned()).or_default() += 1;
                });
                self.alarm(None);
                Asked { changed, problem: None }
            }
            Err(trouble) => {
                let problem = Some(trouble.text());
                if !manner.dry_run {
                    let retry_after = if let Trouble::Fetch(error) = &trouble { error.retry_after_s() } else { None };
                    state.failed(schedule, now, retry_after, random::number());
                    self.failed(&trouble);
                }
                Asked { changed: false, problem }
            }
        }
    }

    /// Puts an answer in force, if it is another than before. Whether it changed, and whether all of it was received.
    async fn take(
        &self,
        request: &Request,
        answer: Answer,
        (meta, reading): (&mut Option<Meta>, &mut Reading),
        Manner { force, dry_run }: Manner,
        actor: &str,
    ) -> Result<(bool, bool), Trouble> {
        for note in &answer.notes {
            tracing::warn!(feed = self.feed.name, note, "feed");
        }
        let now = clock::now().wall;
        let body = match answer.outcome {
            Outcome::Changed(body) => body,
            Outcome::Unchanged if self.is_in_force() => {
                if let Some(meta) = meta
                    && !dry_run
                {
                    meta.validators = answer.validators;
                    meta.checked_at = now;
                    self.touch(meta.clone()).await;
                }
                return Ok((false, false));
            }
            // The entries ended, or could not be put in force before: the kept copy is what the server means.
            Outcome::Unchanged => {
                let Some(body) = self.copy(request).await else {
                    *meta = None;
                    return Err(Trouble::Own("its kept copy is gone; all of it is asked for next".to_owned()));
                };
                body
            }
        };
        let bytes = body.len() as u64;
        let (content, body) = self.read(body).await?;
        if let Some(why) = content.refused(force) {
            return Err(Trouble::Refused(why, content.doubts()));
        }
        let before = self.before();
        let difference = change(&before.unwrap_or_default(), &content.prefixes);
        if dry_run {
            return Ok((difference.added + difference.removed > 0, true));
        }
        *reading = self.reading(&content);
        let entries = content.prefixes.len() as u64;
        let changed = self.put(content.prefixes, actor).await.map_err(Trouble::Sync)?;
        let new = Meta {
            feed: self.feed.name.clone(),
            source: request.source.fingerprint(),
            validators: answer.validators,
            sha256: answer.sha256,
            fetched_at: now,
            checked_at: now,
            entries,
        };
        *meta = Some(new.clone());
        self.keep(new, body).await;
        self.row(|row| {
            told(row, &content.parsed, entries, bytes);
            if changed {
                row.change = Some(FeedChange { added: difference.added, removed: difference.removed });
            }
        });
        Ok((changed, true))
    }

    async fn read(&self, body: Vec<u8>) -> Result<(Content, Vec<u8>), Trouble> {
        let (feed, shared) = (self.feed.clone(), self.shared.clone());
        let before = self.before().map(|before| before.len());
        let task = tokio::task::spawn_blocking(move || {
            let guards = shared.read().guards.clone();
            let well_behaved = crate::views::well_behaved(&shared);
            let now = clock::now().wall;
            let content = content::read(&body, &feed, &guards, &shared.followed, before, well_behaved, now);
            (content, body)
        });
        task.await.map_err(|error| Trouble::Own(error.to_string()))
    }

    /// What of it is in force; `None`: it never was.
    fn before(&self) -> Option<Prefixes> {
        let state = self.shared.read();
        let list = state.desired.named(&self.feed.name)?;
        list.imported_at.map(|_| list.imported.clone())
    }

    /// Whether the list in force is the one that was last received.
    fn is_in_force(&self) -> bool {
        let state = self.row_state();
        self.before().is_some() && !matches!(state, Some(FeedState::Expired))
    }

    async fn put(&self, prefixes: Prefixes, actor: &str) -> Result<bool, SyncError> {
        loop {
            let import = Import {
                kind: self.feed.action.kind(),
                name: self.feed.name.clone(),
                origin: Origin::Feed(self.place),
                usual: self.feed.action.enforcement(),
                prefixes: prefixes.clone(),
                ending: Vec::new(),
                dry_run: false,
            };
            match self.sync.ask(|reply| Command::Import(import, actor.to_owned(), reply)).await {
                // Settings on trial: a list waits until they stay or go.
                Err(SyncError::Pending(_)) => tokio::time::sleep(AFTER_CONFLICT).await,
                answer => return answer.map(|imported| imported.changed),
            }
        }
    }

    fn failed(&self, trouble: &Trouble) {
        let (state, labels, is_alarming) = match trouble {
            Trouble::Fetch(error) => (FeedState::Failing, vec![error.label()], false),
            Trouble::Refused(_, labels) => (FeedState::Refused, labels.clone(), true),
            Trouble::Sync(_) => (FeedState::Refused, vec!["not_in_force"], true),
            Trouble::Own(_) => (FeedState::Failing, vec!["own"], false),
        };
        let problem = trouble.text();
        tracing::warn!(feed = self.feed.name, problem, "what was in force before still is");
        self.row(|row| {
            if row.state != FeedState::Expired {
                row.state = state;
            }
            row.problem = Some(problem.clone());
            for label in labels {
                *row.outcomes.entry(label.to_owned()).or_default() += 1;
            }
        });
        if is_alarming {
            self.alarm(Some(format!("its last answer was not taken, what was in force before still is: {problem}")));
        }
    }

    /// Shows a problem among those of the daemon, or that it is over.
    fn alarm(&self, problem: Option<String>) {
        let _stopping = self.sync.send(Command::Problem(super::part(&self.feed.name), problem));
    }

    fn row(&self, change: impl FnOnce(&mut FeedRow)) {
        self.shared.followed.update_feed(&self.feed.name, change);
    }

    fn own_row(&self) -> Option<FeedRow> {
        self.shared.followed.feed_rows().into_iter().find(|row| row.name == self.feed.name)
    }

    fn row_state(&self) -> Option<FeedState> {
        self.own_row().map(|row| row.state)
    }

    fn problem(&self) -> Option<String> {
        self.own_row()?.problem
    }

    fn fetcher_hosts(&self) {
        self.shared.followed.set_hosts(super::HOSTS, self.fetcher.hosts());
    }

    /// What is known of the kept copy.
    async fn kept(&self, request: &Request) -> Option<Meta> {
        let (cache, feed, source) = (self.cache.clone(), self.feed.clone(), request.source.fingerprint());
        let load = tokio::task::spawn_blocking(move || cache.load(&feed.name, source, feed.most_bytes));
        // Damage was told at start; a feed that moved has none.
        load.await.ok()?.ok()?.map(|copy| copy.meta)
    }

    async fn copy(&self, request: &Request) -> Option<Vec<u8>> {
        let (cache, feed, source) = (self.cache.clone(), self.feed.clone(), request.source.fingerprint());
        let load = tokio::task::spawn_blocking(move || cache.load(&feed.name, source, feed.most_bytes));
        load.await.ok()?.ok()?.map(|copy| copy.body)
    }

    async fn keep(&self, meta: Meta, body: Vec<u8>) {
        let cache = self.cache.clone();
        self.kept_or_told(tokio::task::spawn_blocking(move || cache.save(&meta, &body)).await);
    }

    async fn touch(&self, meta: Meta) {
        let cache = self.cache.clone();
        self.kept_or_told(tokio::task::spawn_blocking(move || cache.touch(&meta)).await);
    }

    fn kept_or_told<E: std::fmt::Display>(&self, kept: Result<Result<(), E>, tokio::task::JoinError>) {
        let problem = match kept {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("in force, but without a copy for the next start: {error}")),
            Err(error) => Some(error.to_string()),
        };
        let part = format!("{} copy", super::part(&self.feed.name));
        let _stopping = self.sync.send(Command::Problem(part, problem));
    }
}

/// What a row says of a feed that was read.
pub(super) fn told(row: &mut FeedRow, parsed: &crate::domain::listfile::Parsed, entries: u64, bytes: u64) {
    row.format = Some(parsed.format.name().to_owned());
    row.entries = entries;
    row.rejected = parsed.rejected as u64;
    row.reasons = crate::views::reasons(&parsed.reasons);
    row.bytes = bytes;
}

/// A feed of which nothing is known yet.
pub(super) fn new_row(feed: &Feed) -> FeedRow {
    let source = content::request(feed).map_or_else(|_| String::new(), |request| request.source.host());
    let preset = presets::presets().iter().find(|preset| match &feed.location {
        crate::config::Location::Http(url) => preset.url == url,
        _ => false,
    });
    FeedRow {
        name: feed.name.clone(),
        source,
        action: feed.action.name().to_owned(),
        terms: preset.map(|preset| format!("{}; {}", preset.licence, preset.terms)),
        ..FeedRow::default()
    }
}

fn seconds() -> u64 {
    u64::try_from(clock::now().wall.as_second()).unwrap_or(0)
}

fn moment(second: u64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(i64::try_from(second).ok()?).ok()
}

/// Puts a feed's kept copy among what is desired, before anything is in force.
pub(super) fn restore(
    feed: &Feed,
    cache: &Cache,
    guards: &crate::domain::guard::Guards,
    followed: &Followed,
) -> Result<Option<(Meta, Content, u64)>, String> {
    let request = content::request(feed).map_err(|error| error.to_string())?;
    let copy = cache.load(&feed.name, request.source.fingerprint(), feed.most_bytes);
    let Some(copy) = copy.map_err(|error| error.to_string())? else { return Ok(None) };
    let bytes = copy.body.len() as u64;
    let none: Vec<(IpNet, u64)> = Vec::new();
    let content = content::read(&copy.body, feed, guards, followed, None, none, clock::now().wall);
    // It was judged when it was taken, perhaps by force; what is no list by now is none.
    match content.refused(true) {
        None => Ok(Some((copy.meta, content, bytes))),
        Some(why) => Err(format!("its kept copy is not taken: {why}")),
    }
}
