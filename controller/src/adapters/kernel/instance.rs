//! Where an instance's pins live, and how they are found without its daemon.
//!
//! `<bpffs>/weir/<instance>/v<ABI>/` holds program and maps, `<bpffs>/weir/<instance>/links/` one link an interface.
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use weir_common::abi::{ABI_VERSION, control_word};

use super::map::Mapped;
use super::sys;

/// The pins of one state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    root: PathBuf,
}

/// Why no instance could be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is none.
    #[error("no weir is attached here: nothing is pinned under {0}")]
    None(PathBuf),
    /// There are several.
    #[error("several weir instances are pinned under {root}: {names}; say which with -c FILE")]
    Several {
        /// Where.
        root: PathBuf,
        /// Their names.
        names: String,
    },
    /// The folder could not be read.
    #[error("read {path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// The read's error.
        #[source]
        error: io::Error,
    },
}

impl Instance {
    /// The instance of a state folder on a BPF filesystem. The folder's real path is what counts.
    pub fn of(bpffs: &Path, state: &Path) -> Self {
        let real = fs::canonicalize(state).unwrap_or_else(|_| state.to_path_buf());
        let hash = Sha256::digest(real.as_os_str().as_encoded_bytes());
        let name: String = hex::encode(hash).chars().take(12).collect();
        Self { root: bpffs.join("weir").join(name) }
    }

    /// The only instance pinned on a BPF filesystem.
    ///
    /// # Errors
    /// [`FindError`] where there is none, or more than one.
    pub fn only(bpffs: &Path) -> Result<Self, FindError> {
        let root = bpffs.join("weir");
        let mut found = Vec::new();
        match fs::read_dir(&root) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.map_err(|error| FindError::Io { path: root.clone(), error })?;
                    let instance = Self { root: entry.path() };
                    if instance.is_pinned() {
                        found.push(instance);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FindError::None(root)),
            Err(error) => return Err(FindError::Io { path: root, error }),
        }
        match found.len() {
            0 => Err(FindError::None(root)),
            1 => found.pop().ok_or(FindError::None(root)),
            _ => {
                let names: Vec<String> = found.iter().map(|i| i.root.display().to_string()).collect();
                Err(FindError::Several { root, names: names.join(", ") })
            }
        }
    }

    /// Folder of the program and the maps of this version's layout.
    pub fn maps(&self) -> PathBuf {
        self.root.join(format!("v{ABI_VERSION}"))
    }

    /// The pinned program.
    pub fn program(&self) -> PathBuf {
        self.maps().join("program")
    }

    /// Folder of the links.
    pub fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// The pinned link of an interface.
    pub fn link(&self, interface: u32) -> PathBuf {
        self.links().join(interface.to_string())
    }

    /// Whether this version's maps are pinned.
    pub fn is_pinned(&self) -> bool {
        self.maps().join("CONTROL").exists()
    }

    /// Makes the folders.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(self.maps())?;
        fs::create_dir_all(self.links())
    }

    /// Every pinned link, by interface index.
    ///
    /// # Errors
    /// The read's; none where there is no folder.
    pub fn pinned_links(&self) -> io::Result<Vec<(u32, PathBuf)>> {
        let entries = match fs::read_dir(self.links()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut links = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if let Some(index) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()) {
                links.push((index, path));
            }
        }
        links.sort();
        Ok(links)
    }

    /// The control words, mapped.
    ///
    /// # Errors
    /// The system call's.
    pub fn control(&self) -> io::Result<Mapped<u64>> {
        let fd: OwnedFd = sys::open_pin(&self.maps().join("CONTROL"))?;
        Mapped::new(fd.as_fd())
    }

    /// Turns the bypass on or off. Works without the daemon.
    ///
    /// # Errors
    /// The system call's.
    pub fn set_bypass(&self, on: bool) -> io::Result<()> {
        self.control()?.publish(control_word::BYPASS as usize, u64::from(on));
        Ok(())
    }

    /// Takes the program off every interface and removes every pin. Works without the daemon, and tells a live one not to
    /// attach again. Returns the interface indices it was taken off.
    ///
    /// # Errors
    /// The first system call's; what was detached by then stays detached.
    pub fn detach(&self) -> io::Result<Vec<u32>> {
        if self.is_pinned() {
            self.control()?.publish(control_word::DETACHED as usize, 1);
        }
        let mut off = Vec::new();
        for (index, path) in self.pinned_links()? {
            let link = sys::open_pin(&path)?;
            match sys::link_detach(link.as_fd()) {
                Ok(()) => off.push(index),
                Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
                Err(error) => return Err(error),
            }
            fs::remove_file(&path)?;
        }
        self.remove()?;
        Ok(off)
    }

    /// Removes the maps and the program of this version, be it that control words are missing: what a start or a detach that
    /// came to no end has left belongs to nobody. The control words go first: where they are, all maps are.
    ///
    /// # Errors
    /// The file system's; none where there is no folder.
    pub fn clear(&self) -> io::Result<()> {
        match fs::remove_file(self.maps().join("CONTROL")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match fs::read_dir(self.maps()) {
            Ok(mut pins) => pins.try_for_each(|pin| fs::remove_file(pin?.path())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes every pin; links whose pin goes and that nobody holds are detached by the kernel.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(&self) -> io::Result<()> {
        self.clear()?;
        match fs::read_dir(&self.root) {
            Ok(folders) => {
                for folder in folders {
                    let folder = folder?.path();
                    for pin in fs::read_dir(&folder)? {
                        fs::remove_file(pin?.path())?;
                    }
                    fs::remove_dir(folder)?;
                }
                fs::remove_dir(&self.root)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
