use std::net::UdpSocket;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;

use super::*;

fn listen(address: SyslogAddress) -> (Inputs, mpsc::Receiver<Batch>) {
    let input = SyslogInput { name: "syslog".into(), address };
    start(Settings { files: Vec::new(), syslog: vec![input] }, Vec::new())
}

fn unix(path: &Path) -> SyslogAddress {
    SyslogAddress::Unix { path: path.to_path_buf(), group: None }
}

async fn until(inputs: &Inputs, wanted: impl Fn(&InputHealth) -> bool) -> InputHealth {
    let end = Instant::now() + PATIENCE;
    loop {
        let rows = inputs.health();
        if let Some(row) = rows.iter().find(|row| wanted(row)) {
            return row.clone();
        }
        assert!(Instant::now() < end, "{rows:#?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn lines(batches: &mut mpsc::Receiver<Batch>, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let batch = tokio::time::timeout(PATIENCE, batches.recv()).await.unwrap().unwrap();
        assert!(batch.checkpoint.is_none() && !batch.is_history(None, HISTORY));
        lines.extend(batch.lines().map(|line| String::from_utf8_lossy(line).into_owned()));
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own/syslog.sock");
    let (inputs, mut batches) = listen(unix(&path));
    until(&inputs, |row| row.state == InputState::Following).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o750);
    let sender = UnixDatagram::unbound().unwrap();
    let long = vec![b'x'; LONGEST_LINE + 10];
    for datagram in [&b"<190>one\n"[..], b"two\r\n\0", b"\n", b"", b"three\nfour", b"\xff\0end", &long] {
        sender.send_to(datagram, &path).unwrap();
    }
    let lines = lines(&mut batches, 5).await;
    assert_eq!(lines[..4], ["<190>one", "two", "three four", "\u{fffd}\0end"]);
    assert_eq!(lines[4].len(), LONGEST_LINE);
    let row = until(&inputs, |row| row.lines == 5).await;
    assert_eq!((row.cut, row.dropped), (1, 0));
    assert_eq!(*row.origin, format!("unix:{}", path.display()));
    inputs.stop().await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("syslog.sock");
    drop(UnixDatagram::bind(&path).unwrap());
    let (inputs, mut batches) = listen(unix(&path));
    until(&inputs, |row| row.state == InputState::Following).await;
    UnixDatagram::unbound().unwrap().send_to(b"one", &path).unwrap();
    assert_eq!(lines(&mut batches, 1).await, ["one"]);

    // One that is alive is left alone.
    let (second, _batches) = listen(unix(&path));
    let said = until(&second, |row| row.state == InputState::Unreadable).await.problem.unwrap();
    assert!(said.starts_with("another daemon answers at "), "{said}");
    second.stop().await;
    inputs.stop().await;

    let target = folder.path().join("target");
    fs::write(&target, "kept").unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let (inputs, _batches) = listen(unix(&path));
    let said = until(&inputs, |row| row.state == InputState::Unreadable).await.problem.unwrap();
    assert!(said.contains("exists and is not a socket; remove it or set"), "{said}");
    inputs.stop().await;
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_symlink());
    assert!(!fs::symlink_metadata(&path).unwrap().file_type().is_socket());
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_is_heard_on_loopback_only() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (inputs, mut batches) = listen(SyslogAddress::Udp(free));
    until(&inputs, |row| row.state == InputState::Following).await;
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"<190>one", free).unwrap();
    assert_eq!(lines(&mut batches, 1).await, ["<190>one"]);
    inputs.stop().await;

    let (inputs, _batches) = listen(SyslogAddress::Udp("0.0.0.0:5514".parse().unwrap()));
    let said = until(&inputs, |row| row.state == InputState::Unreadable).await.problem.unwrap();
    assert!(said.contains("anybody could forge lines; use a loopback address"), "{said}");
    inputs.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_costs_datagrams_and_they_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("syslog.sock");
    let (inputs, mut batches) = listen(unix(&path));
    until(&inputs, |row| row.state == InputState::Following).await;
    let sent = 400_000;
    let to = path.clone();
    let sender = tokio::task::spawn_blocking(move || {
        let sender = UnixDatagram::unbound().unwrap();
        // A blocking sender waits for the kernel's queue, so that all that is lost is lost here.
        for _ in 0..sent {
            sender.send_to(&[b'x'; 200], &to).unwrap();
        }
    });
    sender.await.unwrap();
    let (mut taken, mut dropped) = (0, 0);
    while taken + dropped < sent {
        let batch = tokio::time::timeout(PATIENCE, batches.recv()).await.unwrap().unwrap();
        assert!(batch.len() <= BATCH_LINES);
        taken += batch.len() as u64;
        dropped += batch.counters.dropped;
    }
    assert_eq!(taken + dropped, sent);
    assert!(dropped > 0 && taken > 0, "{taken} taken, {dropped} dropped");
    assert_eq!(until(&inputs, |row| row.lines == taken).await.dropped, dropped);
    inputs.stop().await;
}
