//! A weir that follows a server of its own.
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use tempfile::TempDir;
use weir::domain::report::{CrowdsecRow, EntryRow};

use super::{Listed, RealLapi};
use crate::harness::{PATIENCE, Plan, Site, wait_for};

/// Between two looks at how the daemon stands with the server.
const BETWEEN: Duration = Duration::from_millis(20);

/// A site and a server in its namespace; the server ends first.
#[derive(Debug)]
pub struct Followed {
    /// The server.
    pub lapi: RealLapi,
    /// The daemon and what it protects.
    pub site: Site,
    /// The bouncer's key.
    pub key: String,
    _folder: TempDir,
}

impl Followed {
    /// A server that runs, and a daemon that does not yet, asking once a second. `settings` are more lines of its
    /// `[crowdsec]`, `more` stand above it.
    ///
    /// # Panics
    /// Where the server's programs are missing: it says what to run.
    #[track_caller]
    pub fn idle(alone: bool, more: &str, settings: &str) -> Self {
        let site = Site::idle(&Plan { alone, ..Plan::default() });
        let folder = tempfile::Builder::new().prefix("weir-crowdsec-").tempdir().expect("a temporary folder");
        let lapi = RealLapi::start(folder.path(), &site.server).unwrap_or_else(|error| panic!("{error:#}"));
        let key = lapi.add_bouncer("weir").expect("a bouncer is added");
        let followed = Self { lapi, site, key, _folder: folder };
        followed.configure(&followed.lapi.url(), more, settings);
        followed
    }

    /// As [`Followed::idle`], with a daemon that runs and has the server's first answer.
    ///
    /// # Panics
    /// As [`Followed::idle`], and where no answer comes.
    #[track_caller]
    pub fn new(alone: bool, more: &str, settings: &str) -> Self {
        let mut followed = Self::idle(alone, more, settings);
        followed.site.start();
        followed.answered();
        followed
    }

    /// Writes the configuration: who is asked, and how.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn configure(&self, url: &str, more: &str, settings: &str) {
        let key = self.site.place.file("crowdsec.key", format!("{}\n", self.key));
        self.site.place.configure(&format!(
            "{more}\n[crowdsec]\nenabled = true\napi_url = \"{url}\"\napi_key_file = \"{key}\"\ninterval = \"1s\"\n{settings}\n"
        ));
    }

    /// How the daemon says it stands with the server.
    ///
    /// # Panics
    /// Where none is asked.
    #[track_caller]
    pub fn row(&self) -> CrowdsecRow {
        self.site.api().status().crowdsec.expect("a server is asked")
    }

    /// Waits for an answer that was taken.
    ///
    /// # Panics
    /// Where none comes.
    #[track_caller]
    pub fn answered(&self) {
        let answers = |row: &CrowdsecRow| row.outcomes.get("answered").copied().unwrap_or(0);
        let before = self.site.api().status().crowdsec.as_ref().map_or(0, answers);
        self.waits("an answer", |row| answers(row) > before && row.ok);
    }

    /// Waits until the row is as it should be.
    ///
    /// # Panics
    /// Where it does not become so.
    #[track_caller]
    pub fn waits(&self, what: &str, is_so: impl Fn(&CrowdsecRow) -> bool) {
        // Many decisions are written into the store before they show here.
        wait_for(what, 3 * PATIENCE, || {
            let found = self.site.api().status().crowdsec.filter(|row| is_so(row));
            if found.is_none() {
                // A daemon that is asked all the time has less time for what is waited for.
                thread::sleep(BETWEEN);
            }
            found
        });
    }

    /// What the daemon has in force by the server's decisions, as `weir block list -o json` prints it.
    ///
    /// # Panics
    /// Where it does not answer.
    #[track_caller]
    pub fn in_force(&self) -> Vec<EntryRow> {
        let said = self.site.weir(&["-o", "json", "block", "list"]).well();
        let rows: Vec<EntryRow> = serde_json::from_str(&said).expect("entries");
        rows.into_iter().filter(|row| row.origin == "crowdsec").collect()
    }

    /// What the server says and weir does not do, and what weir does and the server does not say.
    ///
    /// # Panics
    /// Where one of them does not answer.
    #[track_caller]
    pub fn differences(&self) -> Vec<String> {
        let prefix = |text: &str| -> IpNet {
            let single = text.parse().map(|address: std::net::IpAddr| IpNet::from(address));
            single.or_else(|_| text.parse()).expect("a prefix")
        };
        let decided = self.lapi.decisions().expect("the server lists its decisions");
        let theirs: BTreeSet<IpNet> = decided.iter().map(|Listed { value, .. }| prefix(value)).collect();
        let ours: BTreeSet<IpNet> = self.in_force().iter().map(|row| prefix(&row.prefix)).collect();
        let missing = theirs.difference(&ours).map(|prefix| format!("{prefix} is not in force"));
        missing.chain(ours.difference(&theirs).map(|prefix| format!("{prefix} is no longer decided"))).collect()
    }
}
