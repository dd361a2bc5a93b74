//! The maps whose addresses stand in the program: made or opened here, and put into the object before it is loaded.
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use weir_common::abi::low;
use weir_common::area::{self, Area};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::object::LoadError;
use super::sys;

/// A descriptor for each of [`area::ALL`].
#[derive(Debug)]
pub(super) struct Areas(Vec<OwnedFd>);

/// An object in memory, aligned as the ELF parser wants it.
#[repr(C, align(32))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Chunk([u8; 32]);

/// An object with the maps in it.
pub(super) struct Patched {
    chunks: Vec<Chunk>,
    len: usize,
}

impl Patched {
    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.chunks.as_bytes().get(..self.len).unwrap_or_default()
    }
}

impl Areas {
    /// Opens those that are pinned at the given paths, and makes the others.
    ///
    /// # Errors
    /// The system call's; `InvalidData` where a pinned map is of another size.
    pub(super) fn open(pins: &HashMap<&'static str, PathBuf>) -> Result<Self, LoadError> {
        let open = |area: &Area| {
            let pinned = pins.get(area.name).map(|path| sys::open_pin(path));
            match pinned {
                Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Some(Ok(map)) => check(map, area),
                _ => sys::array_create(area.name, u32::try_from(area.bytes).map_err(io::Error::other)?),
            }
        };
        let failed = |area: &Area, error| LoadError::Io { what: format!("open the map {}", area.name), error };
        let all = area::ALL.iter().map(|area| open(area).map_err(|error| failed(area, error)));
        Ok(Self(all.collect::<Result<_, _>>()?))
    }

    /// The object with these maps where their marks are.
    ///
    /// # Errors
    /// [`LoadError::Missing`] where it has no mark of one of them.
    pub(super) fn put_into(&self, object: &[u8]) -> Result<Patched, LoadError> {
        let mut patched = Patched { chunks: vec![Chunk([0; 32]); object.len().div_ceil(32)], len: object.len() };
        let bytes = patched.chunks.as_mut_bytes();
        for (to, from) in bytes.iter_mut().zip(object) {
            *to = *from;
        }
        for (area, map) in area::ALL.iter().zip(&self.0) {
            if put(bytes, area.mark, map.as_raw_fd().cast_unsigned()) == 0 {
                return Err(LoadError::Missing(format!("place for the address of map {}", area.name)));
            }
        }
        Ok(patched)
    }

    /// Pins those that have a path and are not pinned yet, the control words last: where they are, all maps are.
    ///
    /// # Errors
    /// The system call's.
    pub(super) fn pin(&self, pins: &HashMap<&'static str, PathBuf>) -> Result<(), LoadError> {
        for (area, map) in area::ALL.iter().zip(&self.0).rev() {
            let Some(path) = pins.get(area.name) else { continue };
            match sys::pin(map.as_fd(), path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(LoadError::Io { what: format!("pin the map {}", area.name), error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The descriptor of the map with this name.
    pub(super) fn fd(&self, name: &str) -> Option<BorrowedFd<'_>> {
        let at = area::ALL.iter().position(|area| area.name == name)?;
        self.0.get(at).map(OwnedFd::as_fd)
    }
}

fn check(map: OwnedFd, area: &Area) -> io::Result<OwnedFd> {
    let info = sys::map_info(map.as_fd())?;
    if info.entries != 1 || info.value as usize != area.bytes {
        let (entries, value, bytes) = (info.entries, info.value, area.bytes);
        let what =
            format!("it holds {entries} values of {value} bytes, not one of {bytes}: it belongs to another version");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(map)
}

/// Puts a map wherever an instruction loads its mark; returns in how many places.
///
/// The instruction is two slots of eight bytes (RFC 9669 §5.4): the first has the opcode, the registers and the lower half
/// of the number, the second the upper half. With the source "address of a map's value", the halves are the map and an
/// offset.
fn put(object: &mut [u8], mark: u64, map: u32) -> usize {
    const LOAD: u8 = 0x18;
    const MAP_VALUE: u8 = 2 << 4;
    let halves = [low(mark), low(mark >> 32)].map(u32::to_le_bytes);
    let mut places = 0;
    for at in (0..object.len().saturating_sub(15)).step_by(8) {
        let Some([code, registers, 0, 0, rest @ ..]) = object.get_mut(at..at + 16) else { continue };
        let Some((first, second)) = rest.split_at_mut_checked(4) else { continue };
        let is_mark = *code == LOAD
            && *registers & 0xf0 == 0
            && *first == halves[0]
            && second.starts_with(&[0; 4])
            && second.ends_with(&halves[1]);
        if is_mark {
            *registers |= MAP_VALUE;
            first.copy_from_slice(&map.to_le_bytes());
            second.fill(0);
            places += 1;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_put_where_its_mark_is_loaded_and_nowhere_else() {
        let mark = area::POLICY.mark;
        let load = |register: u8, number: u64| {
            let mut slots = [0; 16];
            slots[0] = 0x18;
            slots[1] = register;
            slots[4..8].copy_from_slice(&number.to_le_bytes()[..4]);
            slots[12..].copy_from_slice(&number.to_le_bytes()[4..]);
            slots
        };
        let before = [load(3, mark), load(1, mark + 1), [0x55; 16], load(9, mark)].concat();
        let mut object = [&before[..], &mark.to_le_bytes()].concat();
        assert_eq!(put(&mut object, mark, 77), 2);
        let at = |slot: usize| &object[16 * slot..16 * slot + 16];
        assert_eq!(at(0), [0x18, 0x23, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(at(3), [0x18, 0x29, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((&object[16..48], &object[64..]), (&before[16..48], &mark.to_le_bytes()[..]));
        assert_eq!(put(&mut object, mark, 78), 0);
        assert_eq!(put(&mut [], mark, 78), 0);
    }
}
