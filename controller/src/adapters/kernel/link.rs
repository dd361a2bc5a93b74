//! Attachment: pinned BPF links, adopted across restarts, swapped in place across upgrades.
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::sys;

const FLAG_GENERIC: u32 = 2;
const FLAG_NATIVE: u32 = 4;

/// How the program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the stack, before anything else: works everywhere, costs more.
    Generic,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// The mode that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum WantedMode {
    /// Native where the driver can, else generic.
    #[default]
    Auto,
    /// Native or not at all.
    Native,
    /// Generic.
    Generic,
}

/// A live attachment.
#[derive(Debug)]
pub struct Attached {
    /// The link.
    pub link: OwnedFd,
    /// How it is attached.
    pub mode: Mode,
    /// Why native mode could not be had, where it was wanted.
    pub fell_back: Option<String>,
}

/// Why the program could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Another program is there.
    #[error("another XDP program is attached to {interface}{who}; weir never replaces it: detach it first")]
    Busy {
        /// The interface.
        interface: String,
        /// Its id and name, where known.
        who: String,
    },
    /// Native mode cannot be had.
    #[error("native XDP cannot be attached to {interface}: {why}; use --mode auto or generic")]
    NoNative {
        /// The interface.
        interface: String,
        /// The kernel's reason.
        why: String,
    },
    /// No XDP links.
    #[error("this kernel has no BPF links for XDP (Linux 5.9): weir does not attach in a way it could not pin")]
    NoLinks,
    /// Anything else.
    #[error("{what} {interface}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The interface.
        interface: String,
        /// The system call's error.
        #[source]
        error: io::Error,
    },
}

fn io_error(what: &'static str, interface: &str) -> impl FnOnce(io::Error) -> AttachError {
    let interface = interface.to_owned();
    move |error| AttachError::Io { what, interface, error }
}

/// Attaches `program` to an interface and pins the link. `occupant` says who is there, for the error.
///
/// # Errors
/// [`AttachError`]; nothing is attached then.
pub fn attach(
    program: BorrowedFd<'_>,
    interface: &str,
    index: u32,
    wanted: WantedMode,
    pin: &Path,
    occupant: impl Fn() -> Option<String>,
) -> Result<Attached, AttachError> {
    let mut fell_back = None;
    let mut created = None;
    if wanted != WantedMode::Generic {
        match sys::link_create(program, index, FLAG_NATIVE) {
            Ok(link) => created = Some((link, Mode::Native)),
            Err(error) => {
                let why = why_no_native(&error);
                match (why, wanted) {
                    (Some(why), WantedMode::Native) => {
                        return Err(AttachError::NoNative { interface: interface.to_owned(), why });
                    }
                    (Some(why), _) => fell_back = Some(why),
                    (None, _) => return Err(refused(error, interface, &occupant)),
                }
            }
        }
    }
    let (link, mode) = match created {
        Some(created) => created,
        None => (
            sys::link_create(program, index, FLAG_GENERIC).map_err(|error| refused(error, interface, &occupant))?,
            Mode::Generic,
        ),
    };
    // A pin of an interface that is gone may be in the way; a live one cannot be, since the attachment succeeded.
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove a stale link of", interface)(error));
        }
        _ => {}
    }
    sys::pin(link.as_fd(), pin).map_err(io_error("pin the link of", interface))?;
    Ok(Attached { link, mode, fell_back })
}

fn refused(error: io::Error, interface: &str, occupant: &impl Fn() -> Option<String>) -> AttachError {
    match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => {
            let who = occupant().map(|who| format!(" ({who})")).unwrap_or_default();
            AttachError::Busy { interface: interface.to_owned(), who }
        }
        Some(libc::EINVAL) => AttachError::NoLinks,
        _ => io_error("attach to", interface)(error),
    }
}

/// The kernel's reason in words, where it is one that generic mode does not share.
fn why_no_native(error: &io::Error) -> Option<String> {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => Some("its driver has no XDP support".to_owned()),
        Some(libc::ERANGE) => Some("its MTU is too large for one buffer; lower it to 3498 or less".to_owned()),
        Some(libc::ENOMEM) => Some("the driver found no memory for its queues".to_owned()),
        Some(libc::ENOSPC) => Some("the driver has too few queues for this many CPUs".to_owned()),
        _ => None,
    }
}

/// Adopts the link pinned for an interface, if it is alive and on that interface, and puts `program` behind it.
///
/// `Ok(None)` where there is no pin or its interface is gone: attach anew then.
///
/// # Errors
/// [`AttachError::Io`].
pub fn adopt(
    program: BorrowedFd<'_>,
    program_id: u32,
    interface: &str,
    index: u32,
    pin: &Path,
) -> Result<Option<OwnedFd>, AttachError> {
    let link = match sys::open_pin(pin) {
        Ok(link) => link,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open the pinned link of", interface)(error)),
    };
    let info = sys::link_info(link.as_fd()).map_err(io_error("read the link of", interface))?;
    if info.interface != index {
        return Ok(None);
    }
    if info.program_id != program_id {
        let old = sys::program_by_id(info.program_id).map_err(io_error("open the program on", interface))?;
        sys::link_update(link.as_fd(), program, old.as_fd()).map_err(io_error("swap the program on", interface))?;
    }
    Ok(Some(link))
}
