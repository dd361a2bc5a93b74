//! The real fail2ban, in the foreground against a folder of its own, with the action that is shipped.
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::harness::command::{self, Said};
use crate::harness::{PATIENCE, wait_for};

/// How long starting and ending may take with many bans.
const LONG: Duration = Duration::from_mins(1);

/// The one jail there is.
pub const JAIL: &str = "one";

/// On whose word its bans stand in weir.
pub const ORIGIN: &str = "fail2ban-one";

/// Whether there is one on this machine (Debian: `fail2ban`).
pub fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("fail2ban-server").is_file())
}

/// A running fail2ban with one jail, [`JAIL`], that is banned in by hand. Ended, by SIGKILL, when dropped.
#[derive(Debug)]
pub struct Fail2ban {
    folder: TempDir,
    server: Option<Child>,
}

impl Fail2ban {
    /// Starts one whose action is `weir`'s, at `socket`, with this `bantime`: seconds, or -1.
    ///
    /// # Panics
    /// Where fail2ban is not installed (Debian: `fail2ban`), or does not start.
    #[track_caller]
    pub fn start(weir: &Path, socket: &Path, bantime: i64) -> Self {
        let mut fail2ban = Self::idle(weir, socket, bantime);
        fail2ban.run();
        fail2ban
    }

    /// Everything but the server: for what is to be in its database before.
    ///
    /// # Panics
    /// Where its files cannot be written.
    pub fn idle(weir: &Path, socket: &Path, bantime: i64) -> Self {
        let folder = tempfile::Builder::new().prefix("weir-fail2ban-").tempdir().expect("a temporary folder");
        let fail2ban = Self { folder, server: None };
        let actions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/fail2ban");
        for folder in ["action.d", "filter.d"] {
            fs::create_dir_all(fail2ban.config().join(folder)).expect("a folder of its own");
        }
        for action in ["weir.conf", "weir-restored.conf"] {
            let to = fail2ban.config().join("action.d").join(action);
            fs::copy(actions.join(action), to).expect("the action that is shipped");
        }
        let at = |name: &str| fail2ban.file(name).display().to_string();
        let files = [
            (
                "fail2ban.conf",
                format!(
                    "[Definition]\nloglevel = INFO\nlogtarget = {}\nsyslogsocket = auto\nallowipv6 = auto\nsocket = {}\npidfile = {}\ndbfile = {}\ndbpurgeage = 1d\ndbmaxmatches = 10\n",
                    at("log"),
                    at("socket"),
                    at("pid"),
                    at("database")
                ),
            ),
            (
                "jail.conf",
                format!(
                    "[DEFAULT]\nbackend = polling\nbantime = {bantime}\nfindtime = 1h\nmaxretry = 1\nusedns = no\nignoreip =\nignoreself = false\n\n[{JAIL}]\nenabled = true\nfilter = one\nlogpath = {}\naction = weir\n         weir-restored\n",
                    at("watched")
                ),
            ),
            ("filter.d/one.conf", "[Definition]\nfailregex = ^ refused <HOST>$\n".to_owned()),
            (
                "action.d/weir.local",
                format!(
                    "[Init]\nweir = {}\nsocket = {}\ndatabase = {}\n",
                    weir.display(),
                    socket.display(),
                    at("database")
                ),
            ),
        ];
        for (name, text) in files {
            fs::write(fail2ban.config().join(name), text).expect("write fail2ban's configuration");
        }
        fs::write(fail2ban.file("watched"), "").expect("write the log that is watched");
        fail2ban
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.file("config")
    }

    /// Its database.
    pub fn database(&self) -> PathBuf {
        self.file("database")
    }

