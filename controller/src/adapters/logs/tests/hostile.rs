use std::os::unix::fs::symlink;

use super::*;

fn rig() -> Rig {
    Rig::new(&["access.log"], |root| append(&root.join("access.log"), b""))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_not_followed_and_holds_nothing_up() {
    let mut rig = rig();
    rig.until("access.log", |row| row.state == InputState::Following).await;
    let secret = rig.at("secret");
    fs::write(&secret, "secret\n").unwrap();
    let mut expected = Vec::new();
    for (number, what) in ["a symbolic link", "a pipe", "a device", "a directory", "a socket"].into_iter().enumerate() {
        rig.append("access.log", format!("{number}\n"));
        expected.push(number.to_string());
        let log = rig.at("access.log");
        fs::rename(&log, rig.at("access.log.1")).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let run = std::process::Command::new(program).arg(&log).args(arguments).status();
            assert!(run.unwrap().success(), "{program}");
        };
        match what {
            "a symbolic link" => symlink(&secret, &log).unwrap(),
            "a pipe" => run("mkfifo", &[]),
            "a device" => run("mknod", &["c", "1", "5"]),
            "a directory" => fs::create_dir(&log).unwrap(),
            _ => drop(std::os::unix::net::UnixDatagram::bind(&log).unwrap()),
        }
        let row = rig.until("access.log", |row| row.state == InputState::Refused).await;
        let said = row.problem.unwrap();
        assert!(said.starts_with(&format!("{what} stands in its place, and is not followed")), "{said}");
        // What was there before is still read.
        rig.append("access.log.1", format!("{number} late\n"));
        expected.push(format!("{number} late"));
        rig.take_lines(expected.len()).await;
        if what == "a directory" {
            fs::remove_dir(&log).unwrap();
        } else {
            fs::remove_file(&log).unwrap();
        }
        rig.append("access.log", "back\n");
        expected.push("back".to_owned());
        rig.take_lines(expected.len()).await;
    }
    assert_eq!(rig.lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_link_is_resolved_at_start_and_not_again() {
    let mut rig = Rig::new(&["access.log"], |root| {
        append(&root.join("really.log"), b"");
        symlink("really.log", root.join("access.log")).unwrap();
    });
    rig.until("really.log", |row| row.state == InputState::Following).await;
    rig.append("really.log", "one\n");
    rig.expect(&["one"]).await;
    fs::remove_file(rig.at("access.log")).unwrap();
    fs::write(rig.at("secret"), "secret\n").unwrap();
    symlink("secret", rig.at("access.log")).unwrap();
    rig.append("really.log", "two\n");
    rig.expect(&["one", "two"]).await;
    // Nor are links that a glob would find.
    rig.stop().await;
    rig.patterns = vec![rig.at("acc*.log").to_str().unwrap().to_owned()];
    rig.start();
    rig.until("acc*.log", |row| row.state == InputState::Waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lines_are_cut_and_cost_no_memory() {
    let mut rig = rig();
    rig.until("access.log", |row| row.state == InputState::Following).await;
    let ten = vec![b'x'; 10 << 20];
    rig.append("access.log", &ten);
    rig.append("access.log", "\nafter\n");
    rig.take_lines(2).await;
    assert_eq!(rig.lines.iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE, 5]);
    rig.lines.clear();

    let before = resident();
    let mut most = 0;
    for _ in 0..256 {
        rig.append("access.log", &ten[..1 << 20]);
        rig.settle();
        most = most.max(resident());
    }
    rig.append("access.log", "\nafter\n");
    while rig.lines.last().is_none_or(|line| line != "after") {
        rig.take().await;
        most = most.max(resident());
    }
    assert_eq!(rig.lines.iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE, 5]);
    assert!(most.saturating_sub(before) < 64 << 20, "{before} bytes before, {most} at most");
    let row = rig.until("access.log", |row| row.lag_bytes == 0).await;
    assert_eq!((row.cut, row.lines), (2, 4));
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_a_long_line_does_not_make_its_rest_a_line() {
    let mut rig = rig();
    rig.until("access.log", |row| row.state == InputState::Following).await;
    rig.append("access.log", vec![b'x'; 200_000]);
    rig.take_lines(1).await;
    rig.until("access.log", |row| row.lag_bytes == 0).await;
    rig.stop().await;
    rig.append("access.log", "rest\nafter\n");
    rig.start();
    rig.take_lines(2).await;
    assert_eq!(rig.lines[1], "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_pass() {
    let mut rig = rig();
    rig.until("access.log", |row| row.state == InputState::Following).await;
    let bytes: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').chain(*b"\n").collect();
    rig.append("access.log", &bytes);
    let mut batch = rig.take().await;
    while batch.is_empty() {
        batch = rig.take().await;
    }
    assert_eq!(batch.lines().collect::<Vec<_>>(), [&bytes[..255]]);
    rig.lines.clear();
    // A hole in a file is zeros.
    let file = OpenOptions::new().write(true).open(rig.at("access.log")).unwrap();
    file.set_len(100_000_000).unwrap();
    rig.append("access.log", "\nafter\n");
    rig.take_lines(2).await;
    assert_eq!((rig.lines[0].len(), rig.lines[1].as_str()), (LONGEST_LINE, "after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_made_anew_is_watched_anew() {
    let mut rig = Rig::new(&["site/access.log"], |_| ());
    rig.until("site/access.log", |row| row.state == InputState::Waiting && row.is_polled).await;
    for round in 0..2 {
        fs::create_dir(rig.at("site")).unwrap();
        rig.append("site/access.log", format!("{round}\n"));
        rig.take_lines(round + 1).await;
        rig.until("site/access.log", |row| !row.is_polled && row.problem.is_none()).await;
        fs::remove_dir_all(rig.at("site")).unwrap();
        rig.until("site/access.log", |row| row.state == InputState::Waiting).await;
    }
    assert_eq!(rig.lines, ["0", "1"]);
}
