//! The daemon's API over its socket, in HTTP spelled out: also what no client of ours would send can be sent.
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir::domain::report::{ChangeReport, ChangeRequest, Explain, Problem, Status};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_mins(1);

/// A daemon's API.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its content type.
    pub kind: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// A connection that requests follow each other on.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<UnixStream>,
}

impl Api {
    /// The API behind a socket.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Connects.
    ///
    /// # Errors
    /// The system call's: nobody answers there.
    pub fn connect(&self) -> io::Result<Connection> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Asks, on a connection of its own.
    ///
    /// # Panics
    /// Where nobody answers.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let answer = self.connect().and_then(|mut connection| connection.ask(method, path, body));
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Gets a document.
    ///
    /// # Panics
    /// Where the answer is none.
    #[track_caller]
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.ask("GET", path, b"").document()
    }

    /// Sends a document, which may be `()`, and gets another.
    ///
    /// # Panics
    /// Where the answer is none.
    #[track_caller]
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> T {
        let body = serde_json::to_vec(body).expect("a document");
        self.ask("POST", path, &body).document()
    }

    /// What is in force.
    ///
    /// # Panics
    /// Where the daemon does not answer.
    #[track_caller]
    pub fn status(&self) -> Status {
        self.get("/api/status")
    }

    /// What becomes of an address.
    ///
    /// # Panics
    /// Where the daemon does not answer.
    #[track_caller]
    pub fn explain(&self, address: &str) -> Explain {
        self.get(&format!("/api/explain/{address}"))
    }

    /// Denies addresses and prefixes.
    ///
    /// # Panics
    /// Where the daemon refuses.
    #[track_caller]
    pub fn block(&self, prefixes: &[&str]) -> ChangeReport {
        self.post("/api/block", &change(prefixes))
    }

    /// Allows addresses and prefixes.
    ///
    /// # Panics
    /// Where the daemon refuses.
    #[track_caller]
    pub fn allow(&self, prefixes: &[&str]) -> ChangeReport {
        self.post("/api/allow", &change(prefixes))
    }

    /// Takes addresses and prefixes off the deny list.
    ///
    /// # Panics
    /// Where the daemon refuses.
    #[track_caller]
    pub fn unblock(&self, prefixes: &[&str]) -> ChangeReport {
        let body = serde_json::to_vec(&change(prefixes)).expect("a document");
        self.ask("DELETE", "/api/block", &body).document()
    }

    /// Replaces a list by a text.
    ///
    /// # Panics
    /// Where the daemon does not answer.
    #[track_caller]
    pub fn import(&self, list: &str, text: &str) -> Answer {
        self.ask("POST", &format!("/api/block/import?name={list}"), text.as_bytes())
    }
}

/// A request about prefixes.
pub fn change(prefixes: &[&str]) -> ChangeRequest {
    ChangeRequest { prefixes: prefixes.iter().map(ToString::to_string).collect(), ..ChangeRequest::default() }
}

impl Connection {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` where the answer is no HTTP.
    pub fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: weir\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        // A daemon that refuses a large body may answer and stop reading before all of it is sent.
        match stream.write_all(body) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                return Err(error);
            }
            _ => {}
        }
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let broken = |line: &str| io::Error::new(io::ErrorKind::InvalidData, format!("no answer: {line:?}"));
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|number| number.parse().ok()).ok_or_else(|| broken(&first))?;
        let (mut kind, mut length) = (String::new(), None);
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken(&line))?;
            match name.to_ascii_lowercase().as_str() {
                "content-type" => value.trim().clone_into(&mut kind),
                "content-length" => length = value.trim().parse().ok(),
                _ => {}
            }
        }
        let mut body = vec![0; length.ok_or_else(|| broken("an answer without its length"))?];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, kind, body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

impl Answer {
    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its document.
    ///
    /// # Panics
    /// Where it is an answer of failure, or another document.
    #[track_caller]
    pub fn document<T: DeserializeOwned>(&self) -> T {
        assert!(matches!(self.status, 200 | 201), "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The problem it tells of, as RFC 9457 has it.
    ///
    /// # Panics
    /// Where it is something else, or the problem's status is another.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Problem {
        assert_eq!((self.status, self.kind.as_str()), (status, "application/problem+json"), "{}", self.text());
        let problem: Problem =
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()));
        assert_eq!(problem.status, status);
        problem
    }
}
