use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// What fail2ban 0.11 to 1.1 make.
const SCHEMA_4: &str = "
    CREATE TABLE fail2banDb(version INTEGER); INSERT INTO fail2banDb VALUES(4);
    CREATE TABLE jails(name TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL DEFAULT 1);
    CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL,
        bancount INTEGER NOT NULL DEFAULT 1, data JSON);
    CREATE TABLE bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL,
        bancount INTEGER NOT NULL DEFAULT 1, data JSON, PRIMARY KEY(ip, jail));";

/// What fail2ban up to 0.10 makes.
const SCHEMA_2: &str = "
    CREATE TABLE fail2banDb(version INTEGER); INSERT INTO fail2banDb VALUES(2);
    CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, data JSON);";

const NOW: i64 = 1_795_000_000;

struct Database {
    folder: TempDir,
    connection: Connection,
}

impl Database {
    fn new(schema: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("f.sqlite3")).unwrap();
        // As fail2ban opens it.
        connection.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF").unwrap();
        connection.execute_batch(schema).unwrap();
        Self { folder, connection }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("f.sqlite3")
    }

    fn ban(&self, ip: &str, jail: &str, ago: i64, length: i64) -> &Self {
        let insert = "INSERT OR REPLACE INTO bips(ip, jail, timeofban, bantime) VALUES(?1, ?2, ?3, ?4)";
        self.connection.execute(insert, (ip, jail, NOW - ago, length)).unwrap();
        self
    }

    fn read(&self, jail: Option<&str>) -> Result<Bans, Fail2banError> {
        bans(&self.path(), now(), jail)
    }

    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// Bans as `address jail seconds-left`.
fn shown(bans: &Bans) -> Vec<String> {
    let left = |until: Option<Timestamp>| until.map_or("-".to_owned(), |end| (end.as_second() - NOW).to_string());
    bans.live.iter().map(|ban| format!("{} {} {}", ban.address, ban.jail, left(ban.until))).collect()
}

#[test]
fn what_is_live_at_that_moment_is_read_and_nothing_else() {
    let database = Database::new(SCHEMA_4);
    database.ban("192.0.2.1", "sshd", 60, 600).ban("192.0.2.2", "sshd", 600, 600).ban("192.0.2.3", "sshd", 599, 600);
    database.ban("2001:db8::1", "sshd", 100_000, -1).ban("192.0.2.4", "sshd", 0, 0).ban("192.0.2.5", "sshd", -9, 1);
    let bans = database.read(None).unwrap();
    let live = ["192.0.2.1/32 sshd 540", "192.0.2.3/32 sshd 1", "192.0.2.5/32 sshd 10", "2001:db8::1/128 sshd -"];
    assert_eq!(shown(&bans), live);
    assert_eq!((bans.ended, bans.refused), (2, 0));
}

#[test]
fn each_jail_holds_its_own_bans() {
    let database = Database::new(SCHEMA_4);
    database.ban("192.0.2.1", "sshd", 0, 60).ban("192.0.2.1", "recidive", 0, -1).ban("192.0.2.2", "SSHD", 0, 60);
    database.ban("nonsense", "recidive", 0, 60);
    assert_eq!(shown(&database.read(Some("sshd")).unwrap()), ["192.0.2.1/32 sshd 60"]);
    assert_eq!(shown(&database.read(Some("recidive")).unwrap()), ["192.0.2.1/32 recidive -"]);
    assert_eq!(database.read(Some("sshd")).unwrap().refused, 0, "another jail's rows are not this one's to count");
    assert_eq!(database.read(None).unwrap().live.len(), 3);
    assert_eq!(database.read(Some("none")).unwrap(), Bans::default());
}

