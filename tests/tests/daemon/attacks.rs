//! Real attack tools against a real nginx, and who is no attacker.
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_tests::frames::{SERVER_V4, V4};
use weir_tests::harness::{PATIENCE, Site, wait_for};
use weir_tests::nginx::{MEMBER, Nginx, PAGES, give_address};

/// Where everybody comes from: each test has a network of its own.
const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// Requests after which nobody may wonder any more.
const ENOUGH: usize = 100;
/// How long after them, or after the tool's end, its packets may still pass.
const SOON: Duration = Duration::from_secs(2);
/// A browser, by its own word.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// A weir that follows a real nginx.
struct Scene {
    site: Site,
    nginx: Nginx,
}

impl Scene {
    fn new() -> Self {
        Self::with("")
    }

    /// With these settings beside.
    fn with(settings: &str) -> Self {
        let mut nginx = Nginx::idle("");
        let config = format!(
            "[[logs]]\npaths = [\"{}\"]\n[[logs]]\npaths = [\"{}\"]\n[rules]\nenabled = true\n\
             {settings}\n",
            nginx.access_log().display(),
            nginx.error_log().display()
        );
        let site = Site::new(&config);
        give_address(&site, CLIENT);
        nginx.run(&site.server);
        Self { site, nginx }
    }

