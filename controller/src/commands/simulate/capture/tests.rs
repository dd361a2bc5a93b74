//! Captures of every kind, written here and read back.
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapWriter};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::simple_packet::SimplePacketBlock;
use pcap_file::{Endianness, PcapError};

use super::*;

const FRAME: [u8; 20] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 1, 2, 3, 4, 5, 6];

fn open(file: Vec<u8>) -> Result<Capture, CaptureError> {
    Capture::open(Box::new(Cursor::new(file)))
}

/// Time, frame, whether it was cut.
type Taken = (u64, Vec<u8>, bool);

/// Everything a capture holds, or why not.
fn all(file: Vec<u8>) -> Vec<Result<Taken, String>> {
    let mut capture = open(file).unwrap();
    let mut all = Vec::new();
    loop {
        all.push(match capture.next().unwrap() {
            Next::Packet(packet) => Ok((packet.at_ns, packet.frame.to_vec(), packet.is_cut)),
            Next::Passed(why) => Err(format!("{why:?}")),
            Next::Broken(why) => {
                all.push(Err(why));
                return all;
            }
            Next::End => return all,
        });
    }
}

fn pcap(header: PcapHeader, packets: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for (ts_sec, ts_frac, orig_len, data) in packets {
        let incl_len = u32::try_from(data.len()).unwrap();
        let packet =
            RawPcapPacket { ts_sec: *ts_sec, ts_frac: *ts_frac, incl_len, orig_len: *orig_len, data: (*data).into() };
        writer.write_raw_packet(&packet).unwrap();
    }
    writer.into_writer()
}

#[test]
fn times_are_nanoseconds_whatever_the_file_counts_in() {
    for (ts_resolution, ns) in [(TsResolution::MicroSecond, 7_000), (TsResolution::NanoSecond, 7)] {
        for endianness in [Endianness::Big, Endianness::Little] {
            let file = pcap(PcapHeader { ts_resolution, endianness, ..PcapHeader::default() }, &[(3, 7, 20, &FRAME)]);
            assert_eq!(all(file), [Ok((3_000_000_000 + ns, FRAME.to_vec(), false))]);
        }
    }
}

#[test]
fn what_a_capture_cut_off_is_filled_up() {
    // The snap length of the header is below the packet's, as in every cut capture.
    let header = PcapHeader { snaplen: 20, ..PcapHeader::default() };
    let mut whole = FRAME.to_vec();
    whole.resize(60, 0);
    assert_eq!(all(pcap(header, &[(0, 0, 60, &FRAME)])), [Ok((0, whole, true))]);
    // Lengths nobody ever sent are not believed.
    let [Ok((_, frame, true))] = &all(pcap(header, &[(0, 0, u32::MAX, &FRAME)]))[..] else { panic!("one packet") };
    assert_eq!(frame.len(), 65_535 + 14 + 16);
}

#[test]
fn raw_ip_is_given_an_ethernet_header() {
    for (datalink, first, kind) in [
        (DataLink::RAW, 0x45, [0x08, 0x00]),
        (DataLink::RAW, 0x60, [0x86, 0xdd]),
        (DataLink::IPV4, 0x45, [0x08, 0x00]),
        (DataLink::IPV6, 0x60, [0x86, 0xdd]),
    ] {
        let file = pcap(PcapHeader { datalink, ..PcapHeader::default() }, &[(0, 0, 3, &[first, 1, 2])]);
        let frame = [&[0; 12][..], &kind, &[first, 1, 2]].concat();
        assert_eq!(all(file.clone()), [Ok((0, frame, false))]);
        let mut capture = open(file).unwrap();
        assert!(capture.note().is_none());
        assert!(matches!(capture.next(), Ok(Next::Packet(_))) && capture.note().is_some());
    }
}

#[test]
fn other_link_types_are_refused_by_name() {
    let file = pcap(PcapHeader { datalink: DataLink::LINUX_SLL, ..PcapHeader::default() }, &[]);
    let error = open(file).unwrap_err().to_string();
    assert!(error.contains("LINUX_SLL") && error.contains("tcpdump -i eth0"), "{error}");
}

#[test]
fn what_is_no_capture_is_refused() {
    for file in [&b""[..], b"\xd4", b"hello, this is not a capture at all", &PCAPNG] {
        assert!(matches!(open(file.to_vec()), Err(CaptureError::NotACapture(_))), "{file:?}");
    }
}

