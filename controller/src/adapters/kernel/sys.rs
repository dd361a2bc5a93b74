//! The one place that calls `bpf(2)` itself: what aya 0.14 does not offer (inner maps of any size and the types they are
//! described by, maps of one element that the object only has marks of, the interface behind a link, link updates that name
//! the program they expect).
//!
//! Every function is one system call over borrowed descriptors and plain bytes; lengths are checked before the call.
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::btf;

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_DELETE_ELEM: libc::c_long = 3;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const MAP_GET_FD_BY_ID: libc::c_long = 14;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BTF_LOAD: libc::c_long = 18;
const LINK_CREATE: libc::c_long = 28;
const LINK_UPDATE: libc::c_long = 29;

const LINK_DETACH: libc::c_long = 34;

const ATTACH_TYPE_XDP: u32 = 37;
const F_REPLACE: u32 = 4;

/// What a link is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// The link's id.
    pub id: u32,
    /// The program behind it.
    pub program_id: u32,
    /// The interface's index; 0 once the interface is gone.
    pub interface: u32,
}

/// The attribute union, large enough for every command here and zero where nothing is set.
#[repr(C, align(8))]
struct Attr([u8; 128]);

impl Attr {
    fn new() -> Self {
        Self([0; 128])
    }

    fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn fd(self, at: usize, fd: BorrowedFd<'_>) -> Self {
        self.u32(at, fd.as_raw_fd().cast_unsigned())
    }

    fn get_u32(&self, at: usize) -> u32 {
        self.0.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
    }

    fn ptr<T: ?Sized>(self, at: usize, ptr: *const T) -> Self {
        self.u64(at, ptr.cast::<u8>() as u64)
    }
}

fn bpf(command: libc::c_long, attr: &mut Attr) -> io::Result<i32> {
    // SAFETY: `attr` is a zeroed union of 128 bytes whose pointers the callers below keep alive across the call, and
    // whose lengths they have checked against the map.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr.0.as_mut_ptr(), attr.0.len()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel just returned this descriptor to us, and nobody else holds it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Gives the kernel types, for maps that are described by them.
///
/// # Errors
/// The system call's: no privilege, or a kernel that was built without types.
pub fn btf_load(types: &[u8]) -> io::Result<OwnedFd> {
    let len = u32::try_from(types.len()).map_err(io::Error::other)?;
    let mut attr = Attr::new().ptr(0, types).u32(16, len);
    bpf(BTF_LOAD, &mut attr).map(owned)
}

/// Creates a memory-mapped array that may be an inner map of any size; its keys are its elements' numbers.
///
/// It is described by types wherever the kernel has them, as the maps of the object are: Linux 5.15 to 6.2 takes an array
/// without for another kind of map.
///
/// # Errors
/// The system call's: no privilege, no memory, sizes the kernel refuses.
pub fn inner_array_create(name: &str, value: u32, entries: u32) -> io::Result<OwnedFd> {
    const INNER_MAP: u32 = 1 << 12;
    let told = |error: &io::Error| tracing::debug!(%error, "the kernel took no types; an array has none");
    let load = || btf_load(&btf::array_of_words(value / 8)).inspect_err(told).ok();
    let types = value.is_multiple_of(8).then(load).flatten();
    memory_create(name, value, entries, INNER_MAP, types.as_ref().map(OwnedFd::as_fd))
}

/// Creates a memory-mapped array of one element.
///
/// # Errors
/// As [`inner_array_create`].
pub fn array_create(name: &str, value: u32) -> io::Result<OwnedFd> {
    memory_create(name, value, 1, 0, None)
}

fn memory_create(
    name: &str,
    value: u32,
    entries: u32,
    flags: u32,
    types: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    const ARRAY: u32 = 2;
    const MMAPABLE: u32 = 1 << 10;
    let flags = flags | MMAPABLE;
    let mut attr = Attr::new().u32(0, ARRAY).u32(4, 4).u32(8, value).u32(12, entries).u32(16, flags);
    for (at, byte) in name.bytes().take(15).enumerate() {
        attr.0[28 + at] = byte;
    }
    if let Some(types) = types {
        attr = attr.fd(48, types).u32(52, btf::KEY).u32(56, btf::VALUE);
    }
    bpf(MAP_CREATE, &mut attr).map(owned)
}

/// Reads the value of `key` into `value`; `false` where there is none. Both must be of the map's sizes.
///
/// # Errors
/// The system call's.
pub fn map_lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let mut attr = Attr::new().fd(0, map).ptr(8, key).ptr(16, value);
    found(bpf(MAP_LOOKUP_ELEM, &mut attr))
}

/// Stores `value` under `key`; `flags` 0 replaces, 1 inserts only.
///
/// # Errors
/// The system call's: `E2BIG` or `ENOSPC` where the map is full.
pub fn map_update(map: BorrowedFd<'_>, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
    let mut attr = Attr::new().fd(0, map).ptr(8, key).ptr(16, value).u64(24, flags);
    bpf(MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Removes `key`; `false` where it was not there.
///
/// # Errors
/// The system call's.
pub fn map_delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
    let mut attr = Attr::new().fd(0, map).ptr(8, key);
    found(bpf(MAP_DELETE_ELEM, &mut attr))
}

/// Writes the key after `key` (the first, for `None`) into `next`; `false` at the end.
///
/// # Errors
/// The system call's.
pub fn map_next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let mut attr = Attr::new().fd(0, map).ptr(16, next);
    if let Some(key) = key {
        attr = attr.ptr(8, key);
    }
    found(bpf(MAP_GET_NEXT_KEY, &mut attr))
}

