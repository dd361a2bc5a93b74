//! What hostile feed servers answer in plain HTTP, one case a path, and what must come of it.
use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::server::{Step, answer, raw};

/// A hostile answer.
pub(crate) struct Case {
    /// Its name; the path is `/` and the name.
    pub(crate) name: &'static str,
    /// The label of the error, or `changed` or `unchanged`.
    pub(crate) wanted: &'static str,
    /// What the server does, given the port that it listens on.
    pub(crate) steps: fn(u16) -> Vec<Step>,
}

/// The body of an honest list.
pub(crate) const LIST: &[u8] = b"192.0.2.1\n192.0.2.2\n";

const NO_PAUSE: Duration = Duration::ZERO;
const OK: &str = "HTTP/1.1 200 OK\r\n";

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn encoded(encoding: &str, body: &[u8]) -> Vec<Step> {
    answer("200 OK", &[&format!("Content-Encoding: {encoding}")], body)
}

fn redirect(to: &str) -> Vec<Step> {
    // The server closes after each answer; who does not know would ask on while it does.
    answer("302 Found", &[&format!("Location: {to}"), "Connection: close"], b"")
}

fn status(line: &str) -> Vec<Step> {
    answer(line, &[], b"nothing here")
}

fn retry(value: &str) -> Vec<Step> {
    answer("429 Too Many Requests", &[&format!("Retry-After: {value}")], b"")
}

/// 16 MiB of `#`, quality 5.
fn brotli_bomb() -> Vec<u8> {
    hex::decode("cbffff3f002446e2b14072effff8ffff078004401c1680eefddf").unwrap()
}

/// [`LIST`], quality 5.
fn brotli() -> Vec<u8> {
    hex::decode("1b130000043c64fd2d7c681206492c09857ec64b03").unwrap()
}

fn cut(mut bytes: Vec<u8>, by: usize) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(by));
    bytes
}

/// All cases. The client's bounds are taken to be 256 KiB on the wire, 1 MiB of body and under a second.
pub(crate) fn cases() -> Vec<Case> {
    [timing(), heads(), bodies(), encodings(), redirects(), statuses(), contents()].into_iter().flatten().collect()
}

fn timing() -> Vec<Case> {
    vec![
        Case { name: "never-answers", wanted: "deadline", steps: |_| vec![Step::Hang] },
        Case {
            name: "slow-loris-headers",
            wanted: "deadline",
            steps: |_| vec![raw(OK), raw("X: "), Step::Forever(b"a".to_vec(), Duration::from_millis(20))],
        },
        Case {
            name: "slow-loris-body",
            wanted: "deadline",
            steps: |_| {
                let start = raw("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
                vec![start, Step::Forever(b"1".to_vec(), Duration::from_millis(20))]
            },
        },
        Case {
            name: "hangs-in-the-body",
            wanted: "deadline",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.1\n"), Step::Hang],
        },
        Case {
            name: "endless-interim-answers",
            wanted: "deadline",
            steps: |_| vec![Step::Forever(b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(), Duration::from_millis(5))],
        },
    ]
}

fn heads() -> Vec<Case> {
    vec![
        Case {
            name: "endless-headers",
            wanted: "protocol",
            steps: |_| vec![raw(OK), Step::Forever(b"X-Filler: aaaa\r\n".repeat(100), NO_PAUSE)],
        },
        Case {
            name: "one-endless-header",
            wanted: "protocol",
            steps: |_| vec![raw(OK), raw("X: "), Step::Forever(vec![b'a'; 4_096], NO_PAUSE)],
        },
        Case {
            name: "headers-of-100-kilobytes",
            wanted: "headers",
            steps: |_| answer("200 OK", &[&format!("X: {}", "a".repeat(100_000))], LIST),
        },
        Case {
            name: "two-hundred-headers",
            wanted: "protocol",
            steps: |_| {
                let headers: Vec<String> = (0..200).map(|n| format!("X-{n}: a")).collect();
                let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
                answer("200 OK", &headers, LIST)
            },
        },
    ]
}

fn bodies() -> Vec<Case> {
    vec![
        Case {
            name: "endless-chunked-body",
            wanted: "too_many_bytes",
            steps: |_| {
                let mut chunk = b"1000\r\n".to_vec();
                chunk.extend_from_slice(&[b'#'; 4_096]);
                chunk.extend_from_slice(b"\r\n");
                vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Step::Forever(chunk, NO_PAUSE)]
            },
        },
        Case {
            name: "endless-body-without-length",
            wanted: "too_many_bytes",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\n\r\n"), Step::Forever(b"192.0.2.1\n".repeat(400), NO_PAUSE)],
        },
        Case {
            name: "content-length-of-an-exabyte",
            wanted: "too_many_bytes",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 1152921504606846976\r\n\r\n"), Step::Hang],
        },
        Case {
            name: "content-length-too-long",
            wanted: "cut",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.1\n")],
        },
        Case {
            // The bytes after the end are no part of the answer, and the connection is not used again.
            name: "content-length-too-short",
            wanted: "changed",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n192.0.2.9\n192.0.2.8\n192.0.2.7\n")],
        },
        Case {
            name: "content-length-negative",
            wanted: "protocol",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n192.0.2.1\n")],
        },
        Case {
            name: "two-content-lengths",
            wanted: "protocol",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n192.0.2.1\n")],
        },
        Case {
            name: "chunk-cut",
            wanted: "cut",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n192.0.2.1\n")],
        },
        Case {
            name: "last-chunk-missing",
            wanted: "cut",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n192.0.2.1\n\r\n")],
        },
        Case {
            name: "chunk-size-is-no-number",
            wanted: "cut",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n192.0.2.1\n\r\n0\r\n\r\n")],
        },
        Case {
            name: "chunk-size-overflows",
            wanted: "cut",
            steps: |_| {
                vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n192.0.2.1\n")]
            },
        },
        Case {
            name: "reset-in-the-body",
            wanted: "cut",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.1\n"), Step::Reset],
        },
        Case { name: "closes-without-answer", wanted: "protocol", steps: |_| vec![] },
        Case { name: "half-a-status-line", wanted: "protocol", steps: |_| vec![raw("HTTP/1.1 20")] },
        Case {
            name: "another-protocol",
            wanted: "protocol",
            steps: |_| vec![raw("SSH-2.0-OpenSSH_9.2\r\n"), Step::Hang],
        },
        Case { name: "no-status-line", wanted: "protocol", steps: |_| vec![raw("192.0.2.1\n192.0.2.2\n\r\n\r\n")] },
        Case {
            name: "null-in-a-header",
            wanted: "protocol",
            steps: |_| vec![raw("HTTP/1.1 200 OK\r\nETag: \"a\0b\"\r\nContent-Length: 0\r\n\r\n")],
        },
    ]
}

