//! A daemon's files and pins.
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use weir::adapters::kernel::instance::Instance;
use weir::adapters::kernel::object;
use weir::adapters::kernel::reader::KernelReader;
use weir::adapters::kernel::sys::{self, LinkInfo};

/// A folder with configuration, state, socket and a BPF filesystem of its own. When dropped, weir is detached, the
/// filesystem unmounted and the folder removed.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// Makes it, with a configuration.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn new(config: &str) -> Self {
        let place =
            Self { folder: tempfile::Builder::new().prefix("weir-test-").tempdir().expect("a temporary folder") };
        fs::create_dir(place.bpffs()).expect("a folder of its own");
        mount_bpffs(&place.bpffs()).expect("mount a BPF filesystem");
        place.configure(config);
        place
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration's file.
    pub fn config(&self) -> PathBuf {
        self.folder().join("weir.toml")
    }

    /// The state's folder.
    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// The BPF filesystem.
    pub fn bpffs(&self) -> PathBuf {
        self.folder().join("bpf")
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("run").join("weir.sock")
    }

    /// Writes the configuration anew. `settings` stand below the keys that say where everything is.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn configure(&self, settings: &str) {
        let text = format!("{}{settings}\n", self.places());
        fs::write(self.config(), text).expect("write the configuration");
    }

    /// The keys that say where everything is.
    pub fn places(&self) -> String {
        format!(
            "state.dir = \"{}\"\nstate.bpffs = \"{}\"\napi.socket = \"{}\"\n",
            self.state().display(),
            self.bpffs().display(),
            self.socket().display()
        )
    }

    /// Writes a file and says where.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.folder().join(name);
        fs::write(&path, text).expect("write a file");
        path.display().to_string()
    }

    /// The pins.
    pub fn instance(&self) -> Instance {
        Instance::of(&self.bpffs(), &self.state())
    }

    /// The kernel's counters, from the pinned maps.
    ///
    /// # Panics
    /// Where nothing is pinned.
    pub fn reader(&self) -> Arc<KernelReader> {
        let maps = self.instance().maps();
        KernelReader::new(|name| object::open_map(&maps, name)).expect("the counters are pinned")
    }

    /// The pinned links, by the interface's index under which they are pinned.
    ///
    /// # Panics
    /// Where they cannot be read.
    pub fn links(&self) -> Vec<(u32, LinkInfo)> {
        let pinned = self.instance().pinned_links().expect("read the pinned links");
        let info = |path: &Path| sys::open_pin(path).and_then(|link| sys::link_info(sys::fd(&link)));
        pinned.iter().map(|(index, path)| (*index, info(path).expect("read a pinned link"))).collect()
    }

    /// Everything in the BPF filesystem, but for folders and what the kernel itself puts into each one.
    ///
    /// # Panics
    /// Where it cannot be read.
    pub fn pins(&self) -> Vec<PathBuf> {
        let (mut pins, mut folders) = (Vec::new(), vec![self.bpffs()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("read the BPF filesystem") {
                let entry = entry.expect("read the BPF filesystem");
                let is_folder = entry.file_type().expect("read the BPF filesystem").is_dir();
                let is_kernels = entry.file_name() == "maps.debug" || entry.file_name() == "progs.debug";
                if !is_kernels {
                    if is_folder { &mut folders } else { &mut pins }.push(entry.path());
                }
            }
        }
        pins
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test may have detached already, or failed before anything was attached.
        drop(self.instance().detach());
        let path = c_path(&self.bpffs());
        // SAFETY: the path ends with a NUL and lives across the call.
        let unmounted = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        let error = io::Error::last_os_error();
        assert!(unmounted == 0 || std::thread::panicking(), "unmount the BPF filesystem: {error}");
    }
}

/// Mounts a BPF filesystem.
///
/// # Errors
/// The system call's.
pub fn mount_bpffs(at: &Path) -> io::Result<()> {
    let target = c_path(at);
    // SAFETY: all strings end with a NUL and live across the call.
    let mounted = unsafe { libc::mount(c"bpf".as_ptr(), target.as_ptr(), c"bpf".as_ptr(), 0, std::ptr::null()) };
    if mounted == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path without NUL")
}
