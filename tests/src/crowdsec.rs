//! A CrowdSec server of one's own: the real local API of Debian's package, on a port and with a database of its own.
//!
//! Nothing of the machine's own CrowdSec is read or changed, and nothing goes out: no central API, no hub, no metrics.
//! The programs are those in the folder that `WEIR_TEST_CROWDSEC` names, or those in `/usr/bin`. The package need only be
//! unpacked: installing it signs the machine up with the central API and starts a service.
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::harness::netns::{self, Namespace};

pub mod followed;
pub mod machine;
pub mod proxy;

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The variable that names a folder with `crowdsec` and `cscli` in it.
pub const VARIABLE: &str = "WEIR_TEST_CROWDSEC";

/// Where a server listens: its namespace is its own.
const PORT: u16 = 8080;

/// A server; ended when dropped.
#[derive(Debug)]
pub struct RealLapi {
    programs: PathBuf,
    folder: PathBuf,
    /// The network namespace it runs in.
    namespace: String,
    running: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
}

/// A decision as `cscli` lists it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub id: i64,
    /// `ban`, `captcha`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// `Ip`, `Range`, …
    pub scope: String,
    /// An address or prefix.
    pub value: String,
    /// What is left of it, as Go writes it.
    pub duration: String,
}

/// Where the programs are; `None`: nowhere.
pub fn programs() -> Option<PathBuf> {
    let named = env::var_os(VARIABLE).map(PathBuf::from);
    let installed = [PathBuf::from("/usr/bin")];
    let has_both = |folder: &PathBuf| ["crowdsec", "cscli"].iter().all(|name| folder.join(name).is_file());
    named.into_iter().chain(installed).find(has_both)
}

impl RealLapi {
    /// Starts a server in a namespace, with its files in an empty folder, and waits until it answers.
    ///
    /// # Errors
    /// Where the programs are missing, or the server does not start: with all that it said.
    pub fn start(folder: &Path, namespace: &Namespace) -> Result<Self> {
        let Some(programs) = programs() else {
            bail!(
                "no crowdsec in /usr/bin and none that {VARIABLE} names: `cargo xtask setup` unpacks it, and \
                 `cargo xtask test` says where; by hand, `apt-get download crowdsec && dpkg -x crowdsec_*.deb FOLDER`, \
                 then {VARIABLE}=FOLDER/usr/bin"
            )
        };
        namespace.ip(&["link", "set", "lo", "up"]);
        let (folder, namespace) = (folder.to_owned(), namespace.name().to_owned());
        let mut server = Self { programs, folder, namespace, running: None, log: Arc::default() };
        server.write_files()?;
        server.cscli(&["machines", "add", "weir-tests", "--password", "weir-tests", "--force"])?;
        server.run()?;
        Ok(server)
    }

    /// The server's address, in its namespace.
    pub fn url(&self) -> String {
        format!("http://{}", address())
    }

    /// A program in the server's namespace.
    fn program(&self, path: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(path);
        command
    }

