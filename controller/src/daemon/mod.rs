//! The daemon: adapters wired to the domain.
mod cases;
mod crowdsec;
mod detection;
mod doors;
mod feeds;
mod geo;
mod interfaces;
mod keeper;
pub mod load;
mod offenders;
mod privacy;
mod remembered;
pub(crate) mod reputation;
mod samples;
mod signals;
#[cfg(feature = "trace")]
mod trace;
mod ways;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use ipnet::IpNet;
use tokio::sync::{oneshot, watch};
use weir_common::abi::control_word;

pub use self::cases::{Analysis, CaseFault, Cases};
pub use self::detection::{DetectionHandle, RuleChange, RuleError, SubmitError};
use self::doors::Doors;
pub(crate) use self::feeds::content as feed_content;
pub use self::feeds::{FeedsHandle, UnknownFeed};
use self::interfaces::Interfaces;
pub use self::keeper::{KeepError, Keeper};
pub use self::privacy::PrivacyDesk;
use self::remembered::{Remembered, remember};
pub(crate) use self::reputation::who;
pub use self::reputation::{Cleared, ReputationHandle};
pub use self::samples::{ListenError, SamplesHandle};
use self::signals::Signals;
use self::ways::Ways;
use crate::adapters::clock;
use crate::adapters::http::{self, Api};
use crate::adapters::kernel::bpffs;
use crate::adapters::kernel::instance::Instance;
use crate::adapters::kernel::link::WantedMode;
use crate::adapters::kernel::{object, probes};
use crate::adapters::store::{AuditRecord, Change, ListHeader, Privacy, Store};
use crate::adapters::system::facts;
use crate::commands::failure::UsageError;
use crate::config::{Config, Mode};
use crate::domain::cutoff::Spared;
use crate::domain::decision::{Enforcement, ListId};
use crate::domain::desired::Desired;
use crate::domain::guard::Guards;
use crate::domain::http::denied_users::DeniedUser;
use crate::domain::overlay::{Overlay, Room};
use crate::domain::prefixes::single;
use crate::domain::tables::{Class, Forecast};
use crate::followed::Followed;
use crate::sync::takeover::{self, First, Kernel, StillPending};
use crate::sync::{Command, GIVEN_UP, Handle, Pending, Settings, Shared, State, Sync, TRAIL};

/// How often own addresses, gateways, resolvers and login sessions are looked at.
const FACTS_EVERY: Duration = Duration::from_secs(2);

/// What the command line says beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration's file.
    pub config: Option<PathBuf>,
    /// Interfaces; none: the configuration's.
    pub interfaces: Vec<String>,
    /// How to attach; `None`: the configuration's.
    pub mode: Option<WantedMode>,
    /// Only observe.
    pub observe: bool,
    /// The socket; `None`: the configuration's.
    pub socket: Option<PathBuf>,
}

