//! Maps as typed tables, and arrays as mapped memory.
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::sys;

/// A kernel map with keys `K` and values `V`.
#[derive(Debug)]
pub struct Table<K, V> {
    fd: OwnedFd,
    types: PhantomData<(K, V)>,
}

impl<K, V> Table<K, V>
where
    K: FromBytes + IntoBytes + Immutable + Copy,
    V: FromBytes + IntoBytes + Immutable + Copy,
{
    /// The map behind `fd`.
    ///
    /// # Errors
    /// `InvalidData` where the map's key or value has another size: it belongs to another version.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let info = sys::map_info(fd.as_fd())?;
        if info.key as usize != size_of::<K>() || info.value as usize != size_of::<V>() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "map {} holds keys of {} and values of {} bytes, not of {} and {}",
                    info.id,
                    info.key,
                    info.value,
                    size_of::<K>(),
                    size_of::<V>()
                ),
            ));
        }
        Ok(Self { fd, types: PhantomData })
    }

    /// Its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Entries that fit.
    ///
    /// # Errors
    /// The system call's.
    pub fn capacity(&self) -> io::Result<u32> {
        Ok(sys::map_info(self.fd())?.entries)
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// The system call's.
    pub fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = V::new_zeroed();
        let found = sys::map_lookup(self.fd(), key.as_bytes(), value_bytes(&mut value))?;
        Ok(found.then_some(value))
    }

    /// Stores `value` under `key`.
    ///
    /// # Errors
    /// The system call's; `E2BIG` or `ENOSPC` where the map is full.
    pub fn set(&self, key: &K, value: &V) -> io::Result<()> {
        sys::map_update(self.fd(), key.as_bytes(), value.as_bytes(), 0)
    }

    /// Removes `key`; `false` where it was not there.
    ///
    /// # Errors
    /// The system call's.
    pub fn remove(&self, key: &K) -> io::Result<bool> {
        sys::map_delete(self.fd(), key.as_bytes())
    }

    /// Every key, in the kernel's order.
    ///
    /// # Errors
    /// The system call's.
    pub fn keys(&self) -> io::Result<Vec<K>> {
        let mut keys = Vec::new();
        let mut last: Option<K> = None;
        let mut next = K::new_zeroed();
        while sys::map_next_key(self.fd(), last.as_ref().map(IntoBytes::as_bytes), value_bytes(&mut next))? {
            keys.push(next);
            last = Some(next);
        }
        Ok(keys)
    }
}

