use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;

mod busy;
mod hostile;
mod restarts;
mod rotation;
mod syslog;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A folder with logs, and a follower of some.
struct Rig {
    folder: TempDir,
    inputs: Option<Inputs>,
    batches: mpsc::Receiver<Batch>,
    /// The lines that were handed on.
    lines: Vec<String>,
    /// The latest checkpoints.
    stored: Vec<Stored>,
    patterns: Vec<String>,
    linger: Duration,
    noticing: Noticing,
}

impl Rig {
    /// Follows what `patterns` match in a folder that `fill` was called on.
    fn new(patterns: &[&str], fill: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let root = fs::canonicalize(folder.path()).unwrap();
        let patterns = patterns.iter().map(|pattern| root.join(pattern).to_str().unwrap().to_owned()).collect();
        let mut rig = Self {
            folder,
            inputs: None,
            batches: mpsc::channel(1).1,
            lines: Vec::new(),
            stored: Vec::new(),
            patterns,
            linger: LINGER,
            noticing: Noticing::Watching,
        };
        rig.start();
        rig
    }

    fn start(&mut self) {
        let mut input = FileInput::new("web", self.patterns.clone());
        input.linger = self.linger;
        input.noticing = self.noticing;
        let (inputs, batches) = start(Settings { files: vec![input], syslog: Vec::new() }, self.stored.clone());
        (self.inputs, self.batches) = (Some(inputs), batches);
    }

    /// Stops the follower; what waits in the channel is lost with it.
    async fn stop(&mut self) {
        self.inputs.take().unwrap().stop().await;
        self.batches = mpsc::channel(1).1;
    }

    fn at(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        append(&self.at(name), text.as_ref());
    }

    /// Takes a batch and stores its checkpoint.
    async fn take(&mut self) -> Batch {
        let batch = tokio::time::timeout(PATIENCE, self.batches.recv()).await;
        let batch = batch.unwrap_or_else(|_| panic!("nothing came; {:#?}", self.health())).unwrap();
        self.act(&batch);
        batch
    }

    fn act(&mut self, batch: &Batch) {
        self.lines.extend(batch.lines().map(|line| String::from_utf8_lossy(line).into_owned()));
        let checkpoint = batch.checkpoint.clone().unwrap();
        self.stored.retain(|stored| stored.checkpoint.path != checkpoint.path);
        self.stored.push(Stored { input: batch.input.clone(), checkpoint });
    }

    /// Waits until where a file is read from is stored: what is written after a stop is then read after the next start.
    async fn take_checkpoint(&mut self) {
        while self.stored.is_empty() {
            self.take().await;
        }
    }

    /// Takes batches until so many lines came in all.
    async fn take_lines(&mut self, count: usize) {
        while self.lines.len() < count {
            self.take().await;
        }
    }

    /// Takes batches until the lines are these, and sees that there are no others.
    #[track_caller]
    fn expect(&mut self, lines: &[&str]) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            self.take_lines(lines.len()).await;
            self.settle();
            assert_eq!(self.lines, lines, "at {place}");
        }
    }

    /// Takes all that is there by now: a line that is written last is the end of it.
    fn settle(&mut self) {
        while let Ok(batch) = self.batches.try_recv() {
            self.act(&batch);
        }
    }

    fn health(&self) -> Vec<InputHealth> {
        self.inputs.as_ref().map(Inputs::health).unwrap_or_default()
    }

    fn health_of(&self, name: &str) -> InputHealth {
        let path = self.at(name);
        let row = self.health().into_iter().find(|row| *row.origin == *path.to_str().unwrap());
        row.unwrap_or_else(|| panic!("no {name} in {:#?}", self.health()))
    }

    /// Waits until the health of a file is as wanted; batches are taken meanwhile.
    async fn until(&mut self, name: &str, wanted: impl Fn(&InputHealth) -> bool) -> InputHealth {
        let path = self.at(name);
        let end = Instant::now() + PATIENCE;
        loop {
            let rows = self.health();
            if let Some(row) = rows.iter().find(|row| *row.origin == *path.to_str().unwrap() && wanted(row)) {
                return row.clone();
            }
            assert!(Instant::now() < end, "{rows:#?}");
            if let Ok(Some(batch)) = tokio::time::timeout(Duration::from_millis(5), self.batches.recv()).await {
                self.act(&batch);
            }
        }
    }
}