/// Runs the daemon until it is told to stop. What is in force stays in force.
///
/// # Errors
/// Why it could not start: nothing that was in force before has changed then.
pub fn run(options: &Options) -> Result<()> {
    let (text, loaded) = load::read(options.config.as_deref())?;
    let config = loaded.config.clone();
    start_log(&config);
    let names = interface_names(options, &config)?;
    privileged()?;
    let cpus = object::possible_cpus().context("count the CPUs")?;
    let file = options.config.clone().unwrap_or_else(|| PathBuf::from(load::DEFAULT_FILE));
    let read = load::settings(&text, &loaded, &file.display().to_string(), options.observe, cpus)?;

    let (mut store, problems) = Store::open(&config.state.dir)?;
    let boot_id = clock::boot_id().context("read the boot id")?;
    let saved = store.load(clock::now(), &boot_id)?;
    let read = started(read, &names, &saved.desired, &config.state.dir)?;
    let remembered = remember(&store, read, options, &boot_id, cpus)?;
    detection::settle(&mut store, &saved.settle);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    // What may be taken is taken before anything changes in the kernel.
    let doors = runtime.block_on(Doors::open(options, &config))?;
    let folder = bpffs::prepare(config.state.bpffs.as_deref())?;
    let instance = Instance::of(&folder, &config.state.dir);
    let kernel = takeover::take_over(&instance, config.state.max_sources)?;

    let followed = Arc::new(Followed::default());
    let guards = guards_of(&remembered.settings, &followed);
    let mut desired = saved.desired;
    let (changes, followed_problems) =
        follow_at_start(&remembered.settings, &config.state.dir, &guards, &followed, &mut desired);
    detection::at_start(&mut desired);
    // Numbers of lists are what totals are kept by, so they are saved before anything counts.
    store.apply(&changes)?;
    for list in desired.lists_mut() {
        remembered.settings.apply_to(list);
    }
    desired.expire(clock::now().boot);
    let sequence = desired
        .lists()
        .flat_map(|list| list.entries.values().map(|info| info.sequence).chain([list.imported_sequence]))
        .max()
        .unwrap_or(0);
    let enforcement = remembered.enforcement.unwrap_or(remembered.settings.enforcement);
    let still =
        remembered.pending.as_ref().map(|(fallback, deadline)| StillPending { fallback, deadline_s: deadline.0 });
    let first = takeover::first_policy(
        &kernel.writer,
        &desired,
        &guards,
        &remembered.settings,
        enforcement,
        sequence,
        still.as_ref(),
    )?;
    store.apply(&remembered.changes(&first))?;
    kernel.writer.set_word(control_word::DETACHED, 0);
    let wanted = options.mode.unwrap_or(match config.mode {
        Mode::Auto => WantedMode::Auto,
        Mode::Native => WantedMode::Native,
        Mode::Generic => WantedMode::Generic,
    });
    let attached = Interfaces::attach(&kernel, &instance, &names, wanted)?;
    let mut state =
        state_of(&kernel, first, desired, guards, &remembered, &saved.totals, sequence, &saved.class_lists)?;
    state.interfaces = attached.state();
    // What was counted up to here is this daemon's to remember: its own death must not undo it.
    store.apply(&crate::sync::totals_of(&state))?;
    for (at, problem) in
        problems.iter().map(ToString::to_string).chain(saved.problems.iter().map(ToString::to_string)).enumerate()
    {
        tracing::error!(%problem, "the store");
        state.problems.insert(format!("store at start {}", at + 1), problem);
    }
    if remembered.given_up.is_some() {
        tracing::warn!("{GIVEN_UP}");
        state.problems.insert("configuration".to_owned(), GIVEN_UP.to_owned());
    }
    if let Err(error) = store.save_good_copy() {
        state.problems.insert("store copy".to_owned(), error.to_string());
    }
    state.problems.extend(followed_problems);
    let shared = Shared::new(state, Arc::clone(&kernel.reader), Arc::clone(&kernel.writer), followed);
    remember_in(&shared, saved.users, &store, &remembered.settings, &config.state.dir)?;
    let (sync, thread) = Sync::start(shared.clone(), Arc::clone(&kernel.writer), store, boot_id);
    let served = runtime.block_on(serve(
        options,
        doors,
        &file,
        &config.state.dir,
        cpus,
        &kernel,
        &instance,
        attached,
        &shared,
        &sync,
        saved.rules,
    ));
    runtime.shutdown_timeout(Duration::from_secs(2));
    // Where serving never began, or the task was too busy to hear, nobody has stopped it yet.
    let (done, _nobody) = oneshot::channel();
    let _stopped = sync.send(Command::Stop(done));
    if thread.join().is_err() {
        return Err(anyhow!("the sync task ended by a panic; what was in force still is"));
    }
    served
}

/// Takes up what the store tells of users and changes, and what addresses are called where they are kept.
fn remember_in(
    shared: &Shared,
    users: Vec<DeniedUser>,
    store: &Store,
    settings: &Settings,
    state: &Path,
) -> Result<()> {
    shared.detected.restore_users(users);
    shared.trail.restore(latest_changes(store));
    let names = load::names(settings, state)?;
    let drop_requests = settings.privacy.drop_requests;
    shared.detected.privacy.store(Arc::new(Privacy { names, drop_requests }));
    Ok(())
}

