//! Network namespaces without a name: gone with the last descriptor and the last thread in them.
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::thread;

/// A network namespace.
#[derive(Debug)]
pub struct Namespace(OwnedFd);

impl Namespace {
    /// Makes an empty one.
    ///
    /// # Errors
    /// The system call's; `EPERM` without `CAP_SYS_ADMIN`.
    pub fn new() -> io::Result<Self> {
        thread::scope(|scope| {
            // A thread of its own, so that the caller stays where it is.
            let made = scope.spawn(|| {
                // SAFETY: takes no pointers; it changes the calling thread only, which ends here.
                if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(Self(File::open("/proc/thread-self/ns/net")?.into()))
            });
            made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Another handle on the same one.
    ///
    /// # Errors
    /// The system call's.
    pub fn another(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Takes the calling thread into it: its sockets from here on, its threads and its children.
    ///
    /// # Errors
    /// The system call's.
    pub fn enter(&self) -> io::Result<()> {
        enter(self.0.as_fd())
    }

    /// Does something on a thread that is in it.
    ///
    /// # Errors
    /// The entering's, or what `task` fails with.
    pub fn inside<T: Send, E: From<io::Error> + Send>(
        &self,
        task: impl FnOnce() -> Result<T, E> + Send,
    ) -> Result<T, E> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter()?;
                task()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// As [`Namespace::enter`]; one system call, so it may stand between fork and exec.
///
/// # Errors
/// The system call's.
pub fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an open descriptor and a constant; it changes the calling thread only.
    if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
