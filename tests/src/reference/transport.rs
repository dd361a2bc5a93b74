//! What stands behind the network header, and what of it is a lie.
use super::Plant;
use super::floods::Dimension;

/// Where the transport header stands, if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upper {
    /// Its protocol number.
    pub(super) protocol: u8,
    /// Where it stands in the packet's body.
    pub(super) at: usize,
    /// Which part of a packet this is.
    pub(super) piece: Piece,
    /// The number that the parts share.
    pub(super) id: u32,
}

/// Which part of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// All of it.
    Whole,
    /// The first of several.
    First,
    /// One behind it, without a transport header.
    Later,
}

/// What is known of a packet beyond its network header.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The dimensions it counts in, but for new flows.
    pub(super) counts: [bool; 7],
    /// It lies.
    pub(super) lies: bool,
    /// Which part of a packet it is.
    pub(super) piece: Piece,
    /// Its protocol, where ports or a type could be read.
    pub(super) header: Option<Header>,
    /// It may be the first of a flow.
    pub(super) may_be_new: bool,
}

/// What was read of a transport header.
#[derive(Clone, Copy, Debug)]
pub(super) enum Header {
    /// Source and destination port.
    Tcp((u16, u16)),
    /// Source and destination port.
    Udp((u16, u16)),
    /// The type, and whether it is `ICMPv6`.
    Icmp(u8, bool),
}

impl Seen {
    /// Nothing but that it is a packet.
    pub(super) fn nothing() -> Self {
        let mut counts = [false; 7];
        counts[Dimension::Packets as usize] = true;
        counts[Dimension::Bytes as usize] = true;
        Self { counts, lies: false, piece: Piece::Whole, header: None, may_be_new: false }
    }

    /// What a packet's body says.
    pub(super) fn of(body: &[u8], upper: Upper, plant: Option<Plant>) -> Self {
        let mut seen = Self { piece: upper.piece, ..Self::nothing() };
        seen.counts[Dimension::Fragments as usize] = upper.piece != Piece::Whole;
        let rest = body.get(upper.at..).unwrap_or_default();
        match (upper.piece, upper.protocol) {
            (Piece::Later, _) => {}
            (_, 6) => seen.tcp(rest, plant),
            (_, 17) => seen.udp(rest, plant),
            (_, 1 | 58) => seen.icmp(rest, upper.protocol == 58),
            _ => {}
        }
        seen
    }

    fn tcp(&mut self, header: &[u8], plant: Option<Plant>) {
        // Up to the flags a header is read even where the rest of it is missing.
        let Some(start) = header.get(..14) else {
            self.lies = true;
            return;
        };
        let ports = (u16::from_be_bytes([start[0], start[1]]), u16::from_be_bytes([start[2], start[3]]));
        self.header = Some(Header::Tcp(ports));
        let len = usize::from(start[12] >> 4) * 4;
        let flag = |bit: u8| start[13] >> bit & 1 == 1;
        let (fin, syn, rst, ack) = (flag(0), flag(1), flag(2), flag(4));
        self.counts[Dimension::Syn as usize] = syn && !ack;
        self.may_be_new = syn && !ack;
        let syn_and_fin = syn && fin && plant != Some(Plant::WrongFlagPasses);
        let no_flags = !(fin || syn || rst || ack);
        let no_such = no_flags || syn_and_fin || syn && rst || fin && rst || fin && !syn && !ack;
        let no_port = (ports.0 == 0 || ports.1 == 0) && plant != Some(Plant::PortZeroPasses);
        self.lies = no_such || len < 20 || len > header.len() || no_port;
    }

    fn udp(&mut self, header: &[u8], plant: Option<Plant>) {
        self.counts[Dimension::Udp as usize] = true;
        let Some(fixed) = header.get(..8) else {
            self.lies = true;
            return;
        };
        let ports = (u16::from_be_bytes([fixed[0], fixed[1]]), u16::from_be_bytes([fixed[2], fixed[3]]));
        self.header = Some(Header::Udp(ports));
        self.may_be_new = true;
        let len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        // The length is the whole datagram's, of which a first fragment has only a part.
        let is_longer = len > header.len() && self.piece == Piece::Whole && plant != Some(Plant::UdpLengthIsBelieved);
        let is_jumbo = len == 0 && header.len() > 0xffff;
        self.lies = (len < 8 || is_longer) && !is_jumbo || ports.1 == 0;
    }

    fn icmp(&mut self, header: &[u8], is_v6: bool) {
        self.counts[Dimension::Icmp as usize] = true;
        match header {
            [kind, _, ..] => self.header = Some(Header::Icmp(*kind, is_v6)),
            _ => self.lies = true,
        }
        self.lies |= !is_v6 && header.len() < 8;
    }
}
