//! The state machine and its picture.
use crate::domain::report::Status;

/// A status with so many packets seen, and so many of them denied, of 60 bytes each.
pub(super) fn status(seen: u64, denied: u64) -> Status {
    let totals = |each: u64| serde_json::json!({"seen": seen * each, "passed": (seen - denied) * each, "dropped": denied * each, "would_drop": 0, "replied": 0});
    serde_json::from_value(serde_json::json!({"version": "0.1.0", "uptime_s": 60, "enforcement": "enforce",
        "generation": 3, "bypass": false, "pending": null,
        "interfaces": [{"name": "eth0", "index": 2, "mode": "native"}],
        "emergency": {"state": "off", "setting": "off", "since": null}, "threat_level": null,
        "packets": totals(1), "bytes": totals(60), "verdicts": {
            "denied": {"packets": denied, "bytes": denied * 60, "observed_packets": 0},
            "pass": {"packets": seen - denied, "bytes": (seen - denied) * 60, "observed_packets": 0},
            "rate_source": {"packets": 0, "bytes": 0, "observed_packets": 0}},
        "lists": [], "feeds": [], "crowdsec": null, "geo": [], "capacity": {},
        "health": {"ok": true, "problems": []}}))
    .unwrap()
}
