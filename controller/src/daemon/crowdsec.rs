//! Decisions of a CrowdSec server: asked for, kept, and handed to the sync task.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use weir_common::abi::low;

use crate::adapters::clock;
use crate::adapters::crowdsec::{Client, Connection, Pushed, files};
use crate::adapters::random;
use crate::config::Crowdsec;
use crate::domain::crowdsec::usage::{Component, Counters, Tally, Usage};
use crate::domain::crowdsec::{self, Decisions, Filters, Page, Poll, Rules, Take};
use crate::domain::decision::{ListEnforcement, Origin};
use crate::domain::report::CrowdsecRow;
use crate::sync::{Batch, Command, Handle, Put, Settings, Shared};

/// How often settings are looked at while nothing else is to be done.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a connection that cannot be made is left alone.
const AFTER_FAULT: Duration = Duration::from_secs(10);
/// The part that problems are noted under, and the list.
const NAME: &str = "crowdsec";

/// Asks the server that the settings name, until the daemon stops.
pub(super) async fn follow(shared: Shared, sync: Handle) {
    let mut is_first = true;
    loop {
        let settings = Arc::clone(&shared.read().settled);
        match settings.crowdsec.as_ref() {
            None => {
                shared.followed.set_crowdsec(None);
                forget(&shared, &sync).await;
                wait_for_change(&shared, &settings, Duration::MAX).await;
            }
            Some(config) => match Session::new(&shared, &sync, config, is_first) {
                Ok(session) => session.run(&settings).await,
                Err(problem) => {
                    note(&shared, |row| row.problem = Some(problem.clone()));
                    let _stopping = sync.send(Command::Problem(NAME.to_owned(), Some(problem)));
                    // A file may be put right without the settings changing.
                    wait_for_change(&shared, &settings, AFTER_FAULT).await;
                }
            },
        }
        let _stopping = sync.send(Command::Problem(NAME.to_owned(), None));
        is_first = false;
    }
}

/// Until other settings are in force for good, or the time is over.
async fn wait_for_change(shared: &Shared, settings: &Arc<Settings>, most: Duration) {
    let started = std::time::Instant::now();
    while started.elapsed() < most && !is_other(shared, settings) {
        tokio::time::sleep(LOOK_EVERY.min(most)).await;
    }
}

/// Whether another server, or another way to it, is set. Settings on trial may be undone, and do not count.
fn is_other(shared: &Shared, settings: &Settings) -> bool {
    shared.read().settled.crowdsec != settings.crowdsec
}

/// Takes out what is left of a server that is no longer asked.
async fn forget(shared: &Shared, sync: &Handle) {
    let is_left = shared.read().desired.named(NAME).is_some_and(|list| !list.is_empty());
    if is_left {
        let answer =
            sync.ask(|reply| Command::Batch(batch(Vec::new(), Vec::new(), true), NAME.to_owned(), reply)).await;
        if let Err(error) = answer {
            tracing::warn!(%error, "decisions of a CrowdSec server that is no longer asked stay for now");
        }
    }
}

fn note(shared: &Shared, change: impl FnOnce(&mut CrowdsecRow)) {
    let mut row = shared.followed.crowdsec_row().unwrap_or_default();
    change(&mut row);
    shared.followed.set_crowdsec(Some(row));
}

fn batch(put: Vec<(IpNet, crowdsec::Put)>, remove: Vec<IpNet>, replace: bool) -> Batch {
    let put = put.into_iter().map(|(prefix, put)| {
        let crowdsec::Put { expiry, reason, enforcement } = put;
        (prefix, Put { expiry: Some(expiry), reason, enforcement })
    });
    Batch {
        list: NAME.to_owned(),
        origin: Origin::Crowdsec,
        usual: ListEnforcement::Enforce,
        put: put.collect(),
        remove,
        replace,
        only_with: None,
        dry_run: false,
    }
}

/// One server, for as long as the settings name it.
struct Session<'a> {
    shared: &'a Shared,
    sync: &'a Handle,
    client: Client,
    poll: Poll,
    decisions: Decisions,
    usage: Usage,
    /// Whether what is in force may differ from what the decisions come to: then all of it is handed over.
    is_behind: bool,
    outcomes: BTreeMap<String, u64>,
    notes: Vec<String>,
}