    /// The server's process.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Child::id)
    }

    /// All that the server said.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Registers a bouncer; its key.
    ///
    /// # Errors
    /// What `cscli` says.
    pub fn add_bouncer(&self, name: &str) -> Result<String> {
        Ok(self.cscli(&["bouncers", "add", name, "-o", "raw"])?.trim().to_owned())
    }

    /// Forgets a bouncer.
    ///
    /// # Errors
    /// What `cscli` says.
    pub fn delete_bouncer(&self, name: &str) -> Result<()> {
        self.cscli(&["bouncers", "delete", name]).map(drop)
    }

    /// The line of `cscli bouncers list` for a bouncer: name, address, state, last pull, type, version, way in.
    ///
    /// # Errors
    /// What `cscli` says, or that there is no such bouncer.
    pub fn bouncer(&self, name: &str) -> Result<Vec<String>> {
        let list = self.cscli(&["bouncers", "list", "-o", "raw"])?;
        let fields = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut lines = list.lines().map(fields);
        lines
            .find(|fields| fields.first().is_some_and(|first| first == name))
            .with_context(|| format!("no {name}: {list}"))
    }

    /// Adds a decision: `ip` or `range`, its value, a Go duration, a type.
    ///
    /// # Errors
    /// What `cscli` says.
    pub fn add_decision(&self, scope: &str, value: &str, duration: &str, kind: &str) -> Result<()> {
        let scope = format!("--{scope}");
        self.cscli(&["decisions", "add", &scope, value, "--duration", duration, "--type", kind]).map(drop)
    }

    /// Deletes the decision of this number.
    ///
    /// # Errors
    /// What `cscli` says.
    pub fn delete_id(&self, id: i64) -> Result<()> {
        self.cscli(&["decisions", "delete", "--id", &id.to_string()]).map(drop)
    }

    /// Deletes all decisions on a value: `ip` or `range`, and which.
    ///
    /// # Errors
    /// What `cscli` says.
    pub fn delete(&self, scope: &str, value: &str) -> Result<()> {
        self.cscli(&["decisions", "delete", &format!("--{scope}"), value]).map(drop)
    }

    /// Imports many decisions, each a scope, a value and a duration, in pieces the server takes.
    ///
    /// # Errors
    /// What `cscli` says.
    pub fn import<'d>(&self, decisions: impl IntoIterator<Item = (&'d str, String, &'d str)>) -> Result<usize> {
        let mut count = 0;
        let mut text = String::from("duration,scope,value\n");
        for (scope, value, duration) in decisions {
            writeln!(text, "{duration},{scope},{value}").context("write a text")?;
            count += 1;
        }
        let file = self.folder.join("import.csv");
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        self.cscli(&["decisions", "import", "-i", &file.display().to_string()])?;
        Ok(count)
    }

    /// All decisions that are in force on the server.
    ///
    /// # Errors
    /// What `cscli` says, or that it cannot be read.
    pub fn decisions(&self) -> Result<Vec<Listed>> {
        #[derive(Deserialize)]
        struct Alert {
            decisions: Option<Vec<Listed>>,
        }
        let text = self.cscli(&["decisions", "list", "-a", "--limit", "0", "-o", "json"])?;
        let alerts: Option<Vec<Alert>> = serde_json::from_str(&text).with_context(|| format!("read {text}"))?;
        let decisions = alerts.unwrap_or_default().into_iter().flat_map(|alert| alert.decisions.unwrap_or_default());
        // An over one is shown with what it is over by.
        Ok(decisions.filter(|decision| !decision.duration.starts_with('-')).collect())
    }

    /// Writes many decisions straight into the database while the server is ended: `count` copies of the one numbered
    /// `id`, the first on `first`, each on the address after.
    ///
    /// # Errors
    /// The database's.
    pub fn multiply(&self, id: i64, first: Ipv4Addr, count: u32) -> Result<()> {
        ensure!(self.running.is_none(), "the server runs and would not know of them");
        let database = rusqlite::Connection::open(self.folder.join("data/crowdsec.db"))?;
        let columns = "created_at, updated_at, until, scenario, type, scope, origin, simulated, alert_decisions, \
                       start_suffix, end_suffix, ip_size";
        // A server numbers addresses from the least of its signed integers on.
        let sql = format!(
            "INSERT INTO decisions ({columns}, start_ip, end_ip, value) \
             WITH RECURSIVE number(n) AS (SELECT ?2 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?2 + ?3) \
             SELECT {columns}, n - 9223372036854775807, n - 9223372036854775807, \
             (n >> 24) || '.' || (n >> 16 & 255) || '.' || (n >> 8 & 255) || '.' || (n & 255) \
             FROM decisions, number WHERE id = ?1"
        );
        let made = database.execute(&sql, (id, first.to_bits(), count))?;
        ensure!(made == count as usize, "{made} of {count} decisions were written");
        Ok(())
    }

    /// Ends the server and starts it again on the same port, with the same database.
    ///
    /// # Errors
    /// As [`RealLapi::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.run()
    }

    /// Ends the server.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            // It may have ended by itself, which is all that is wanted.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Starts the server again after [`RealLapi::stop`].
    ///
    /// # Errors
    /// As [`RealLapi::start`].
    pub fn run(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "it runs already");
        let mut child = self
            .program(&self.programs.join("crowdsec"))
            .args(["-no-cs", "-c"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start crowdsec")?;
        if let Some(said) = child.stderr.take() {
            let log = Arc::clone(&self.log);
            thread::spawn(move || {
                for line in BufReader::new(said).lines().map_while(Result::ok) {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            });
        }
        let start = Instant::now();
        let answers = loop {
            let connect = || TcpStream::connect_timeout(&address(), Duration::from_millis(100));
            if netns::inside(&self.namespace, connect).is_ok() {
                break true;
            }
            if child.try_wait().context("wait for crowdsec")?.is_some() || start.elapsed() > PATIENCE {
                break false;
            }
            thread::sleep(Duration::from_millis(5));
        };
        self.running = Some(child);
        ensure!(answers, "crowdsec does not answer:\n{}", self.log());
        Ok(())
    }

    /// Runs `cscli` on this server; what it said on standard output.
    ///
    /// # Errors
    /// What it said on standard error.
    pub fn cscli(&self, args: &[&str]) -> Result<String> {
        let said = self
            .program(&self.programs.join("cscli"))
            .arg("-c")
            .arg(self.config())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .context("start cscli")?;
        let err = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "cscli {} ended with {}: {err}", args.join(" "), said.status);
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    fn config(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    fn write_files(&self) -> Result<()> {
        let folder = self.folder.display().to_string();
        for name in ["data", "hub", "notifications", "plugins"] {
            fs::create_dir_all(self.folder.join(name)).with_context(|| format!("make {folder}/{name}"))?;
        }
        let config = CONFIG.replace("FOLDER", &folder).replace("PORT", &PORT.to_string());
        let credentials = format!("url: {}\nlogin: weir-tests\npassword: weir-tests\n", self.url());
        let files = [
            ("config.yaml", config.as_str()),
            ("credentials.yaml", &credentials),
            ("profiles.yaml", "name: none\nfilters:\n - \"false\"\non_success: break\n"),
            ("simulation.yaml", "simulation: off\n"),
            ("hub/.index.json", "{}\n"),
        ];
        for (name, text) in files {
            fs::write(self.folder.join(name), text).with_context(|| format!("write {folder}/{name}"))?;
        }
        Ok(())
    }
}

impl Drop for RealLapi {
    fn drop(&mut self) {
        self.stop();
    }
}

fn address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
}

const CONFIG: &str = "\
common:
  daemonize: false
  log_media: stdout
  log_level: info
  working_dir: .
config_paths:
  config_dir: FOLDER
  data_dir: FOLDER/data
  simulation_path: FOLDER/simulation.yaml
  hub_dir: FOLDER/hub
  index_path: FOLDER/hub/.index.json
  notification_dir: FOLDER/notifications
  plugin_dir: FOLDER/plugins
cscli:
  output: human
  color: no
db_config:
  log_level: info
  type: sqlite
  db_path: FOLDER/data/crowdsec.db
  use_wal: true
  flush:
    max_items: 500000
    max_age: 7d
api:
  client:
    insecure_skip_verify: false
    credentials_path: FOLDER/credentials.yaml
  server:
    log_level: info
    listen_uri: 127.0.0.1:PORT
    profiles_path: FOLDER/profiles.yaml
prometheus:
  enabled: false
";