/// The latest changes that the store tells of; what it cannot tell is told as a problem where it is opened.
fn latest_changes(store: &Store) -> Vec<AuditRecord> {
    // All of it, as it is bounded: a clock that is ahead at the start must not hide it.
    match store.audit_since(jiff::Timestamp::MIN, TRAIL) {
        Ok(trail) => trail.records,
        Err(error) => {
            tracing::warn!(%error, "earlier changes are not shown");
            Vec::new()
        }
    }
}

/// Whether weir may do here what it has to.
fn privileged() -> Result<()> {
    let privilege = probes::privilege();
    if privilege.outcome == probes::Outcome::Missing {
        let remedy = privilege.remedy.unwrap_or_default();
        return Err(anyhow!("weir may not load programs into the kernel: {}; {remedy}", privilege.found));
    }
    Ok(())
}

/// Puts what is followed among what is desired, from databases and kept copies. What the store must hold of lists whose
/// content comes from elsewhere: those of now, and none of before; and what cannot be used, by part.
fn follow_at_start(
    settings: &Settings,
    state: &Path,
    guards: &Guards,
    followed: &Followed,
    desired: &mut Desired,
) -> (Vec<Change>, Vec<(String, String)>) {
    let before: Vec<ListId> = desired.lists().filter(|list| list.is_derived()).map(|list| list.id).collect();
    let geo = geo::at_start(settings, state, followed, desired).map(|problem| ("geo".to_owned(), problem));
    let feeds = feeds::at_start(settings, state, guards, followed, desired);
    let problems: Vec<(String, String)> = geo.into_iter().chain(feeds).collect();
    for (part, problem) in &problems {
        tracing::warn!(part, problem, "something is wrong");
    }
    let gone = before.into_iter().filter(|id| desired.list(*id).is_none_or(|list| !list.is_derived()));
    let now = desired.lists().filter(|list| list.is_derived());
    let changes = gone.map(Change::RemoveList).chain(now.map(|list| Change::PutList(ListHeader::of(list)))).collect();
    (changes, problems)
}

fn interface_names(options: &Options, config: &Config) -> Result<Vec<String>> {
    let names: Vec<String> = if options.interfaces.is_empty() {
        config.interfaces.iter().map(ToString::to_string).collect()
    } else {
        options.interfaces.clone()
    };
    if names.is_empty() {
        return Err(UsageError(
            "no interface is named: give -i IFACE, or set `interfaces` in the configuration".to_owned(),
        )
        .into());
    }
    let mut once: Vec<String> = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    Ok(once)
}

