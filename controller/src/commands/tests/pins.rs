//! `bypass` and `detach` without a daemon. Needs root.
use std::path::Path;

use serde_json::json;
use weir_common::abi::control_word;

use super::kernel::Pinned;
use super::{Ended, run_with};
use crate::adapters::kernel::link::{self, WantedMode};
use crate::commands::failure;

fn run(pinned: &Pinned, line: &str) -> Ended {
    run_with(&format!("{line} -c {}", pinned.config.display()), Path::new("/nonexistent"), "")
}

fn word(pinned: &Pinned, word: u32) -> u64 {
    pinned.instance.control().unwrap().read(word as usize).unwrap()
}

#[test]
fn the_bypass_is_a_word_in_the_kernel() {
    let pinned = Pinned::new("", &[]);
    let ended = run(&pinned, "bypass on --dry-run").well();
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("bypass: would be turned on\n", ""));
    assert_eq!(word(&pinned, control_word::BYPASS), 0);
    let ended = run(&pinned, "bypass on").with(0, "NOTHING IS FILTERED");
    assert_eq!((ended.out.as_str(), word(&pinned, control_word::BYPASS)), ("bypass: on\n", 1));
    let ended = run(&pinned, "bypass on -o json").with(0, "NOTHING IS FILTERED");
    assert_eq!(ended.json(), json!({"changed": false, "state": "on"}));
    let ended = run(&pinned, "bypass off").well();
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("bypass: off, packets are filtered again\n", ""));
    assert_eq!(word(&pinned, control_word::BYPASS), 0);
    assert_eq!(run(&pinned, "bypass off -o json").well().json(), json!({"changed": false, "state": "off"}));
}

#[test]
fn detach_takes_links_and_pins_away() {
    let pinned = Pinned::new("", &[]);
    // SAFETY: no memory; only this test's thread enters the new namespace.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "this test needs root");
    let pin = pinned.instance.link(1);
    let attached = link::attach(pinned.program(), "lo", 1, WantedMode::Generic, &pin, || None).unwrap();
    let ended = run(&pinned, "detach --dry-run -o json").well();
    let report = ended.json();
    assert_eq!((&report["changed"], &report["dry_run"]), (&json!(true), &json!(true)));
    assert_eq!(report["interfaces"], json!([{"index": 1, "name": "lo"}]));
    assert!(pin.exists() && pinned.instance.is_pinned());
    let ended = run(&pinned, "detach").well();
    assert!(ended.out.starts_with("detached from lo (index 1)\nremoved: "), "{ended:?}");
    assert!(!pinned.instance.maps().exists());
    // The link is still held here, and is off the interface all the same.
    let info = crate::adapters::kernel::sys::link_info(std::os::fd::AsFd::as_fd(&attached.link)).unwrap();
    assert_eq!(info.interface, 0);
    let ended = run(&pinned, "detach -o json").well();
    assert_eq!(ended.json(), json!({"changed": false, "dry_run": false, "interfaces": [], "pins": null}));
    run(&pinned, "bypass on").with(failure::FAILED, "no weir is attached here");
}
