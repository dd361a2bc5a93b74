//! Captures in files, whole.
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgReader};

/// How a pcapng file begins.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A frame and when it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Nanoseconds since the epoch.
    pub at_ns: u64,
    /// The frame.
    pub frame: Vec<u8>,
}

/// Every packet of a pcap or pcapng file of Ethernet frames, in the file's order.
///
/// # Errors
/// Where it is no such file, breaks off, or holds less of a packet than there was.
pub fn read(path: &Path) -> Result<Vec<Captured>> {
    let name = || format!("read {}", path.display());
    let mut magic = [0; 4];
    File::open(path).with_context(name)?.read_exact(&mut magic).with_context(name)?;
    let file = BufReader::new(File::open(path).with_context(name)?);
    if magic == PCAPNG { pcapng(file).with_context(name) } else { pcap(file).with_context(name) }
}

fn pcap(file: BufReader<File>) -> Result<Vec<Captured>> {
    let mut reader = PcapReader::new(file)?;
    ensure!(reader.header().datalink == DataLink::ETHERNET, "its frames are not Ethernet's");
    let mut all = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet?;
        let whole = usize::try_from(packet.orig_len)? == packet.data.len();
        ensure!(whole, "packet {} is cut short", all.len() + 1);
        all.push(Captured { at_ns: u64::try_from(packet.timestamp.as_nanos())?, frame: packet.data.into_owned() });
    }
    Ok(all)
}

fn pcapng(file: BufReader<File>) -> Result<Vec<Captured>> {
    let mut reader = PcapNgReader::new(file)?;
    // Nanoseconds in a unit of each interface's clock.
    let mut units: Vec<u64> = Vec::new();
    let mut all = Vec::new();
    while let Some(block) = reader.next_block() {
        match block? {
            Block::InterfaceDescription(interface) => {
                ensure!(interface.linktype == DataLink::ETHERNET, "its frames are not Ethernet's");
                let mut decimals = 6;
                for option in &interface.options {
                    if let InterfaceDescriptionOption::IfTsResol(resolution) = option {
                        ensure!(*resolution <= 9, "a clock of resolution {resolution:#04x}");
                        decimals = u32::from(*resolution);
                    }
                }
                units.push(10u64.pow(9 - decimals));
            }
            Block::EnhancedPacket(packet) => {
                let unit = units.get(usize::try_from(packet.interface_id)?).context("an interface it does not name")?;
                let whole = usize::try_from(packet.original_len)? == packet.data.len();
                ensure!(whole, "packet {} is cut short", all.len() + 1);
                // The reader takes the stamp for nanoseconds; it counts the interface's own units.
                let at_ns = u64::try_from(packet.timestamp.as_nanos())? * unit;
                all.push(Captured { at_ns, frame: packet.data.into_owned() });
            }
            _ => {}
        }
    }
    Ok(all)
}
