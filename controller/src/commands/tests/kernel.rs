//! A pinned instance without a daemon, on a BPF filesystem of its own. Needs root.
use std::ffi::CString;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tempfile::TempDir;
use weir_common::abi::{OVERLAY_SEGMENTS, OverlayValue, Ruling, Segment, control_word, overlay_flag};
use weir_common::judge::RANK_OPERATOR_DENY;
use weir_common::verdict::Verdict;

use crate::adapters::kernel::instance::Instance;
use crate::adapters::kernel::map::Table;
use crate::adapters::kernel::object;
use crate::config;
use crate::daemon::load;
use crate::domain::decision::{Enforcement, EntryInfo};
use crate::domain::desired::{BLOCK, Desired};
use crate::domain::guard::Guards;
use crate::sync::takeover::{self, Kernel};

/// Everything goes when it is dropped.
pub(crate) struct Pinned {
    pub(crate) instance: Instance,
    /// A configuration that names it.
    pub(crate) config: PathBuf,
    kernel: Kernel,
    text: String,
    _mount: Mount,
    _folder: TempDir,
}

/// Mounted until dropped.
struct Mount(CString);

impl Drop for Mount {
    fn drop(&mut self) {
        // SAFETY: the path ends with a NUL and lives across the call.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

impl Pinned {
    /// An instance with these settings that denies these prefixes.
    pub(crate) fn new(settings: &str, denied: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (bpf, state) = (folder.path().join("bpf"), folder.path().join("state"));
        std::fs::create_dir(&bpf).unwrap();
        std::fs::create_dir(&state).unwrap();
        let place = CString::new(bpf.as_os_str().as_bytes()).unwrap();
        // SAFETY: all texts end with a NUL and live across the call.
        let mounted = unsafe { libc::mount(c"bpf".as_ptr(), place.as_ptr(), c"bpf".as_ptr(), 0, std::ptr::null()) };
        assert_eq!(mounted, 0, "{}: this test needs root", std::io::Error::last_os_error());
        let mount = Mount(place);
        let text = format!("[state]\ndir = {state:?}\nbpffs = {bpf:?}\n{settings}");
        let config = folder.path().join("weir.toml");
        std::fs::write(&config, &text).unwrap();
        let instance = Instance::of(&bpf, &state);
        let kernel = takeover::take_over(&instance, 1_000).unwrap();
        let pinned = Self { instance, config, kernel, text, _mount: mount, _folder: folder };
        pinned.put(denied);
        pinned
    }

    /// Another policy, which denies these prefixes and has an empty overlay.
    pub(crate) fn put(&self, denied: &[&str]) {
        let loaded = config::parse(&self.text, "weir.toml", std::iter::empty()).unwrap();
        let cpus = object::possible_cpus().unwrap();
        let settings = load::settings(&self.text, &loaded, "weir.toml", false, cpus).unwrap();
        let mut desired = Desired::new();
        for prefix in denied {
            let info = EntryInfo {
                reason: Arc::from("test"),
                added_at: Timestamp::UNIX_EPOCH,
                expiry: None,
                enforcement: Enforcement::Enforce,
                forced: false,
                sequence: 1,
            };
            desired.list_mut(BLOCK).unwrap().entries.insert(prefix.parse().unwrap(), info);
        }
        let guards = Guards::default();
        takeover::first_policy(&self.kernel.writer, &desired, &guards, &settings, Enforcement::Enforce, 1, None)
            .unwrap();
    }

    /// Denies an address in the overlay until this second of the boot-time clock.
    pub(crate) fn overlay_deny(&self, address: [u8; 4], until_s: u64) {
        let map = object::open_map(&self.instance.maps(), "OVERLAY_V4").unwrap();
        let table: Table<[u8; 4], OverlayValue> = Table::new(map).unwrap();
        let mut value = OverlayValue { segments: [Segment::default(); OVERLAY_SEGMENTS], ..OverlayValue::default() };
        value.segments[0] = Segment {
            expires_at_s: u32::try_from(until_s).unwrap(),
            enforced: Ruling::deny(RANK_OPERATOR_DENY, 1, Verdict::Denied, 0),
            observed: Ruling::NONE,
        };
        table.set(&address, &value).unwrap();
        self.instance.control().unwrap().publish(control_word::OVERLAY as usize, overlay_flag::EXACT_V4);
    }

    /// The program's descriptor.
    pub(crate) fn program(&self) -> std::os::fd::BorrowedFd<'_> {
        self.kernel.program.as_fd()
    }
}

/// A UDP packet from this address, so many bytes long in all.
pub(crate) fn frame(source: [u8; 4], len: u16) -> Vec<u8> {
    let mut frame = vec![0; usize::from(len)];
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&(len - 14).to_be_bytes());
    frame[22..24].copy_from_slice(&[64, 17]);
    frame[26..30].copy_from_slice(&source);
    frame[30..34].copy_from_slice(&[198, 51, 100, 1]);
    frame[38..40].copy_from_slice(&(len - 34).to_be_bytes());
    frame
}
