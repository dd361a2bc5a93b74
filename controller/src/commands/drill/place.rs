//! A drill's files and pins, in the scratch filesystem.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::contain::{self, SCRATCH};

/// A folder for configuration, state, socket and a BPF filesystem; taken down when dropped.
#[derive(Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    /// Makes it.
    pub(super) fn new(name: &str) -> Result<Self> {
        let place = Self(Path::new(SCRATCH).join(name));
        fs::create_dir(&place.0).with_context(|| format!("create {}", place.0.display()))?;
        contain::mount_bpffs(&place.bpffs())?;
        Ok(place)
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.join("weir.toml")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    pub(super) fn bpffs(&self) -> PathBuf {
        self.0.join("bpf")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("run").join("weir.sock")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be taken down here goes with the namespace; nobody else sees it.
        drop(contain::unmount(&self.bpffs()));
        drop(fs::remove_dir_all(&self.0));
    }
}