#[expect(clippy::too_many_arguments, reason = "the parts of a start, each from another place")]
fn state_of(
    kernel: &Kernel,
    first: First,
    desired: Desired,
    guards: Guards,
    remembered: &Remembered,
    totals: &BTreeMap<ListId, crate::adapters::store::ListTotals>,
    sequence: u64,
    class_lists: &BTreeMap<u64, crate::adapters::store::ClassLists>,
) -> Result<State> {
    let sizes = kernel.writer.overlay_sizes()?;
    let room = Room { addresses: sizes.addresses as usize, prefixes: sizes.prefixes as usize };
    let mut totals: crate::sync::ListTotals =
        totals.iter().map(|(list, total)| (list.0, (total.packets, total.bytes))).collect();
    // What the slot of the daemon before this one had counted, by the lists its classes stood for.
    if let Some((generation, hits)) = &first.before
        && let Some(classes) = class_lists.get(generation)
    {
        for (class, lists) in classes {
            let Some((packets, bytes)) = hits.get(*class as usize) else { continue };
            for list in lists {
                let total = totals.entry(list.0).or_default();
                total.0 += packets;
                total.1 += bytes;
            }
        }
    }
    for (list, tally) in &first.overlay {
        let total = totals.entry(*list).or_default();
        total.0 += tally.packets;
        total.1 += tally.bytes;
    }
    let mut slots: [Arc<Vec<Class>>; weir_common::abi::SLOTS as usize] = Default::default();
    if let Some(place) = slots.get_mut(first.current.slot) {
        *place = Arc::new(first.classes);
    }
    let pending = remembered.pending.as_ref().zip(first.fallback).map(|((settings, deadline), slot)| {
        let now = clock::now();
        Pending {
            deadline: *deadline,
            deadline_wall: now.after(deadline.0.saturating_sub(now.boot.0)).wall,
            fallback: Arc::clone(settings),
            slot,
        }
    });
    Ok(State {
        desired,
        guards,
        overlay: Overlay::new(room, sizes.counters),
        settings: Arc::clone(&remembered.settings),
        settled: Arc::clone(&remembered.settings),
        enforcement: remembered.enforcement,
        pending,
        generation: first.generation,
        current: first.current,
        building: None,
        sequence,
        totals,
        classes: slots,
        interfaces: Vec::new(),
        problems: BTreeMap::new(),
        tables: first.tables,
        forecast: Forecast::new(first.tables),
        is_switchable: first.is_switchable,
        overlay_room: u64::from(sizes.counters),
        offender_room: u64::from(kernel.reader.offender_capacity().unwrap_or(0)),
    })
}

/// Everything no decision may cut off: what the operator says and what the machine says.
pub(crate) fn guards_of(settings: &Settings, followed: &Followed) -> Guards {
    let sources = facts::Sources::default();
    let found = facts::gather(&sources);
    for problem in &found.problems {
        tracing::debug!(problem, "a source of protected addresses cannot be read");
    }
    let mut protected: Vec<(IpNet, String)> = found
        .facts
        .iter()
        .filter(|fact| settings.login_sessions || !matches!(fact.why, facts::Why::LoginSession(_)))
        .map(|fact| (single(fact.address), fact.why.to_string()))
        .collect();
    protected.extend(settings.protected.iter().cloned());
    // Whoever lists are asked of must not be cut off by one of them.
    protected.extend(followed.hosts());
    Guards::new(protected, settings.never_block.iter().cloned())
}