fn encodings() -> Vec<Case> {
    vec![
        Case { name: "gzip-bomb", wanted: "bomb", steps: |_| encoded("gzip", &gzip(&vec![b'#'; 4 << 20])) },
        Case { name: "brotli-bomb", wanted: "bomb", steps: |_| encoded("br", &brotli_bomb()) },
        Case {
            name: "endless-empty-gzip-members",
            wanted: "too_many_bytes",
            steps: |_| {
                let start = raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n");
                vec![start, Step::Forever(gzip(b"").repeat(100), NO_PAUSE)]
            },
        },
        Case { name: "gzip-in-gzip", wanted: "encoding", steps: |_| encoded("gzip, gzip", &gzip(&gzip(LIST))) },
        Case {
            name: "gzip-in-gzip-by-two-headers",
            wanted: "encoding",
            steps: |_| answer("200 OK", &["Content-Encoding: gzip", "Content-Encoding: br"], &gzip(&gzip(LIST))),
        },
        Case { name: "encoding-not-asked-for", wanted: "encoding", steps: |_| encoded("zstd", LIST) },
        Case { name: "gzip-cut", wanted: "damaged", steps: |_| encoded("gzip", &cut(gzip(LIST), 9)) },
        Case { name: "gzip-checksum-cut", wanted: "damaged", steps: |_| encoded("gzip", &cut(gzip(LIST), 1)) },
        Case { name: "gzip-that-is-none", wanted: "damaged", steps: |_| encoded("gzip", LIST) },
        Case { name: "gzip-of-nothing-at-all", wanted: "damaged", steps: |_| encoded("gzip", b"") },
        Case {
            name: "gzip-with-more-behind-it",
            wanted: "damaged",
            steps: |_| encoded("gzip", &[gzip(LIST).as_slice(), b"192.0.2.3\n192.0.2.4\n"].concat()),
        },
        Case {
            name: "gzip-with-a-false-checksum",
            wanted: "damaged",
            steps: |_| {
                let mut packed = gzip(LIST);
                let at = packed.len() - 6;
                packed[at] ^= 1;
                encoded("gzip", &packed)
            },
        },
        Case { name: "brotli-cut", wanted: "damaged", steps: |_| encoded("br", &cut(brotli(), 4)) },
        Case {
            name: "brotli-with-a-gigabyte-window",
            wanted: "damaged",
            steps: |_| encoded("br", &[0x11, 0x1e, 0x00, 0x00, 0x00, 0x00, 0x00]),
        },
        Case { name: "brotli-that-is-none", wanted: "damaged", steps: |_| encoded("br", LIST) },
        Case { name: "honest-brotli", wanted: "changed", steps: |_| encoded("br", &brotli()) },
        Case { name: "honest-gzip", wanted: "changed", steps: |_| encoded("GZIP", &gzip(LIST)) },
        Case {
            name: "html-in-gzip",
            wanted: "html",
            steps: |_| encoded("gzip", &gzip(b"\n <!DOCTYPE html><p>Log in")),
        },
    ]
}

