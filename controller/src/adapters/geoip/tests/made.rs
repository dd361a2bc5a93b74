//! Small MaxMind DB files of our own, well-formed and crafted.
use ipnet::IpNet;
use proptest::prelude::*;

use super::*;

/// A value of the data section.
enum Data {
    Text(&'static str),
    Number(u32),
    Map(Vec<(&'static str, Data)>),
}

fn header(kind: u8, size: usize) -> Vec<u8> {
    assert!(size < 29 + 256);
    match u8::try_from(size).ok().filter(|size| *size < 29) {
        Some(size) => vec![kind << 5 | size],
        None => vec![kind << 5 | 0x1d, u8::try_from(size - 29).unwrap()],
    }
}

fn text(text: &str) -> Vec<u8> {
    [header(2, text.len()), text.as_bytes().to_vec()].concat()
}

impl Data {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(word) => text(word),
            Self::Number(number) => [header(6, 4), number.to_be_bytes().to_vec()].concat(),
            Self::Map(entries) => {
                let entries = entries.iter().flat_map(|(key, value)| [text(key), value.bytes()]);
                header(7, self.len()).into_iter().chain(entries.flatten()).collect()
            }
        }
    }

    fn len(&self) -> usize {
        if let Self::Map(entries) = self { entries.len() } else { 0 }
    }
}

/// Where a record of a node leads.
#[derive(Clone, Copy)]
enum Next {
    Nothing,
    Node(u32),
    Data(u32),
}

/// A file in the making: nodes of an IPv6 tree and data.
struct Made {
    nodes: Vec<[Next; 2]>,
    data: Vec<u8>,
}

impl Made {
    fn new() -> Self {
        Self { nodes: vec![[Next::Nothing; 2]], data: Vec::new() }
    }

    fn data(&mut self, data: &Data) -> Next {
        let offset = u32::try_from(self.data.len()).unwrap();
        self.data.extend(data.bytes());
        Next::Data(offset)
    }

    /// Lets the prefix lead there; IPv4 is the lowest part of IPv6.
    fn put(&mut self, net: &str, to: Next) {
        let (bits, len) = match net.parse::<IpNet>().unwrap() {
            IpNet::V4(net) => (u128::from(u32::from(net.network())), net.prefix_len() + 96),
            IpNet::V6(net) => (u128::from(net.network()), net.prefix_len()),
        };
        let mut node = 0;
        for depth in 0..len {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == len {
                self.nodes[node][side] = to;
                return;
            }
            if !matches!(self.nodes[node][side], Next::Node(_)) {
                self.nodes.push([Next::Nothing; 2]);
                self.nodes[node][side] = Next::Node(u32::try_from(self.nodes.len() - 1).unwrap());
            }
            let Next::Node(below) = self.nodes[node][side] else { unreachable!() };
            node = below as usize;
        }
    }

    /// The node at which IPv4 begins.
    fn start_of_v4(&self) -> Next {
        (0..96).fold(Next::Node(0), |at, _| if let Next::Node(node) = at { self.nodes[node as usize][0] } else { at })
    }