impl<K, V> Table<K, V>
where
    K: FromBytes + IntoBytes + Immutable + Copy,
    V: FromBytes + IntoBytes + Immutable + Copy,
{
    /// Every entry of a hash map, in the kernel's order: by the thousand where the kernel can (Linux 5.6), else one by one.
    ///
    /// # Errors
    /// The system call's.
    pub fn entries(&self) -> io::Result<Vec<(K, V)>> {
        const AT_ONCE: usize = 4_096;
        let (mut keys, mut values) = (vec![K::new_zeroed(); AT_ONCE], vec![V::new_zeroed(); AT_ONCE]);
        let mut entries = Vec::new();
        let mut at = None;
        loop {
            let (key_bytes, value_bytes) = (keys.as_mut_bytes(), values.as_mut_bytes());
            let room = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
            match sys::map_lookup_batch(self.fd(), &mut at, key_bytes, value_bytes, room) {
                Ok(read) => entries.extend(keys.iter().copied().zip(values.iter().copied()).take(read as usize)),
                Err(_) => return self.entries_one_by_one(),
            }
            if at.is_none() {
                return Ok(entries);
            }
        }
    }

    fn entries_one_by_one(&self) -> io::Result<Vec<(K, V)>> {
        let mut entries = Vec::new();
        for key in self.keys()? {
            if let Some(value) = self.get(&key)? {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }
}

/// The bytes of a value the kernel writes into.
fn value_bytes<V: FromBytes + IntoBytes>(value: &mut V) -> &mut [u8] {
    value.as_mut_bytes()
}

/// An array map, mapped: reads and writes are memory accesses, no system calls.
///
/// The kernel and other processes read and write the same memory, so every access is a whole, volatile copy of one
/// element; counters read while they move may be torn between fields but never between bytes of a word.
#[derive(Debug)]
pub struct Mapped<T> {
    start: NonNull<T>,
    len: usize,
    bytes: usize,
    types: PhantomData<T>,
}

// SAFETY: the mapping is shared memory that stays valid until drop; elements are plain integers accessed by volatile
// copies.
unsafe impl<T: Send> Send for Mapped<T> {}
// SAFETY: as above: nothing hands out references into the mapping.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T: FromBytes + IntoBytes + Copy> Mapped<T> {
    /// Maps all elements of an array map created as memory-mapped; of one that has a single element, as many as that holds.
    ///
    /// # Errors
    /// `mmap`'s; `InvalidData` where the map's values have another size.
    pub fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        let info = sys::map_info(map)?;
        // The kernel pads elements to eight bytes.
        let (size, stride) = (size_of::<T>(), size_of::<T>().next_multiple_of(8));
        let is_one_of_many = info.entries == 1 && size == stride && (info.value as usize).is_multiple_of(size);
        if info.value as usize != size && !is_one_of_many {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("array {} holds values of {} bytes, not of {}", info.id, info.value, size_of::<T>()),
            ));
        }
        let len = if is_one_of_many { info.value as usize / size } else { info.entries as usize };
        let bytes = (stride * len).next_multiple_of(4096);
        // SAFETY: a fresh mapping of a descriptor we hold, at an address the kernel chooses.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned null"))?;
        Ok(Self { start, len, bytes, types: PhantomData })
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn at(&self, index: usize) -> Option<*mut u8> {
        let stride = size_of::<T>().next_multiple_of(8);
        // SAFETY: `index` is below `len`, so the element lies inside the mapping.
        (index < self.len).then(|| unsafe { self.start.as_ptr().cast::<u8>().add(index * stride) })
    }

    /// A copy of an element.
    pub fn read(&self, index: usize) -> Option<T> {
        let element = self.at(index)?.cast::<T>();
        // SAFETY: inside the mapping and aligned to eight bytes, and any bytes are a valid `T`.
        Some(unsafe { element.read_volatile() })
    }

    /// Stores a part of an element, so many bytes from its start, and leaves the rest to whoever writes it; `false` beyond
    /// the end.
    pub fn write_part<U: IntoBytes + Copy>(&self, index: usize, offset: usize, part: U) -> bool {
        let Some(element) = self.at(index) else { return false };
        if !offset.is_multiple_of(align_of::<U>()) || offset.saturating_add(size_of::<U>()) > size_of::<T>() {
            return false;
        }
        // SAFETY: inside the element, which is inside the mapping and aligned to eight bytes.
        unsafe { element.add(offset).cast::<U>().write_volatile(part) };
        true
    }

    /// Stores an element; `false` beyond the end.
    pub fn write(&self, index: usize, value: T) -> bool {
        let Some(element) = self.at(index) else { return false };
        // SAFETY: inside the mapping and aligned to eight bytes.
        unsafe { element.cast::<T>().write_volatile(value) };
        true
    }
}

impl Mapped<u64> {
    /// Publishes a word: all earlier writes are visible to whoever sees it. `false` beyond the end.
    pub fn publish(&self, index: usize, value: u64) -> bool {
        let Some(word) = self.at(index) else { return false };
        // SAFETY: an aligned word inside the mapping, accessed atomically here and by one load in the kernel.
        let word = unsafe { std::sync::atomic::AtomicU64::from_ptr(word.cast()) };
        word.store(value, std::sync::atomic::Ordering::Release);
        true
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
