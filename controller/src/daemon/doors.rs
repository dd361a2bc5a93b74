//! Where the API is asked: taken before anything changes in the kernel.
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::Options;
use crate::adapters::http;
use crate::config::Config;

/// Where the API is asked.
pub(super) struct Doors {
    pub(super) socket: SocketFile,
    pub(super) listener: tokio::net::UnixListener,
    pub(super) public: Option<tokio::net::TcpListener>,
}

/// The socket's file: gone with the daemon, however its start ends.
pub(super) struct SocketFile(pub(super) PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already; a file that nobody answers at is removed by the next start.
        let _gone = std::fs::remove_file(&self.0);
    }
}

impl Doors {
    /// Listens, without answering yet.
    pub(super) async fn open(options: &Options, config: &Config) -> Result<Self> {
        let path = options.socket.clone().unwrap_or_else(|| config.api.socket.clone());
        let listener = http::bind(&path, config.api.group.as_deref())?;
        let socket = SocketFile(path);
        let public = match config.api.listen {
            None => None,
            Some(address) => {
                let bound = tokio::net::TcpListener::bind(address).await;
                Some(bound.with_context(|| format!("listen at {address} (`[api] listen`)"))?)
            }
        };
        Ok(Self { socket, listener, public })
    }
}
