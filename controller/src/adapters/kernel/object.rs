//! The kernel object: embedded, sized, loaded, and its maps opened by name.
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use aya::maps::Map;
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use sha2::{Digest as _, Sha256};
use weir_common::abi::{FLOW_LINES, NETWORK_SETS, SOURCE_SETS};

use super::areas::Areas;
use super::sys;

/// The object, aligned as the ELF parser wants it.
#[repr(C, align(32))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/weir.bpf.o")));

/// Names of all maps, in the object and as pins.
pub const MAPS: [&str; 21] = [
    "CONTROL",
    "POLICY",
    "TABLES",
    "FILTERS",
    "CLASSES",
    "CLASS_HITS",
    "OVERLAY_V4",
    "OVERLAY_V6",
    "OVERLAY_ALLOW_V4",
    "OVERLAY_DENY_V4",
    "OVERLAY_ALLOW_V6",
    "OVERLAY_DENY_V6",
    "OVERLAY_HITS",
    "CPUS",
    "SOURCES",
    "NETWORKS",
    "FLOWS",
    "FRAGMENTS",
    "PORTS",
    "SHARED",
    "OFFENDERS",
];

/// The ring of sampled drops.
pub const SAMPLES: &str = "SAMPLES";

/// Maps that a private instance shares with the running daemon's: policy, which it only reads.
pub const POLICY_MAPS: [&str; 11] = [
    "POLICY",
    "PORTS",
    "TABLES",
    "FILTERS",
    "CLASSES",
    "OVERLAY_V4",
    "OVERLAY_V6",
    "OVERLAY_ALLOW_V4",
    "OVERLAY_DENY_V4",
    "OVERLAY_ALLOW_V6",
    "OVERLAY_DENY_V6",
];

/// How the program tells the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The coarse monotonic clock; Linux 5.11.
    Coarse,
    /// The precise monotonic clock.
    Precise,
    /// Words of the control map: a private instance at times of its own.
    Words,
}

/// What is chosen when the object is loaded.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// Overlay entries for single addresses, per family.
    pub overlay_addresses: u32,
    /// Overlay prefixes per kind and family.
    pub overlay_prefixes: u32,
    /// Sources that can hold an exact bucket at once.
    pub offenders: u32,
    /// Entries of the map that only measurements compare with.
    pub compared: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { overlay_addresses: 65_536, overlay_prefixes: 4_096, offenders: 65_536, compared: 1 }
    }
}

impl Sizes {
    /// Overlay values that can exist at once, each with a counter.
    pub fn overlay_counters(&self) -> u32 {
        2 * self.overlay_addresses + 4 * self.overlay_prefixes
    }
}

/// Why the object could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Loading an object or creating its maps failed.
    #[error("the kernel refused weir's maps or its object: {0}; `weir doctor` says what this kernel lacks")]
    Object(#[from] Box<aya::EbpfError>),
    /// The verifier refused the program.
    #[error("the kernel's verifier refused weir's program: {0}")]
    Program(#[from] Box<aya::programs::ProgramError>),
    /// The object lacks something it should have.
    #[error("the kernel object has no {0}: it was not built from this source; rebuild weir")]
    Missing(String),
    /// A system call failed.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// The system call's error.
        #[source]
        error: io::Error,
    },
}

/// The loaded object: program and maps.
#[derive(Debug)]
pub struct Object {
    ebpf: Ebpf,
    areas: Areas,
    program: &'static str,
}

/// Hash of the object's bytes: two daemons of one build run the same program.
pub fn digest() -> String {
    hex::encode(Sha256::digest(&OBJECT.0))
}