#[test]
fn what_is_no_address_is_counted_and_takes_nothing_along() {
    let database = Database::new(SCHEMA_4);
    let wrong = ["example.org", "192.0.2.1.5", "010.0.0.1", "3221225985", "fe80::1%eth0", "-", "", "$(reboot)", " ::1"];
    for ip in wrong {
        database.ban(ip, "sshd", 0, 60);
    }
    database.ban("192.0.2.9", "sshd", 0, 60).ban("198.51.100.7/24", "sshd", 0, 60);
    database.ban("192.0.2.10", "sshd", 0, -3).ban("192.0.2.11", "sshd", 0, i64::MAX).ban("192.0.2.12", "", 0, 60);
    let insert = "INSERT INTO bips(ip, jail, timeofban, bantime) VALUES(x'c0000201', 'sshd', 0, 60),
        (5, 'sshd', 'soon', 60), ('192.0.2.13', 'sshd', 'soon', 60), ('192.0.2.14', 'sshd', 1e300, 60)";
    database.connection.execute_batch(insert).unwrap();
    let bans = database.read(None).unwrap();
    assert_eq!(shown(&bans), ["192.0.2.9/32 sshd 60", "198.51.100.0/24 sshd 60"]);
    assert_eq!(bans.refused, wrong.len() + 7);
    assert!(bans.refusals.iter().any(|refused| refused.text == "010.0.0.1" && refused.why.contains("octal")));
}

#[test]
fn few_refused_rows_are_kept_and_shown_without_control_characters() {
    let database = Database::new(SCHEMA_4);
    for at in 0..50 {
        database.ban(&format!("\u{1b}[2J\u{202e}{at}{}", "x".repeat(500)), "sshd", 0, 60);
    }
    let bans = database.read(None).unwrap();
    assert_eq!((bans.refused, bans.refusals.len()), (50, REFUSED_KEPT));
    assert!(bans.refusals.iter().all(|refused| refused.text.is_ascii() && refused.text.len() <= 80));
}

#[test]
fn two_ways_to_write_an_address_are_one_ban() {
    let database = Database::new(SCHEMA_4);
    database.ban("::ffff:192.0.2.1", "sshd", 10, 600).ban("192.0.2.1", "sshd", 20, 6_000);
    let bans = database.read(None).unwrap();
    assert_eq!((shown(&bans), bans.ended), (vec!["192.0.2.1/32 sshd 590".to_owned()], 1));
}

#[test]
fn older_schemas_are_read_from_the_history() {
    let database = Database::new(SCHEMA_2);
    let insert =
        "INSERT INTO bans(jail, ip, timeofban) VALUES('sshd', '192.0.2.1', ?1 - 5000), ('sshd', '192.0.2.1', ?1 - 100),
        ('sshd', '192.0.2.2', ?1 - 700), ('sshd', NULL, ?1), ('sshd', '192.0.2.3', ?1 - 0.5)";
    database.connection.execute(insert, [NOW]).unwrap();
    let bans = database.read(None).unwrap();
    assert_eq!(shown(&bans), ["192.0.2.1/32 sshd 500", "192.0.2.3/32 sshd 599"]);
    assert_eq!((bans.ended, bans.refused), (2, 1));
    // Schema 3 knows how long; -2 is what an upgrade wrote.
    database.connection.execute_batch("ALTER TABLE bans ADD COLUMN bantime INTEGER NOT NULL DEFAULT -2").unwrap();
    let insert = "INSERT INTO bans(jail, ip, timeofban, bantime) VALUES('sshd', '192.0.2.2', ?1 - 1, 60)";
    database.connection.execute(insert, [NOW]).unwrap();
    let live = ["192.0.2.1/32 sshd 500", "192.0.2.2/32 sshd 59", "192.0.2.3/32 sshd 599"];
    assert_eq!(shown(&database.read(None).unwrap()), live);
}

#[test]
fn it_is_read_beside_a_writer_and_no_file_is_made() {
    let database = Database::new(SCHEMA_4);
    database.ban("192.0.2.1", "sshd", 0, 60);
    // A writer that has begun and not yet committed.
    database.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    database.ban("192.0.2.2", "sshd", 0, 60);
    let before = fs::read(database.path()).unwrap();
    assert_eq!(shown(&database.read(None).unwrap()), ["192.0.2.1/32 sshd 60"]);
    assert_eq!(database.files(), ["f.sqlite3"]);
    assert_eq!(fs::read(database.path()).unwrap(), before);
    database.connection.execute_batch("COMMIT").unwrap();
    assert_eq!(database.read(None).unwrap().live.len(), 2);
}