fn append(path: &Path, text: &[u8]) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_after_the_first_start_is_read_and_nothing_before() {
    let mut rig = Rig::new(&["access.log"], |root| append(&root.join("access.log"), b"old\nhalf of"));
    rig.until("access.log", |row| row.state == InputState::Following).await;
    rig.append("access.log", " an old one\none\r\n\ntwo\nthr");
    rig.take_lines(2).await;
    rig.append("access.log", "ee\n");
    rig.expect(&["one", "two", "three"]).await;
    let row = rig.until("access.log", |row| row.lag_bytes == 0).await;
    assert_eq!((row.lines, row.bytes, row.cut, row.problem, row.is_polled), (3, 11, 0, None, false));
    assert_eq!(row.offset, fs::metadata(rig.at("access.log")).unwrap().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_later_is_read_from_its_start() {
    let mut rig = Rig::new(&["access.log", "*/error*.log"], |root| fs::create_dir(root.join("site")).unwrap());
    let row = rig.until("access.log", |row| row.problem.is_some()).await;
    assert_eq!(
        (row.state, row.problem.as_deref()),
        (InputState::Waiting, Some("no such file yet; it is read once it is there"))
    );
    rig.until("*/error*.log", |row| row.problem.is_some()).await;
    rig.append("access.log", "one\n");
    rig.expect(&["one"]).await;
    rig.append("site/error-1.log", "two\n");
    rig.expect(&["one", "two"]).await;
    rig.until("site/error-1.log", |row| row.state == InputState::Following).await;
    assert!(rig.health().iter().all(|row| row.problem.is_none()), "{:?}", rig.health());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_inotify_files_are_looked_at_every_so_often() {
    let mut rig = Rig::new(&["access.log"], |root| append(&root.join("access.log"), b""));
    rig.stop().await;
    rig.noticing = Noticing::Polling;
    rig.start();
    rig.until("access.log", |row| row.state == InputState::Following && row.is_polled).await;
    rig.append("access.log", "one\n");
    rig.expect(&["one"]).await;
    fs::rename(rig.at("access.log"), rig.at("access.log.1")).unwrap();
    rig.append("access.log.1", "two\n");
    rig.append("access.log", "three\n");
    rig.expect(&["one", "two", "three"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_makes_files_wait_and_the_lag_is_told() {
    let mut rig = Rig::new(&["access.log"], |root| append(&root.join("access.log"), b""));
    rig.until("access.log", |row| row.state == InputState::Following).await;
    let line = format!("{}\n", "x".repeat(999));
    for _ in 0..40 {
        rig.append("access.log", line.repeat(1_000));
    }
    let path = rig.at("access.log");
    let origin = path.to_str().unwrap().to_owned();
    let end = Instant::now() + PATIENCE;
    while !rig.health().iter().any(|row| *row.origin == *origin && row.lag_bytes > 10_000_000) {
        assert!(Instant::now() < end, "{:?}", rig.health());
        tokio::task::yield_now().await;
    }
    // Rotated twice meanwhile: all of it is held.
    for name in ["access.log.1", "access.log.2"] {
        fs::rename(&path, rig.at(name)).unwrap();
        rig.append("access.log", format!("before {name}\n"));
    }
    rig.take_lines(40_002).await;
    assert_eq!(rig.lines.iter().filter(|line| line.len() == 999).count(), 40_000);
    rig.until("access.log", |row| row.lag_bytes == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_before_are_told_from_those_that_are_new() {
    let now = Timestamp::now();
    let mut rig = Rig::new(&["access.log"], |root| append(&root.join("access.log"), b""));
    rig.take_checkpoint().await;
    rig.stop().await;
    rig.append("access.log", "while down\n");
    rig.start();
    let batch = rig.take().await;
    let old = now.checked_sub(SignedDuration::from_mins(10)).unwrap();
    while rig.lines.is_empty() {
        rig.take().await;
    }
    let is_old = |batch: &Batch, time| batch.is_history(time, HISTORY);
    if !batch.is_empty() {
        assert!(is_old(&batch, Some(old)) && is_old(&batch, None) && !is_old(&batch, Some(now)));
    }
    rig.append("access.log", "now\n");
    let mut batch = rig.take().await;
    while batch.is_empty() {
        batch = rig.take().await;
    }
    assert!(!is_old(&batch, Some(old)) && !is_old(&batch, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_said_and_the_rest_goes_on() {
    let mut rig = Rig::new(&["access.log", "**/x", "[", "*.none"], |root| append(&root.join("access.log"), b""));
    rig.until("access.log", |row| row.state == InputState::Following).await;
    rig.append("access.log", "one\n");
    rig.expect(&["one"]).await;
    let said = |name: &str| rig.health_of(name).problem.unwrap();
    assert!(said("**/x").starts_with("`**` could be any number of files"), "{}", said("**/x"));
    assert!(said("[").starts_with("is no glob"), "{}", said("["));
    assert_eq!(rig.health_of("*.none").state, InputState::Waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_read_is_named_and_the_rest_goes_on() {
    let unreadable = format!("{}/access.log", "x".repeat(300));
    let mut rig = Rig::new(&[&unreadable, "access.log"], |root| append(&root.join("access.log"), b""));
    let row = rig.until(&unreadable, |row| row.state == InputState::Unreadable).await;
    assert!(row.problem.as_ref().unwrap().starts_with("cannot be read: "), "{row:?}");
    rig.until("access.log", |row| row.state == InputState::Following).await;
    rig.append("access.log", "one\n");
    rig.expect(&["one"]).await;
}
