//! A hostile feed server: raw bytes over TCP or TLS, one script a path.
//!
//! It knows nothing of the client it is for, and may stand behind a whole daemon as well.
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What the server does next on a connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes again and again until the client goes, with a pause after each.
    Forever(Vec<u8>, Duration),
    /// Says nothing more and keeps the connection.
    Hang,
    /// Ends the connection with a reset.
    Reset,
}

/// What is sent to a request, given its head and how many requests came before it on all connections.
pub(crate) type Script = Arc<dyn Fn(&str, usize) -> Vec<Step> + Send + Sync>;

/// A running server. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// On a free port of 127.0.0.1, in plain.
    pub(crate) async fn start(script: Script) -> io::Result<Self> {
        Self::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?, script)
    }

    /// The same behind TLS.
    pub(crate) async fn start_tls(script: Script, tls: Arc<rustls::ServerConfig>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Self::listen(listener, script, Some(TlsAcceptor::from(tls)))
    }

    /// In plain, on a socket that was made elsewhere.
    pub(crate) fn on(listener: TcpListener, script: Script) -> io::Result<Self> {
        Self::listen(listener, script, None)
    }

    fn listen(listener: TcpListener, script: Script, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let heads = Arc::new(Mutex::new(Vec::new()));
        let sent = Arc::new(AtomicU64::new(0));
        let connection = Connection { script, heads: heads.clone(), sent: sent.clone() };
        let task = tokio::spawn(async move {
            // A connection's task ends with its client, or with the runtime.
            while let Ok((stream, _)) = listener.accept().await {
                let (connection, tls) = (connection.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => connection.serve(stream).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => connection.serve(stream).await,
                            Err(_) => Ok(()),
                        },
                    }
                });
            }
        });
        Ok(Self { address, heads, sent, task })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes handed to the sockets so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Connection {
    script: Script,
    heads: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicU64>,
}

/// What a script may do to the connection besides writing.
trait Socket: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl Connection {
    async fn serve(&self, mut stream: impl Socket) -> io::Result<()> {
        let mut head = Vec::new();
        let mut byte = [0u8; 1];
        while !head.ends_with(b"\r\n\r\n") && head.len() < 64 << 10 {
            if stream.read(&mut byte).await? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let before = {
            let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
            heads.push(head.clone());
            heads.len() - 1
        };
        for step in (self.script)(&head, before) {
            match step {
                Step::Send(bytes) => self.send(&mut stream, &bytes).await?,
                Step::Forever(bytes, pause) => loop {
                    self.send(&mut stream, &bytes).await?;
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                },
                Step::Hang => {
                    // Until the client goes.
                    while stream.read(&mut byte).await? != 0 {}
                    return Ok(());
                }
                Step::Reset => {
                    stream.tcp().set_zero_linger()?;
                    return Ok(());
                }
            }
        }
        // What is closed without being shut down first leaves TLS without its goodbye, which is one of the cases.
        Ok(())
    }

    async fn send(&self, stream: &mut impl Socket, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        self.sent.fetch_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(())
    }
}

/// The path of a request's head.
pub(crate) fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// A whole answer: status line, headers, body.
pub(crate) fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<Step> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    vec![Step::Send(bytes)]
}

/// Bytes as they are.
pub(crate) fn raw(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}