impl<'a> Session<'a> {
    fn new(shared: &'a Shared, sync: &'a Handle, config: &Crowdsec, is_first: bool) -> Result<Self, String> {
        let (connection, interval, notes) = connection(config)?;
        let client = Client::new(connection).map_err(|error| crate::causes::chain(&error))?;
        let now = clock::now();
        let state = shared.read();
        // What an earlier daemon was told stays in force until the server says otherwise.
        let kept = state.desired.named(NAME).into_iter().flat_map(|list| list.entries.iter());
        let kept = kept.filter_map(|(prefix, info)| {
            let (reason, enforcement) = (Arc::clone(&info.reason), info.enforcement);
            Some((*prefix, crowdsec::Put { expiry: info.expiry?, reason, enforcement }))
        });
        let decisions = Decisions::restore(kept, now);
        drop(state);
        let component = Component {
            name: "weir".to_owned(),
            version: concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
            os_name: "linux".to_owned(),
            os_version: crate::adapters::system::kernel_release(),
            started_at: now.wall,
        };
        let usage = Usage::new(component, Duration::from_secs(config.metrics_interval_s), now);
        let row = CrowdsecRow { server: client.server().to_owned(), ..CrowdsecRow::default() };
        shared.followed.set_crowdsec(Some(row));
        let mut notes = notes;
        if client.shows_its_key() {
            notes.push("the key goes over the network in the clear; use https://".to_owned());
        }
        for note in &notes {
            tracing::warn!(note, "crowdsec");
        }
        // Settings may ask for less than those before, and a server that is asked anew may have less to say.
        let poll = if is_first { Poll::new(interval) } else { Poll::new(interval).believing() };
        let (outcomes, is_behind) = (BTreeMap::new(), true);
        Ok(Self { shared, sync, client, poll, decisions, usage, is_behind, outcomes, notes })
    }

    async fn run(mut self, settings: &Arc<Settings>) {
        loop {
            if !self.pause(settings).await {
                return;
            }
            let ask = self.poll.ask();
            let asked = std::time::Instant::now();
            let answer = self.client.stream(ask.startup).await;
            match answer {
                Ok(page) => {
                    self.decisions.took(asked.elapsed().as_secs());
                    self.take(page).await;
                }
                Err(error) => {
                    self.poll.failed(error.trouble(), low(random::number()));
                    self.count(error.name());
                    let problem = crate::causes::chain(&error);
                    self.told(Some(&problem));
                }
            }
            self.push().await;
        }
    }

