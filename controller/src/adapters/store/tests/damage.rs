//! Flipped bytes and cut files: a store gives exactly what was saved or says what is wrong, never less in silence.
//!
//! Positions are spread over the file so that each sweep takes seconds; with `WEIR_EVERY_BYTE=1` it is every byte of a
//! store with 1,000 entries.
use std::fs;
use std::path::PathBuf;

use super::*;

/// The files of a store, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Image(BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    fn of(folder: &Path) -> Self {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let files = files.map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap()));
        Self(files.filter(|(name, _)| name != Path::new("weir.lock")).collect())
    }

    fn file(&self, name: &str) -> &[u8] {
        &self.0[Path::new(name)]
    }

    fn with(&self, name: &str, content: Vec<u8>) -> Self {
        let mut image = self.clone();
        image.0.insert(name.into(), content);
        image
    }

    fn without(&self, name: &str) -> Self {
        let mut image = self.clone();
        image.0.remove(Path::new(name));
        image
    }

    fn put(&self, folder: &Path) {
        for file in fs::read_dir(folder).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        for (name, content) in &self.0 {
            fs::write(folder.join(name), content).unwrap();
        }
    }
}

/// How many damaged stores ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ledger {
    /// Exactly what was saved, and nothing said.
    unharmed: u64,
    /// Exactly what was saved, with a warning.
    warned: u64,
    /// The good copy.
    fell_back: u64,
    /// What could still be read.
    salvaged: u64,
    /// Nothing.
    emptied: u64,
    /// An earlier state of the database, said to be one.
    behind: u64,
    /// Not opened.
    refused: u64,
}

impl Ledger {
    fn total(self) -> u64 {
        let Self { unharmed, warned, fell_back, salvaged, emptied, behind, refused } = self;
        unharmed + warned + fell_back + salvaged + emptied + behind + refused
    }
}

/// A store to be damaged, and what it should give.
struct Sample {
    image: Image,
    saved: Everything,
    /// What the good copy holds, if there is one.
    copied: Option<Everything>,
    /// What the database held after each batch, oldest first.
    history: Vec<Everything>,
}

impl Sample {
    /// Saves several batches, with a good copy in between if asked for. `running`: as a killed daemon leaves it.
    fn new(copy: bool, running: bool) -> Self {
        let folder = folder();
        let mut store = open(folder.path());
        let _ = store.load(now(), BOOT).unwrap();
        let mut history = vec![Everything::of(&mut store).unwrap().0];
        store.apply(&sample_of(if every_byte() { 1_000 } else { 20 })).unwrap();
        history.push(Everything::of(&mut store).unwrap().0);
        if copy {
            store.save_good_copy().unwrap();
        }
        let copied = copy.then(|| Everything::of(&mut store).unwrap().0);
        for (n, change) in [
            put("198.51.100.77/32", info("after the copy", 40)),
            remove("192.0.2.1/32"),
            setting("config", "interfaces = [\"eth1\"]\n"),
            Change::Audit(record(6)),
        ]
        .into_iter()
        .enumerate()
        {
            if running && n == 2 {
                store.fold_log().unwrap();
            }
            store.apply(&[change]).unwrap();
            history.push(Everything::of(&mut store).unwrap().0);
        }
        let saved = Everything::of(&mut store).unwrap().0;
        let image = if running {
            Image::of(folder.path())
        } else {
            drop(store);
            Image::of(folder.path())
        };
        Self { image, saved, copied, history }
    }

