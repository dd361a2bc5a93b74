//! A daemon for tests: answers on a socket of its own, and keeps what it was asked.
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use crate::domain::report::Problem;

/// What is answered to a method and a path.
type Answers = Arc<dyn Fn(&Method, &str) -> (u16, String) + Send + Sync>;
type Asked = Arc<Mutex<Vec<String>>>;

/// Runs until dropped.
#[derive(Debug)]
pub(crate) struct FakeDaemon {
    folder: TempDir,
    asked: Asked,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeDaemon {
    /// Answers as told: a status and a body.
    pub(crate) fn new(answers: impl Fn(&Method, &str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let asked = Asked::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let state = (Arc::new(answers) as Answers, Arc::clone(&asked));
        let socket = folder.path().join("weir.sock");
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = UnixListener::bind(socket).unwrap();
                ready.send(()).unwrap();
                let router = Router::new().fallback(answer).with_state(state);
                let served = axum::serve(listener, router);
                tokio::select! {
                    result = async { served.await } => result.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().unwrap();
        Self { folder, asked, stop: Some(stop), thread: Some(thread) }
    }

    /// Answers everything the same.
    pub(crate) fn always(status: u16, body: impl Into<String>) -> Self {
        let body = body.into();
        Self::new(move |_, _| (status, body.clone()))
    }

    /// Answers everything with a problem.
    pub(crate) fn refusing(status: u16, kind: &str, detail: &str) -> Self {
        let problem = Problem {
            kind: kind.to_owned(),
            title: "Problem".to_owned(),
            status,
            detail: detail.to_owned(),
            rejects: Vec::new(),
            hits: Vec::new(),
        };
        Self::always(status, serde_json::to_string(&problem).unwrap())
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("weir.sock")
    }

    /// A folder that lives as long.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it was asked so far: method, path and query, body.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        // Both are there until now, and the thread ends with the channel.
        drop(self.stop.take());
        self.thread.take().map(JoinHandle::join);
    }
}

async fn answer(State((answers, asked)): State<(Answers, Asked)>, method: Method, uri: Uri, body: Bytes) -> Response {
    let text = format!("{method} {uri} {}", String::from_utf8_lossy(&body));
    asked.lock().unwrap().push(text.trim_end().to_owned());
    let (status, body) = answers(&method, &uri.to_string());
    (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