/// The first eight bytes of [`digest`], as the control map holds them.
pub fn build_word() -> u64 {
    let hash = Sha256::digest(&OBJECT.0);
    hash.iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// CPUs the kernel may ever bring up; per-CPU arrays are sized by it.
///
/// # Errors
/// The read's.
pub fn possible_cpus() -> io::Result<u32> {
    let count = aya::util::nr_cpus().map_err(|(_, error)| error)?;
    u32::try_from(count).map_err(io::Error::other)
}

impl Object {
    /// Loads the object. Maps pinned at the given paths are opened and shared; others are created, and pinned where a
    /// path is given.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(sizes: &Sizes, clock: Clock, pins: &HashMap<&'static str, PathBuf>) -> Result<Self, LoadError> {
        let cpus = possible_cpus().map_err(|error| LoadError::Io { what: "count the CPUs".into(), error })?;
        let stride = sizes.overlay_counters();
        let clock = match clock {
            Clock::Coarse => 0u32,
            Clock::Precise => 1,
            Clock::Words => 2,
        };
        let mut loader = EbpfLoader::new();
        loader
            .override_global("CLOCK", &clock, true)
            .override_global("OVERLAY_STRIDE", &stride, true)
            .map_max_entries("OVERLAY_V4", sizes.overlay_addresses)
            .map_max_entries("OVERLAY_V6", sizes.overlay_addresses)
            .map_max_entries("OVERLAY_ALLOW_V4", sizes.overlay_prefixes)
            .map_max_entries("OVERLAY_DENY_V4", sizes.overlay_prefixes)
            .map_max_entries("OVERLAY_ALLOW_V6", sizes.overlay_prefixes)
            .map_max_entries("OVERLAY_DENY_V6", sizes.overlay_prefixes)
            .map_max_entries("OVERLAY_HITS", stride * cpus)
            .map_max_entries("CPUS", cpus)
            .map_max_entries("SOURCES", cpus * SOURCE_SETS)
            .map_max_entries("NETWORKS", cpus * NETWORK_SETS)
            .map_max_entries("FLOWS", cpus * FLOW_LINES)
            .map_max_entries("OFFENDERS", sizes.offenders)
            .map_max_entries("LEAST_RECENT", sizes.compared);
        #[expect(
            clippy::iter_over_hash_type,
            reason = "each map has a path of its own; their order is nothing to anybody"
        )]
        for (name, path) in pins {
            loader.map_pin_path(name, path.clone());
        }
        let areas = Areas::open(pins)?;
        let ebpf = loader.load(areas.put_into(&OBJECT.0)?.bytes()).map_err(Box::new)?;
        areas.pin(pins)?;
        Ok(Self { ebpf, areas, program: "weir" })
    }

    /// Has the verifier check a program of the object and loads it.
    ///
    /// # Errors
    /// [`LoadError::Program`] with the verifier's words.
    pub fn load_program(&mut self) -> Result<&mut Xdp, LoadError> {
        self.load_named(self.program)
    }

    /// A program of the object, loaded: beside weir's there are the empty one and the generators of measurements.
    ///
    /// # Errors
    /// As [`Object::load_program`]; [`LoadError::Missing`] where the object has no such program.
    pub fn load_named(&mut self, name: &str) -> Result<&mut Xdp, LoadError> {
        let program = self.program_named(name)?;
        program.load().map_err(Box::new)?;
        Ok(program)
    }

    /// weir's program.
    ///
    /// # Errors
    /// [`LoadError::Missing`].
    pub fn program(&mut self) -> Result<&mut Xdp, LoadError> {
        self.program_named(self.program)
    }

    /// A program of the object.
    ///
    /// # Errors
    /// [`LoadError::Missing`].
    pub fn program_named(&mut self, name: &str) -> Result<&mut Xdp, LoadError> {
        let missing = || LoadError::Missing(format!("program {name}"));
        self.ebpf.program_mut(name).ok_or_else(missing)?.try_into().map_err(|error| LoadError::Program(Box::new(error)))
    }

    /// A descriptor of a map of its own.
    ///
    /// # Errors
    /// [`LoadError::Missing`] and the system call's.
    pub fn map_fd(&self, name: &str) -> Result<OwnedFd, LoadError> {
        let shared = |fd: BorrowedFd<'_>| {
            let failed = |error| LoadError::Io { what: format!("share the descriptor of map {name}"), error };
            fd.try_clone_to_owned().map_err(failed)
        };
        if let Some(area) = self.areas.fd(name) {
            return shared(area);
        }
        let map = self.ebpf.map(name).ok_or_else(|| LoadError::Missing(format!("map {name}")))?;
        let (Map::Array(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::ArrayOfMaps(data)
        | Map::ProgramArray(data)
        | Map::RingBuf(data)) = map
        else {
            return Err(LoadError::Missing(format!("map {name} of the expected kind")));
        };
        shared(data.fd().as_fd())
    }
}

/// Opens a pinned map.
///
/// # Errors
/// The system call's.
pub fn open_map(folder: &Path, name: &str) -> io::Result<OwnedFd> {
    sys::open_pin(&folder.join(name))
}

#[cfg(test)]
mod tests;