/// Reads many entries of a hash map at once: keys and values next to each other, as many as there is room for. `at` says
/// where to go on, and is `None` at first and after the last; the result is how many were read.
///
/// # Errors
/// The system call's: `EINVAL` before Linux 5.6, `ENOSPC` where the room does not hold what the kernel reads at once.
pub fn map_lookup_batch(
    map: BorrowedFd<'_>,
    at: &mut Option<u32>,
    keys: &mut [u8],
    values: &mut [u8],
    room: u32,
) -> io::Result<u32> {
    const MAP_LOOKUP_BATCH: libc::c_long = 24;
    let mut next = [0; 4];
    let from = at.map(u32::to_ne_bytes);
    let mut attr = Attr::new().ptr(8, &raw mut next).ptr(16, keys).ptr(24, values).u32(32, room).fd(36, map);
    if let Some(from) = &from {
        attr = attr.ptr(0, from);
    }
    match bpf(MAP_LOOKUP_BATCH, &mut attr) {
        Ok(_) => *at = Some(u32::from_ne_bytes(next)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => *at = None,
        Err(error) => return Err(error),
    }
    Ok(attr.get_u32(32))
}

/// Pins an object under a path of a BPF filesystem.
///
/// # Errors
/// The system call's; `InvalidInput` where the path holds a NUL.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = Attr::new().ptr(0, path.as_ptr()).fd(8, object);
    bpf(OBJ_PIN, &mut attr).map(drop)
}

/// Opens the object pinned under a path.
///
/// # Errors
/// As [`pin`]; `NotFound` where nothing is pinned there.
pub fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = Attr::new().ptr(0, path.as_ptr());
    bpf(OBJ_GET, &mut attr).map(owned)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

/// Opens a map by its id.
///
/// # Errors
/// The system call's.
pub fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    bpf(MAP_GET_FD_BY_ID, &mut Attr::new().u32(0, id)).map(owned)
}

/// Opens a program by its id.
///
/// # Errors
/// The system call's.
pub fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    bpf(PROG_GET_FD_BY_ID, &mut Attr::new().u32(0, id)).map(owned)
}

/// The kernel's description of an object, as its leading bytes.
fn info(object: BorrowedFd<'_>) -> io::Result<Box<[u8; 256]>> {
    let mut info = Box::new([0u8; 256]);
    let mut attr = Attr::new().fd(0, object).u32(4, 256).ptr(8, info.as_mut_ptr());
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

fn word(info: &[u8; 256], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&info[at..at + 4]);
    u32::from_ne_bytes(bytes)
}

/// What a link is attached to.
///
/// # Errors
/// The system call's.
pub fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let info = info(link)?;
    Ok(LinkInfo { id: word(&info, 4), program_id: word(&info, 8), interface: word(&info, 16) })
}

/// A program's id and name.
///
/// # Errors
/// The system call's.
pub fn program_info(program: BorrowedFd<'_>) -> io::Result<(u32, String)> {
    let info = info(program)?;
    // struct bpf_prog_info: type, id, tag[8], 2 lengths, 2 pointers, load_time, uid, nr_map_ids, map_ids, name[16]
    let name: Vec<u8> = info[64..80].iter().copied().take_while(|b| *b != 0).collect();
    Ok((word(&info, 4), String::from_utf8_lossy(&name).into_owned()))
}

/// A map's entries and id.
///
/// # Errors
/// The system call's.
pub fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let info = info(map)?;
    Ok(MapInfo { id: word(&info, 4), key: word(&info, 8), value: word(&info, 12), entries: word(&info, 16) })
}

/// A map's id and sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapInfo {
    /// Id.
    pub id: u32,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// Entries that fit.
    pub entries: u32,
}

/// Attaches a program to an interface by a BPF link; never by netlink, whose attachment nothing could pin.
///
/// # Errors
/// The system call's: `EBUSY` where another program is attached, `EOPNOTSUPP` or `ERANGE` where the driver or its MTU
/// cannot do the mode, `EINVAL` where the kernel has no XDP links (before 5.9).
pub fn link_create(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = Attr::new().fd(0, program).u32(4, interface).u32(8, ATTACH_TYPE_XDP).u32(12, flags);
    bpf(LINK_CREATE, &mut attr).map(owned)
}

/// Swaps the program behind a link, if it is the expected one.
///
/// # Errors
/// `EPERM` where another program is behind the link: nothing changes then. `ENOLINK` where the interface is gone.
pub fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>, expected: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = Attr::new().fd(0, link).fd(4, program).u32(8, F_REPLACE).fd(12, expected);
    bpf(LINK_UPDATE, &mut attr).map(drop)
}

/// Takes a link off its interface while descriptors of it are still open somewhere.
///
/// # Errors
/// The system call's; `ENOLINK` where the interface is gone already.
pub fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(LINK_DETACH, &mut Attr::new().fd(0, link)).map(drop)
}

fn found(result: io::Result<i32>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Borrows the descriptor of anything that has one.
pub fn fd<T: AsFd + ?Sized>(object: &T) -> BorrowedFd<'_> {
    object.as_fd()
}
