//! What programs read: metrics, health, reports; and who may.
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use weir_tests::frames::{V4, V6, v6};
use weir_tests::harness::{PATIENCE, Site, wait_for};

fn from(last: u8) -> Vec<u8> {
    V4::from([192, 0, 2, last]).frame()
}

/// The value of a metric with these labels.
#[track_caller]
fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in:\n{text}")).parse().unwrap()
}

#[test]
#[expect(clippy::float_cmp, reason = "small whole numbers")]
fn metrics_please_promtool_and_tell_what_the_kernel_counted() {
    let site = Site::new("[limits.source]\npackets_per_second = 1000");
    site.api().block(&["192.0.2.1"]);
    site.api().import("feed", "198.51.100.0/24\n").document::<Value>();
    site.send(&[from(1), from(2), V4::from([198, 51, 100, 7]).frame(), from(3)]);
    site.saw(&[("denied", 2), ("pass", 2)]);
    let answer = site.api().ask("GET", "/metrics", b"");
    assert_eq!((answer.status, answer.kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    assert_eq!(metric(&text, "weir_packets_total{verdict=\"denied\"}"), 2.0);
    assert_eq!(metric(&text, "weir_packets_total{verdict=\"pass\"}"), 2.0);
    assert_eq!(metric(&text, "weir_list_packets_total{list=\"feed\",origin=\"operator\"}"), 1.0);
    assert_eq!(metric(&text, "weir_interface_attached{interface=\"wv0\",mode=\"native\"}"), 1.0);
    assert_eq!(metric(&text, "weir_bypass"), 0.0);
    assert!(!text.contains("192.0.2.1"), "an address is in the metrics");
    pleases_promtool(&text);
}

#[test]
#[expect(clippy::float_cmp, reason = "small whole numbers")]
fn metrics_tell_of_feeds_databases_and_the_crowdsec_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let list = file("list", "45.1.0.1\n45.1.0.2\n45.1.0.3\n10.0.0.1\nnonsense\n");
    let countries = file("countries", "45.2.0.0,45.2.255.255,DE\n");
    let key = file("key", "secret");
    let site = Site::new(&format!(
        "[[feeds]]\nname = \"good\"\nfile = \"{list}\"\n[[feeds]]\nname = \"lost\"\nfile = \"/nowhere/at/all\"\n\
         [geo]\ncountry_file = \"{countries}\"\ndeny = [\"DE\"]\n\
         [crowdsec]\nenabled = true\napi_url = \"http://127.0.0.1:1/\"\napi_key_file = \"{key}\"\n"
    ));
    site.send(&[V4::from([45, 1, 0, 1]).frame(), V4::from([45, 2, 0, 1]).frame()]);
    let text = wait_for("all were asked", PATIENCE, || {
        let text = site.api().ask("GET", "/metrics", b"").text();
        let all =
            ["feed=\"lost\",outcome=\"file\"", "feed=\"good\",outcome=\"changed\"", "weir_crowdsec_requests_total{"];
        all.iter().all(|words| text.contains(words)).then_some(text)
    });
    pleases_promtool(&text);
    assert_eq!(metric(&text, "weir_feed_up{feed=\"good\"}"), 1.0);
    assert_eq!(metric(&text, "weir_feed_up{feed=\"lost\"}"), 0.0);
    assert_eq!(metric(&text, "weir_feed_entries{feed=\"good\"}"), 3.0);
    assert_eq!(metric(&text, "weir_feed_rejected_lines{feed=\"good\",reason=\"special\"}"), 1.0);
    assert_eq!(metric(&text, "weir_feed_rejected_lines{feed=\"good\",reason=\"syntax\"}"), 1.0);
    assert_eq!(metric(&text, "weir_feed_requests_total{feed=\"good\",outcome=\"changed\"}"), 1.0);
    assert!(!text.contains("weir_feed_last_success_timestamp_seconds{feed=\"lost\"}"));
    assert_eq!(metric(&text, "weir_crowdsec_up"), 0.0);
    assert_eq!(metric(&text, "weir_list_entries{list=\"country-DE\",origin=\"country\"}"), 1.0);
    let now = jiff::Timestamp::now().as_duration().as_secs_f64();
    let loaded = format!("weir_geo_loaded_timestamp_seconds{{file=\"{countries}\",knows=\"country\"}}");
    for time in ["weir_feed_last_success_timestamp_seconds{feed=\"good\"}", &loaded] {
        assert!((now - metric(&text, time)).abs() < 60.0, "{time}:\n{text}");
    }
    assert!(!text.contains("45.1.0.1") && !text.contains("secret"), "{text}");
}

/// Asserts that Prometheus' own tool finds nothing to say about metrics.
#[track_caller]
pub(crate) fn pleases_promtool(text: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool: `cargo xtask setup` installs it");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = child.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn health_is_about_the_daemon_and_readiness_about_the_protection() {
    let site = Site::new("");
    let status = |path: &str| site.api().ask("GET", path, b"").status;
    assert_eq!((status("/healthz"), status("/readyz")), (200, 200));
    site.weir(&["bypass", "on"]).well();
    assert_eq!((status("/healthz"), status("/readyz")), (200, 503));
    let why = site.api().ask("GET", "/readyz", b"").text();
    assert!(why.contains("bypass is on") && why.contains("weir bypass off"), "{why}");
    site.weir(&["bypass", "off"]).well();
    assert_eq!((status("/healthz"), status("/readyz")), (200, 200));
}

#[test]
fn the_socket_is_for_its_owner_and_group_alone() {
    let site = Site::new("");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    let socket = site.place.socket();
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o660, 0o750));
    // Nobody is neither: the folder keeps them out, and where it does not, the socket does.
    let nobody = || {
        let weir = site.place.folder().join("weir");
        std::fs::copy(weir_tests::harness::binary::path(), &weir).unwrap();
        std::fs::set_permissions(site.place.folder(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(weir);
        command.args(["--socket", &socket.display().to_string(), "status"]).uid(65_534).gid(65_534).current_dir("/");
        weir_tests::harness::command::without_settings(&mut command);
        weir_tests::harness::command::said(&mut command)
    };
    assert_ne!(nobody().code, Some(0));
    std::fs::set_permissions(socket.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_ne!(nobody().code, Some(0));
    // And where even that is opened, the kernel's word on who asks counts.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    nobody().badly(1, &["uid 65534", "may not speak to weir"]);
}

#[test]
fn members_of_the_group_in_the_configuration_may_use_the_socket() {
    let site = Site::new("api.group = \"nogroup\"");
    let socket = site.place.socket();
    let gid = socket.metadata().unwrap().gid();
    assert_ne!(gid, 0);
    std::fs::set_permissions(site.place.folder(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let weir = site.place.folder().join("weir");
    std::fs::copy(weir_tests::harness::binary::path(), &weir).unwrap();
    let mut command = Command::new(weir);
    command.args(["--socket", &socket.display().to_string(), "block", "add", "192.0.2.1"]);
    command.uid(65_534).gid(gid).current_dir("/");
    weir_tests::harness::command::without_settings(&mut command);
    weir_tests::harness::command::said(&mut command).well();
    assert_eq!(site.weir(&["block", "export"]).well(), "192.0.2.1\n");
}

#[test]
fn over_tcp_there_are_metrics_and_health_and_nothing_else() {
    let site = Site::idle(&weir_tests::harness::Plan::default());
    site.server.ip(&["link", "set", "lo", "up"]);
    site.place.configure("api.listen = \"127.0.0.1:9471\"");
    let mut site = site;
    site.start();
    let get = |path: &str| {
        let mut stream = site.server.inside(|| TcpStream::connect("127.0.0.1:9471").unwrap());
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert!(get(path).starts_with("HTTP/1.1 200"), "{path}: {}", get(path));
    }
    for path in ["/api/status", "/api/block", "/api/config"] {
        assert!(get(path).starts_with("HTTP/1.1 404"), "{path}: {}", get(path));
    }
}

#[test]
fn top_names_the_loudest_and_counts_what_was_dropped_of_theirs() {
    let site = Site::new("");
    site.api().block(&["192.0.2.1"]);
    let v6 = V6::from(v6(0x2001_0db8, 0x0007_0000, 9)).frame();
    site.send(&vec![from(1); 30]);
    site.send(&vec![from(2); 20]);
    site.send(&vec![v6; 10]);
    site.saw(&[("denied", 30), ("pass", 30)]);
    let said = site.weir(&["-o", "json", "top", "--once", "--by", "drops"]).well();
    let rows: Vec<Value> = serde_json::from_str(&said).unwrap();
    let row =
        |at: usize| (rows[at]["address"].as_str().unwrap(), rows[at]["packets"].as_u64(), rows[at]["dropped"].as_u64());
    assert_eq!(row(0), ("192.0.2.1", Some(30), Some(30)));
    assert_eq!(row(1), ("192.0.2.2", Some(20), Some(0)));
    assert_eq!(row(2), ("2001:db8:7::/64", Some(10), Some(0)));
}

#[test]
fn explain_names_the_entry_that_decides_and_the_list_it_is_on() {
    let mut site = Site::new("");
    site.api().import("feed", "192.0.2.0/24\n").document::<Value>();
    site.weir(&["block", "add", "192.0.2.1", "--reason", "loud"]).well();
    let said = site.weir(&["explain", "192.0.2.9"]).well();
    assert!(said.contains("denied") && said.contains("feed") && said.contains("192.0.2.0/24"), "{said}");
    assert_eq!(site.api().explain("198.51.100.1").verdict, "pass");
    assert_eq!(site.api().explain("203.0.113.80").protected.as_deref(), Some("address of wv0"));
    // Of one origin's entries the narrowest decides, once it is in the tables.
    site.kill();
    site.start();
    let explained = site.api().explain("192.0.2.1");
    assert_eq!(explained.verdict, "denied");
    let chain: Vec<(&str, bool)> =
        explained.entries.iter().map(|entry| (entry.prefix.as_str(), entry.decides)).collect();
    assert_eq!(chain, [("192.0.2.1/32", true), ("192.0.2.0/24", false)]);
}

#[test]
fn status_adds_up_and_has_every_promised_key() {
    let site = Site::new("");
    site.api().block(&["192.0.2.1"]);
    site.send(&[from(1), from(2), from(2)]);
    site.saw(&[("denied", 1), ("pass", 2)]);
    let status: Value = serde_json::from_str(&site.weir(&["-o", "json", "status"]).well()).unwrap();
    for key in [
        "version",
        "uptime_s",
        "enforcement",
        "generation",
        "interfaces",
        "emergency",
        "threat_level",
        "packets",
        "bytes",
        "verdicts",
        "lists",
        "feeds",
        "capacity",
        "health",
    ] {
        assert!(status.get(key).is_some(), "{key}");
    }
    let bytes = |packets: usize| (from(1).len() * packets) as u64;
    assert_eq!(
        status["packets"],
        serde_json::json!({"seen": 3, "passed": 2, "dropped": 1, "would_drop": 0, "replied": 0})
    );
    assert_eq!(status["bytes"]["seen"], bytes(3));
    assert_eq!(status["verdicts"]["denied"]["bytes"], bytes(1));
    let text = site.weir(&["status"]).well();
    assert!(text.contains("wv0") && text.contains("native") && text.contains("denied"), "{text}");
}

#[test]
fn dropped_packets_are_sampled_with_the_reason() {
    let site = Site::new("");
    site.api().block(&["192.0.2.1"]);
    site.send(&[from(1), from(2)]);
    site.saw(&[("denied", 1), ("pass", 1)]);
    let rows = wait_for("the sample", PATIENCE, || {
        let rows: Vec<Value> = site.api().get("/api/samples");
        (!rows.is_empty()).then_some(rows)
    });
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["verdict"], &rows[0]["list"]), (&Value::from("denied"), &Value::from("block")));
    assert_eq!(rows[0]["length"], from(1).len());
    // The Ethernet destination, as it came.
    assert!(rows[0]["bytes"].as_str().unwrap().starts_with("020000000002"), "{}", rows[0]);
}
