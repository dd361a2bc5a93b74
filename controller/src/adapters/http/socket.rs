//! The UNIX socket: made safely, and only for those the kernel says may speak.
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

use super::error::ApiError;

/// Who speaks, as the kernel says.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    uid: Option<u32>,
    pid: Option<i32>,
}

impl Peer {
    /// Whom the audit trail names.
    pub(super) fn actor(&self) -> String {
        match (self.uid, self.pid) {
            (Some(uid), Some(pid)) => format!("uid {uid} (pid {pid})"),
            (Some(uid), None) => format!("uid {uid}"),
            (None, _) => "unknown".to_owned(),
        }
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self {
            uid: credentials.as_ref().map(tokio::net::unix::UCred::uid),
            pid: credentials.as_ref().and_then(tokio::net::unix::UCred::pid),
        }
    }
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something that is not a socket is in the way.
    #[error("{0} exists and is not a socket; remove it or set `[api] socket` to another path")]
    InTheWay(PathBuf),
    /// Another daemon answers there.
    #[error("another daemon answers at {0}; stop it, or set `[api] socket` to another path")]
    Alive(PathBuf),
    /// No such group.
    #[error("there is no group {0:?}; make it, or change `[api] group`")]
    NoGroup(String),
    /// Anything else.
    #[error("{what} {path}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system call's error.
        #[source]
        error: io::Error,
    },
}

/// Makes the socket: in a folder of its own (0750), mode 0660, of the given group.
///
/// # Errors
/// [`SocketError`]; what is in the way is only removed if it is a socket nobody answers at.
pub fn bind(path: &Path, group: Option<&str>) -> Result<UnixListener, SocketError> {
    let io = |what: &'static str| {
        let path = path.to_path_buf();
        move |error| SocketError::Io { what, path, error }
    };
    let gid = group.map(group_id).transpose()?;
    if let Some(folder) = path.parent()
        && !folder.exists()
    {
        fs::create_dir_all(folder).map_err(io("make the folder of"))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o750)).map_err(io("protect the folder of"))?;
        if let Some(gid) = gid {
            std::os::unix::fs::chown(folder, None, Some(gid)).map_err(io("give the folder to the group of"))?;
        }
    }
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(SocketError::Alive(path.to_path_buf()));
            }
            fs::remove_file(path).map_err(io("remove the stale socket"))?;
        }
        Ok(_) => return Err(SocketError::InTheWay(path.to_path_buf())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io("look at")(error)),
    }
    // Nobody but us from birth; opened to the group only once it is right.
    // SAFETY: sets the process's mask and returns the old one; no memory is involved.
    let old = unsafe { libc::umask(0o177) };
    let bound = UnixListener::bind(path);
    // SAFETY: as above.
    unsafe { libc::umask(old) };
    let listener = bound.map_err(io("listen at"))?;
    if let Some(gid) = gid {
        std::os::unix::fs::chown(path, None, Some(gid)).map_err(io("give to the group"))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(io("set the mode of"))?;
    Ok(listener)
}

/// Serves the routes to root, to the daemon's own user, and to members of the socket's group (whom the file's mode let
/// through); ends with the future.
///
/// # Errors
/// The listener's.
pub async fn serve(
    listener: UnixListener,
    path: &Path,
    router: Router,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // SAFETY: no arguments, no memory.
    let own = unsafe { libc::geteuid() };
    let has_group = fs::metadata(path).is_ok_and(|metadata| metadata.gid() != 0);
    let router =
        router.layer(from_fn(move |ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next| async move {
            match peer.uid {
                Some(uid) if uid == 0 || uid == own || has_group => next.run(request).await,
                _ => refuse(&peer),
            }
        }));
    axum::serve(listener, router.into_make_service_with_connect_info::<Peer>()).with_graceful_shutdown(end).await
}

fn refuse(peer: &Peer) -> Response {
    let detail = format!("{} may not speak to weir; be root, or a member of the group in `[api] group`", peer.actor());
    ApiError::new(StatusCode::FORBIDDEN, detail).into_response()
}

fn group_id(name: &str) -> Result<u32, SocketError> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    groups
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let (group, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
            (group == name).then(|| gid.parse().ok()).flatten()
        })
        .ok_or_else(|| SocketError::NoGroup(name.to_owned()))
}
