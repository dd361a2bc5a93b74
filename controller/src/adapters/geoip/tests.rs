mod made;
mod real;

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// Where the files of one test are; gone with it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn countries(path: PathBuf) -> Result<Geo, GeoError> {
    load(&GeoFiles { country: Some(path), asn: None })
}

fn networks(path: PathBuf) -> Result<Geo, GeoError> {
    load(&GeoFiles { country: None, asn: Some(path) })
}

/// The file is refused under both keys, or under one; returns what is said.
#[track_caller]
fn refused(purpose: Purpose, bytes: &[u8], part: &str) {
    let path = Folder::new();
    let file = path.file("a file.mmdb", bytes);
    let result = match purpose {
        Purpose::Country => countries(file),
        Purpose::Asn => networks(file),
    };
    let error = result.unwrap_err().to_string();
    assert!(error.contains(part) && error.contains("a file.mmdb"), "{error}");
}

fn place(geo: &Geo, address: &str) -> String {
    let place = geo.table.place(address.parse().unwrap());
    let country = place.country.map_or("-".to_owned(), |country| country.to_string());
    let asn = place.asn.map_or("-".to_owned(), |asn| asn.to_string());
    format!("{country} {asn} {}", place.as_name.as_deref().unwrap_or("-"))
}

const COUNTRIES: &str = "192.0.2.0,192.0.2.127,DE\n192.0.2.128,192.0.2.255,fr\n2001:db8::,2001:db8::ffff,US\n\
                         198.51.100.0,198.51.100.255,ZZ\n";
const SYSTEMS: &str = "192.0.2.0,192.0.2.255,64496,\"Example, Inc.\"\n2001:db8::,2001:db8::1,AS64497,Other\n";

#[test]
fn csv_files_of_both_kinds_become_one_table() {
    let folder = Folder::new();
    let files = GeoFiles {
        country: Some(folder.file("c.mmdb", COUNTRIES.as_bytes())),
        asn: Some(folder.file("a", format!("\u{feff}{}", SYSTEMS.replace('\n', "\r\n")).as_bytes())),
    };
    let geo = load(&files).unwrap();
    assert_eq!(place(&geo, "192.0.2.127"), "DE 64496 Example, Inc.");
    assert_eq!(place(&geo, "192.0.2.128"), "FR 64496 Example, Inc.");
    assert_eq!(place(&geo, "::ffff:192.0.2.1"), "DE 64496 Example, Inc.");
    assert_eq!(place(&geo, "2001:db8::2"), "US - -");
    assert_eq!(place(&geo, "198.51.100.1"), "- - -");
    let facts: Vec<_> = geo.files.iter().map(|file| (file.purpose, file.format, file.values)).collect();
    assert_eq!(facts, [(Purpose::Country, FileFormat::Csv, 3), (Purpose::Asn, FileFormat::Csv, 2)]);
}

#[test]
fn a_csv_line_is_understood_as_a_whole_or_the_file_is_refused() {
    use Purpose::{Asn, Country};
    for (bad, part) in [
        ("192.0.2.0,192.0.2.1,DEU", "line 2: \"DEU\" is no country code"),
        ("192.0.2.0,192.0.2.1", "line 2: has 2 columns where the lines before have 3; the file may be cut short"),
        ("192.0.2.1,192.0.2.0,DE", "line 2: 192.0.2.1 comes after 192.0.2.0"),
        ("192.0.2.0,2001:db8::,DE", "not of one family"),
        ("192.0.02.0,192.0.2.1,DE", "\"192.0.02.0\" is no address"),
        ("3221225984,3221225985,DE", "take the edition of the file that has addresses"),
        ("fe80::1%eth0,fe80::2,DE", "is no address"),
        ("192.0.2.0/24,192.0.2.1,DE", "is no address"),
        ("192.0.2.0,192.0.2.1,\u{fffd}", "is no country code"),
    ] {
        refused(Country, format!("198.51.100.0,198.51.100.1,US\n{bad}\n").as_bytes(), part);
    }
    refused(Country, b"192.0.2.0,192.0.2.1,DE\n192.0.2.2,192.0.2.3,\xff\xfe\n", "line 2: is not UTF-8");
    refused(
        Country,
        SYSTEMS.as_bytes(),
        "line 1: has 4 columns; lines of first address, last address and country code",
    );
    refused(Asn, COUNTRIES.as_bytes(), "line 1: \"DE\" is no AS number");
    refused(Asn, b"192.0.2.0,192.0.2.1,4294967296,X\n", "is no AS number");
    let open_quote = format!("192.0.2.0,192.0.2.1,64496,\"X\n{}", SYSTEMS.repeat(50));
    refused(Asn, open_quote.as_bytes(), "line 1");
}

#[test]
fn what_is_no_database_is_said_to_be_what_it_is() {
    use Purpose::Country;
    refused(Country, b"", "is empty");
    refused(Country, b" \n\n", "is empty");
    refused(Country, b"<!DOCTYPE html><html>", "a web page");
    refused(Country, b"{\"error\":\"limit\"}", "JSON");
    refused(Country, b"\x1f\x8b\x08\0", "unpack it first");
    refused(Country, b"ELF\0\0\0", "cut short");
    refused(
        Country,
        b"198.51.100.0,198.51.100.1,ZZ\n",
        "holds no countries; `country_file` needs a database of countries",
    );
}

#[test]
fn only_regular_files_within_the_limit_are_read() {
    let folder = Folder::new();
    assert!(countries(folder.0.path().to_owned()).unwrap_err().to_string().contains("is a folder"));
    let absent = countries(folder.0.path().join("absent")).unwrap_err().to_string();
    assert!(absent.contains("cannot be read") && absent.contains("country_file"), "{absent}");
    assert!(networks("/dev/zero".into()).unwrap_err().to_string().contains("device"));
    let pipe = folder.0.path().join("pipe");
    let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
    // SAFETY: `name` is a text that ends with zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert!(countries(pipe).unwrap_err().to_string().contains("is a pipe"));
    let sparse = folder.0.path().join("sparse");
    File::create(&sparse).unwrap().set_len(LARGEST_FILE + 1).unwrap();
    assert!(countries(sparse).unwrap_err().to_string().contains("larger than 256 MiB"));
}

#[test]
fn a_change_is_told_once_and_a_touch_never() {
    let folder = Folder::new();
    let files = GeoFiles { country: Some(folder.file("c", COUNTRIES.as_bytes())), asn: None };
    let watched = Watched::new(&files);
    assert!(!watched.changed(&files));
    // The same content in a new file.
    let path = files.country.clone().unwrap();
    fs::rename(folder.file("new", COUNTRIES.as_bytes()), &path).unwrap();
    assert!(!watched.changed(&files));
    // Other content of the same length.
    fs::rename(folder.file("new", COUNTRIES.replace("DE", "AT").as_bytes()), &path).unwrap();
    assert!(watched.changed(&files));
    assert!(!watched.changed(&files));
    fs::remove_file(&path).unwrap();
    assert!(watched.changed(&files));
    assert!(!watched.changed(&files));
    folder.file("c", COUNTRIES.as_bytes());
    assert!(watched.changed(&files));
    // Another file under the key, and one more.
    let both = GeoFiles { asn: Some(folder.file("a", SYSTEMS.as_bytes())), ..files.clone() };
    assert!(watched.changed(&both));
    assert!(!watched.changed(&both));
    assert!(watched.changed(&files));
}
