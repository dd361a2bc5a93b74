//! A feed from an HTTP server beside the daemon: what a refresh costs that brings nothing, and how soon one is enforced
//! that brings something.
use std::io::{BufRead as _, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use weir::domain::report::FeedRow;
use weir_common::verdict::Verdict;

use super::{Follow, between};
use crate::bench::import::List;
use crate::harness::watch::Watch;
use crate::harness::{PATIENCE, Plan, Site, wait_for};

/// Refreshes of each sort.
const TRIES: usize = 5;

/// The feed's name.
const NAME: &str = "followed";

pub(super) fn measure(follow: &mut Follow, progress: &mut impl Write, stop: &AtomicBool) -> Result<()> {
    let list = List::find()?;
    writeln!(progress, "follow: {} by HTTP, {TRIES} refreshes of each sort", list.name)?;
    let addresses = list.addresses();
    // The last ones come one by one.
    let held_back =
        addresses.len().checked_sub(TRIES).and_then(|from| addresses.get(from..)).context("a longer list")?;
    let at =
        held_back.first().and_then(|first| list.text.find(&format!("\n{first}"))).context("the list's own text")?;
    let (begin, rest) = list.text.split_at(at + 1);
    let rest: Vec<&str> = rest.lines().collect();
    let site = Site::idle(&Plan { alone: true, ..Plan::default() });
    site.server.ip(&["link", "set", "lo", "up"]);
    let server = Server::start(&site, begin)?;
    site.place.configure(&format!(
        "[[feeds]]\nname = \"{NAME}\"\nurl = \"http://127.0.0.1:{}/list.txt\"\nallow_http = true\nallow_private = true\n\
         interval = \"12h\"\nformat = \"{}\"\n",
        server.port,
        if list.name == "ipsum" { "ipsum" } else { "plain" }
    ));
    let mut site = site;
    let start = Instant::now();
    site.start();
    let listed = addresses.first().context("a list with an address")?;
    let first = between(start, Watch::start(&site, listed.octets(), Verdict::Feed).seen());
    let is_told = |feed: &FeedRow| feed.name == NAME && feed.last_success.is_some();
    wait_for("the feed's first answer", PATIENCE, || site.api().status().feeds.iter().any(is_told).then_some(()));
    let refresh = || site.weir(&["feeds", "refresh", NAME]);
    let (mut unchanged, mut requests, mut generations) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TRIES {
        crate::bench::go_on(stop)?;
        let (asked, generation) = (server.requests(), site.api().status().generation);
        let said = refresh();
        unchanged.push(between(Server::moment(&server.served.asked), Instant::now()));
        ensure!(said.code == Some(0), "weir feeds refresh: {}", said.err);
        requests.push(count(server.requests() - asked));
        generations.push(count(site.api().status().generation - generation));
    }
    let (mut enforced, mut rebuilt) = (Vec::new(), Vec::new());
    let mut text = begin.to_owned();
    for (address, line) in held_back.iter().zip(rest) {
        crate::bench::go_on(stop)?;
        text.push_str(line);
        text.push('\n');
        server.serve(&text);
        let generation = site.api().status().generation;
        let watch = Watch::start(&site, address.octets(), Verdict::Feed);
        let said = refresh();
        ensure!(said.code == Some(0), "weir feeds refresh: {}", said.err);
        enforced.push(between(Server::moment(&server.served.replied), watch.seen()));
        rebuilt.push(count(site.api().status().generation - generation));
    }
    let name = format!("feed ({}, {} addresses)", list.name, addresses.len());
    follow.row(format!("{name}: start of the daemon to its first answer in force"), "ms", vec![first]);
    follow.row(
        format!("{name}: a refresh that brings nothing, from the request to the command's end"),
        "ms",
        unchanged,
    );
    follow.row(format!("{name}: requests of such a refresh"), "", requests);
    follow.row(format!("{name}: generations made by it"), "", generations);
    follow.row(format!("{name}: a changed one, end of the reply to first drop"), "ms", enforced);
    follow.row(format!("{name}: generations made by it"), "", rebuilt);
    Ok(())
}

fn count(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

/// What is served, under a tag that changes with it.
#[derive(Debug, Default)]
struct Served {
    now: Mutex<(u64, String)>,
    requests: AtomicU64,
    /// When the last request had been read.
    asked: Mutex<Option<Instant>>,
    /// When the last reply had been written.
    replied: Mutex<Option<Instant>>,
}

/// A server of one document. Its thread lasts as long as the process.
struct Server {
    port: u16,
    served: Arc<Served>,
}

impl Server {
    fn start(site: &Site, text: &str) -> Result<Self> {
        let listener = site.server.inside(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let port = listener.local_addr()?.port();
        let server = Self { port, served: Arc::default() };
        server.serve(text);
        let counts = Arc::clone(&server.served);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Who asked and went is not waited for.
                drop(answer(stream, &counts));
            }
        });
        Ok(server)
    }

    fn serve(&self, text: &str) {
        let mut now = self.served.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (now.0 + 1, text.to_owned());
    }

    fn requests(&self) -> u64 {
        self.served.requests.load(Ordering::Relaxed)
    }

    fn moment(of: &Mutex<Option<Instant>>) -> Instant {
        of.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Instant::now)
    }
}

fn answer(mut stream: TcpStream, served: &Served) -> std::io::Result<()> {
    let mut condition = String::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("if-none-match")
        {
            value.trim().clone_into(&mut condition);
        }
    }
    *served.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    served.requests.fetch_add(1, Ordering::Relaxed);
    let (tag, text) = {
        let now = served.now.lock().unwrap_or_else(PoisonError::into_inner);
        (format!("\"{}\"", now.0), now.1.clone())
    };
    if condition == tag {
        write!(stream, "HTTP/1.1 304 Not Modified\r\netag: {tag}\r\nconnection: close\r\n\r\n")?;
    } else {
        let head = "content-type: text/plain\r\nconnection: close";
        write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\netag: {tag}\r\ncontent-length: {}\r\n\r\n{text}", text.len())?;
    }
    *served.replied.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    Ok(())
}
