//! The UNIX socket, only for those the kernel says may speak.
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

use super::error::ApiError;
use crate::adapters::socket_file::{Place, SocketError};

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

/// Makes the socket: in a folder of its own (0750), mode 0660, of the given group.
///
/// # Errors
/// [`SocketError`]; what is in the way is only removed if it is a socket nobody answers at.
pub fn bind(path: &Path, group: Option<&str>) -> Result<UnixListener, SocketError> {
    let place = Place { path, group, setting: "`[api] socket`", group_setting: "`[api] group`" };
    place.bind(|path| std::os::unix::net::UnixStream::connect(path).is_ok(), |path| UnixListener::bind(path))
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