    /// Starts a program where clients are.
    fn tool(&self, name: &str, package: &str, args: &[&str]) -> Tool {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.site.client.name(), name]).args(args);
        let folder = tempfile::Builder::new().prefix("weir-tool-").tempdir().unwrap();
        // Nobody's own settings, and nothing left behind.
        command.env("HOME", folder.path()).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
        assert!(is_there, "no {name} on PATH: install {package}");
        Tool { child: command.spawn().unwrap(), _folder: folder }
    }

    fn alerts(&self) -> Vec<Value> {
        let answer: Value = self.site.api().get("/api/alerts?limit=500");
        answer["alerts"].as_array().cloned().unwrap_or_default()
    }

    fn rules(&self) -> Vec<String> {
        self.alerts().iter().map(|alert| alert["rule"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn is_denied(&self) -> bool {
        self.site.api().explain(&CLIENT.to_string()).verdict == "rule"
    }

    /// Lets a tool attack until it is dropped, and asserts under which rules it is alerted: each of `wanted` is a part of
    /// some rule's id.
    #[track_caller]
    fn is_stopped(&self, mut tool: Tool, wanted: &[&str]) {
        let (mut enough, mut tool_ended) = (None, None);
        let start = Instant::now();
        let denied = loop {
            if self.is_denied() {
                break Instant::now();
            }
            if enough.is_none() && self.nginx.requests() >= ENOUGH {
                enough = Some(Instant::now());
            }
            if tool_ended.is_none() && tool.has_ended() {
                tool_ended = Some(Instant::now());
            }
            let since = [enough, tool_ended].into_iter().flatten().min();
            assert!(
                since.is_none_or(|since| since.elapsed() < SOON) && start.elapsed() < 4 * PATIENCE,
                "{} requests, and not dropped; alerts under {:?}; the log's last:\n{}",
                self.nginx.requests(),
                self.rules(),
                self.nginx.tail()
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        let after = enough.map(|enough| denied.saturating_duration_since(enough));
        println!("dropped after {} requests, {after:?} after the first hundred", self.nginx.requests());
        // What it sends now is dropped in the kernel.
        let dropped = |site: &Site| site.api().status().verdicts["rule"].packets;
        let before = dropped(&self.site);
        self.site.send(&[V4::from(CLIENT.octets()).frame()]);
        wait_for("a packet dropped as `rule`", PATIENCE, || (dropped(&self.site) > before).then_some(()));
        drop(tool);
        self.is_alerted(wanted);
        let alerts = self.alerts();
        let others: Vec<&Value> = alerts.iter().filter(|alert| alert["source"] != CLIENT.to_string()).collect();
        assert!(others.is_empty(), "nobody else is alerted: {others:?}");
    }

    /// Waits for alerts: each of `wanted` is a part of some rule's id.
    #[track_caller]
    fn is_alerted(&self, wanted: &[&str]) {
        let start = Instant::now();
        loop {
            let rules = self.rules();
            let missing: Vec<&&str> =
                wanted.iter().filter(|part| !rules.iter().any(|rule| rule.contains(**part))).collect();
            if missing.is_empty() {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{}\n{}\nof {} requests, no alert of {missing:?}, but of {rules:?}",
                self.nginx.tail(),
                self.site.daemon().log(),
                self.nginx.requests(),
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asserts that nobody was alerted above `low`, and nobody denied.
    #[track_caller]
    fn is_calm(&self) {
        let bad: Vec<Value> = self.alerts().into_iter().filter(|alert| alert["severity"] != "low").collect();
        assert!(bad.is_empty(), "{bad:?}");
        assert!(!self.is_denied());
        assert_eq!(self.site.api().status().verdicts["rule"].packets, 0);
    }
}

struct Tool {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Tool {
    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn url(path: &str) -> String {
    format!("http://{}{path}", Ipv4Addr::from(SERVER_V4))
}

/// Words for tools to try, in a file.
fn words(count: usize, word: impl Fn(usize) -> String) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text: String = (0..count).map(|at| word(at) + "\n").collect();
    fs::write(file.path(), text).unwrap();
    file
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn sqlmap_is_stopped_by_its_name() {
    let scene = Scene::new();
    let tool = scene.tool("sqlmap", "sqlmap", &["-u", &url("/item?id=1"), "--batch", "--timeout=3", "--retries=0"]);
    scene.is_stopped(tool, &["scanner-sqlmap"]);
}

#[test]
fn sqlmap_in_disguise_is_stopped_by_what_it_sends() {
    let scene = Scene::new();
    let agent = format!("--user-agent={BROWSER}");
    let args = ["-u", &url("/item?id=1"), "--batch", "--timeout=3", "--retries=0", &agent];
    let tool = scene.tool("sqlmap", "sqlmap", &args);
    scene.is_stopped(tool, &["sqli-"]);
}

#[test]
fn gobuster_in_disguise_is_stopped_by_what_it_does_not_find() {
    let scene = Scene::new();
    let list = words(5_000, |at| format!("name{at}"));
    let args = ["dir", "-q", "-u", &url("/"), "-w", &shown(list.path()), "-t", "4", "--timeout", "3s", "-a", BROWSER];
    let tool = scene.tool("gobuster", "gobuster", &args);
    scene.is_stopped(tool, &["probing-many-404"]);
}

#[test]
fn dirb_is_stopped_by_its_own_tests() {
    let scene = Scene::new();
    let list = words(5_000, |at| format!("name{at}"));
    let tool = scene.tool("dirb", "dirb", &[&url("/"), &shown(list.path()), "-S", "-r"]);
    scene.is_stopped(tool, &["scanner-tests"]);
}

/// What hydra is started with against what asks for a password itself.
fn hydra_basic(scene: &Scene, list: &Path) -> Tool {
    let server = Ipv4Addr::from(SERVER_V4).to_string();
    scene.tool(
        "hydra",
        "hydra",
        &["-l", MEMBER.0, "-P", &shown(list), "-t", "4", "-f", &server, "http-get", "/members/"],
    )
}

fn passwords() -> tempfile::NamedTempFile {
    words(5_000, |at| format!("password{at}"))
}

#[test]
fn hydra_is_stopped_by_its_name() {
    let (scene, list) = (Scene::new(), passwords());
    let tool = hydra_basic(&scene, list.path());
    scene.is_stopped(tool, &["scanner-password-brute"]);
}

#[test]
fn hydra_is_stopped_by_failed_sign_ins() {
    // It cannot be given another name here.
    let scene = Scene::with("[[rules.override]]\nid = \"scanner-password-brute\"\nenabled = false");
    let list = passwords();
    let tool = hydra_basic(&scene, list.path());
    scene.is_stopped(tool, &["auth-401-named"]);
}

#[test]
fn hydra_in_disguise_is_stopped_at_a_form() {
    let (scene, list) = (Scene::new(), passwords());
    let server = Ipv4Addr::from(SERVER_V4).to_string();
    let form = format!("/login:user=^USER^&password=^PASS^:H=User-Agent\\: {}:F=403", BROWSER.replace(':', "\\:"));
    let args = ["-l", MEMBER.0, "-P", &shown(list.path()), "-t", "4", &server, "http-post-form", &form];
    let tool = scene.tool("hydra", "hydra", &args);
    scene.is_stopped(tool, &["login-refused"]);
}

#[test]
fn wfuzz_in_disguise_is_stopped_by_what_it_sends() {
    let scene = Scene::new();
    let list = words(400, |at| {
        ["' or 1=1 -- ", "../../../../etc/passwd", "<script>alert(1)</script>", ";cat /etc/passwd"][at % 4].to_owned()
    });
    let agent = format!("User-Agent: {BROWSER}");
    let target = url("/item?q=FUZZ");
    let args = ["-w", &shown(list.path()), "--hc", "404", "-H", &agent, &target];
    let tool = scene.tool("wfuzz", "wfuzz", &args);
    scene.is_stopped(tool, &[]);
    let known = ["sqli-", "traversal-", "xss-", "cmd-", "lfi-"];
    let rules = scene.rules();
    assert!(rules.iter().all(|rule| known.iter().any(|part| rule.contains(part))), "{rules:?}");
}

#[test]
fn each_kind_of_payload_has_its_rule_and_nobody_is_denied_where_nothing_is_enforced() {
    let scene = Scene::with("[alerts]\nenforce = false");
    scene.site.client.inside(|| {
        for payload in
            ["%27+or+1%3D1+--+", "../../../../etc/passwd", "%3Cscript%3Ealert(1)%3C/script%3E", ";cat+/etc/passwd"]
        {
            for _ in 0..5 {
                get(&format!("/item?q={payload}"), BROWSER, "");
            }
        }
    });
    scene.is_alerted(&["sqli-", "traversal-", "xss-", "cmd-"]);
    assert!(!scene.is_denied());
}

/// Fetches pages as `visit` says, each `pause` after the last, with so many visitors beside each other.
fn browse(scene: &Scene, seconds: u64, pause: Duration, visitors: usize, visit: impl Fn(usize) + Sync) {
    let end = Instant::now() + Duration::from_secs(seconds);
    scene.site.client.inside(|| {
        std::thread::scope(|scope| {
            for visitor in 0..visitors {
                let visit = &visit;
                scope.spawn(move || {
                    let mut at = visitor * 7;
                    while Instant::now() < end {
                        visit(at);
                        at += 1;
                        // The pace is what is tested.
                        std::thread::sleep(pause);
                    }
                });
            }
        });
    });
}

/// The status of the answer to a request over a plain socket, from the namespace of the calling thread.
fn get(path: &str, agent: &str, more: &str) -> u16 {
    use std::io::{Read as _, Write as _};
    let address = std::net::SocketAddr::from((SERVER_V4, 80));
    let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: {agent}\r\n{more}Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[test]
fn a_polite_crawler_is_left_alone() {
    const CRAWLER: &str = "Mozilla/5.0 (compatible; ExampleBot/2.1; +http://www.example.org/bot.html)";
    let scene = Scene::new();
    browse(&scene, 12, Duration::from_millis(200), 1, |at| {
        let path = match at {
            0 => "/robots.txt".to_owned(),
            // Now and then a link that has gone.
            at if at % 25 == 24 => format!("/pages/old-{at}.html"),
            at => format!("/pages/{}.html", at % PAGES),
        };
        let status = get(&path, CRAWLER, "");
        assert!([200, 404].contains(&status), "{path}: {status}");
    });
    wait_for("all lines read", PATIENCE, || (scene.nginx.requests() >= 40).then_some(()));
    scene.is_calm();
}

#[test]
fn a_busy_office_behind_one_address_is_left_alone() {
    const AGENTS: [&str; 4] = [
        BROWSER,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
    ];
    let scene = Scene::new();
    // Forty people read at leisure; each page has a style sheet and a picture, and a few links are dead.
    browse(&scene, 12, Duration::from_millis(1_500), 40, |at| {
        let agent = AGENTS[at % AGENTS.len()];
        let referer = format!("Referer: {}\r\n", url(&format!("/pages/{}.html", at % PAGES)));
        let page = format!("/pages/{}.html?q=o%27reilly+%26+sons&utm_source=news", (at + 1) % PAGES);
        assert_eq!(get(&page, agent, &referer), 200);
        assert_eq!(get("/style.css", agent, &referer), 200);
        assert_eq!(get("/logo.svg", agent, &referer), 200);
        // Every browser asks by itself for what the site has not: with its first page, and now and then again.
        if at % 7 == 0 {
            for missing in ["/favicon.ico", "/apple-touch-icon.png", "/fonts/text.woff2", "/style.css.map"] {
                assert_eq!(get(missing, agent, &referer), 404, "{missing}");
            }
        }
        if at % 40 == 0 {
            assert_eq!(get(&format!("/pages/old-{}.html", at / 40), agent, &referer), 404);
        }
    });
    // One of them waits for something, and reloads and reloads.
    browse(&scene, 3, Duration::from_millis(100), 1, |_| {
        for path in ["/pages/7.html", "/style.css", "/logo.svg"] {
            assert_eq!(get(path, BROWSER, "Cache-Control: no-cache\r\n"), 200);
        }
    });
    // One mistypes a password. The one that another's browser has saved is old, and is sent three times before anybody
    // looks. Five would be an attack.
    scene.site.client.inside(|| {
        let sign_in = |password: &str| get("/members/", BROWSER, &format!("Authorization: Basic {password}\r\n"));
        let (mistyped, old, right) =
            ("YWxpY2U6b29wcw==", "YWxpY2U6YmF0dGVyeS1zdGFwbGU=", "YWxpY2U6Y29ycmVjdC1ob3JzZQ==");
        let answers = [mistyped, right, old, old, old, right].map(sign_in);
        assert_eq!(answers, [401, 200, 401, 401, 401, 200]);
    });
    wait_for("all lines read", PATIENCE, || (scene.nginx.requests() >= 600).then_some(()));
    scene.is_calm();
}