#[test]
fn frames_without_a_header_are_passed_over() {
    let file = pcap(PcapHeader::default(), &[(0, 0, 13, &FRAME[..13]), (0, 0, 14, &FRAME[..14])]);
    assert_eq!(all(file), [Err("TooShort".to_owned()), Ok((0, FRAME[..14].to_vec(), false))]);
}

#[test]
fn a_file_that_breaks_off_gives_what_it_has() {
    let file = pcap(PcapHeader::default(), &[(1, 0, 20, &FRAME), (2, 0, 20, &FRAME)]);
    let read = all(file[..file.len() - 1].to_vec());
    assert_eq!(read, [Ok((1_000_000_000, FRAME.to_vec(), false)), Err("it ends in the middle of a packet".to_owned())]);
}

fn pcapng(blocks: &[Block<'_>]) -> Vec<u8> {
    let mut writer = PcapNgWriter::new(Vec::new()).unwrap();
    for block in blocks {
        writer.write_block(block).unwrap();
    }
    writer.into_inner()
}

fn interface(linktype: DataLink, options: Vec<InterfaceDescriptionOption<'static>>) -> Block<'static> {
    Block::InterfaceDescription(InterfaceDescriptionBlock { linktype, snaplen: 0, options })
}

fn packet(interface_id: u32, units: u64, options: Vec<EnhancedPacketOption<'static>>) -> Block<'static> {
    Block::EnhancedPacket(EnhancedPacketBlock {
        interface_id,
        timestamp: Duration::from_nanos(units),
        original_len: 20,
        data: FRAME.to_vec().into(),
        options,
    })
}

#[test]
fn each_interface_of_a_pcapng_file_has_its_own_clock() {
    use InterfaceDescriptionOption::{IfTsOffset, IfTsResol};

    let file = pcapng(&[
        interface(DataLink::ETHERNET, vec![]),
        interface(DataLink::ETHERNET, vec![IfTsResol(9)]),
        interface(DataLink::ETHERNET, vec![IfTsResol(0x80 | 0x0a), IfTsOffset(5)]),
        packet(0, 7, vec![]),
        packet(1, 7, vec![]),
        packet(2, 1_536, vec![]),
    ]);
    let times: Vec<u64> = all(file).into_iter().map(|packet| packet.unwrap().0).collect();
    assert_eq!(times, [7_000, 7, 6_500_000_000]);
}

#[test]
fn what_was_sent_is_passed_over() {
    use EnhancedPacketOption::Flags;

    let file = pcapng(&[
        interface(DataLink::ETHERNET, vec![]),
        packet(0, 1, vec![Flags(2)]),
        packet(0, 1, vec![Flags(1)]),
        packet(0, 1, vec![Flags(0)]),
    ]);
    let read: Vec<bool> = all(file).iter().map(Result::is_ok).collect();
    assert_eq!(read, [false, true, true]);
}

#[test]
fn simple_packets_come_at_the_time_of_the_one_before() {
    let simple = SimplePacketBlock { original_len: 18, data: FRAME[..18].to_vec().into() };
    let file = pcapng(&[interface(DataLink::ETHERNET, vec![]), packet(0, 3, vec![]), Block::SimplePacket(simple)]);
    let read = all(file);
    assert_eq!(read[1], Ok((3_000, FRAME[..18].to_vec(), false)));
}

#[test]
fn interfaces_must_be_described_and_end_with_their_section() {
    let described = pcapng(&[interface(DataLink::ETHERNET, vec![])]);
    let whole = pcapng(&[interface(DataLink::ETHERNET, vec![]), packet(0, 1, vec![])]);
    // A section that begins with the packet.
    let bare = [pcapng(&[]), whole[described.len()..].to_vec()].concat();
    let mut capture = open(bare.clone()).unwrap();
    assert!(matches!(capture.next(), Err(CaptureError::Interface(0))));
    let mut capture = open([whole, bare].concat()).unwrap();
    assert!(matches!(capture.next(), Ok(Next::Packet(_))));
    assert!(matches!(capture.next(), Err(CaptureError::Interface(0))));
    let mut capture = open(pcapng(&[interface(DataLink::LINUX_SLL2, vec![]), packet(0, 1, vec![])])).unwrap();
    assert!(matches!(capture.next(), Err(CaptureError::LinkType(DataLink::LINUX_SLL2))));
}

#[test]
fn errors_are_told_in_words() {
    assert_eq!(words(&PcapError::InvalidField("Block: x")), "invalid field value: block: x");
}
