//! What a server's own machines say to it: as `cscli decisions` does, without a process for each decision.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{RealLapi, address};
use crate::harness::netns;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_mins(1);
/// What the server says when it stands in its own way.
const LOCKED: &[u8] = b"database is locked";

/// A machine that is logged in.
#[derive(Debug)]
pub struct Machine<'s> {
    server: &'s RealLapi,
    token: String,
}

impl RealLapi {
    /// Logs in.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn machine(&self) -> Result<Machine<'_>> {
        let who = json!({"machine_id": "weir-tests", "password": "weir-tests", "scenarios": []});
        let said: Value = serde_json::from_slice(&self.ask("POST", "/v1/watchers/login", "", Some(&who))?)?;
        let token = said.get("token").and_then(Value::as_str).context("an answer without a token")?;
        Ok(Machine { server: self, token: format!("authorization: Bearer {token}\r\n") })
    }

    /// Asks for all decisions as a bouncer with this key does, and reads the answer to its end without a look at it: how
    /// long the first byte took and how long all of it, and how many bytes there were.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn plain_startup(&self, key: &str) -> Result<(Duration, Duration, usize)> {
        let header = format!("x-api-key: {key}\r\n");
        let path = "/v1/decisions/stream?startup=true&dedup=false&scopes=ip,range";
        netns::inside(&self.namespace, || {
            let start = Instant::now();
            let mut stream = request("GET", path, &header, b"")?;
            let mut bytes = vec![0];
            stream.read_exact(&mut bytes)?;
            let first = start.elapsed();
            stream.read_to_end(&mut bytes)?;
            Ok((first, start.elapsed(), bytes.len()))
        })
    }

    fn ask(&self, method: &str, path: &str, header: &str, body: Option<&Value>) -> Result<Vec<u8>> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let start = Instant::now();
        let answer = loop {
            let answer = netns::inside(&self.namespace, || -> Result<Vec<u8>> {
                let mut bytes = Vec::new();
                request(method, path, header, &body)?.read_to_end(&mut bytes)?;
                Ok(bytes)
            })?;
            // On a busy machine the server finds its own database taken by itself, and gives up at once.
            let is_locked = answer.windows(LOCKED.len()).any(|part| part == LOCKED);
            if !is_locked || start.elapsed() > ANSWER {
                break answer;
            }
        };
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n").context("an answer without a head")?;
        let status = answer.get(9..12).unwrap_or_default();
        let body = answer.get(end + 4..).unwrap_or_default().to_vec();
        ensure!(status.first() == Some(&b'2'), "{method} {path}: {}", String::from_utf8_lossy(&answer));
        Ok(body)
    }
}

/// Sends a request of HTTP 1.0, whose answer ends with the connection.
fn request(method: &str, path: &str, header: &str, body: &[u8]) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address())?;
    stream.set_read_timeout(Some(ANSWER))?;
    let length = body.len();
    let kind = "user-agent: weir-tests/1.0\r\ncontent-type: application/json\r\n";
    let head = format!("{method} {path} HTTP/1.0\r\nhost: localhost\r\n{kind}{header}content-length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    Ok(stream)
}

impl Machine<'_> {
    /// Adds decisions by one alert: each a scope (`Ip`, `Range`), a value, a Go duration and a type.
    ///
    /// # Errors
    /// What the server says.
    pub fn add(&self, decisions: &[(&str, &str, &str, &str)]) -> Result<()> {
        let decided = decisions.iter().map(|(scope, value, duration, kind)| {
            json!({"origin": "cscli", "scenario": "tests", "scope": scope, "value": value, "duration": duration, "type": kind})
        });
        let decided: Vec<Value> = decided.collect();
        let (scope, value) = decisions.first().map_or(("Ip", ""), |(scope, value, ..)| (*scope, *value));
        let now = jiff::Timestamp::now().to_string();
        let alert = json!([{
            "capacity": 0, "decisions": decided, "events": [], "events_count": 1, "leakspeed": "0",
            "message": "tests", "scenario": "tests", "scenario_hash": "", "scenario_version": "", "simulated": false,
            "source": {"scope": scope, "value": value}, "start_at": now, "stop_at": now
        }]);
        self.server.ask("POST", "/v1/alerts", &self.token, Some(&alert)).map(drop)
    }

    /// Deletes the decision of this number.
    ///
    /// # Errors
    /// What the server says.
    pub fn delete_id(&self, id: i64) -> Result<()> {
        self.server.ask("DELETE", &format!("/v1/decisions/{id}"), &self.token, None).map(drop)
    }

    /// Deletes all decisions on an address.
    ///
    /// # Errors
    /// What the server says.
    pub fn delete(&self, address: &str) -> Result<()> {
        self.server.ask("DELETE", &format!("/v1/decisions?ip={address}"), &self.token, None).map(drop)
    }
}
