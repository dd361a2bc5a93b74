//! The API as its own document says it is: schemathesis makes requests of the document, and holds every answer against it.
use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::harness::{PATIENCE, Plan, Site, wait_for};

/// The variable that names the program.
const VARIABLE: &str = "WEIR_TEST_SCHEMATHESIS";
/// How long it may take, all in all.
const LONGEST: Duration = Duration::from_mins(4);

/// Nothing is switched off that can be asked about.
const SETTINGS: &str = "\
[rules]
shipped = false
[events]
application = true
[audit]
events = \"all\"
[privacy]
hash_addresses = true
";

/// What is looked at in each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// The program that the environment names, or the one that set-up has installed.
fn schemathesis() -> PathBuf {
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/schemathesis/bin/schemathesis");
    let program = env::var_os(VARIABLE).map_or_else(installed, PathBuf::from);
    assert!(
        program.is_file(),
        "there is no schemathesis at {}: `cargo xtask setup` installs it, or {VARIABLE} names it",
        program.display()
    );
    program
}

/// A port of the loopback interface that leads to a socket.
struct Forwarder {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Forwarder {
    fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (address, ends) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&ends);
        let accepting = thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if flag.load(Ordering::Relaxed) {
                    break;
                }
                // A server that has gone is a connection that ends.
                if let Ok(server) = UnixStream::connect(&socket) {
                    forward(&client, &server).unwrap();
                }
            }
        });
        Self { address, ends, accepting: Some(accepting) }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // It wakes up by one more connection.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

/// Carries bytes both ways, each until its end.
fn forward(client: &TcpStream, server: &UnixStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut from_client, mut to_client) = (client.try_clone()?, client.try_clone()?);
    let (mut from_server, mut to_server) = (server.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut from_client, &mut to_server));
        drop(to_server.shutdown(Shutdown::Write));
    });
    thread::spawn(move || {
        drop(io::copy(&mut from_server, &mut to_client));
        drop(to_client.shutdown(Shutdown::Both));
    });
    Ok(())
}

/// Runs it to its end; how it ended, and what it said.
fn run(command: &mut Command, log: &Path) -> (ExitStatus, String) {
    let output = File::create(log).unwrap();
    let errors = output.try_clone().unwrap();
    let mut child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap();
    let start = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LONGEST {
            child.kill().unwrap();
            break child.wait().unwrap();
        }
        thread::sleep(Duration::from_millis(50));
    };
    (ended, fs::read_to_string(log).unwrap())
}

/// Something of everything that can be asked about.
fn fill(site: &Site) {
    let made = |path: &str, body: Value| -> Value {
        let answer = site.api().ask("POST", path, body.to_string().as_bytes());
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    };
    let event = |kind: &str, user: &str| json!({"type": kind, "address": "192.0.2.7", "user": user, "status": 200});
    made("/api/events", json!([event("login", "ann"), event("auth_failed", "bob"), event("http_request", "bob")]));
    let hunt = made("/api/hunts", json!({"name": "A hunt"}));
    let dataset = json!({"name": "A day", "from": "2026-01-01T00:00:00Z", "hunt_id": hunt["id"]});
    let dataset = made("/api/datasets", dataset);
    let alert = json!({"title": "Odd", "severity": "high", "source": "192.0.2.8", "dataset_id": dataset["id"]});
    made("/api/alerts", alert);
    let condition = json!({"field": "cs-uri-stem", "compare": "contains", "values": ["/probe"]});
    made("/api/alerts/rules", json!({"name": "A probe", "severity": "high", "conditions": [condition]}));
    made("/api/security/ip/blacklist", json!({"ip": "198.51.100.7", "reason": "test"}));
    wait_for("the events are kept", PATIENCE, || {
        let list: Value = site.api().get("/api/events");
        (list["total"].as_u64() >= Some(3)).then_some(())
    });
}

#[test]
fn the_api_is_what_its_document_says() {
    let program = schemathesis();
    let site = Site::of(&Plan { config: SETTINGS, ..Plan::default() });
    fill(&site);
    let document: Value = site.api().get("/api/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let forwarder = Forwarder::start(site.place.socket());
    let folder = site.place.folder();
    let mut command = Command::new(program);
    // It writes where it is started, and asks nobody but the daemon.
    command.current_dir(folder).env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    command.args(["run", "--no-color", "--seed", "1", "--max-examples", "30", "--checks", CHECKS]);
    command.args(["--phases", "examples,coverage,fuzzing", "--generation-database", "none"]);
    command.args(["--suppress-health-check", "all", "--warnings", "off", "--request-timeout", "30"]);
    command.arg(format!("http://{}/api/openapi.json", forwarder.address));
    let start = Instant::now();
    let (status, said) = run(&mut command, &folder.join("schemathesis.log"));
    assert!(status.success(), "schemathesis ended with {status} after {:?}:\n{said}", start.elapsed());
    // Whatever came: the daemon goes on and is well.
    assert!(site.api().status().health.problems.iter().all(|problem| !problem.contains("panic")), "{said}");
    let tried = said.lines().find(|line| line.contains(" generated, ")).unwrap_or_default().trim();
    println!("schemathesis: {tried}, {:.1} s", start.elapsed().as_secs_f64());
    assert!(!tried.is_empty(), "nothing was tried:\n{said}");
}
