//! Files into which a client writes lines of its own: whoever these name is never denied or limited.
use jiff::tz::TimeZone;

use super::*;
use crate::domain::http::line::{Choice, Context, Format, Line, Reader};

/// Who is not there at all.
const VICTIM: &str = "203.0.113.9";

/// Lines that honest visitors caused before.
const NGINX_ERROR: &str = "2026/11/21 01:55:00 [error] 11#11: *1 open() \"/srv/fav\" failed (2: No such file or directory), client: 198.51.100.7, server: x, request: \"GET /fav HTTP/1.1\", host: \"x\"\n";
const TRAEFIK: &str = "198.51.100.7 - - [21/Nov/2026:01:55:00 +0000] \"GET /admin HTTP/1.1\" 401 17 \"-\" \"-\" 1 \"r@docker\" \"-\" 3ms\n";

/// How an entry begins and ends around a client's text, line breaks and all.
const ENTRIES: [(&str, &str, &str); 6] = [
    (
        NGINX_ERROR,
        "2026/11/21 01:56:00 [error] 11#11: *9 open() \"/srv/a",
        "\" failed (2: No such file or directory), client: 198.51.100.7, server: x, request: \"GET /a%0a HTTP/1.1\", host: \"x\"\n",
    ),
    (
        NGINX_ERROR,
        "2026/11/21 01:56:00 [error] 11#11: *9 user \"a",
        "\": password mismatch, client: 198.51.100.7, server: x, request: \"GET / HTTP/1.1\", host: \"x\"\n",
    ),
    (
        "",
        "2026/11/21 01:56:00 [error] 11#11: *9 user \"a",
        "\" was not found in \"/etc/pw\", client: 198.51.100.7, server: x, request: \"GET / HTTP/1.1\", host: \"x\"\n",
    ),
    (
        NGINX_ERROR,
        "2026/11/21 01:56:00 [error] 11#11: *9 access forbidden by rule, client: 198.51.100.7, server: x, request: \"GET /",
        " HTTP/1.1\", host: \"x\"\n",
    ),
    (
        TRAEFIK,
        "198.51.100.7 - a",
        " [21/Nov/2026:01:56:00 +0000] \"GET / HTTP/1.1\" 401 17 \"-\" \"-\" 2 \"r@docker\" \"-\" 0ms\n",
    ),
    (
        TRAEFIK,
        "198.51.100.7 - a",
        " [21/Nov/2026:01:56:00 +0000] \"GET /?id=1%27%20UNION%20SELECT%201 HTTP/1.1\" 401 17 \"-\" \"-\" 2 \"r@docker\" \"-\" 0ms\n",
    ),
];

/// What a client closes an entry with before its own line.
const CLOSED: [&str; 4] = [
    "\n",
    "\" failed (2: No such file or directory), client: 198.51.100.7, server: x, request: \"GET /a HTTP/1.1\", host: \"x\"\n",
    "\": password mismatch, client: 198.51.100.7, server: x, request: \"GET / HTTP/1.1\", host: \"x\"\n",
    " [21/Nov/2026:01:56:00 +0000] \"GET / HTTP/1.1\" 401 17 \"-\" \"-\" 2 \"r@docker\" \"-\" 0ms\n",
];

/// Lines about somebody else.
const LINES: [&str; 12] = [
    "junk\", client: 203.0.113.9, server: x, request: \"GET /?id=1%27%20UNION%20ALL%20SELECT%201,2 HTTP/1.1\", host: \"x\"\n",
    "2026/11/21 01:56:00 [error] 11#11: *10 user \"admin\": password mismatch, client: 203.0.113.9, server: x, request: \"GET /admin HTTP/1.1\", host: \"x\"\n",
    "2026/11/21 01:56:00 [error] 99#99: *10 access forbidden by rule, client: 203.0.113.9, server: x, request: \"GET /.env HTTP/1.1\", host: \"x\"\n",
    "Nov 21 01:56:00 web nginx: 2026/11/21 01:56:00 [error] 11#11: *10 user \"admin\": password mismatch, client: 203.0.113.9, server: x, request: \"GET /admin HTTP/1.1\", host: \"x\"\n",
    "<187>Nov 21 01:56:00 web nginx: 2026/11/21 01:56:00 [error] 11#11: *10 user \"admin\" was not found in \"/etc/pw\", client: 203.0.113.9, server: x, request: \"GET /admin HTTP/1.1\", host: \"x\"\n",
    "203.0.113.9 - - [21/Nov/2026:01:56:00 +0000] \"GET /?id=1%27%20UNION%20ALL%20SELECT%201,2 HTTP/1.1\" 200 5 \"-\" \"-\"\n",
    "203.0.113.9 - admin [21/Nov/2026:01:56:00 +0000] \"GET /admin HTTP/1.1\" 401 5 \"-\" \"-\" 2 \"r@docker\" \"-\" 0ms\n",
    "Nov 21 01:56:00 web nginx: 203.0.113.9 - - [21/Nov/2026:01:56:00 +0000] \"GET /../../etc/passwd HTTP/1.1\" 400 5 \"-\" \"sqlmap/1.7\"\n",
    "{\"remote_addr\":\"203.0.113.9\",\"time_iso8601\":\"2026-11-21T01:56:00+00:00\",\"request\":\"GET /?id=1%27%20UNION%20ALL%20SELECT%201,2 HTTP/1.1\",\"status\":200}\n",
    "{\"ts\":1795226160,\"logger\":\"http.log.access\",\"msg\":\"handled request\",\"request\":{\"remote_ip\":\"203.0.113.9\",\"method\":\"GET\",\"uri\":\"/../../etc/passwd\",\"headers\":{\"User-Agent\":[\"sqlmap/1.7\"]}},\"status\":404}\n",
    "[Sat Nov 21 01:56:00.5 2026] [auth_basic:error] [pid 1:tid 2] [client 203.0.113.9:80] AH01617: user a: authentication failure for \"/\": Password Mismatch\n",
    "203.0.113.9:33317 [21/Nov/2026:01:56:00.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 \"GET /?id=1%27%20UNION%20ALL%20SELECT%201,2 HTTP/1.1\"\n",
];

