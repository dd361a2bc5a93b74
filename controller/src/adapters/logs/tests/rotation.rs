use super::*;

fn rig() -> Rig {
    Rig::new(&["access.log"], |root| append(&root.join("access.log"), b""))
}

async fn following(rig: &mut Rig) {
    rig.until("access.log", |row| row.state == InputState::Following).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_file_is_followed_without_loss() {
    let mut rig = rig();
    following(&mut rig).await;
    let mut server = OpenOptions::new().append(true).open(rig.at("access.log")).unwrap();
    server.write_all(b"one\n").unwrap();
    fs::rename(rig.at("access.log"), rig.at("access.log.1")).unwrap();
    server.write_all(b"two\n").unwrap();
    rig.append("access.log", "three\n");
    rig.expect(&["one", "two", "three"]).await;
    // Another worker of the server, who has not heard yet.
    server.write_all(b"four\n").unwrap();
    rig.expect(&["one", "two", "three", "four"]).await;
    assert_eq!(rig.until("access.log", |row| row.lag_bytes == 0).await.rotations, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deleted_or_compressed_at_once_is_read_to_its_end() {
    let mut rig = rig();
    following(&mut rig).await;
    rig.append("access.log", "one\n");
    rig.expect(&["one"]).await;
    rig.append("access.log", "two\n");
    fs::remove_file(rig.at("access.log")).unwrap();
    rig.append("access.log", "three\n");
    rig.expect(&["one", "two", "three"]).await;
    rig.append("access.log", "four\n");
    fs::write(rig.at("access.log.1.gz"), b"\x1f\x8b\n\nnot a line\n").unwrap();
    fs::remove_file(rig.at("access.log")).unwrap();
    rig.append("access.log", "five\n");
    rig.expect(&["one", "two", "three", "four", "five"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_starts_over_also_when_it_has_grown_beyond() {
    let mut rig = rig();
    following(&mut rig).await;
    rig.append("access.log", "one\ntwo\n");
    rig.expect(&["one", "two"]).await;
    fs::write(rig.at("access.log"), "three\n").unwrap();
    rig.expect(&["one", "two", "three"]).await;
    // At once, and larger than before.
    fs::write(rig.at("access.log"), "four\nfive\nsix\nseven\n").unwrap();
    rig.expect(&["one", "two", "three", "four", "five", "six", "seven"]).await;
    let row = rig.until("access.log", |row| row.losses == 2).await;
    assert!(row.last_loss.as_ref().unwrap().contains("without `copytruncate`"), "{row:?}");
    assert_eq!(row.problem, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_read_before_a_truncation_is_read_from_the_copy() {
    let mut rig = rig();
    following(&mut rig).await;
    rig.append("access.log", "one\n");
    rig.expect(&["one"]).await;
    rig.stop().await;
    rig.append("access.log", "two\n");
    fs::copy(rig.at("access.log"), rig.at("access.log.1")).unwrap();
    fs::write(rig.at("access.log"), "three\nfour and more than was there\n").unwrap();
    rig.start();
    rig.expect(&["one", "two", "three", "four and more than was there"]).await;
    assert_eq!(rig.health_of("access.log").losses, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_line_without_an_end_is_one_when_nothing_more_is_expected() {
    let mut rig = rig();
    following(&mut rig).await;
    rig.stop().await;
    rig.linger = Duration::from_millis(1);
    rig.start();
    following(&mut rig).await;
    rig.append("access.log", "one\ntwo without an end");
    rig.take_lines(1).await;
    fs::rename(rig.at("access.log"), rig.at("access.log.1")).unwrap();
    rig.append("access.log", "three\n");
    rig.take_lines(3).await;
    rig.lines.sort();
    assert_eq!(rig.lines, ["one", "three", "two without an end"]);
    // Let go, and not read again after a restart.
    rig.until("access.log", |row| row.lag_bytes == 0).await;
    rig.stop().await;
    rig.start();
    rig.append("access.log", "four\n");
    rig.take_lines(4).await;
    assert_eq!(rig.lines.last().unwrap(), "four");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glob_that_matches_rotated_files_too_reads_each_line_once() {
    let mut rig = Rig::new(&["*.log*"], |root| {
        append(&root.join("access.log"), b"");
        let old = root.join("access.log.1");
        append(&old, b"old\n");
        // What was made within the kernel's tick before the first look might have been made after it.
        let made = fs::metadata(&old).unwrap().created().unwrap();
        while made.elapsed().is_ok_and(|age| age < Duration::from_millis(50)) {
            std::thread::yield_now();
        }
        append(&root.join("access.log.2.gz"), b"\x1f\x8b");
    });
    following(&mut rig).await;
    for round in 0..4 {
        rig.append("access.log", format!("{round}\n"));
        // What is in a file that another one is renamed to is gone, and so is what is written between a copy and its truncation.
        rig.take_lines(round + round % 2).await;
        if round % 2 == 0 {
            fs::rename(rig.at("access.log"), rig.at("access.log.1")).unwrap();
        } else {
            fs::copy(rig.at("access.log"), rig.at("access.log.1")).unwrap();
            fs::write(rig.at("access.log"), "").unwrap();
        }
    }
    rig.append("access.log", "last\n");
    rig.append("other.log", "other\n");
    rig.take_lines(6).await;
    rig.until("access.log", |row| row.lag_bytes == 0).await;
    rig.lines.sort();
    assert_eq!(rig.lines, ["0", "1", "2", "3", "last", "other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_files_are_followed_than_are_allowed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.log", "b.log", "c.log"] {
        append(&folder.path().join(name), b"");
    }
    let pattern = folder.path().join("*.log").to_str().unwrap().to_owned();
    let input = FileInput { most_files: 2, ..FileInput::new("web", vec![pattern.clone()]) };
    let (inputs, _batches) = start(Settings { files: vec![input], syslog: Vec::new() }, Vec::new());
    let end = Instant::now() + PATIENCE;
    while inputs.health().len() < 3 {
        assert!(Instant::now() < end, "{:?}", inputs.health());
        tokio::task::yield_now().await;
    }
    let rows = inputs.health();
    let said = rows.iter().find(|row| *row.origin == *pattern).unwrap().problem.clone().unwrap();
    assert!(said.starts_with("1 files more than the 2 that are followed at most match"), "{said}");
    inputs.stop().await;
}

/// Runs the real one, with its state beside the logs.
fn logrotate(rig: &Rig, options: &str) {
    let settings = rig.at("logrotate.conf");
    let log = rig.at("access.log");
    let text = format!("{} {{\n  rotate 3\n  missingok\n  su root root\n  {options}\n}}\n", log.display());
    fs::write(&settings, text).unwrap();
    fs::set_permissions(&settings, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let run = std::process::Command::new("logrotate")
        .arg("--force")
        .arg("--state")
        .arg(rig.at("logrotate.state"))
        .arg(&settings)
        .output()
        .expect("logrotate must be installed: cargo xtask setup test");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_logrotate_does_loses_and_doubles_nothing() {
    for options in [
        "create",
        "create\n  compress",
        "copytruncate",
        "copytruncate\n  compress",
        "nocreate",
        "create\n  extension .log",
        "copytruncate\n  extension .log",
    ] {
        let mut rig = rig();
        following(&mut rig).await;
        let mut expected = Vec::new();
        for round in 0..6 {
            for line in 0..50 {
                let line = format!("{round} {line} {options:?}");
                rig.append("access.log", format!("{line}\n"));
                expected.push(line);
            }
            // What is compressed while nobody looks is gone, which is said elsewhere.
            let is_down = round % 2 == 1 && !options.contains("compress");
            if is_down {
                rig.stop().await;
            } else {
                rig.take_lines(expected.len()).await;
            }
            logrotate(&rig, options);
            if is_down {
                rig.start();
            }
        }
        rig.append("access.log", "last\n");
        expected.push("last".to_owned());
        rig.take_lines(expected.len()).await;
        assert_eq!(rig.lines, expected, "{options}");
    }
}