    fn bytes(&self) -> Vec<u8> {
        let count = u32::try_from(self.nodes.len()).unwrap();
        let number = |next: &Next| match next {
            Next::Nothing => count,
            Next::Node(node) => *node,
            Next::Data(offset) => count + 16 + offset,
        };
        let mut out: Vec<u8> = self.nodes.iter().flatten().flat_map(|next| number(next).to_be_bytes()).collect();
        out.extend([0; 16]);
        out.extend(&self.data);
        out.extend(b"\xab\xcd\xefMaxMind.com");
        let short = |value: u16| [header(5, 2), value.to_be_bytes().to_vec()].concat();
        let epoch = [vec![8, 2], 1_700_000_000u64.to_be_bytes().to_vec()].concat();
        let fields: [(&str, Vec<u8>); 9] = [
            ("binary_format_major_version", short(2)),
            ("binary_format_minor_version", short(0)),
            ("build_epoch", epoch),
            ("database_type", text("made")),
            ("description", Data::Map(vec![("en", Data::Text("made"))]).bytes()),
            ("ip_version", short(6)),
            ("languages", vec![0, 4]),
            ("node_count", Data::Number(count).bytes()),
            ("record_size", short(32)),
        ];
        out.extend(header(7, fields.len()));
        out.extend(fields.iter().flat_map(|(key, value)| [text(key), value.clone()]).flatten());
        out
    }
}

fn one(key: &'static str, value: Data) -> Data {
    Data::Map(vec![(key, value)])
}

fn iso(code: &'static str) -> Data {
    one("iso_code", Data::Text(code))
}

/// A file of one network with this record.
fn of(record: &Data) -> Vec<u8> {
    let mut made = Made::new();
    let data = made.data(record);
    made.put("192.0.2.0/24", data);
    made.bytes()
}

#[track_caller]
fn country(record: &Data, expected: &str) {
    let folder = Folder::new();
    let geo = countries(folder.file("a", &of(record))).unwrap();
    assert_eq!(place(&geo, "192.0.2.1"), format!("{expected} - -"));
}

#[track_caller]
fn system(record: &Data, expected: &str) {
    let folder = Folder::new();
    let geo = networks(folder.file("a", &of(record))).unwrap();
    assert_eq!(place(&geo, "192.0.2.1"), format!("- {expected}"));
}

#[test]
fn countries_are_found_in_every_shape() {
    country(&one("country", iso("DE")), "DE");
    country(&Data::Map(vec![("registered_country", iso("US")), ("country", iso("DE"))]), "DE");
    country(&Data::Map(vec![("registered_country", iso("US")), ("country", one("names", Data::Text("x")))]), "US");
    country(&one("country_code", Data::Text("de")), "DE");
    country(&one("country", Data::Text("DE")), "DE");
    country(&Data::Map(vec![("country", Data::Text("Germany")), ("country_code", Data::Text("DE"))]), "DE");
    refused(
        Purpose::Country,
        &of(&one("country", Data::Text("Germany"))),
        "192.0.2.0/24 has the country code \"Germany\"",
    );
    refused(
        Purpose::Country,
        &of(&one("country_code", Data::Text("ZZ"))),
        "holds no countries (it calls itself \"made\")",
    );
    refused(Purpose::Country, &of(&one("asn", Data::Number(64_496))), "name it as `asn_file`");
    refused(Purpose::Country, &of(&Data::Text("DE")), "broken MaxMind DB");
}

#[test]
fn systems_are_found_in_every_shape() {
    let named = |key, value, name| Data::Map(vec![(key, value), (name, Data::Text("Example"))]);
    for (number, name) in
        [("autonomous_system_number", "autonomous_system_organization"), ("asn", "as_name"), ("as_number", "org")]
    {
        system(&named(number, Data::Number(64_496), name), "64496 Example");
        system(&named(number, Data::Text("AS64496"), name), "64496 Example");
    }
    refused(Purpose::Asn, &of(&one("asn", Data::Text("AS1.10"))), "192.0.2.0/24 has the AS number \"AS1.10\"");
    refused(Purpose::Asn, &of(&one("asn", Data::Number(0))), "holds no autonomous systems");
    refused(Purpose::Asn, &of(&one("country", iso("DE"))), "name it as `country_file`");
}

/// IPv4 and IPv6 networks, and IPv4 again at its three aliases.
fn aliased() -> Made {
    let mut made = Made::new();
    let (de, us) = (made.data(&one("country", iso("DE"))), made.data(&one("country", iso("US"))));
    made.put("192.0.2.0/25", de);
    made.put("192.0.2.128/25", de);
    made.put("198.51.100.0/24", us);
    made.put("2001:db8::/32", us);
    let v4 = made.start_of_v4();
    made.put("::ffff:0:0/96", v4);
    made.put("2002::/16", v4);
    made.put("2001::/32", v4);
    made
}

#[test]
fn what_shows_up_under_an_alias_is_counted_once() {
    let folder = Folder::new();
    let geo = countries(folder.file("a", &aliased().bytes())).unwrap();
    assert_eq!(geo.table.countries.ranges().count(), 3);
    assert_eq!(place(&geo, "::ffff:192.0.2.200"), "DE - -");
    assert_eq!(place(&geo, "2002:c000:0200::1"), "- - -");
    assert_eq!(place(&geo, "2001:db8::1"), "US - -");
    assert_eq!(geo.files[0].built_at.unwrap().as_second(), 1_700_000_000);
}

#[test]
fn a_tree_that_unfolds_without_end_is_refused() {
    // Both sides of each node lead to the next: 2^128 networks, of which the library skips those without data and those
    // that look like an alias.
    for last in [Next::Nothing, Next::Data(0)] {
        let mut made = Made::new();
        made.data(&one("country", iso("DE")));
        made.nodes = (1..128).map(|next| [Next::Node(next); 2]).chain([[last; 2]]).collect();
        refused(Purpose::Country, &made.bytes(), "unfolds to more than");
    }
    let mut made = Made::new();
    made.data(&one("country", iso("DE")));
    made.nodes = (1..=96).map(|next| [Next::Node(next); 2]).chain([[Next::Data(0); 2]]).collect();
    refused(Purpose::Country, &made.bytes(), "unfolds to more than");
    // A circle.
    let mut made = Made::new();
    made.data(&one("country", iso("DE")));
    made.nodes = vec![[Next::Node(0); 2]];
    refused(Purpose::Country, &made.bytes(), "broken MaxMind DB");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = aliased().bytes();
    let folder = Folder::new();
    for end in 0..whole.len() {
        assert!(countries(folder.file("a", &whole[..end])).is_err(), "{end}");
    }
}

proptest! {
    #[test]
    fn no_change_of_bytes_stops_the_reader(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = aliased().bytes();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let folder = Folder::new();
        let file = folder.file("a", &bytes);
        if let Err(error) = countries(file.clone()) {
            prop_assert!(!error.to_string().is_empty());
        }
        let _either = networks(file);
    }

    #[test]
    fn no_text_stops_the_reader(lines in prop::collection::vec("[0-9a-f:.,\"A-Z \\r\\n-]{0,40}|\\PC{0,20}", 0..12)) {
        let folder = Folder::new();
        let file = folder.file("a", lines.join("\n").as_bytes());
        let _either = (countries(file.clone()), networks(file));
    }
}