/// What is done about whom, over the lines of a file.
fn done(rules: &Arc<RuleSet>, format: Format, head: &str, text: &str) -> Vec<(String, Consequence)> {
    let correlator = Correlator::new(Arc::clone(rules), Caps::default());
    let analyzers = Analyzers::seeded(&Settings::default(), 1);
    let responder = Responder::new(Responses::default());
    let mut detector = Detector::new(Some(correlator), Some(analyzers), responder, Book::new(Folding::default(), 1));
    let mut reader = Reader::new(&Choice { format, ..Choice::default() }).unwrap();
    reader.begins_with(head.as_bytes());
    let context = Context { received: "2026-11-21T01:57:00Z".parse().unwrap(), zone: TimeZone::UTC };
    let mut all = Vec::new();
    for line in text.lines() {
        let Line::Event(mut event) = reader.read(line.as_bytes(), &context) else { continue };
        let matches = rules.matches(&event);
        let moment = Moment::replayed(event.time, &nobody);
        let outcomes = detector.observe(&mut event, Some(matches), &moment);
        all.extend(
            outcomes.into_iter().map(|outcome| (outcome.finding.detector.name().to_owned(), outcome.consequence)),
        );
    }
    all
}

fn hits_the_victim(consequence: &Consequence) -> bool {
    let victim: std::net::IpAddr = VICTIM.parse().unwrap();
    match consequence {
        Consequence::Deny { prefix, .. } | Consequence::Limit { prefix, .. } | Consequence::InForce { prefix, .. } => {
            prefix.contains(&victim)
        }
        Consequence::DenyUser { .. } => true,
        Consequence::Observe | Consequence::Notify | Consequence::Refused { .. } => false,
    }
}

#[test]
fn nobody_is_denied_for_lines_that_a_client_wrote_into_a_file() {
    let loaded = load(&crate::pack::files(), &BTreeMap::new());
    let rules = Arc::new(loaded.rules);
    let mut crafted = 0;
    for (honest, begin, end) in ENTRIES {
        for closed in CLOSED {
            for line in LINES {
                // Enough of them for every threshold, and for a format to be learned anew.
                let attack = format!("{begin}{closed}{}{end}", line.repeat(70));
                let own = if begin.starts_with("2026") { Format::NginxError } else { Format::Traefik };
                // From its beginning, and from somewhere in the middle of an attack.
                let cases = [
                    (Format::Auto, "", format!("{honest}{attack}")),
                    (own, "", attack.clone()),
                    (Format::Auto, begin, line.repeat(70)),
                ];
                for (format, head, text) in cases {
                    crafted += 1;
                    // Where nothing of the file is known, the middle of an attack is not told from a file of that kind.
                    let head = if begin.starts_with("2026") { head.to_owned() } else { format!("{honest}{head}") };
                    for (detector, consequence) in done(&rules, format, &head, &text) {
                        assert!(!hits_the_victim(&consequence), "{detector}: {consequence:?} by {text}");
                    }
                }
            }
        }
    }
    assert!(crafted >= 800, "{crafted}");
    // They would have been, had the server said it.
    let said = LINES[5].repeat(3);
    assert!(done(&rules, Format::Auto, "", &said).iter().any(|(_, consequence)| hits_the_victim(consequence)));
}
