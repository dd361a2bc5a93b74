//! What the fuzzer runs: for each target one function over any bytes, which fails by panicking.
//!
//! The same functions run in the ordinary tests over the files of `tests/corpus`: inputs that once were a fault, or that
//! reach far.
use std::cell::RefCell;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use weir::adapters::fail2ban;
use weir::adapters::geoip::{self, GeoFiles};
use weir::config;
use weir::domain::crowdsec::{Decisions, Rules, bouncer_file, duration, page};
use weir::domain::decision::ListEnforcement;
use weir::domain::http::client::TrustedProxies;
use weir::domain::http::decode::{Kind, bound, decode};
use weir::domain::http::event::{Event, EventKind};
use weir::domain::http::line::{self, Choice, Context, Line, Reader};
use weir::domain::http::rules::{self, Caps, Correlator, RuleFile};
use weir::domain::listfile::{self, Format, Reading};
use weir::domain::time::{BootSeconds, Now};
use weir_common::judge::judge;
use weir_common::model::Model;

use crate::fixtures::random::{self, Rng};
use crate::kernel::OFFENDERS;
use crate::kernel::image::{Image, SEED};
use crate::reference::world::World;
use crate::reference::{Outcome, Reference};
use crate::tables::{Entry, LISTS, Scenario};

/// What is fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// The builder of address tables, against the naive model
    Tables,
    /// The same, among so many addresses that tables have filters and quotients
    Crowd,
    /// The verdict code on the host, against the reference
    Packet,
    /// The reader of list files
    List,
    /// The reader of configurations
    Config,
    /// The readers of what a CrowdSec server says, and of its bouncer's configuration
    Crowdsec,
    /// The readers of GeoIP databases
    Geo,
    /// The reader of fail2ban's database
    Fail2ban,
    /// The decoder of payloads
    Decode,
    /// The reader of rules, and what it made of them
    Rule,
    /// The readers of log lines, and of the client behind proxies
    Logline,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Tables,
        Self::Crowd,
        Self::Packet,
        Self::List,
        Self::Config,
        Self::Crowdsec,
        Self::Geo,
        Self::Fail2ban,
        Self::Decode,
        Self::Rule,
        Self::Logline,
    ];

    /// Its name on the command line, and its folder in the corpus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tables => "tables",
            Self::Crowd => "crowd",
            Self::Packet => "packet",
            Self::List => "list",
            Self::Config => "config",
            Self::Crowdsec => "crowdsec",
            Self::Geo => "geo",
            Self::Fail2ban => "fail2ban",
            Self::Decode => "decode",
            Self::Rule => "rule",
            Self::Logline => "logline",
        }
    }

    /// Runs it over some bytes.
    ///
    /// # Panics
    /// Where what is fuzzed is at fault.
    pub fn run(self, data: &[u8]) {
        // Bytes that come to an end early are input like any other: zeros follow.
        let mut bytes = Unstructured::new(data);
        match self {
            Self::Tables => tables(&mut bytes, &[0]).expect("zeros follow"),
            Self::Crowd => tables(&mut bytes, &[60_000, 310_000]).expect("zeros follow"),
            Self::Packet => packet(&mut bytes).expect("zeros follow"),
            Self::List => list(data),
            Self::Config => drop(config::parse_bytes(data, "fuzzed", std::iter::empty())),
            Self::Crowdsec => crowdsec(data),
            Self::Geo => in_file(data, |path| {
                for files in [
                    GeoFiles { country: Some(path.to_owned()), asn: None },
                    GeoFiles { country: None, asn: Some(path.to_owned()) },
                ] {
                    drop(geoip::load(&files));
                }
            }),
            Self::Fail2ban => in_file(data, |path| drop(fail2ban::bans(path, Timestamp::UNIX_EPOCH, None))),
            Self::Decode => decoded(&String::from_utf8_lossy(data)),
            Self::Rule => rule(&String::from_utf8_lossy(data)),
            Self::Logline => logline(data),
        }
    }
}

/// Hands the bytes over as a file: what reads a database opens it itself.
fn in_file(data: &[u8], read: impl FnOnce(&Path)) {
    // In memory, where there is such a folder: a fuzzer writes a thousand a second.
    let folder = Path::new("/dev/shm");
    let made = if folder.is_dir() { tempfile::NamedTempFile::new_in(folder) } else { tempfile::NamedTempFile::new() };
    let mut file = made.expect("a temporary file");
    file.write_all(data).expect("room for it");
    read(file.path());
}

