//! Samples as the blocks of a pcapng file: values to bytes.
use std::borrow::Cow;
use std::time::Duration;

use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{Block, PcapNgBlock as _, PcapNgWriter};
use pcap_file::{DataLink, Endianness, PcapError};

use crate::domain::capture::{SampleStart, comment};
use crate::domain::report::SampleRow;

/// `if_tsresol`: times are in units of 10^-9 s (pcapng, section 4.2), which is also what the writer takes them for.
const NANOSECONDS: u8 = 9;
/// `epb_flags`: the packet was received (pcapng, section 4.3.1).
const INBOUND: u32 = 1;

/// Why a sample cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum BlockError {
    /// The daemon's bytes are no bytes.
    #[error("a sample's bytes are not hexadecimal; if a weir of another version runs, restart it")]
    Bytes(#[source] hex::FromHexError),
    /// A time before 1970.
    #[error("a sample's time is {0}, which pcapng cannot hold; look at the machine's clock")]
    Time(jiff::Timestamp),
    /// The writer's.
    #[error("put a block together")]
    Block(#[source] PcapError),
}

/// Puts blocks together, one after the other.
pub(super) struct Blocks {
    writer: PcapNgWriter<Vec<u8>>,
    /// Index and name of each interface, in the order of their blocks.
    interfaces: Vec<(u32, String)>,
    bytes: u32,
}

impl Blocks {
    /// The head of a file: who wrote it, what is in it, and the interfaces there are.
    pub(super) fn new(start: &SampleStart) -> Result<(Self, Vec<u8>), BlockError> {
        let what = format!(
            "dropped and observed packets, sampled: at most {} a second on each CPU, of each the first {} bytes",
            start.counters.per_second, start.bytes
        );
        let section = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: vec![
                SectionHeaderOption::Comment(Cow::Owned(what)),
                SectionHeaderOption::OS(Cow::Borrowed("Linux")),
                SectionHeaderOption::UserApplication(Cow::Borrowed(concat!("weir ", env!("CARGO_PKG_VERSION")))),
            ],
            ..SectionHeaderBlock::default()
        };
        let writer = PcapNgWriter::with_section_header(Vec::new(), section).map_err(BlockError::Block)?;
        let mut blocks = Self { writer, interfaces: Vec::new(), bytes: start.bytes };
        for interface in &start.interfaces {
            if let Some(index) = interface.index {
                blocks.interface(index, &interface.name)?;
            }
        }
        let head = blocks.taken();
        Ok((blocks, head))
    }

    /// A sample's block, behind that of its interface where it is the first from there.
    pub(super) fn packet(&mut self, sample: &SampleRow) -> Result<Vec<u8>, BlockError> {
        let data = hex::decode(&sample.bytes).map_err(BlockError::Bytes)?;
        let timestamp = Duration::try_from(sample.at.as_duration()).map_err(|_negative| BlockError::Time(sample.at))?;
        let interface_id = match &sample.interface_name {
            Some(name) => self.interface(sample.interface, name)?,
            None => self.nameless(sample.interface)?,
        };
        let block = EnhancedPacketBlock {
            interface_id,
            timestamp,
            original_len: sample.length,
            data: Cow::Owned(data),
            options: vec![
                EnhancedPacketOption::Comment(Cow::Owned(comment(sample))),
                EnhancedPacketOption::Flags(INBOUND),
            ],
        };
        self.write(&block.into_block())?;
        Ok(self.taken())
    }

    /// The number of an interface that is gone: what it was called before, if it was in the capture.
    fn nameless(&mut self, index: u32) -> Result<u32, BlockError> {
        let known = self.interfaces.iter().rev().find(|(known, _)| *known == index);
        let name = known.map_or_else(|| format!("index {index}"), |(_, name)| name.clone());
        self.interface(index, &name)
    }

    /// An interface's number in the file. One that was made anew under its name is another.
    fn interface(&mut self, index: u32, name: &str) -> Result<u32, BlockError> {
        let known = self.interfaces.iter().position(|(known, called)| *known == index && called == name);
        if let Some(at) = known {
            return Ok(u32::try_from(at).unwrap_or(u32::MAX));
        }
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: self.bytes,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        self.write(&block.into_block())?;
        self.interfaces.push((index, name.to_owned()));
        Ok(u32::try_from(self.interfaces.len() - 1).unwrap_or(u32::MAX))
    }

    fn write(&mut self, block: &Block<'_>) -> Result<(), BlockError> {
        self.writer.write_block(block).map(drop).map_err(BlockError::Block)
    }

    /// What was put together since the last time.
    fn taken(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::PcapNgReader;

    use super::*;
    use crate::domain::capture::SampleCounters;
    use crate::domain::report::InterfaceRow;

    fn start() -> SampleStart {
        let interface = |name: &str, index| InterfaceRow { name: name.to_owned(), index, mode: None };
        SampleStart {
            bytes: 96,
            interfaces: vec![interface("eth0", Some(2)), interface("eth1", None)],
            counters: SampleCounters {
                at: jiff::Timestamp::UNIX_EPOCH,
                per_second: 100,
                bypass: false,
                taken: 0,
                lost: 0,
                verdicts: std::collections::BTreeMap::new(),
            },
        }
    }

    fn sample(interface: u32, name: Option<&str>) -> SampleRow {
        SampleRow {
            at: "2026-11-21T05:20:11.123456789Z".parse().unwrap(),
            interface,
            interface_name: name.map(str::to_owned),
            verdict: "feed".to_owned(),
            observed: true,
            list: Some("ipsum".to_owned()),
            detail: None,
            length: 1_500,
            bytes: "0011223344556677".repeat(3),
        }
    }

    #[test]
    fn a_packet_keeps_its_time_lengths_bytes_and_reason() {
        let (mut blocks, mut file) = Blocks::new(&start()).unwrap();
        file.extend(blocks.packet(&sample(2, Some("eth0"))).unwrap());
        let mut reader = PcapNgReader::new(&file[..]).unwrap();
        let interface = reader.next_block().unwrap().unwrap().into_interface_description().unwrap();
        assert_eq!((interface.linktype, interface.snaplen), (DataLink::ETHERNET, 96));
        assert!(interface.options.contains(&InterfaceDescriptionOption::IfTsResol(9)), "nanoseconds");
        let packet = reader.next_block().unwrap().unwrap().into_enhanced_packet().unwrap();
        assert_eq!(packet.timestamp, Duration::new(1_795_238_411, 123_456_789));
        assert_eq!((packet.original_len, packet.data.len()), (1_500, 24));
        assert_eq!(packet.options[0], EnhancedPacketOption::Comment("verdict=feed list=ipsum observed".into()));
        assert!(reader.next_block().is_none());
    }

    #[test]
    fn each_interface_is_described_once_before_its_first_packet() {
        let (mut blocks, mut file) = Blocks::new(&start()).unwrap();
        for (index, name) in [(2, Some("eth0")), (3, Some("eth1")), (3, None), (7, Some("eth0")), (9, None), (9, None)]
        {
            file.extend(blocks.packet(&sample(index, name)).unwrap());
        }
        let mut reader = PcapNgReader::new(&file[..]).unwrap();
        let mut found = Vec::new();
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::EnhancedPacket(packet) => found.push(packet.interface_id.to_string()),
                Block::InterfaceDescription(interface) => found.extend(interface.options.iter().filter_map(|option| {
                    let InterfaceDescriptionOption::IfName(name) = option else { return None };
                    Some(name.to_string())
                })),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(found, ["eth0", "0", "eth1", "1", "1", "eth0", "2", "index 9", "3", "3"]);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_leaves_nothing_behind() {
        let (mut blocks, _) = Blocks::new(&start()).unwrap();
        let odd = SampleRow { bytes: "0".to_owned(), ..sample(2, Some("eth0")) };
        assert!(matches!(blocks.packet(&odd), Err(BlockError::Bytes(_))));
        let early = SampleRow { at: jiff::Timestamp::from_second(-1).unwrap(), ..sample(2, Some("eth0")) };
        assert!(matches!(blocks.packet(&early), Err(BlockError::Time(_))));
        assert_eq!(blocks.taken(), b"");
    }
}
