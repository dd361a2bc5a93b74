//! The flood's packets: made ones, and a real capture's.
use std::fs::File;
use std::io::BufReader;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use etherparse::{Ipv4HeaderSlice, PacketBuilder};
use pcap_file::pcap::PcapReader;

use crate::frames::SERVER_V4;

/// Shortest frame on a wire, without its check sequence.
const SHORTEST: usize = 60;

const SENDER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
const SERVER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// A SYN from `source` to the server's port, with right checksums: what would be answered, were it let through.
///
/// # Errors
/// Where it cannot be built.
pub fn syn(source: Ipv4Addr, source_port: u16, port: u16, sequence: u32) -> Result<Vec<u8>> {
    let packet = PacketBuilder::ethernet2(SENDER, SERVER)
        .ipv4(source.octets(), SERVER_V4, 64)
        .tcp(source_port, port, sequence, 64_240)
        .syn();
    let mut frame = Vec::with_capacity(SHORTEST);
    packet.write(&mut frame, &[])?;
    frame.resize(frame.len().max(SHORTEST), 0);
    Ok(frame)
}

/// A UDP packet from `source` to the server.
///
/// # Errors
/// Where it cannot be built.
pub fn datagram(source: Ipv4Addr, port: u16) -> Result<Vec<u8>> {
    let packet = PacketBuilder::ethernet2(SENDER, SERVER).ipv4(source.octets(), SERVER_V4, 64).udp(40_000, port);
    let mut frame = Vec::with_capacity(SHORTEST);
    packet.write(&mut frame, &[0; 18])?;
    Ok(frame)
}

/// A capture's packets, sent to our server, at their own times.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// The file's name.
    pub name: String,
    /// Each packet with its time since the first.
    pub packets: Vec<(Duration, Vec<u8>)>,
    /// Their sources, each once.
    pub sources: usize,
    /// From the first to the last.
    pub lasts: Duration,
}

impl Capture {
    /// The spoofed SYN flood in the folder that `WEIR_DATA` names; `None` where it is not there.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn find(port: u16) -> Result<Option<Self>> {
        let folder = std::env::var_os("WEIR_DATA").map(PathBuf::from);
        let path = folder.map(|folder| folder.join("pcap/pkt.TCP.synflood.spoofed.pcap"));
        path.filter(|path| path.exists()).map(|path| Self::read(&path, port)).transpose()
    }

    fn read(path: &Path, port: u16) -> Result<Self> {
        let context = || format!("read {}", path.display());
        let mut reader =
            PcapReader::new(BufReader::new(File::open(path).with_context(context)?)).with_context(context)?;
        let mut capture = Self {
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            ..Self::default()
        };
        let (mut start, mut sources) = (None, std::collections::BTreeSet::new());
        while let Some(packet) = reader.next_packet() {
            let packet = packet.with_context(context)?;
            let Some((source, frame)) = to_our_server(&packet.data, port)? else { continue };
            let start = *start.get_or_insert(packet.timestamp);
            sources.insert(source);
            capture.lasts = packet.timestamp.saturating_sub(start);
            capture.packets.push((capture.lasts, frame));
        }
        capture.sources = sources.len();
        Ok(capture)
    }
}

/// The same SYN, of the same source, to our server's own port; nothing of what is no SYN.
fn to_our_server(frame: &[u8], port: u16) -> Result<Option<(Ipv4Addr, Vec<u8>)>> {
    let Some(packet) = frame.get(14..).filter(|_| frame.get(12..14) == Some(&[0x08, 0x00])) else { return Ok(None) };
    let Ok(ip) = Ipv4HeaderSlice::from_slice(packet) else { return Ok(None) };
    let Some(tcp) = packet.get(ip.slice().len()..) else { return Ok(None) };
    let (Some(ports), Some(sequence)) =
        (tcp.first_chunk::<2>(), tcp.get(4..8).and_then(|bytes| bytes.first_chunk::<4>()))
    else {
        return Ok(None);
    };
    let source = ip.source_addr();
    let frame = syn(source, u16::from_be_bytes(*ports), port, u32::from_be_bytes(*sequence))?;
    Ok(Some((source, frame)))
}
