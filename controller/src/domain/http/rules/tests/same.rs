//! What is faster judges the same: the search that names candidates, and the form that rules are judged in.
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// Published rules, where the tests are told of them.
#[expect(clippy::disallowed_methods, reason = "it is the test that reads, and hands over what it read")]
pub(super) fn published() -> Option<Vec<(String, String)>> {
    let Some(data) = std::env::var_os("WEIR_DATA") else {
        eprintln!("SKIPPED: WEIR_DATA names no folder of published rules");
        return None;
    };
    let mut files: Vec<(String, String)> = std::fs::read_dir(PathBuf::from(data).join("sigma"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    Some(files)
}

pub(super) fn with(files: &[(String, String)]) -> Vec<RuleFile<'_>> {
    files.iter().map(|(name, text)| RuleFile { name, text, shipped: false }).collect()
}

#[test]
fn published_rules_load_and_find() {
    let Some(files) = published() else { return };
    let loaded = load(&with(&files), &Overrides::new());
    let errors: Vec<_> = loaded.problems.iter().filter(|problem| problem.weight == Weight::Error).collect();
    assert_eq!((errors, loaded.rules.len()), (vec![], files.len()));
    let mut correlator = correlator(loaded.rules);
    for (uri, rule) in [
        ("/?id=1%20UNION%20SELECT%201", "SQL Injection Strings In URI"),
        ("/?id=1+%55NION+select+1", "SQL Injection Strings In URI"),
        ("/cgi/../../../etc/passwd", "Path Traversal Exploitation Attempts"),
        ("/?q=<script>&x=document.cookie", "Cross Site Scripting Strings"),
    ] {
        let findings = feed(&mut correlator, &request(0, uri));
        assert!(findings.iter().any(|finding| *finding.title == *rule), "{uri}: {findings:?}");
    }
    assert_eq!(feed(&mut correlator, &request(0, "/blog/index.html?page=2")), []);
}

/// Texts that rules look for, in pieces.
fn piece() -> impl Strategy<Value = String> {
    let known = proptest::sample::select(vec![
        "union select union select union select",
        "select select select select select select",
        "union",
        "select",
        "UNION SELECT",
        "/**/",
        "%2e%2e/",
        "../",
        "etc/passwd",
        "<script>",
        "${jndi:",
        "%3c",
        "wp-login.php",
        "/",
        "?",
        "&a=",
        "=",
        "+",
        " ",
        "\u{130}",
        "\u{212a}",
        "\u{17f}elect",
        "\u{ff35}nion",
        "sleep(",
        "cmd.exe",
        "document.cookie",
        "=select(",
        "\\x41",
        "%00",
        "sqlmap",
        "nikto",
        "/autodiscover",
        "%252e",
        "eval(",
        ".php",
        "curl",
        "passwd",
        "order%20by%20",
        "%",
        "shell",
        "proc/self",
        "'",
        "`",
        "{",
        "jndi",
        "sel'ect",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => ".{0,6}"]
}

fn any_text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(proptest::collection::vec(piece(), 0..6).prop_map(|pieces| pieces.concat()))
}

prop_compose! {
    fn any_event()(
        texts in proptest::array::uniform7(any_text()),
        method in proptest::option::of(proptest::sample::select(vec!["GET", "POST", "HEAD", "get", "%47ET", "PURGE", "x", "X%00"])),
        version in proptest::option::of(proptest::sample::select(vec!["HTTP/1.0", "HTTP/1.1", "HTTP/9%00", "union"])),
        status in proptest::option::of(proptest::sample::select(vec![99, 200, 302, 401, 403, 404, 500, 999])),
        kind in proptest::sample::select(&EventKind::ALL[..]),
    ) -> Event {
        let [uri, agent, referer, cookie, host, user, message] = texts;
        let mut event = request(0, "/");
        event.uri = uri;
        event.user_agent = agent;
        event.referer = referer;
        event.cookie = cookie;
        event.host = host;
        event.details.extend(user.clone().map(|text| ("order".to_owned(), text)));
        event.user = user;
        event.message = message;
        event.method = method.map(str::to_owned);
        event.version = version.map(str::to_owned);
        event.status = status;
        event.kind = kind;
        event
    }
}

/// One rule for each way there is to write one.
const WAYS: &str = r#"
title: keywords
logsource: {category: webserver}
detection: {keywords: [union select, sqlmap, '<script>'], condition: keywords}
---
title: keywords and a filter
logsource: {category: webserver}
detection: {keywords: [passwd], filter: {sc-status: 404}, condition: keywords and not filter}
---
title: status and method
logsource: {category: webserver}
detection: {selection: {sc-status: [401, 403], cs-method: POST}, condition: selection}
---
title: at least a status
logsource: {category: webserver}
detection: {selection: {sc-status|gte: 500, event-type: http_request}, condition: selection}
---
title: no query
logsource: {category: webserver}
detection: {selection: {cs-uri-stem|contains: php}, filter: {cs-uri-query: null}, condition: selection and not filter}
---
title: no agent
logsource: {category: webserver}
detection: {selection: {cs-user-agent|exists: false}, condition: selection}
---
title: a pattern
logsource: {category: webserver}
detection: {selection: {payload|re: '(?i)(union|s(le+)ct)\s*select'}, condition: selection}
---
title: a cased pattern
logsource: {category: webserver}
detection: {selection: {request-decoded|re: '\.\./+etc'}, condition: selection}
---
title: patterns
logsource: {category: webserver}
detection: {selection: {cs-uri|re|i: ['wp-[a-z]+\.php', 'sleep\(', 'cmd', 'curl', 'eval', 'shell', 'proc', 'nikto']}, condition: selection}
---
title: all of some
logsource: {category: webserver}
detection: {selection: {cs-uri-query|contains|all: [select, union]}, condition: selection}
---
title: one of several
logsource: {category: webserver}
detection: {selection_a: {query-decoded|startswith: a}, selection_b: {agent-decoded|endswith: nikto}, condition: 1 of selection_*}
---
title: two of several
logsource: {category: webserver}
detection: {s_a: {payload|contains: select}, s_b: {payload|contains: union}, s_c: {payload|contains: php}, condition: 2 of s_*}
---
title: not
logsource: {category: webserver}
detection: {selection: {path-decoded|contains: etc}, condition: not selection}
---
title: cased
logsource: {category: webserver}
detection: {selection: {cs-user-agent|cased|contains: Kurl}, condition: selection}
---
title: a wildcard
logsource: {category: webserver}
detection: {selection: {cs-referer: '*select*passwd*'}, condition: selection}
---
title: another field
logsource: {category: webserver}
detection: {selection: {cs-username|fieldref: details.order}, condition: selection}
---
title: letters of other scripts
logsource: {category: webserver}
detection: {selection: {payload|contains: ['skelect', 'nioN SELECT', 'k']}, condition: selection}
---
title: details and methods
logsource: {category: webserver}
detection: {selection: [{details.order|contains: passwd}, {payload|contains: 'get'}, {cs-method: get}], condition: selection}
---
title: an old protocol and no cookie
logsource: {category: webserver}
detection: {selection: {cs-version: 'HTTP/1.0', cs-cookie: null}, condition: selection}
---
title: a few characters
logsource: {category: webserver}
detection: {selection: {payload|re: 'sel["\x27`]ect|[${]jndi'}, words: {payload|contains: ["'", '"', '{']}, condition: selection and words}
---
title: whole words
logsource: {category: webserver}
detection: {selection: [{cs-method: [X, G]}, {cs-user-agent: [curl, "\u00e4"]}, {details.order: union}, {user-decoded: "'"}], condition: selection}
---
title: words at the beginning and at the end
logsource: {category: webserver}
detection: {selection: [{cs-user-agent|startswith: [u, etc]}, {referer-decoded|endswith: [shell, "'"]}, {cs-version|endswith: '9'}], condition: selection}
---
title: long words
logsource: {category: webserver}
detection: {selection: [{cs-user-agent: 'union select union select union select'}, {agent-decoded|endswith: 'passwd ../ passwd ../ passwd ../ passwd'}, {payload|contains: 'select select select select select select'}], condition: selection}
---
title: an array
logsource: {category: webserver}
detection: {selection: {'details.order[any]': {condition: a, a: passwd}}, condition: selection}
---
title: any
logsource: {category: webserver}
detection: {selection: {message|contains: '*'}, condition: selection}
"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn what_is_not_looked_at_would_not_have_matched(event in any_event()) {
        thread_local! {
            static RULES: Vec<RuleSet> = {
                let mut all = vec![rules(WAYS)];
                all.extend(published().map(|files| load(&with(&files), &Overrides::new()).rules));
                all
            };
        }
        RULES.with(|all| {
            for rules in all {
                assert_eq!(rules.matches(&event), rules.matches_all(&event), "of {event:?}");
            }
        });
    }

    #[test]
    fn a_rule_is_judged_as_the_library_judges_it(event in any_event()) {
        thread_local! {
            static ENGINES: Vec<(engine::Sigma, usize)> = {
                let mut texts = vec![WAYS.to_owned()];
                texts.extend(published().into_iter().flatten().map(|(_, text)| text));
                let parsed = texts.iter().flat_map(|text| rsigma_parser::parse_sigma_yaml(text).unwrap().rules);
                let compiled: Vec<_> = parsed.map(|rule| rsigma_eval::compile_rule(&rule).unwrap()).collect();
                let count = compiled.len();
                vec![(engine::Sigma::new(compiled).unwrap(), count)]
            };
        }
        let views = Views::new(&event);
        ENGINES.with(|engines| {
            for (engine, count) in engines {
                for rule in 0..*count {
                    assert_eq!(engine.matches(rule, &views), engine.by_library(rule, &views), "rule {rule} of {event:?}");
                }
            }
        });
    }

    #[test]
    fn no_text_stops_the_loader(text in "[a-z:{}\\[\\]\n '\"*&!|>%@`0-9-]{0,200}", at in 0..SQLI.len()) {
        let mut broken = FAILED.to_owned();
        broken.insert_str(FAILED.floor_char_boundary(at), &text);
        for text in [&text, &broken] {
            let loaded = load(&[RuleFile { name: "x", text, shipped: false }], &Overrides::new());
            loaded.rules.matches(&request(0, "/"));
        }
    }
}
