//! The BPF filesystem that holds the pins: found, judged, and mounted where that is safe.
//!
//! A pin lives as long as its filesystem is mounted anywhere, and a mount lives as long as its mount namespace. So the
//! filesystem must be mounted in a namespace that outlives the daemon: the system's, or another that lasts. Under
//! `ip netns exec`, `unshare -m` and in service sandboxes the daemon has a mount namespace of its own; a filesystem that
//! is mounted only there takes the pins, and with them the protection, along when the daemon ends.
mod mounts;

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use mounts::{Home, Mount};

/// The system's BPF filesystem.
pub const DEFAULT: &str = "/sys/fs/bpf";

/// How a place for pins stands, without anything having been changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Inside a BPF filesystem that outlives the daemon.
    Ready,
    /// Nothing is mounted there yet, and [`prepare`] may mount it.
    Mountable,
}

/// Why pins cannot be kept at a place.
#[derive(Debug, thiserror::Error)]
pub enum BpffsError {
    /// No BPF filesystem there, and one mounted by this process would die with it.
    #[error(
        "{} is not a BPF filesystem here, and one mounted here would end with weir, and the protection with it: this \
         process has a mount namespace of its own (as under `ip netns exec` or `unshare -m`); {WAY_OUT}",
        .0.display()
    )]
    PrivateNamespace(PathBuf),
    /// A BPF filesystem that exists only in this process's mount namespace.
    #[error(
        "the BPF filesystem at {} is mounted in this process's own mount namespace only, so the pins in it would end \
         with weir, and the protection with them; {WAY_OUT}",
        .0.display()
    )]
    PrivateMount(PathBuf),
    /// The place does not exist, and nothing may be created in /sys.
    #[error(
        "{} does not exist, and nothing can be created in /sys: either /sys is not mounted or this kernel has no BPF \
         filesystem there; mount one elsewhere (`mkdir -p /run/weir/bpf && mount -t bpf bpf /run/weir/bpf`) and set `bpffs = \"/run/weir/bpf\"` under [state]",
        .0.display()
    )]
    Missing(PathBuf),
    /// The place is in use for something else.
    #[error(
        "{} is not a BPF filesystem but a file or a folder with files in it, which mounting one would hide; name an \
         empty folder, or one that does not exist yet, as `bpffs` under [state]",
        .0.display()
    )]
    Occupied(PathBuf),
    /// The filesystem is mounted, but nothing can be pinned in it.
    #[error(
        "the BPF filesystem at {} is read-only here, so nothing can be pinned; in a service, leave \
         ProtectKernelTunables= off, or mount one outside /sys and name it as `bpffs` under [state]",
        .0.display()
    )]
    ReadOnly(PathBuf),
    /// A system call failed.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// The system call's error.
        #[source]
        error: io::Error,
    },
}

const WAY_OUT: &str = "use `weir run --netns NAME` instead of `ip netns exec NAME weir run`; or mount one on the host \
    outside /sys (`mkdir -p /run/weir/bpf && mount -t bpf bpf /run/weir/bpf`), where this process sees it too, and set \
    `bpffs = \"/run/weir/bpf\"` under [state]; in a container, share the host's process namespace (`--pid=host`), so \
    that weir can see which mounts are the host's";

impl BpffsError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { what, path, error }
    }
}

/// Whether a path lies in a BPF filesystem.
///
/// # Errors
/// The system call's; `NotFound` where nothing is there.
pub fn statfs_is_bpf(path: &Path) -> io::Result<bool> {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a structure of integers, for which zero is valid.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `name` ends with a NUL; it and `stat` live across the call.
    if unsafe { libc::statfs(name.as_ptr(), &raw mut stat) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stat.f_type == libc::BPF_FS_MAGIC)
}

/// How the configured place for pins, or the default, stands. Changes nothing.
///
/// # Errors
/// [`BpffsError`]: why it can be neither used nor prepared.
pub fn inspect(configured: Option<&Path>) -> Result<State, BpffsError> {
    let path = configured.unwrap_or(Path::new(DEFAULT));
    let place = nearest(path);
    if statfs_is_bpf(place).map_err(BpffsError::io("look at", place))? {
        return outlives_us(place).map(|()| State::Ready);
    }
    let home = Home::find().map_err(BpffsError::io("read the mounts of", path))?;
    if !matches!(home, Home::Ours) {
        return Err(BpffsError::PrivateNamespace(path.to_owned()));
    }
    if place != path {
        return if path.starts_with("/sys") { Err(BpffsError::Missing(path.to_owned())) } else { Ok(State::Mountable) };
    }
    match fs::read_dir(path).map(|mut files| files.next().is_none()) {
        Ok(true) => Ok(State::Mountable),
        Ok(false) => Err(BpffsError::Occupied(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(BpffsError::Occupied(path.to_owned())),
        Err(error) => Err(BpffsError::io("read", path)(error)),
    }
}

/// Makes the configured place for pins, or the default, ready: a folder in a BPF filesystem that outlives the daemon.
///
/// Mounts one where there is none and this process is in a mount namespace that lasts. Creates missing folders, but
/// none in /sys.
///
/// # Errors
/// [`BpffsError`]; each says the way out.
pub fn prepare(configured: Option<&Path>) -> Result<PathBuf, BpffsError> {
    let path = configured.unwrap_or(Path::new(DEFAULT));
    let state = inspect(configured)?;
    fs::create_dir_all(path).map_err(BpffsError::io("create", path))?;
    if state == State::Mountable {
        mount(path).map_err(BpffsError::io("mount a BPF filesystem at", path))?;
    }
    Ok(path.to_owned())
}

/// The path, or the nearest folder above it that exists.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."))
}

/// Whether the BPF filesystem at `path` is mounted where the daemon's end does not unmount it.
fn outlives_us(path: &Path) -> Result<(), BpffsError> {
    let mount = mount_of(path).map_err(BpffsError::io("find the mount of", path))?;
    if mount.read_only {
        return Err(BpffsError::ReadOnly(path.to_owned()));
    }
    let home = Home::find().map_err(BpffsError::io("read the mounts of", path))?;
    let lasts = match home {
        Home::Ours => true,
        // Every mount of a BPF filesystem makes a new one with a device number of its own: the same number is the
        // same filesystem, wherever and as often as it is mounted.
        Home::Theirs(mounts) => mounts.iter().any(|theirs| theirs.kind == "bpf" && theirs.device == mount.device),
        Home::Unknown => false,
    };
    if lasts { Ok(()) } else { Err(BpffsError::PrivateMount(path.to_owned())) }
}

/// The mount a path lies in, by the id the kernel gives for an open file (proc(5), fdinfo).
fn mount_of(path: &Path) -> io::Result<Mount> {
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?;
    let info = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd()))?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse::<u32>().ok());
    let own = mounts::parse(&fs::read("/proc/thread-self/mountinfo")?);
    own.into_iter()
        .find(|mount| Some(mount.id) == id)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its mount is not among this process's mounts"))
}

/// Mounts a BPF filesystem for root alone.
fn mount(path: &Path) -> io::Result<()> {
    let target = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RELATIME;
    // SAFETY: all strings end with a NUL and live across the call.
    let mounted =
        unsafe { libc::mount(c"bpf".as_ptr(), target.as_ptr(), c"bpf".as_ptr(), flags, c"mode=0700".as_ptr().cast()) };
    if mounted < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