    /// Waits until it is time to ask, and lets end what ends meanwhile. `false`: another server is to be asked.
    async fn pause(&mut self, settings: &Arc<Settings>) -> bool {
        let until = tokio::time::Instant::now() + self.poll.ask().after;
        loop {
            if is_other(self.shared, settings) {
                return false;
            }
            let now = clock::now();
            if self.decisions.next_expiry().is_some_and(|next| now.boot >= next) {
                let delta = self.decisions.expire(now);
                self.hand_over(delta.put, delta.remove).await;
            }
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return true;
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }

    async fn take(&mut self, page: Page) {
        let now = clock::now();
        let told = page.new.len();
        let delta = match self.poll.answered(told, self.decisions.len(), now) {
            Take::Changes => self.decisions.apply(page, now),
            Take::Whole => self.decisions.replace(page, now),
            Take::Doubtful => {
                self.count("doubtful");
                self.decisions.apply(page, now)
            }
        };
        self.count("answered");
        let problem = self.hand_over(delta.put, delta.remove).await.or_else(|| self.doubt());
        self.told(problem.as_deref());
    }

    /// What is odd though the server answers.
    fn doubt(&self) -> Option<String> {
        match self.poll.standing() {
            crowdsec::poll::Standing::Doubted { held, told } => Some(format!(
                "the server named {told} decisions where {held} are in force; they stay until it has said so for five \
                 minutes"
            )),
            _ => None,
        }
    }

    /// Has the sync task carry a change out; says what is in the way.
    async fn hand_over(&mut self, put: Vec<(IpNet, crowdsec::Put)>, remove: Vec<IpNet>) -> Option<String> {
        if put.is_empty() && remove.is_empty() && !self.is_behind {
            return None;
        }
        let batch = if self.is_behind {
            let all = self.decisions.in_force().iter().map(|(prefix, put)| (*prefix, put.clone()));
            batch(all.collect(), Vec::new(), true)
        } else {
            batch(put, remove, false)
        };
        let answer = self.sync.ask(|reply| Command::Batch(batch, NAME.to_owned(), reply)).await;
        self.is_behind = answer.is_err();
        match answer {
            Ok(batched) => {
                for (_, reason) in batched.refused {
                    *self.outcomes.entry(format!("refused_{reason}")).or_default() += 1;
                }
                None
            }
            Err(error) => Some(format!("decisions are not carried out yet: {error}")),
        }
    }

    fn count(&mut self, what: &str) {
        *self.outcomes.entry(what.to_owned()).or_default() += 1;
    }

    /// Writes on the board how it stands.
    fn told(&self, problem: Option<&str>) {
        let entries = self.shared.read().desired.named(NAME).map_or(0, |list| list.len() as u64);
        let reasons = self.decisions.refusals().iter().filter(|(_, count)| *count > 0);
        let row = CrowdsecRow {
            server: self.client.server().to_owned(),
            ok: problem.is_none(),
            last_success: self.poll.last_success(),
            decisions: self.decisions.len() as u64,
            entries,
            reasons: reasons.map(|(why, count)| (why.name().to_owned(), count)).collect(),
            outcomes: self.outcomes.clone(),
            notes: self.notes.clone(),
            problem: problem.map(str::to_owned),
        };
        self.shared.followed.set_crowdsec(Some(row));
        let _stopping = self.sync.send(Command::Problem(NAME.to_owned(), problem.map(str::to_owned)));
    }

    /// Tells the server how its decisions were used, when it is time.
    async fn push(&mut self) {
        let now = clock::now();
        if !self.usage.is_due(now) {
            return;
        }
        let counters = self.counters();
        let payload = self.usage.payload(&counters, &self.decisions, now);
        match self.client.push_metrics(&payload).await {
            Ok(Pushed::Taken) => {
                self.count("usage_taken");
                self.usage.taken(counters, now);
            }
            Ok(Pushed::Unknown) => self.usage.stop(),
            Err(error) => {
                tracing::debug!(error = %crate::causes::chain(&error), "usage was not taken");
                self.count("usage_not_taken");
                self.usage.not_taken(now);
            }
        }
    }

    fn counters(&self) -> Counters {
        let status = crate::views::status(self.shared);
        let list = status.lists.iter().find(|list| list.name == NAME);
        let (packets, bytes) = list.map_or((0, 0), |list| (list.packets, list.bytes));
        // One list holds all of it, of both families: which decision dropped a packet is not counted.
        let dropped = Tally { packets, bytes };
        let processed = Tally { packets: status.packets.seen, bytes: status.bytes.seen };
        Counters { dropped: [((Arc::from("crowdsec"), None), dropped)].into(), processed: [(None, processed)].into() }
    }
}

/// The way to the server: the bouncer's own file, where one is named, and the settings.
fn connection(config: &Crowdsec) -> Result<(Connection, Duration, Vec<String>), String> {
    let found = config.file.as_deref().map(files::bouncer).transpose().map_err(|error| crate::causes::chain(&error))?;
    let api_key =
        config.api_key_file.as_deref().map(files::key).transpose().map_err(|error| crate::causes::chain(&error))?;
    let rules = Rules {
        scopes: config.scopes.clone(),
        deny_types: config.deny_types.clone(),
        observe_types: config.observe_types.clone(),
        ipv6: true,
    };
    let filters = Filters {
        scopes: config.scopes.clone(),
        origins: config.origins.clone(),
        scenarios_containing: config.scenarios_containing.clone(),
        scenarios_not_containing: config.scenarios_not_containing.clone(),
    };
    let interval = Duration::from_secs(config.interval_s);
    let connection = Connection {
        api_url: config.api_url.clone(),
        api_key,
        cert_file: config.tls.cert_file.clone(),
        key_file: config.tls.key_file.clone(),
        ca_file: config.tls.ca_file.clone(),
        insecure_skip_verify: config.tls.insecure_skip_verify,
        filters,
        rules,
    };
    // What the bouncer's file says goes before; what it leaves out is as set here.
    Ok(match found {
        None => (connection, interval, Vec::new()),
        Some(found) => {
            let (interval, notes) = (found.interval.unwrap_or(interval), found.notes.clone());
            (connection.under(found), interval, notes)
        }
    })
}