#[test]
fn a_lock_that_is_not_given_up_is_an_error_with_a_way_out() {
    let database = Database::new(SCHEMA_4);
    database.connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    check(&database.path(), &["locked by another process", "try again"]);
}

#[test]
fn a_write_ahead_log_is_refused_as_reading_it_would_write() {
    let database = Database::new(SCHEMA_4);
    database.connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    let before = database.files();
    check(&database.path(), &["write-ahead", "journal_mode=DELETE"]);
    assert_eq!(database.files(), before);
}

#[track_caller]
fn check(path: &Path, words: &[&str]) {
    let error = bans(path, now(), None).unwrap_err().to_string();
    for words in words.iter().chain([&path.to_str().unwrap()]) {
        assert!(error.contains(words), "wanted {words:?} in: {error}");
    }
}

#[test]
fn what_is_not_fail2bans_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    check(&path, &["cannot be read", "get dbfile"]);
    check(folder.path(), &["not a regular file"]);
    check(Path::new("/dev/null"), &["not a regular file"]);
    fs::write(&path, "").unwrap();
    check(&path, &["empty"]);
    fs::write(&path, "SQLite format 3").unwrap();
    check(&path, &["not an SQLite database"]);
    fs::write(&path, "<html>".repeat(1_000)).unwrap();
    check(&path, &["not an SQLite database"]);
    File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
    check(&path, &["bytes are too many"]);
    check(&Database::new("CREATE TABLE bips(ip, jail, timeofban, bantime)").path(), &["lacks table bans"]);
    let lacking = "CREATE TABLE fail2banDb(version); CREATE TABLE bips(ip, jail, timeofban)";
    check(&Database::new(lacking).path(), &["lacks bantime"]);
}

#[test]
fn a_view_that_never_ends_is_not_run() {
    let view = "CREATE TABLE fail2banDb(version); CREATE VIEW bips AS
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT '192.0.2.1' AS ip, 'sshd' AS jail, i AS timeofban, -1 AS bantime FROM n";
    check(&Database::new(view).path(), &["not fail2ban's"]);
}

fn filled() -> (Database, Vec<u8>) {
    let database = Database::new(SCHEMA_4);
    database.connection.execute_batch("BEGIN").unwrap();
    for at in 0..2_000_u32 {
        database.ban(&format!("198.51.{}.{}", at >> 8, at & 255), "sshd", 0, 60);
    }
    database.connection.execute_batch("COMMIT").unwrap();
    let bytes = fs::read(database.path()).unwrap();
    (database, bytes)
}

#[test]
fn a_database_cut_short_anywhere_is_refused_and_never_read_in_part() {
    let (database, bytes) = filled();
    assert_eq!(database.read(None).unwrap().live.len(), 2_000);
    let path = database.folder.path().join("cut");
    for len in (0..bytes.len()).step_by(997) {
        fs::write(&path, bytes.get(..len).unwrap()).unwrap();
        assert!(bans(&path, now(), None).is_err(), "{len} of {} bytes were taken", bytes.len());
    }
    fs::write(&path, bytes.get(..bytes.len() - 4_096).unwrap()).unwrap();
    check(&path, &["broken or cut short", "restart fail2ban"]);
    fs::write(&path, bytes.get(..bytes.len() - 1).unwrap()).unwrap();
    check(&path, &["cut short: 1", "copy it again"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn bytes_written_over_a_database_stop_nothing(
        blows in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        header in any::<bool>(),
    ) {
        let (database, mut bytes) = filled();
        let len = if header { 200 } else { bytes.len() };
        for (at, value) in blows {
            bytes[at.index(len)] = value;
        }
        let path = database.folder.path().join("broken");
        fs::write(&path, bytes).unwrap();
        if let Ok(bans) = bans(&path, now(), None) {
            prop_assert!(bans.live.len() + bans.ended + bans.refused <= MOST_ROWS);
        }
    }
}
