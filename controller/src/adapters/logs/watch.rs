//! Being told by the kernel that something in a directory changed.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use notify::event::{AccessKind, EventKind, ModifyKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::open;
use crate::domain::http::follow::{FileId, is_rotated_name};

/// Watches directories for every input. One instance: there are few of them per user.
#[derive(Debug)]
pub(super) struct Hub {
    watcher: Mutex<Option<Watcher>>,
    problem: Option<String>,
    wakes: Arc<Mutex<Vec<Weak<Wake>>>>,
}

#[derive(Debug)]
struct Watcher {
    notify: RecommendedWatcher,
    /// The directories, and which they were: one that is made anew has to be watched anew.
    folders: BTreeMap<PathBuf, FileId>,
}

impl Hub {
    /// `is_wanted`: whether anybody wants to be told.
    pub(super) fn new(is_wanted: bool) -> Self {
        let wakes: Arc<Mutex<Vec<Weak<Wake>>>> = Arc::default();
        let told = Arc::clone(&wakes);
        let tell = move |event: notify::Result<notify::Event>| {
            let wakes = told.lock().unwrap_or_else(PoisonError::into_inner);
            for wake in wakes.iter().filter_map(Weak::upgrade) {
                wake.hear(event.as_ref());
            }
        };
        let made = is_wanted.then(|| notify::recommended_watcher(tell));
        let (watcher, problem) = match made {
            None => (None, None),
            Some(Ok(notify)) => (Some(Watcher { notify, folders: BTreeMap::new() }), None),
            Some(Err(error)) => (None, Some(said(&error))),
        };
        Self { watcher: Mutex::new(watcher), problem, wakes }
    }

    /// Somebody who wants to be told.
    pub(super) fn listen(&self) -> Arc<Wake> {
        let wake = Arc::new(Wake::default());
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&wake));
        wake
    }

    /// Sees to it that a directory is watched. An error says why that is not so; it is polled then.
    pub(super) fn watch(&self, folder: &Path) -> Result<(), String> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watcher) = watcher.as_mut() else { return Err(self.problem.clone().unwrap_or_default()) };
        let is = std::fs::metadata(folder).map(|metadata| open::id_of(&metadata));
        let before = watcher.folders.get(folder);
        if is.as_ref().ok() == before && before.is_some() {
            return Ok(());
        }
        if before.is_some() {
            watcher.folders.remove(folder);
            // Gone by itself, if the directory is.
            drop(watcher.notify.unwatch(folder));
        }
        let is = is.map_err(|error| format!("the folder {}: {}", folder.display(), open::said(&error)))?;
        watcher.notify.watch(folder, RecursiveMode::NonRecursive).map_err(|error| said(&error))?;
        watcher.folders.insert(folder.to_path_buf(), is);
        Ok(())
    }
}

fn said(error: &notify::Error) -> String {
    let number = match &error.kind {
        ErrorKind::MaxFilesWatch => Some(libc::ENOSPC),
        ErrorKind::Io(error) => error.raw_os_error(),
        _ => None,
    };
    match number {
        Some(libc::ENOSPC) => "no inotify watch is left, so it is looked at four times a second; raise the sysctl \
             fs.inotify.max_user_watches"
            .to_owned(),
        Some(libc::EMFILE) => "no inotify instance is left, so it is looked at four times a second; raise the sysctl \
             fs.inotify.max_user_instances or `LimitNOFILE=` of weir's service"
            .to_owned(),
        _ => format!("inotify does not work ({error}), so it is looked at four times a second"),
    }
}

/// What an input is told.
#[derive(Debug, Default)]
pub(super) struct Wake {
    told: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By folder, the names that are followed in it.
    names: BTreeMap<PathBuf, BTreeSet<String>>,
    dirty: Dirty,
}

/// What changed since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dirty {
    /// Paths that are followed.
    pub(super) paths: BTreeSet<PathBuf>,
    /// Names came or went in one of the folders.
    pub(super) names: bool,
    /// The kernel had to drop what it had to tell: everything may have changed.
    pub(super) all: bool,
}