#[expect(clippy::too_many_arguments, reason = "the parts of the daemon, each from another place")]
async fn serve(
    options: &Options,
    doors: Doors,
    file: &Path,
    state_dir: &Path,
    cpus: u32,
    kernel: &Kernel,
    instance: &Instance,
    attached: Interfaces,
    shared: &Shared,
    sync: &Handle,
    rules: BTreeMap<String, String>,
) -> Result<()> {
    let keeper = keeper::start(shared, sync, state_dir).context("start the thread that keeps alerts and events")?;
    let reputation = reputation::start(shared, sync, &keeper);
    let (detection, mut detecting) =
        detection::start(shared, sync, &keeper, &reputation, rules).context("start the thread that judges events")?;
    let ways = Ways {
        shared: shared.clone(),
        sync: sync.clone(),
        keeper: keeper.clone(),
        reputation: reputation.clone(),
        detection: detection.clone(),
    };
    let (samples, listeners) = SamplesHandle::new();
    let (feeds, asked) = FeedsHandle::new();
    let (named, observe, file_name) = (options.config.clone(), options.observe, file.display().to_string());
    let (state, board) = (state_dir.to_owned(), shared.clone());
    let reload: http::Reload = Arc::new(move || {
        let (text, loaded) = load::read(named.as_deref()).map_err(|error| format!("{error:#}"))?;
        let settings = load::settings(&text, &loaded, &file_name, observe, cpus);
        let settings = settings.and_then(|settings| guarded(settings, &state, &board)).and_then(load::with_whole_rules);
        settings.map_err(|error| format!("{error:#}"))
    });
    let api = Api {
        shared: shared.clone(),
        sync: sync.clone(),
        policy: Arc::clone(&kernel.policy),
        reload: Arc::clone(&reload),
        feeds,
        samples: samples.clone(),
        privacy: PrivacyDesk::new(&ways, state_dir),
        cases: Cases::new(&ways),
        detection,
        reputation: reputation.clone(),
        keeper: keeper.clone(),
    };
    let (end, ended) = watch::channel(false);
    let over = |mut ended: watch::Receiver<bool>| async move {
        // An error means that the sender is gone, which is the end as well.
        let _over = ended.wait_for(|over| *over).await;
    };
    let Doors { socket, listener, public } = doors;
    let mut tasks = tokio::task::JoinSet::new();
    let router = http::routes(api.clone());
    let (path, until) = (socket.0.clone(), over(ended.clone()));
    tasks.spawn(async move { http::serve(listener, &path, router, until).await });
    if let Some(listener) = public {
        let (router, until) = (http::public_routes(api), over(ended.clone()));
        tasks.spawn(async move { axum::serve(listener, router).with_graceful_shutdown(until).await });
    }
    let reader = Arc::clone(&shared.reader);
    let interface_task = tokio::spawn(attached.watch(sync.clone(), move |word| reader.word(word)));
    let pin = instance.maps().join(object::SAMPLES);
    let sample_task = tokio::spawn(samples::read(pin, samples, listeners, shared.clone()));
    #[cfg(feature = "trace")]
    tokio::spawn(trace::read(kernel.program_id));
    let guard_task = tokio::spawn(watch_facts(shared.clone(), sync.clone()));
    let followers = [
        tokio::spawn(feeds::follow(shared.clone(), sync.clone(), state_dir.to_owned(), asked)),
        tokio::spawn(geo::follow(shared.clone(), sync.clone(), state_dir.to_owned())),
        tokio::spawn(crowdsec::follow(shared.clone(), sync.clone())),
        tokio::spawn(offenders::watch(
            shared.clone(),
            Arc::clone(&kernel.policy),
            sync.clone(),
            keeper.clone(),
            reputation.clone(),
        )),
    ];
    let attached: Vec<String> = shared
        .read()
        .interfaces
        .iter()
        .map(|i| format!("{} ({})", i.name, i.mode.map_or_else(|| "not attached".to_owned(), |mode| mode.to_string())))
        .collect();
    let generation = shared.read().generation;
    // Whoever reads the line may write to a log at once, or send a signal.
    detecting.begun().await;
    let signals = Signals::new()?;
    ready(&format!("weir is ready: {}, generation {generation}, socket {}", attached.join(", "), socket.0.display()));
    let result = wait(&mut tasks, sync, &reload, signals).await;
    // Not an error if nobody asks: without systemd there is nobody to tell.
    let _untold = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    interface_task.abort();
    sample_task.abort();
    guard_task.abort();
    followers.iter().for_each(tokio::task::JoinHandle::abort);
    // While decisions can still be made and saved.
    detecting.stop().await;
    reputation.stop().await;
    keeper.stop().await;
    let _nobody = end.send(true);
    let (done, stopped) = oneshot::channel();
    if sync.send(Command::Stop(done)).is_ok() {
        let _gone = tokio::time::timeout(Duration::from_secs(10), stopped).await;
    }
    let _left =
        tokio::time::timeout(Duration::from_secs(2), async { while tasks.join_next().await.is_some() {} }).await;
    drop(socket);
    result
}

/// As [`load::at_start`], on these interfaces.
///
/// # Errors
/// Addresses are to be hashed, and there is no key.
fn started(settings: Settings, names: &[String], desired: &Desired, state: &Path) -> Result<Settings> {
    load::names(&settings, state)?;
    let is_allowed = |address| load::is_allowed(desired, &settings, address);
    let unharmed = Spared { interfaces: &load::indexes(names), is_allowed: &is_allowed, in_force: &[] };
    let cut_off = load::cut_off(&settings.floods, &unharmed);
    Ok(load::at_start(settings, cut_off))
}

