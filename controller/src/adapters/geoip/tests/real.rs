//! Files in the folder that `WEIR_DATA` names.
use std::fs::OpenOptions;
use std::io::Write as _;

use super::*;
use crate::domain::geo::Continent;

/// A folder of the real-world data. Where there is none, says aloud that `test` is skipped.
fn data(test: &str, folder: &str) -> Option<PathBuf> {
    let path = std::env::var_os("WEIR_DATA").map(|all| PathBuf::from(all).join(folder));
    if let Some(path) = path.filter(|path| path.exists()) {
        return Some(path);
    }
    let line = format!("{test}: {folder} is not in the folder that WEIR_DATA names");
    eprintln!("SKIPPED: {line}");
    if let Some(skipped) = std::env::var_os("WEIR_SKIPPED") {
        let mut file = OpenOptions::new().append(true).create(true).open(skipped).expect("the file WEIR_SKIPPED names");
        writeln!(file, "{line}").expect("write to the file WEIR_SKIPPED names");
    }
    None
}

#[test]
fn every_broken_database_is_refused_under_both_keys() {
    let Some(folder) = data("every_broken_database_is_refused_under_both_keys", "geo") else { return };
    let mut broken: Vec<PathBuf> =
        fs::read_dir(folder.join("mmdb-bad")).unwrap().map(|file| file.unwrap().path()).collect();
    let others = fs::read_dir(folder.join("mmdb-test")).unwrap().map(|file| file.unwrap().path());
    let is_broken = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
        name.contains("broken") || name.contains("invalid")
    };
    broken.extend(others.filter(is_broken));
    assert!(broken.len() >= 20);
    for path in broken {
        for result in [countries(path.clone()), networks(path.clone())] {
            let error = result.expect_err(&path.display().to_string()).to_string();
            eprintln!("{error}");
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}

#[test]
fn the_databases_of_maxmind_are_read() {
    let Some(folder) = data("the_databases_of_maxmind_are_read", "geo/mmdb-test") else { return };
    let both = GeoFiles {
        country: Some(folder.join("GeoLite2-Country-Test.mmdb")),
        asn: Some(folder.join("GeoLite2-ASN-Test.mmdb")),
    };
    let geo = load(&both).unwrap();
    assert_eq!(place(&geo, "2.125.160.216").split(' ').next(), Some("GB"));
    assert_eq!(geo.table.place("81.2.69.160".parse().unwrap()).continent, Some(Continent::Europe));
    assert_eq!(place(&geo, "1.128.0.1"), "- 1221 Telstra Pty Ltd");
    let cities = countries(folder.join("GeoLite2-City-Test.mmdb")).unwrap();
    assert_eq!(place(&cities, "2.125.160.216"), "GB - -");
    // Low IPv6 space only: no country of an IPv4 address.
    assert!(countries(folder.join("MaxMind-DB-no-ipv4-search-tree.mmdb")).is_err());
    let anonymous = countries(folder.join("GeoIP2-Anonymous-IP-Test.mmdb")).unwrap_err().to_string();
    assert!(anonymous.contains("holds no countries (it calls itself \"GeoIP2-Anonymous-IP\")"), "{anonymous}");
    let swapped = countries(folder.join("GeoLite2-ASN-Test.mmdb")).unwrap_err().to_string();
    assert!(swapped.contains("name it as `asn_file`"), "{swapped}");
    let swapped = networks(folder.join("GeoLite2-Country-Test.mmdb")).unwrap_err().to_string();
    assert!(swapped.contains("name it as `country_file`"), "{swapped}");
}

/// Every tenth byte of a real database set to something else: each try ends, without a panic, in a table or a refusal.
#[test]
fn a_real_database_with_a_changed_byte_is_read_or_refused() {
    let test = "a_real_database_with_a_changed_byte_is_read_or_refused";
    let Some(folder) = data(test, "geo/mmdb-test") else { return };
    let bytes = fs::read(folder.join("GeoLite2-Country-Test.mmdb")).unwrap();
    let tries = Folder::new();
    for at in (0..bytes.len()).step_by(10) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x55;
        let _either = countries(tries.file("a", &changed));
    }
}