impl Wake {
    /// Says what is of interest: paths that are followed, and folders that may get more.
    pub(super) fn follow<'a>(&self, paths: impl IntoIterator<Item = &'a Path>, folders: &BTreeSet<PathBuf>) {
        let mut names: BTreeMap<PathBuf, BTreeSet<String>> =
            folders.iter().map(|folder| (folder.clone(), BTreeSet::new())).collect();
        for path in paths {
            if let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) {
                names.entry(folder.to_path_buf()).or_default().insert(name.to_owned());
            }
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).names = names;
    }

    /// Waits until something changed.
    pub(super) async fn changed(&self) {
        self.told.notified().await;
    }

    /// Takes what changed.
    pub(super) fn take(&self) -> Dirty {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).dirty)
    }

    fn hear(&self, event: Result<&notify::Event, &notify::Error>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = match event {
            Ok(event) if event.need_rescan() => state.everything(),
            Ok(event) => state.take_note(event),
            Err(_) => state.everything(),
        };
        drop(state);
        if is_news {
            self.told.notify_one();
        }
    }
}

impl State {
    fn everything(&mut self) -> bool {
        self.dirty.all = true;
        true
    }

    fn take_note(&mut self, event: &notify::Event) -> bool {
        let is_content = match event.kind {
            EventKind::Access(AccessKind::Open(_) | AccessKind::Read | AccessKind::Close(_)) => return false,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => true,
            _ => false,
        };
        let mut is_news = false;
        for path in &event.paths {
            let Some(names) = path.parent().and_then(|folder| self.names.get(folder)) else { continue };
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if !is_content {
                self.dirty.names = true;
                is_news = true;
            }
            if names.contains(name) {
                is_news |= self.dirty.paths.contains(path) || self.dirty.paths.insert(path.clone());
                continue;
            }
            // One that was rotated away still belongs to the path it was at.
            for base in names.iter().filter(|base| is_rotated_name(base, name)) {
                self.dirty.paths.insert(path.with_file_name(base));
                is_news = true;
            }
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_does_not_tell_is_said_with_the_way_out() {
        let io = |number| notify::Error::io(std::io::Error::from_raw_os_error(number));
        for (error, expected) in [
            (notify::Error::new(ErrorKind::MaxFilesWatch), "raise the sysctl fs.inotify.max_user_watches"),
            (io(libc::ENOSPC), "raise the sysctl fs.inotify.max_user_watches"),
            (io(libc::EMFILE), "raise the sysctl fs.inotify.max_user_instances"),
            (io(libc::ENOSYS), "so it is looked at four times a second"),
        ] {
            assert!(said(&error).contains(expected), "{}", said(&error));
        }
    }

    #[test]
    fn only_what_belongs_to_a_followed_path_is_news() {
        let wake = Wake::default();
        let log = Path::new("/var/log/access.log");
        wake.follow([log], &BTreeSet::from([PathBuf::from("/var/log")]));
        let hear = |kind, path: &str| {
            wake.hear(Ok(&notify::Event::new(kind).add_path(PathBuf::from(path))));
            wake.take()
        };
        let written = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
        let made = EventKind::Create(notify::event::CreateKind::File);
        let dirty = Dirty { paths: BTreeSet::from([log.to_path_buf()]), ..Dirty::default() };
        assert_eq!(hear(written, "/var/log/access.log"), dirty);
        assert_eq!(hear(written, "/var/log/access.log.1"), dirty);
        assert_eq!(hear(written, "/var/log/syslog"), Dirty::default());
        assert_eq!(hear(made, "/var/log/other.log"), Dirty { names: true, ..Dirty::default() });
        assert_eq!(hear(made, "/elsewhere/access.log"), Dirty::default());
        wake.hear(Err(&notify::Error::generic("overflow")));
        assert!(wake.take().all);
    }
}