/// As [`load::guarded`], in the place of what is in force.
fn guarded(settings: Settings, state: &Path, shared: &Shared) -> Result<Settings> {
    let (interfaces, in_force, is_observing) = {
        let state = shared.read();
        let names: Vec<String> = state.interfaces.iter().map(|interface| interface.name.clone()).collect();
        (names, Arc::clone(&state.settings.floods), state.enforcement() == Enforcement::Observe)
    };
    let asked = settings.clone();
    let is_allowed = |address| load::is_allowed(&shared.read().desired, &asked, address);
    let unharmed = Spared {
        interfaces: &load::indexes(interfaces),
        is_allowed: &is_allowed,
        // What is only observed has cut nobody off yet.
        in_force: if is_observing { &[] } else { &in_force.port_rules },
    };
    let cut_off = load::cut_off(&settings.floods, &unharmed);
    load::guarded(settings, state, cut_off)
}

/// Tells the person and systemd that packets are judged from here on.
#[expect(clippy::print_stderr, reason = "the ready line is for people and scripts, whatever the log's format")]
fn ready(line: &str) {
    eprintln!("{line}");
    let _untold = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// Until SIGTERM or SIGINT, or until a server fails. SIGHUP reloads, all or nothing.
async fn wait(
    tasks: &mut tokio::task::JoinSet<std::io::Result<()>>,
    sync: &Handle,
    reload: &http::Reload,
    signals: Signals,
) -> Result<()> {
    let Signals { mut terminate, mut interrupt, mut hangup } = signals;
    loop {
        tokio::select! {
            _ = terminate.recv() => {
                tracing::info!("told to stop; protection stays in place");
                return Ok(());
            }
            _ = interrupt.recv() => {
                tracing::info!("interrupted; protection stays in place, `weir detach` ends it");
                return Ok(());
            }
            _ = hangup.recv() => reload_now(sync, reload).await,
            ended = tasks.join_next() => {
                return match ended {
                    Some(Ok(Err(error))) => Err(error).context("the API failed"),
                    Some(Err(error)) => Err(error).context("the API failed"),
                    Some(Ok(Ok(()))) | None => Err(anyhow!("the API ended by itself")),
                };
            }
        }
    }
}

async fn reload_now(sync: &Handle, reload: &http::Reload) {
    let reload = Arc::clone(reload);
    let read = tokio::task::spawn_blocking(move || reload()).await;
    let settings = match read {
        Ok(Ok(settings)) => settings,
        Ok(Err(error)) => return tracing::error!(error, "not reloaded; the settings before are in force"),
        Err(error) => return tracing::error!(%error, "not reloaded; the settings before are in force"),
    };
    let settings = Arc::new(settings);
    match sync.ask(|reply| Command::Apply(settings, None, false, "SIGHUP".to_owned(), reply)).await {
        Ok(report) => tracing::info!(changed = report.changed, generation = report.generation, "reloaded"),
        Err(error) => tracing::error!(%error, "not reloaded; the settings before are in force"),
    }
}

/// Keeps the protected set true as addresses, routes, resolvers and sessions change.
async fn watch_facts(shared: Shared, sync: Handle) {
    let mut differed = false;
    loop {
        tokio::time::sleep(FACTS_EVERY).await;
        let settings = Arc::clone(&shared.read().settings);
        let followed = Arc::clone(&shared.followed);
        let Ok(guards) = tokio::task::spawn_blocking(move || guards_of(&settings, &followed)).await else { return };
        let differs = guards != shared.read().guards;
        // Once more when they are in force, or are what they were again: then nothing is wrong with them any more.
        if (differs || differed) && sync.send(Command::Guards(guards)).is_err() {
            return;
        }
        differed = differs;
    }
}

fn start_log(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEIR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("weir={}", config.log.level.name())));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    let started = match config.log.format {
        crate::config::LogFormat::Json => builder.json().try_init(),
        crate::config::LogFormat::Text => builder.with_target(false).try_init(),
    };
    // A second daemon in one process (a test) logs where the first one does.
    drop(started);
}
