//! Decompression, bounded in output and time.
use std::io::{ErrorKind, Read};

use brotli_decompressor::Decompressor;
use flate2::read::MultiGzDecoder;
use tokio::time::Instant;

/// A content encoding that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Brotli,
}

impl Encoding {
    /// Of the values of the Content-Encoding headers; none for any other, and for several on top of each other.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let mut codings =
            header.split(',').map(str::trim).filter(|c| !c.is_empty() && !c.eq_ignore_ascii_case("identity"));
        let first = codings.next();
        if codings.next().is_some() {
            return None;
        }
        match first.map(str::to_ascii_lowercase).as_deref() {
            None => Some(Self::Identity),
            Some("gzip" | "x-gzip") => Some(Self::Gzip),
            Some("br") => Some(Self::Brotli),
            Some(_) => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }
}

/// Why a body could not be decompressed.
#[derive(Debug)]
pub(super) enum Failure {
    TooLarge,
    Late,
    Damaged(String),
}

/// The body decompressed, at most `limit` bytes.
pub(super) fn decode(encoding: Encoding, wire: Vec<u8>, limit: u64, end: Instant) -> Result<Vec<u8>, Failure> {
    match encoding {
        Encoding::Identity if u64::try_from(wire.len()).unwrap_or(u64::MAX) > limit => Err(Failure::TooLarge),
        Encoding::Identity => Ok(wire),
        Encoding::Gzip => drain(MultiGzDecoder::new(wire.as_slice()), limit, end),
        Encoding::Brotli => {
            // RFC 7932 section 9.1 reserves this header. Decoders take it for windows of up to a gigabyte, all of which
            // is allocated at once.
            const LARGE_WINDOW: u8 = 0x11;
            if wire.first().is_some_and(|first| first & 0x7f == LARGE_WINDOW) {
                return Err(Failure::Damaged("a window larger than the format has".to_owned()));
            }
            drain(Decompressor::new(wire.as_slice(), 64 << 10), limit, end)
        }
    }
}

fn drain(mut from: impl Read, limit: u64, end: Instant) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let mut piece = vec![0u8; 64 << 10];
    loop {
        if Instant::now() >= end {
            return Err(Failure::Late);
        }
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok(body),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Damaged(error.to_string())),
        };
        let more = piece.get(..read).unwrap_or_default();
        if u64::try_from(body.len().saturating_add(more.len())).unwrap_or(u64::MAX) > limit {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(more);
    }
}
