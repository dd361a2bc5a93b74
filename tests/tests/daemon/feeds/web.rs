//! A publisher in the daemon's namespace.
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use weir_tests::harness::Site;

use super::server::{Script, Server, Step, answer, path};

/// What is at a path.
#[derive(Clone)]
enum Page {
    /// Whatever this says.
    Steps(Vec<Step>),
    /// A list with an entity tag; who knows it is told that nothing changed.
    List { text: Vec<u8>, tag: String },
}

/// A request: its head, and when it came.
pub(super) struct Asked {
    pub(super) head: String,
    pub(super) at: Instant,
}

#[derive(Default)]
struct Pages {
    at: BTreeMap<String, Page>,
    asked: BTreeMap<String, Vec<Asked>>,
    lists: usize,
}

/// The publisher. It is on every loopback address, so that each feed can have a host of its own: weir asks a host once
/// in ten seconds.
pub(super) struct Web {
    pages: Arc<Mutex<Pages>>,
    port: u16,
    _server: Server,
    _runtime: Runtime,
}

impl Web {
    pub(super) fn new(site: &Site) -> Self {
        let listener = site.server.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
        listener.set_nonblocking(true).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let pages = Arc::new(Mutex::new(Pages::default()));
        let shared = Arc::clone(&pages);
        let script: Script = Arc::new(move |head, _| shared.lock().unwrap_or_else(PoisonError::into_inner).steps(head));
        let server = runtime.block_on(async { Server::on(listener.try_into().unwrap(), script).unwrap() });
        Self { pages, port: server.port(), _server: server, _runtime: runtime }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Puts a list at a path, under an entity tag of its own.
    pub(super) fn put(&self, path: &str, text: impl Into<Vec<u8>>) {
        let mut pages = self.pages();
        pages.lists += 1;
        let tag = format!("\"{}\"", pages.lists);
        pages.at.insert(path.to_owned(), Page::List { text: text.into(), tag });
    }

    /// Puts anything at a path.
    pub(super) fn put_steps(&self, path: &str, steps: Vec<Step>) {
        self.pages().at.insert(path.to_owned(), Page::Steps(steps));
    }

    /// Takes away what was asked for at a path so far.
    pub(super) fn asked(&self, path: &str) -> Vec<Asked> {
        self.pages().asked.remove(path).unwrap_or_default()
    }

    /// The configuration of a feed at a path of a host.
    pub(super) fn feed(&self, name: &str, host: u8, path: &str, more: &str) -> String {
        let port = self.port;
        format!(
            "[[feeds]]\nname = \"{name}\"\nurl = \"http://127.0.0.{host}:{port}{path}\"\nallow_http = true\n\
             allow_private = true\n{more}\n"
        )
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn steps(&mut self, head: &str) -> Vec<Step> {
        let path = path(head).to_owned();
        let asked = Asked { head: head.to_ascii_lowercase(), at: Instant::now() };
        self.asked.entry(path.clone()).or_default().push(asked);
        match self.at.get(&path) {
            None => answer("404 Not Found", &[], b"nothing here"),
            Some(Page::Steps(steps)) => steps.clone(),
            Some(Page::List { tag, .. }) if head.contains(tag.as_str()) => {
                answer("304 Not Modified", &[&format!("ETag: {tag}")], b"")
            }
            Some(Page::List { text, tag }) => answer("200 OK", &[&format!("ETag: {tag}")], text),
        }
    }
}
