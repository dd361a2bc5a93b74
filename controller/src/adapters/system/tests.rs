//! What tests of the machine need: a network namespace of their own.
use std::io;
use std::process::Command;

use super::interfaces::{index_of, list};
use super::xdp::attached;

/// Runs a test in a thread with a network namespace of its own, which is gone with the thread.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| {
            // SAFETY: takes no pointers; it changes the calling thread only.
            let unshared = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(unshared, 0, "this test needs root: {}", io::Error::last_os_error());
            test();
        });
        if let Err(panic) = ran.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs `ip` with these arguments in the calling thread's network namespace.
#[track_caller]
pub(crate) fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output().expect("`ip` of iproute2 is needed");
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn interfaces_of_the_threads_namespace_are_listed() {
    in_namespace(|| {
        ip("link add near type veth peer name far");
        ip("address add 192.0.2.1/24 dev near");
        ip("address add 2001:db8::1/64 dev near nodad");
        ip("link set near mtu 1400 up");
        let interfaces = list().unwrap();
        let names: Vec<_> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
        assert!(names.contains(&"lo") && names.contains(&"near") && names.contains(&"far"), "{names:?}");
        assert!(!names.contains(&"eth0"), "{names:?}");

        let near = interfaces.iter().find(|interface| interface.name == "near").unwrap();
        assert_eq!(index_of("near").unwrap(), Some(near.index));
        assert_eq!((near.up, near.loopback, near.mtu), (true, false, 1400));
        let addresses: Vec<_> = near.addresses.iter().map(ToString::to_string).collect();
        assert!(addresses.contains(&"192.0.2.1".into()) && addresses.contains(&"2001:db8::1".into()), "{addresses:?}");
        assert!(!interfaces.iter().find(|interface| interface.name == "far").unwrap().up);
    });
}

#[test]
fn an_interface_without_a_program_has_none() {
    in_namespace(|| assert_eq!(attached(1, |_| Ok("x".into())).unwrap(), []));
}