/// Whatever was wrapped, no text grows beyond its bound, and a second look at a plain one changes nothing.
fn decoded(text: &str) {
    for kind in [Kind::Path, Kind::Query, Kind::Text] {
        let once = decode(text, kind);
        assert!(once.len() <= bound(text.len()), "{} bytes of {}", once.len(), text.len());
        // Deeper than it is looked, each look goes further; that ends.
        let mut plain = once.into_owned();
        for _ in 0..text.len() {
            let next = decode(&plain, kind).into_owned();
            if next == plain {
                break;
            }
            plain = next;
        }
        assert_eq!(decode(&plain, kind), plain, "of {text:?} as {kind:?}");
    }
}

/// Any rules are used or refused; what they are not looked at for would not have matched.
fn rule(text: &str) {
    let loaded = rules::load(&[RuleFile { name: "fuzzed", text, shipped: false }], &rules::Overrides::new());
    let mut correlator =
        Correlator::new(Arc::new(loaded.rules), Caps { groups: 8, evidence_bytes: 1_024, ..Caps::default() });
    for (second, uri) in ["/", "/a?b=union+select", "/%2e%2e/etc/passwd", "/login"].into_iter().enumerate() {
        let time = Timestamp::new(i64::try_from(second).unwrap_or_default(), 0).expect("a time");
        let mut event = Event::new(time, EventKind::HttpRequest);
        event.client = Some(Ipv4Addr::new(192, 0, 2, 1).into());
        event.method = Some("GET".to_owned());
        event.status = Some(404);
        event.uri = Some(uri.to_owned());
        uri.clone_into(&mut event.raw);
        let rules = correlator.rules();
        let matches = rules.matches(&event);
        assert_eq!(matches, rules.matches_all(&event), "fewer of {uri} under {text}");
        drop(correlator.correlate(&event, matches));
    }
}

/// Lines one after the other, by every format. Whoever an event is laid at is the peer, or one that trusted proxies named;
/// and no text of it breaks the line.
fn logline(data: &[u8]) {
    let trusted = TrustedProxies::new(["10.0.0.0/8".parse().expect("a prefix")]).with_unix();
    let context = Context { received: Timestamp::UNIX_EPOCH, zone: TimeZone::UTC };
    for format in line::Format::ALL {
        // A pattern that the input itself brings, where it brings one.
        let pattern = (format == line::Format::Grok).then(|| {
            let first = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
            Arc::from(String::from_utf8_lossy(first))
        });
        let choice = Choice { format, pattern, trusted: trusted.clone(), ..Choice::default() };
        let Ok(mut reader) = Reader::new(&choice) else { continue };
        for line in data.split(|byte| *byte == b'\n') {
            let Line::Event(event) = reader.read(line, &context) else { continue };
            let vouched = event.peer.is_none_or(|peer| trusted.contains(peer)) || format == line::Format::Grok;
            let named = matches!(format, line::Format::Auto | line::Format::Caddy | line::Format::NginxJson);
            assert!(event.client == event.peer || vouched || named, "{event:?}");
            let texts = [&event.uri, &event.user, &event.host, &event.referer, &event.user_agent, &event.message];
            assert!(!texts.into_iter().flatten().any(|text| text.contains(['\n', '\r', '\0'])), "{event:?}");
        }
    }
}

/// A page is taken or refused as a whole; what is taken twice changes nothing.
fn crowdsec(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _parsed = duration::parse(&text);
    drop(bouncer_file::parse(&text, None));
    let rules = Rules::default();
    for startup in [true, false] {
        let Ok(page) = page::read(data, &rules, startup) else { continue };
        let now = Now { boot: BootSeconds(1_000), wall: Timestamp::UNIX_EPOCH };
        let mut decisions = Decisions::default();
        drop(decisions.apply(page.clone(), now));
        assert!(decisions.apply(page, now).is_empty(), "the same again changed something: {text}");
    }
}

fn tables(bytes: &mut Unstructured<'_>, crowds: &[u32]) -> Result<()> {
    let prefixes = |bytes: &mut Unstructured<'_>| -> Result<Vec<IpNet>> {
        (0..bytes.int_in_range(0..=2)?).map(|_: u8| prefix(bytes)).collect()
    };
    let scenario = Scenario {
        crowd: *bytes.choose(crowds)?,
        before: standing(bytes)?,
        after: standing(bytes)?,
        protected: prefixes(bytes)?,
        never: prefixes(bytes)?,
        entries: (0..bytes.int_in_range(0..=24)?).map(|_: u8| entry(bytes)).collect::<Result<_>>()?,
    };
    if let Err(error) = scenario.check() {
        panic!("{error}\n{scenario:#?}");
    }
    Ok(())
}