    /// All that it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    /// Where it does not: with all that it said.
    #[track_caller]
    pub fn run(&mut self) {
        assert!(self.server.is_none(), "a fail2ban runs already");
        let mut command = Command::new("fail2ban-server");
        command.arg("-c").arg(self.config()).args(["-f", "start"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command::without_settings(&mut command);
        let child = command.spawn();
        self.server = Some(child.unwrap_or_else(|error| panic!("fail2ban-server (Debian: fail2ban): {error}")));
        wait_for("fail2ban's answer", LONG, || {
            let ended = self.server.as_mut().and_then(|server| server.try_wait().expect("a child can be waited for"));
            assert!(ended.is_none(), "fail2ban did not start ({ended:?}):\n{}", self.log());
            self.says(&["status", JAIL]).filter(|said| said.code == Some(0))
        });
    }

    /// Asks the server, without a panic where nobody answers.
    fn says(&self, words: &[&str]) -> Option<Said> {
        // Its socket comes late; asking before takes a second of the client's own waiting.
        self.file("socket").exists().then(|| command::said(&mut self.client(words)))
    }

    fn client(&self, words: &[&str]) -> Command {
        let mut command = Command::new("fail2ban-client");
        command.arg("-c").arg(self.config()).args(words);
        command
    }

    /// Tells the server something, as `fail2ban-client` does.
    ///
    /// # Panics
    /// Where it refuses.
    #[track_caller]
    pub fn tell(&self, words: &[&str]) -> String {
        command::said(&mut self.client(words)).well()
    }

    /// Bans an address by hand. Returns before the action has run.
    ///
    /// # Panics
    /// Where it refuses.
    #[track_caller]
    pub fn ban(&self, ip: &str) {
        self.tell(&["set", JAIL, "banip", ip]);
    }

    /// Puts bans of an hour into the database of one that has been started before, as if it had made them: of so many
    /// addresses from 198.18.0.0 on. It is ended for it and stays so.
    ///
    /// # Panics
    /// Where the database cannot be written.
    #[track_caller]
    pub fn remember(&mut self, count: u32) {
        self.stop();
        let database = rusqlite::Connection::open(self.database()).expect("fail2ban's database");
        let sql = "INSERT INTO bips(ip, jail, timeofban, bantime) \
                   WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?1) \
                   SELECT '198.18.' || (n >> 8) || '.' || (n & 255), ?2, unixepoch(), 3600 FROM number";
        let made = database.execute(sql, (count, JAIL)).expect("bans are written");
        assert_eq!(made, count as usize, "bans written");
    }

    /// Writes a line into the watched log for which an address is banned, dated now.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn refused(&self, ip: &str) {
        let mut log = OpenOptions::new().append(true).open(self.file("watched")).expect("the log that is watched");
        let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
        writeln!(log, "{now} refused {ip}").expect("write a line");
    }

    /// When it decided to ban an address, by the line of its log; waits for the line.
    ///
    /// # Panics
    /// Where the line does not come.
    #[track_caller]
    pub fn decided(&self, ip: &str) -> SystemTime {
        let ending = format!(" Ban {ip}");
        let line = wait_for(&ending, PATIENCE, || {
            self.log().lines().find(|line| line.ends_with(&ending) && line.contains("NOTICE")).map(str::to_owned)
        });
        // `2026-01-31 23:59:59,123 fail2ban.actions …`, of the machine's own time zone.
        let text = line.get(..23).unwrap_or_default().replace(',', ".");
        let time: jiff::civil::DateTime = text.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
        time.to_zoned(jiff::tz::TimeZone::system()).expect("a time there is").timestamp().into()
    }

    /// Tells it to ban whatever text, which it may refuse.
    #[track_caller]
    pub fn try_ban(&self, text: &str) {
        // Its answer is its own; what matters is what weir is made to do.
        drop(command::said(&mut self.client(&["set", JAIL, "banip", "--", text])));
    }

    /// Starts another jail, with the actions and the log of the first.
    ///
    /// # Panics
    /// Where it is refused.
    #[track_caller]
    pub fn add_jail(&self, name: &str) {
        let file = self.config().join("jail.conf");
        let text = fs::read_to_string(&file).expect("fail2ban's configuration");
        let (_, section) = text.split_once(&format!("[{JAIL}]")).expect("the first jail");
        fs::write(&file, format!("{text}\n[{name}]{section}")).expect("write fail2ban's configuration");
        self.tell(&["reload"]);
    }

    /// Lifts a ban by hand, in the database as well.
    ///
    /// # Panics
    /// Where it refuses, as for an address that is not banned.
    #[track_caller]
    pub fn unban(&self, ip: &str) {
        self.tell(&["set", JAIL, "unbanip", ip]);
    }

    /// Lifts all bans, in the database as well.
    ///
    /// # Panics
    /// Where it refuses.
    #[track_caller]
    pub fn flush(&self) {
        self.tell(&["unban", "--all"]);
    }

    /// Whom it takes for banned, in its own order.
    ///
    /// # Panics
    /// Where it does not answer.
    #[track_caller]
    pub fn banned(&self) -> Vec<String> {
        self.tell(&["get", JAIL, "banip"]).split_whitespace().map(ToOwned::to_owned).collect()
    }

    /// Waits until its log holds these words.
    ///
    /// # Panics
    /// Where they do not come.
    #[track_caller]
    pub fn logs(&self, words: &str) {
        wait_for(words, PATIENCE, || self.log().contains(words).then_some(()));
    }

    /// Ends the server as the system's manager does, waits until all is undone, and starts it again.
    ///
    /// # Panics
    /// Where it does not end or start.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    /// Ends the server as the system's manager does, and waits until all is undone.
    ///
    /// # Panics
    /// Where it does not end.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut server = self.server.take().expect("a fail2ban runs");
        let pid = libc::pid_t::try_from(server.id()).expect("a process number");
        // SAFETY: the child is not waited for yet, so the number is still its own.
        let sent = unsafe { libc::kill(pid, libc::SIGTERM) };
        assert_eq!(sent, 0, "SIGTERM: {}", std::io::Error::last_os_error());
        wait_for("fail2ban's end", LONG, || server.try_wait().expect("a child can be waited for"));
    }
}

impl Drop for Fail2ban {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // It may have ended by itself, which is all that is wanted.
            drop(server.kill());
            drop(server.wait());
        }
    }
}
