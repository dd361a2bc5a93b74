//! By what lines show their format.
//!
//! Every format but one begins with what the server itself writes: an address, a time, a brace. So what a client sends
//! cannot make a line one of another format; only a virtual host is sometimes the client's, and a file is not taken for one
//! with virtual hosts because of a few lines.
use memchr::memmem;

use super::combined::{self, Shown};
use super::{Format, Unparsed, apache_error, haproxy, nginx_error};

/// The format of a line, in a file that has shown those of `learned`.
pub(super) fn detect(line: &[u8], learned: u16) -> Result<Format, Unparsed> {
    let holds = |format: Format| learned & format.bit() != 0;
    match line.first() {
        Some(b'{') => Ok(json(line)),
        Some(b'[') if apache_error::begins(line) => Ok(Format::ApacheError),
        _ if nginx_error::begins(line) => Ok(Format::NginxError),
        _ if haproxy::begins(line) => Ok(Format::Haproxy),
        _ => match combined::shape(line).ok_or(Unparsed::Format)? {
            Shown::Plain if combined::ends_as_traefik(line) => Ok(Format::Traefik),
            Shown::Plain => Ok(Format::Combined),
            Shown::Vhost => Ok(Format::VhostCombined),
            Shown::Either => match (holds(Format::Combined), holds(Format::VhostCombined)) {
                (true, false) => Ok(Format::Combined),
                (false, true) => Ok(Format::VhostCombined),
                (true, true) | (false, false) => Err(Unparsed::Ambiguous),
            },
        },
    }
}

/// Whether a line may be one of this format: else it may stand behind a syslog header.
pub(super) fn begins(format: Format, line: &[u8]) -> bool {
    match format {
        Format::Combined | Format::VhostCombined | Format::Traefik => combined::shape(line).is_some(),
        Format::NginxError => nginx_error::begins(line),
        Format::ApacheError => apache_error::begins(line),
        Format::NginxJson | Format::Caddy | Format::TraefikJson => line.first() == Some(&b'{'),
        Format::Haproxy => haproxy::begins(line),
        Format::Auto | Format::Grok => false,
    }
}

/// Which JSON. A quotation mark within a text is escaped, so these words are the writer's own.
fn json(line: &[u8]) -> Format {
    let has = |text: &str| memmem::find(line, text.as_bytes()).is_some();
    if has(r#""logger":"http."#) || has(r#""msg":"handled request""#) {
        Format::Caddy
    } else if has(r#""ClientAddr":""#) || has(r#""ClientHost":""#) && has(r#""DownstreamStatus":"#) {
        Format::TraefikJson
    } else {
        Format::NginxJson
    }
}
