//! Packets of a capture, as Ethernet frames with their times.
use std::borrow::Cow;
use std::fmt;
use std::io::{Cursor, Read};

use pcap_file::pcap::{PcapReader, RawPcapPacket};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError, TsResolution};

/// Bytes of an Ethernet header, below which the kernel runs nothing.
const HEADER: usize = 14;
/// Longest frame there can be on a wire: the longest IPv4 packet behind a header with four tags. A capture that claims
/// more lies, and is not believed to the last byte.
const LONGEST: u32 = 65_535 + 14 + 4 * 4;
/// First block of a pcapng file.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A capture that is read packet by packet.
pub(super) struct Capture {
    file: Format,
    /// The frame, where it is not the capture's bytes as they are.
    frame: Vec<u8>,
    last_ns: u64,
    has_added_headers: bool,
}

enum Format {
    Pcap(PcapReader<Source>, Link),
    PcapNg(PcapNgReader<Source>, Vec<Interface>),
}

type Source = Box<dyn Read>;

/// What stands before the network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Ethernet,
    /// Nothing.
    Raw,
}

/// A packet that XDP would see.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// When it was captured, from the epoch.
    pub(super) at_ns: u64,
    /// The frame.
    pub(super) frame: &'a [u8],
    /// Whether the capture holds less of it than there was.
    pub(super) is_cut: bool,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next<'a> {
    Packet(Packet<'a>),
    /// A packet that cannot be judged.
    Passed(Passed),
    /// The file ends, or makes no sense, before its end.
    Broken(String),
    End,
}

/// Why a packet is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Passed {
    /// Shorter than an Ethernet header.
    TooShort,
    /// Longer than a frame may be where it was captured.
    TooLong,
    /// Sent, not received.
    Outgoing,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "shorter than an Ethernet header",
            Self::TooLong => {
                "longer than XDP takes at once: the capturing kernel had joined several (turn GRO off to capture what \
                 a network card sees)"
            }
            Self::Outgoing => "sent by the capturing machine; XDP sees what is received",
        })
    }
}

/// Why a file is no capture that can be judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaptureError {
    #[error("it is neither pcap nor pcapng")]
    NotACapture(#[source] PcapError),
    #[error(transparent)]
    Read(#[from] std::io::Error),
    #[error(
        "its packets have link type {0:?}; weir judges Ethernet frames (and raw IP): capture on one Ethernet interface, \
         as in `tcpdump -i eth0 -w FILE`"
    )]
    LinkType(DataLink),
    #[error("a packet names interface {0}, which the capture does not describe")]
    Interface(u32),
}

impl Capture {
    /// Reads as far as the first header.
    pub(super) fn open(mut source: Source) -> Result<Self, CaptureError> {
        let mut magic = Vec::new();
        (&mut source).take(4).read_to_end(&mut magic)?;
        let is_pcapng = magic == PCAPNG;
        let whole: Source = Box::new(Cursor::new(magic).chain(source));
        let file = if is_pcapng {
            Format::PcapNg(PcapNgReader::new(whole).map_err(CaptureError::NotACapture)?, Vec::new())
        } else {
            let reader = PcapReader::new(whole).map_err(CaptureError::NotACapture)?;
            let link = link(reader.header().datalink)?;
            Format::Pcap(reader, link)
        };
        Ok(Self { file, frame: Vec::new(), last_ns: 0, has_added_headers: false })
    }

    /// What should be known of how the packets were read.
    pub(super) fn note(&self) -> Option<&'static str> {
        self.has_added_headers
            .then_some("the capture's packets have no Ethernet header; each was given one, which its bytes include")
    }

    /// The next packet, in the file's order.
    pub(super) fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        match &mut self.file {
            Format::Pcap(reader, link) => {
                let resolution = reader.header().ts_resolution;
                match reader.next_raw_packet() {
                    None => Ok(Next::End),
                    Some(Err(error)) => Ok(Next::Broken(words(&error))),
                    Some(Ok(packet)) => {
                        self.last_ns = pcap_ns(&packet, resolution);
                        self.has_added_headers |= *link == Link::Raw;
                        let found =
                            Found { at_ns: self.last_ns, link: *link, wire: packet.orig_len, data: packet.data };
                        Ok(framed(&found, &mut self.frame))
                    }
                }
            }
            Format::PcapNg(reader, interfaces) => loop {
                let found = match reader.next_block() {
                    None => return Ok(Next::End),
                    Some(Err(error)) => return Ok(Next::Broken(words(&error))),
                    Some(Ok(Block::SectionHeader(_))) => {
                        interfaces.clear();
                        continue;
                    }
                    Some(Ok(Block::InterfaceDescription(interface))) => {
                        interfaces.push(Interface::of(&interface));
                        continue;
                    }
                    Some(Ok(Block::EnhancedPacket(packet))) => {
                        let interface = of(interfaces, packet.interface_id)?;
                        // The reader takes the stamp for nanoseconds; it counts the interface's own units.
                        let units = u64::try_from(packet.timestamp.as_nanos()).unwrap_or(u64::MAX);
                        self.last_ns = interface.nanoseconds(units);
                        if packet.options.iter().any(is_outgoing) {
                            return Ok(Next::Passed(Passed::Outgoing));
                        }
                        let link = link(interface.datalink)?;
                        Found { at_ns: self.last_ns, link, wire: packet.original_len, data: packet.data }
                    }
                    Some(Ok(Block::SimplePacket(packet))) => {
                        let interface = of(interfaces, 0)?;
                        let link = link(interface.datalink)?;
                        // No stamp, and no length of what was captured: the rest of the block is padding.
                        let most = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
                        let len = usize::try_from(most.min(packet.original_len)).unwrap_or(usize::MAX);
                        let mut data = packet.data.into_owned();
                        data.truncate(len);
                        Found { at_ns: self.last_ns, link, wire: packet.original_len, data: Cow::Owned(data) }
                    }
                    Some(Ok(_)) => continue,
                };
                self.has_added_headers |= found.link == Link::Raw;
                return Ok(framed(&found, &mut self.frame));
            },
        }
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("last_ns", &self.last_ns).finish_non_exhaustive()
    }
}