fn standing(bytes: &mut Unstructured<'_>) -> Result<[ListEnforcement; LISTS]> {
    let mut all = [ListEnforcement::Enforce; LISTS];
    for one in &mut all {
        *one = *bytes.choose(&[
            ListEnforcement::Enforce,
            ListEnforcement::Observe,
            ListEnforcement::Limit,
            ListEnforcement::Off,
        ])?;
    }
    Ok(all)
}

fn entry(bytes: &mut Unstructured<'_>) -> Result<Entry> {
    let flags: u8 = bytes.arbitrary()?;
    Ok(Entry {
        prefix: prefix(bytes)?,
        list: bytes.int_in_range(0..=6)?,
        expires: bytes.int_in_range(0..=9)?,
        observe: flags & 1 != 0,
        forced: flags & 2 != 0,
    })
}

/// Any prefix, or one of few distinct bits: those nest, touch and repeat.
fn prefix(bytes: &mut Unstructured<'_>) -> Result<IpNet> {
    let kind: u8 = bytes.int_in_range(0..=3)?;
    let address = match kind {
        0 => {
            let bits: u32 = bytes.int_in_range(0..=15)?;
            IpAddr::V4(Ipv4Addr::from(bits << 28 | (bits & 3) << 13 | bits))
        }
        1 => IpAddr::V4(Ipv4Addr::from(bytes.arbitrary::<u32>()?)),
        2 => {
            let [first, chunk, half, last] = bytes.arbitrary::<[u8; 4]>()?.map(u128::from);
            let bits = (first >> 4) << 124 | (chunk & 3) << 107 | (chunk & 3) << 101 | (half >> 2 & 3) << 63 | last & 3;
            IpAddr::V6(Ipv6Addr::from(bits))
        }
        _ => IpAddr::V6(Ipv6Addr::from(bytes.arbitrary::<u128>()?)),
    };
    let len = bytes.int_in_range(0..=if address.is_ipv4() { 32 } else { 128 })?;
    Ok(IpNet::new(address, len).expect("a length of the family").trunc())
}

/// Policies that packets are judged by.
const WORLDS: usize = 16;

thread_local! {
    /// Policies by chance, with their tables: these take longer to build than many packets to judge.
    static MADE: RefCell<Vec<(World, Model)>> = const { RefCell::new(Vec::new()) };
}

/// Frames one after the other under a policy by chance.
fn packet(bytes: &mut Unstructured<'_>) -> Result<()> {
    let number = usize::from(bytes.arbitrary::<u8>()?) % WORLDS;
    MADE.with_borrow_mut(|made| {
        while made.len() <= number {
            let world = random::world(&mut Rng::new(u64::try_from(made.len()).unwrap_or(0)));
            let model = Image::of(&world).expect("a policy that fits the tables").model(OFFENDERS as usize);
            made.push((world, model));
        }
        let (world, model) = &mut made[number];
        model.forget_packets();
        frames(bytes, model, Reference::new(world.clone(), OFFENDERS as usize, SEED))
    })
}

fn frames(bytes: &mut Unstructured<'_>, model: &Model, mut reference: Reference) -> Result<()> {
    model.monotonic_ns.set(reference.world.now_ns);
    while !bytes.is_empty() {
        let passed_us: u16 = bytes.arbitrary()?;
        reference.world.now_ns += u64::from(passed_us) * 1_000;
        model.monotonic_ns.set(reference.world.now_ns);
        let len = usize::from(bytes.arbitrary::<u8>()?).min(bytes.len());
        let frame = bytes.bytes(len)?;
        let judged = judge(frame, model);
        let (host, wanted) =
            (Outcome { verdict: judged.verdict(), observed: judged.observed() }, reference.judge(frame));
        assert!(host == wanted, "host {host:?}, reference {wanted:?}: {frame:02x?}\nunder {:#?}", reference.world);
    }
    Ok(())
}

/// What is read once is read again from its own words, whatever the format.
fn list(data: &[u8]) {
    for format in Format::ALL {
        let parsed = listfile::parse(data, &Reading::new(format, Timestamp::UNIX_EPOCH));
        let words: Vec<String> = parsed.entries.iter().map(ToString::to_string).collect();
        let again = Reading::new(Format::Plain, Timestamp::UNIX_EPOCH);
        let again = listfile::parse(words.join("\n").as_bytes(), &again);
        assert_eq!((again.entries, again.rejected), (parsed.entries, 0), "{words:?}");
    }
}