    /// Opens a damaged image and holds what it gives against what was saved.
    fn judge(&self, folder: &Path, damaged: &Image, what: &str, ledger: &mut Ledger) {
        damaged.put(folder);
        let opened = Store::open(folder).and_then(|(mut store, problems)| {
            let (found, later) = Everything::of(&mut store)?;
            assert_eq!(later, [], "{what}: what was opened as sound is not");
            // What is shown as sound can be written to.
            store.apply(&[put("203.0.113.9/32", info("new", 99)), Change::Audit(record(9))])?;
            drop(store);
            if ledger.total().is_multiple_of(10) {
                drop(open(folder));
            }
            Ok((found, problems))
        });
        let (mut found, problems) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                assert!(error.to_string().contains("weir.db"), "{what}: {error}");
                ledger.refused += 1;
                return;
            }
        };
        if problems.iter().any(|problem| matches!(problem, Problem::AuditDamaged { .. })) {
            // The records that were lost say so; nothing else differs.
            assert!(found.audit.records.iter().any(|record| record.action == "audit.lost"), "{what}");
            found.audit.clone_from(&self.saved.audit);
        }
        let exact = found == self.saved;
        let mut counted = false;
        for problem in &problems {
            assert!(problem.to_string().contains("weir.db"), "{problem}");
            counted = true;
            match problem {
                Problem::FellBack { .. } => {
                    assert_eq!(Some(&found), self.copied.as_ref(), "{what}: {problem}");
                    ledger.fell_back += 1;
                }
                Problem::Salvaged { .. } => {
                    assert!(found.is_part_of(&self.saved), "{what}: {problem}");
                    ledger.salvaged += 1;
                }
                Problem::StartedEmpty { .. } => {
                    assert_eq!(found.desired, Desired::new(), "{what}: {problem}");
                    ledger.emptied += 1;
                }
                Problem::Behind { .. } => {
                    assert!(self.history.contains(&found), "{what}: {problem}");
                    ledger.behind += 1;
                }
                Problem::AuditDamaged { .. } | Problem::WitnessDamaged { .. } => counted = false,
                Problem::CopyDamaged { .. } => {}
                Problem::Unreadable { .. } | Problem::ClockBehind { .. } => panic!("{what}: {problem}"),
            }
        }
        if counted {
            return;
        }
        assert!(exact, "{what}: silently not what was saved; {problems:?}");
        if problems.is_empty() {
            ledger.unharmed += 1;
        } else {
            ledger.warned += 1;
        }
    }

    /// Flips bytes all over one file, at this many places or more.
    fn flip(&self, file: &str, places: usize) -> Ledger {
        let (folder, mut ledger) = (folder(), Ledger::default());
        let content = self.image.file(file);
        let stride = if every_byte() { 1 } else { (content.len() / places).max(1) };
        for at in (0..content.len()).step_by(stride) {
            // One bit, then the next one, then all of them.
            let mask = if at % 9 == 8 { 0xff } else { 1 << (at % 9) };
            let mut flipped = content.to_vec();
            flipped[at] ^= mask;
            let what = format!("{file}: byte {at} of {} flipped by {mask:#x}", content.len());
            self.judge(folder.path(), &self.image.with(file, flipped), &what, &mut ledger);
        }
        assert!(ledger.total() >= places.min(content.len()) as u64, "{ledger:?}");
        report(&format!("flipped {file} ({} bytes): {ledger:?}", content.len()));
        ledger
    }

    /// Cuts one file at every page, beside every page, and in between.
    fn cut(&self, file: &str) -> Ledger {
        let (folder, mut ledger) = (folder(), Ledger::default());
        let content = self.image.file(file);
        let stride = if every_byte() { 1 } else { 257 };
        let pages = (0..content.len()).step_by(4_096).flat_map(|page| [page, page + 1, page + 31, page + 4_095]);
        for at in pages.chain((0..content.len()).step_by(stride)).filter(|at| *at < content.len()) {
            let what = format!("{file}: cut at {at} of {}", content.len());
            self.judge(folder.path(), &self.image.with(file, content[..at].to_vec()), &what, &mut ledger);
        }
        report(&format!("cut {file} ({} bytes): {ledger:?}", content.len()));
        ledger
    }
}

fn every_byte() -> bool {
    std::env::var_os("WEIR_EVERY_BYTE").is_some()
}

#[test]
fn flipped_byte_with_a_good_copy_gives_what_was_saved_or_the_copy() {
    let ledger = Sample::new(true, false).flip("weir.db", 2_100);
    let Ledger { unharmed, warned, fell_back, .. } = ledger;
    assert_eq!(unharmed + warned + fell_back, ledger.total(), "{ledger:?}");
    assert!(fell_back > 300, "{ledger:?}");
}

#[test]
fn flipped_byte_without_a_copy_gives_what_was_saved_or_what_is_left_of_it() {
    let ledger = Sample::new(false, false).flip("weir.db", 2_100);
    let Ledger { unharmed, warned, salvaged, emptied, .. } = ledger;
    assert_eq!(unharmed + warned + salvaged + emptied, ledger.total(), "{ledger:?}");
    assert!(salvaged > 300 && emptied < 100, "{ledger:?}");
}