/// A packet as the file has it.
struct Found<'a> {
    at_ns: u64,
    link: Link,
    /// Bytes it had where it was captured.
    wire: u32,
    /// Those of them that were kept.
    data: Cow<'a, [u8]>,
}

/// The frame of a packet: with a header, and as long as it was.
fn framed<'a>(found: &Found<'_>, into: &'a mut Vec<u8>) -> Next<'a> {
    into.clear();
    if found.link == Link::Raw {
        let version = found.data.first().map(|first| first >> 4);
        into.extend_from_slice(&[0; 12]);
        into.extend_from_slice(if version == Some(6) { &[0x86, 0xdd] } else { &[0x08, 0x00] });
    }
    into.extend_from_slice(&found.data);
    let missing = found.wire.min(LONGEST).saturating_sub(u32::try_from(found.data.len()).unwrap_or(u32::MAX));
    into.resize(into.len() + usize::try_from(missing).unwrap_or(0), 0);
    if into.len() < HEADER {
        return Next::Passed(Passed::TooShort);
    }
    Next::Packet(Packet { at_ns: found.at_ns, frame: into, is_cut: missing > 0 })
}

fn link(datalink: DataLink) -> Result<Link, CaptureError> {
    match datalink {
        DataLink::ETHERNET => Ok(Link::Ethernet),
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => Ok(Link::Raw),
        other => Err(CaptureError::LinkType(other)),
    }
}

fn pcap_ns(packet: &RawPcapPacket<'_>, resolution: TsResolution) -> u64 {
    let unit = match resolution {
        TsResolution::MicroSecond => 1_000,
        TsResolution::NanoSecond => 1,
    };
    u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_frac) * unit
}

/// An interface of a pcapng file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interface {
    datalink: DataLink,
    /// Most bytes that were kept of a packet; 0: all.
    snaplen: u32,
    /// Units of its clock in a second.
    per_second: u64,
    /// Seconds to be added to its clock.
    offset_s: u64,
}

impl Interface {
    /// Its clock counts microseconds unless said otherwise; a set high bit makes the exponent one of two (pcapng,
    /// section 4.2).
    fn of(described: &InterfaceDescriptionBlock<'_>) -> Self {
        let mut interface =
            Self { datalink: described.linktype, snaplen: described.snaplen, per_second: 1_000_000, offset_s: 0 };
        for option in &described.options {
            match option {
                InterfaceDescriptionOption::IfTsResol(resolution) => {
                    let exponent = u32::from(resolution & 0x7f);
                    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
                    interface.per_second = base.checked_pow(exponent).unwrap_or(u64::MAX);
                }
                InterfaceDescriptionOption::IfTsOffset(seconds) => interface.offset_s = *seconds,
                _ => {}
            }
        }
        interface
    }

    fn nanoseconds(self, units: u64) -> u64 {
        let ns = u128::from(units) * 1_000_000_000 / u128::from(self.per_second.max(1));
        u64::try_from(ns + u128::from(self.offset_s) * 1_000_000_000).unwrap_or(u64::MAX)
    }
}

fn of(interfaces: &[Interface], id: u32) -> Result<Interface, CaptureError> {
    let found = usize::try_from(id).ok().and_then(|id| interfaces.get(id));
    found.copied().ok_or(CaptureError::Interface(id))
}

/// Whether a packet's flags say that it was sent (pcapng, section 4.3.1: the lowest two bits, 10).
fn is_outgoing(option: &EnhancedPacketOption<'_>) -> bool {
    matches!(option, EnhancedPacketOption::Flags(flags) if flags & 3 == 2)
}

fn words(error: &PcapError) -> String {
    match error {
        PcapError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "it ends in the middle of a packet".to_owned()
        }
        error => error.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests;
