//! Remote ends of login sessions that have been authenticated, from utmp and from logind.
//!
//! Both are written by root's login programs after the password or key was accepted, so a remote end found here is
//! never one that merely tried. Host names are not looked up: whoever owns the address could choose the answer.
use std::fs;
use std::io;
use std::mem::offset_of;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use libc::utmpx;

/// A remote login session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Whose.
    pub user: String,
    /// From where.
    pub address: IpAddr,
    /// The process that leads it; `None` where the record names none.
    pub process: Option<u32>,
}

/// The remote logins of a utmp file.
///
/// # Errors
/// The read's; `NotFound` on systems that have given utmp up.
pub fn read_utmp(path: &Path) -> io::Result<Vec<Login>> {
    Ok(utmp(&fs::read(path)?))
}

/// The remote logins of logind's folder of sessions. Files that vanish meanwhile are sessions that ended.
///
/// # Errors
/// The read's; `NotFound` where logind does not run.
pub fn read_sessions(folder: &Path) -> io::Result<Vec<Login>> {
    let mut logins = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Beside each session may lie a FIFO, `<id>.ref`, whose opening would wait for ever.
        match entry.file_type() {
            Ok(kind) if kind.is_file() => {}
            _ => continue,
        }
        match fs::read(entry.path()) {
            Ok(text) => logins.extend(session(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    logins.sort_by(|a, b| (&a.user, a.address).cmp(&(&b.user, b.address)));
    Ok(logins)
}

/// The remote logins among utmp's records (utmp(5)), which are `libc::utmpx` as this machine lays it out; a partial
/// record at the end is left out. A record of a session that died without logging out counts until it is overwritten.
pub fn utmp(bytes: &[u8]) -> Vec<Login> {
    bytes.chunks_exact(size_of::<utmpx>()).filter_map(record).collect()
}

fn record(record: &[u8]) -> Option<Login> {
    let at = |from: usize, len: usize| record.get(from..from + len);
    let kind = at(offset_of!(utmpx, ut_type), 2)?.try_into().ok().map(i16::from_ne_bytes)?;
    if kind != libc::USER_PROCESS {
        return None;
    }
    let user = at(offset_of!(utmpx, ut_user), 32)?;
    let user = user.split(|byte| *byte == 0).next().unwrap_or_default();
    let address: [u8; 16] = at(offset_of!(utmpx, ut_addr_v6), 16)?.try_into().ok()?;
    let address = match address {
        // IPv4 fills the first of four words; no IPv6 address that logs in ends with twelve zero bytes.
        [a, b, c, d, rest @ ..] if rest == [0; 12] => IpAddr::from([a, b, c, d]),
        all => Ipv6Addr::from(all).to_canonical(),
    };
    let process = at(offset_of!(utmpx, ut_pid), 4)?.try_into().ok().map(i32::from_ne_bytes)?;
    let process = u32::try_from(process).ok().filter(|process| *process != 0);
    (!address.is_unspecified()).then(|| Login { user: String::from_utf8_lossy(user).into_owned(), address, process })
}

/// The remote login in one of logind's session files (`KEY=VALUE` lines); `None` for local ones, for those whose remote
/// host is not an address, for those that are closing, and for greeters, which nobody has logged in to.
pub fn session(text: &str) -> Option<Login> {
    let value = |key: &str| {
        let of_key =
            |line: &'_ str| line.strip_prefix(key)?.strip_prefix('=').map(|value| value.trim_matches('"').to_owned());
        text.lines().find_map(of_key)
    };
    if value("REMOTE")? != "1" || value("STATE").is_some_and(|state| state == "closing") {
        return None;
    }
    if value("CLASS").is_some_and(|class| !class.starts_with("user")) {
        return None;
    }
    let host = value("REMOTE_HOST")?;
    let address: IpAddr = host.split('%').next()?.parse().ok()?;
    let user = value("USER").or_else(|| value("UID")).unwrap_or_else(|| "unknown".to_owned());
    let process = value("LEADER").and_then(|leader| leader.parse().ok()).filter(|process| *process != 0);
    Some(Login { user, address: address.to_canonical(), process })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utmp_record(kind: i16, user: &str, address: &[u8]) -> Vec<u8> {
        let mut record = vec![0; size_of::<utmpx>()];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        put(offset_of!(utmpx, ut_type), &kind.to_ne_bytes());
        put(offset_of!(utmpx, ut_user), user.as_bytes());
        put(offset_of!(utmpx, ut_host), b"host.example");
        put(offset_of!(utmpx, ut_addr_v6), address);
        record
    }

    #[track_caller]
    fn check_session(text: &str, expected: Option<(&str, &str)>) {
        let found = session(text).map(|login| (login.user, login.address.to_string()));
        assert_eq!(found, expected.map(|(user, address)| (user.to_owned(), address.to_owned())));
    }

    #[test]
    fn only_user_processes_with_an_address_count() {
        let v6 = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
        let mapped = "::ffff:192.0.2.8".parse::<Ipv6Addr>().unwrap().octets();
        let file = [
            utmp_record(libc::BOOT_TIME, "reboot", &[192, 0, 2, 1]),
            utmp_record(libc::USER_PROCESS, "alice", &[192, 0, 2, 7]),
            utmp_record(libc::USER_PROCESS, "console", &[]),
            utmp_record(libc::LOGIN_PROCESS, "LOGIN", &[192, 0, 2, 9]),
            utmp_record(libc::USER_PROCESS, "a-name-of-exactly-32-bytes-length", &v6[..]).clone(),
            utmp_record(libc::DEAD_PROCESS, "gone", &[192, 0, 2, 10]),
            utmp_record(libc::USER_PROCESS, "carol", &mapped),
            vec![7; 100],
        ];
        let found: Vec<_> =
            utmp(&file.concat()).into_iter().map(|login| format!("{} {}", login.user, login.address)).collect();
        assert_eq!(found, ["alice 192.0.2.7", "a-name-of-exactly-32-bytes-lengt 2001:db8::7", "carol 192.0.2.8"]);
    }

    #[test]
    fn the_process_that_leads_a_session_is_known_where_it_is_named() {
        let of = |leader: &str| session(&format!("REMOTE=1\nREMOTE_HOST=192.0.2.7\n{leader}")).unwrap().process;
        assert_eq!((of("LEADER=4321\n"), of("LEADER=0\n"), of("LEADER=x\n"), of("")), (Some(4_321), None, None, None));
        let mut record = utmp_record(libc::USER_PROCESS, "alice", &[192, 0, 2, 7]);
        assert_eq!(utmp(&record)[0].process, None);
        let at = offset_of!(utmpx, ut_pid);
        record[at..at + 4].copy_from_slice(&4_321i32.to_ne_bytes());
        assert_eq!(utmp(&record)[0].process, Some(4_321));
    }

    #[test]
    fn the_layout_is_the_one_on_disk() {
        // glibc's <bits/utmpx.h>: 384 bytes where the session and the time are 32 bits wide even on 64-bit machines.
        if cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
            assert_eq!(size_of::<utmpx>(), 384);
            assert_eq!(offset_of!(utmpx, ut_user), 44);
            assert_eq!(offset_of!(utmpx, ut_addr_v6), 348);
        }
    }

    #[test]
    fn remote_sessions_with_an_address_count() {
        check_session("USER=alice\nREMOTE=1\nREMOTE_HOST=192.0.2.7\n", Some(("alice", "192.0.2.7")));
        check_session("UID=1000\nREMOTE=1\nREMOTE_HOST=\"2001:db8::7\"", Some(("1000", "2001:db8::7")));
        check_session("REMOTE=1\nREMOTE_HOST=fe80::7%eth0\nCLASS=user-early", Some(("unknown", "fe80::7")));
        check_session("USER=alice\nREMOTE=1\nREMOTE_HOST=::ffff:192.0.2.7\n", Some(("alice", "192.0.2.7")));
    }

    #[test]
    fn local_named_closing_and_greeter_sessions_do_not_count() {
        check_session("", None);
        check_session("USER=alice\nREMOTE=0\nREMOTE_HOST=192.0.2.7\n", None);
        check_session("USER=alice\nREMOTE_HOST=192.0.2.7\n", None);
        check_session("USER=alice\nREMOTE=1\nREMOTE_HOST=host.example\n", None);
        check_session("USER=alice\nREMOTE=1\nXREMOTE_HOST=192.0.2.7\n", None);
        check_session("USER=alice\nREMOTE=1\nREMOTE_HOST=192.0.2.7\nSTATE=closing\n", None);
        check_session("USER=gdm\nREMOTE=1\nREMOTE_HOST=192.0.2.7\nCLASS=greeter\n", None);
    }

    #[test]
    fn a_fifo_beside_the_sessions_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("3"), "USER=bob\nREMOTE=1\nREMOTE_HOST=192.0.2.3\n").unwrap();
        fs::write(folder.path().join("2"), "USER=alice\nREMOTE=1\nREMOTE_HOST=192.0.2.2\n").unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("3.ref")).status().unwrap();
        assert!(made.success());
        let users: Vec<_> = read_sessions(folder.path()).unwrap().into_iter().map(|login| login.user).collect();
        assert_eq!(users, ["alice", "bob"]);
    }
}
