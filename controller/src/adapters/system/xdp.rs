//! Which XDP programs are attached to an interface.
use std::fmt;
use std::io;

use super::SystemError;
use super::netlink::{self, attributes, u32_at};

const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, before the kernel allocates anything for the packet.
    Native,
    /// In the stack, on any interface, and slower.
    Generic,
    /// On the network card itself.
    Offload,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offload => "offload",
        })
    }
}

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The program's id.
    pub program_id: u32,
    /// The program's name, at most 15 bytes; `None` where it could not be asked (it needs `CAP_SYS_ADMIN`) or where
    /// the program has none.
    pub name: Option<String>,
    /// Where it runs.
    pub mode: Mode,
}

impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program {}", self.program_id)?;
        if let Some(name) = &self.name {
            write!(f, " \"{name}\"")?;
        }
        write!(f, " ({})", self.mode)
    }
}

/// The XDP programs on the interface with this index; none, one, or one a mode.
///
/// `name_of` gives the name of the program with an id; its errors leave the name out.
///
/// # Errors
/// [`SystemError`] where the kernel does not answer; [`SystemError::number`] is `ENODEV` where there is no such
/// interface.
pub fn attached(index: u32, name_of: impl Fn(u32) -> io::Result<String>) -> Result<Vec<Attached>, SystemError> {
    let mut request = [0; 16];
    request[4..8].copy_from_slice(&index.to_ne_bytes());
    let programs = netlink::get(libc::NETLINK_ROUTE, libc::RTM_GETLINK, &request, |body| Some(programs(body)))
        .map_err(SystemError::about("which XDP programs are attached"))?;
    let named = programs.into_iter().flatten().map(|(mode, program_id)| Attached {
        program_id,
        name: name_of(program_id).ok().filter(|name| !name.is_empty()),
        mode,
    });
    Ok(named.collect())
}

/// Modes and ids in the attributes behind a `struct ifinfomsg`.
fn programs(body: &[u8]) -> Vec<(Mode, u32)> {
    let link = attributes(body.get(16..).unwrap_or_default());
    let nested = link.filter(|(kind, _)| *kind == IFLA_XDP).flat_map(|(_, value)| attributes(value));
    let (mut attached, mut only, mut programs) = (0, None, Vec::new());
    for (kind, value) in nested {
        match kind {
            IFLA_XDP_ATTACHED => attached = value.first().copied().unwrap_or_default(),
            IFLA_XDP_PROG_ID => only = u32_at(value, 0),
            IFLA_XDP_DRV_PROG_ID => programs.extend(u32_at(value, 0).map(|id| (Mode::Native, id))),
            IFLA_XDP_SKB_PROG_ID => programs.extend(u32_at(value, 0).map(|id| (Mode::Generic, id))),
            IFLA_XDP_HW_PROG_ID => programs.extend(u32_at(value, 0).map(|id| (Mode::Offload, id))),
            _ => {}
        }
    }
    // Where one program is attached, its id may stand in IFLA_XDP_PROG_ID only, and IFLA_XDP_ATTACHED says the mode.
    if programs.is_empty() {
        let mode = match attached {
            1 => Some(Mode::Native),
            2 => Some(Mode::Generic),
            3 => Some(Mode::Offload),
            _ => None,
        };
        programs.extend(mode.zip(only));
    }
    programs.retain(|(_, id)| *id != 0);
    programs
}

#[cfg(test)]
mod tests {
    use super::super::netlink::attribute;
    use super::*;

    fn link(nested: &[(u16, &[u8])]) -> Vec<u8> {
        let nested: Vec<u8> = nested.iter().flat_map(|(kind, value)| attribute(*kind, value)).collect();
        [vec![0; 16], attribute(3, b"eth0\0"), attribute(IFLA_XDP | 0x8000, &nested)].concat()
    }

    #[track_caller]
    fn check(nested: &[(u16, &[u8])], expected: &[(Mode, u32)]) {
        assert_eq!(programs(&link(nested)), expected);
    }

    #[test]
    fn each_mode_is_told_apart() {
        let id = 77u32.to_ne_bytes();
        let other = 78u32.to_ne_bytes();
        check(&[(IFLA_XDP_ATTACHED, &[0])], &[]);
        check(&[(IFLA_XDP_ATTACHED, &[1]), (IFLA_XDP_PROG_ID, &id)], &[(Mode::Native, 77)]);
        check(&[(IFLA_XDP_ATTACHED, &[2]), (IFLA_XDP_PROG_ID, &id)], &[(Mode::Generic, 77)]);
        check(&[(IFLA_XDP_ATTACHED, &[3]), (IFLA_XDP_PROG_ID, &id)], &[(Mode::Offload, 77)]);
        check(
            &[(IFLA_XDP_ATTACHED, &[1]), (IFLA_XDP_PROG_ID, &id), (IFLA_XDP_DRV_PROG_ID, &id)],
            &[(Mode::Native, 77)],
        );
        check(
            &[(IFLA_XDP_ATTACHED, &[4]), (IFLA_XDP_DRV_PROG_ID, &id), (IFLA_XDP_HW_PROG_ID, &other)],
            &[(Mode::Native, 77), (Mode::Offload, 78)],
        );
    }

    #[test]
    fn a_missing_interface_is_enodev() {
        let error = attached(u32::MAX >> 1, |_| Ok(String::new())).expect_err("no such interface");
        assert_eq!(error.number(), Some(libc::ENODEV));
    }

    #[test]
    fn a_program_is_shown_with_id_name_and_mode() {
        let mut program = Attached { program_id: 77, name: Some("other".into()), mode: Mode::Native };
        assert_eq!(program.to_string(), "program 77 \"other\" (native)");
        program.name = None;
        assert_eq!(program.to_string(), "program 77 (native)");
    }
}