#[test]
fn cut_database_is_noticed() {
    let ledger = Sample::new(true, false).cut("weir.db");
    // Only empty ends of pages can be missing unnoticed: they are read as empty.
    assert_eq!(ledger.unharmed + ledger.fell_back, ledger.total(), "{ledger:?}");
    assert!(ledger.unharmed * 10 < ledger.total(), "{ledger:?}");
    let ledger = Sample::new(false, false).cut("weir.db");
    assert_eq!(ledger.unharmed + ledger.salvaged + ledger.emptied, ledger.total(), "{ledger:?}");
}

#[test]
fn damaged_log_is_noticed() {
    let sample = Sample::new(false, true);
    let flips = sample.flip("weir.db-wal", 700);
    assert_eq!(flips.unharmed + flips.behind + flips.salvaged, flips.total(), "{flips:?}");
    assert!(flips.behind > 100, "{flips:?}");
    let cuts = sample.cut("weir.db-wal");
    assert_eq!(cuts, Ledger { behind: cuts.total(), ..Ledger::default() });
    let mut ledger = Ledger::default();
    sample.judge(folder().path(), &sample.image.without("weir.db-wal"), "no log", &mut ledger);
    assert_eq!(ledger, Ledger { behind: 1, ..Ledger::default() });
}

#[test]
fn database_under_a_log_is_checked_too() {
    let ledger = Sample::new(true, true).flip("weir.db", 700);
    assert_eq!(ledger.unharmed + ledger.warned + ledger.fell_back, ledger.total(), "{ledger:?}");
}

#[test]
fn damaged_witness_costs_a_warning_at_most() {
    let sample = Sample::new(true, false);
    for ledger in [sample.flip("weir.db.last", 100), sample.cut("weir.db.last")] {
        assert_eq!(ledger.unharmed + ledger.warned, ledger.total(), "{ledger:?}");
    }
}

#[test]
fn damaged_copy_is_of_no_account_while_the_database_is_whole() {
    let sample = Sample::new(true, false);
    for damaged in [vec![], vec![0; 5_000], sample.image.file("weir.db.good")[..8_192].to_vec()] {
        let mut ledger = Ledger::default();
        sample.judge(folder().path(), &sample.image.with("weir.db.good", damaged), "copy", &mut ledger);
        assert_eq!(ledger, Ledger { unharmed: 1, ..Ledger::default() });
    }
}

#[test]
fn damaged_copy_of_a_damaged_database_is_salvaged() {
    let sample = Sample::new(true, false);
    let (folder, mut ledger) = (folder(), Ledger::default());
    for at in (0..sample.image.file("weir.db").len()).step_by(997) {
        let mut image = sample.image.clone();
        for file in ["weir.db", "weir.db.good"] {
            let content = image.0.get_mut(Path::new(file)).unwrap();
            let last = content.len() - 1;
            content[at.min(last)] ^= 0x55;
            content[last / 2 + at / 3] ^= 0x55;
        }
        sample.judge(folder.path(), &image, &format!("both at {at}"), &mut ledger);
    }
    report(&format!("both flipped: {ledger:?}"));
    assert_eq!(ledger.refused, 0);
}

#[test]
fn files_that_are_gone_are_missed() {
    let with_copy = Sample::new(true, false);
    let mut ledger = Ledger::default();
    with_copy.judge(folder().path(), &with_copy.image.without("weir.db"), "no database", &mut ledger);
    assert_eq!(ledger, Ledger { fell_back: 1, ..Ledger::default() });

    let alone = Sample::new(false, false);
    let mut ledger = Ledger::default();
    alone.judge(folder().path(), &alone.image.without("weir.db"), "no database", &mut ledger);
    alone.judge(folder().path(), &alone.image.with("weir.db", vec![]), "empty database", &mut ledger);
    let bare = alone.image.with("weir.db", vec![]).without("weir.db.last");
    alone.judge(folder().path(), &bare, "empty database alone", &mut ledger);
    assert_eq!(ledger, Ledger { emptied: 3, ..Ledger::default() });
}