fn redirects() -> Vec<Case> {
    vec![
        Case { name: "redirect-loop", wanted: "redirects", steps: |_| redirect("/redirect-loop") },
        Case { name: "redirect-to-a-file", wanted: "scheme", steps: |_| redirect("file:///etc/passwd") },
        Case { name: "redirect-to-ftp", wanted: "scheme", steps: |_| redirect("ftp://example.com/list") },
        Case {
            name: "redirect-to-metadata",
            wanted: "forbidden_address",
            steps: |_| redirect("http://169.254.169.254/latest/meta-data/"),
        },
        Case {
            name: "redirect-to-metadata-as-a-number",
            wanted: "forbidden_address",
            steps: |_| redirect("http://2852039166/latest/meta-data/"),
        },
        Case {
            name: "redirect-to-mapped-metadata",
            wanted: "forbidden_address",
            steps: |_| redirect("http://[::ffff:169.254.169.254]/"),
        },
        Case { name: "redirect-to-nowhere", wanted: "forbidden_address", steps: |_| redirect("http://0.0.0.0/") },
        Case { name: "redirect-without-location", wanted: "bad_redirect", steps: |_| answer("302 Found", &[], b"") },
        Case { name: "redirect-to-garbage", wanted: "bad_redirect", steps: |_| redirect("http://[::1/") },
        Case {
            name: "redirect-with-a-password",
            wanted: "credentials_in_url",
            steps: |port| redirect(&format!("http://user:pass@127.0.0.1:{port}/honest")),
        },
        Case { name: "redirect-with-spaces", wanted: "not_found", steps: |_| redirect("/a b") },
    ]
}

fn statuses() -> Vec<Case> {
    vec![
        Case {
            name: "status-204",
            wanted: "unexpected_status",
            steps: |_| vec![raw("HTTP/1.1 204 No Content\r\n\r\n")],
        },
        Case { name: "status-206", wanted: "unexpected_status", steps: |_| answer("206 Partial Content", &[], LIST) },
        Case { name: "status-300", wanted: "unexpected_status", steps: |_| status("300 Multiple Choices") },
        Case { name: "status-401", wanted: "unauthorised", steps: |_| status("401 Unauthorized") },
        Case { name: "status-403", wanted: "unauthorised", steps: |_| status("403 Forbidden") },
        Case { name: "status-404", wanted: "not_found", steps: |_| status("404 Not Found") },
        Case { name: "status-410", wanted: "not_found", steps: |_| status("410 Gone") },
        Case { name: "status-418", wanted: "client_error", steps: |_| status("418 I'm a teapot") },
        Case { name: "status-500", wanted: "server_error", steps: |_| status("500 Internal Server Error") },
        Case { name: "status-503", wanted: "throttled", steps: |_| status("503 Service Unavailable") },
        Case { name: "status-999", wanted: "unexpected_status", steps: |_| status("999 Request denied") },
        Case { name: "retry-after-minus-one", wanted: "throttled", steps: |_| retry("-1") },
        Case { name: "retry-after-garbage", wanted: "throttled", steps: |_| retry("soon, I promise") },
        Case { name: "retry-after-ten-years", wanted: "throttled", steps: |_| retry("315360000") },
        Case { name: "retry-after-overflows", wanted: "throttled", steps: |_| retry("99999999999999999999999") },
        Case { name: "retry-after-the-past", wanted: "throttled", steps: |_| retry("Wed, 21 Oct 2015 07:28:00 GMT") },
        Case {
            name: "not-modified-at-first",
            wanted: "unasked_not_modified",
            steps: |_| vec![raw("HTTP/1.1 304 Not Modified\r\n\r\n")],
        },
    ]
}

fn contents() -> Vec<Case> {
    vec![
        Case { name: "honest", wanted: "changed", steps: |_| answer("200 OK", &["ETag: \"1\""], LIST) },
        Case {
            name: "html-error-page",
            wanted: "html",
            steps: |_| {
                answer("200 OK", &["Content-Type: text/plain"], b"<html><body>Service unavailable</body></html>")
            },
        },
        Case {
            name: "captive-portal",
            wanted: "html",
            steps: |_| answer("200 OK", &[], b"\xef\xbb\xbf\r\n<!doctype HTML>\n<title>Welcome to our hotel</title>"),
        },
        Case {
            // No list, and said to be none by whoever parses it.
            name: "json-error",
            wanted: "changed",
            steps: |_| answer("200 OK", &["Content-Type: application/json"], b"{\"error\":\"quota exceeded\"}"),
        },
        Case { name: "empty-200", wanted: "changed", steps: |_| answer("200 OK", &[], b"") },
        Case {
            name: "etag-of-8-kilobytes",
            wanted: "changed",
            steps: |_| answer("200 OK", &[&format!("ETag: \"{}\"", "e".repeat(8_192))], LIST),
        },
        Case {
            name: "etag-of-no-letters",
            wanted: "changed",
            steps: |_| {
                let head = b"HTTP/1.1 200 OK\r\nETag: \"\xff\xfe\x80\"\r\nContent-Length: 20\r\n\r\n".to_vec();
                vec![Step::Send([head.as_slice(), LIST].concat())]
            },
        },
    ]
}
