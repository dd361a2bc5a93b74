//! A real nginx in a site's server namespace, with a small site to attack.
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::frames::SERVER_V4;
use crate::harness::netns::Namespace;
use crate::harness::{PATIENCE, Site, wait_for};

/// Pages of the site: what its visitors read.
pub const PAGES: usize = 60;

/// Who may sign in at `/members/`, and with what.
pub const MEMBER: (&str, &str) = ("alice", "correct-horse");

/// A running nginx; ended when dropped.
#[derive(Debug)]
pub struct Nginx {
    folder: TempDir,
    server: Option<Child>,
}

impl Nginx {
    /// Its files, with an empty access log. `settings` stand in its `http` section, behind its own.
    ///
    /// # Panics
    /// Where they cannot be written.
    pub fn idle(settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("weir-nginx-").tempdir().expect("a temporary folder");
        let nginx = Self { folder, server: None };
        // Its workers are another user's.
        let open = |path: &Path| {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a folder of its own");
        };
        open(nginx.folder.path());
        let www = nginx.file("www");
        for folder in [www.clone(), www.join("pages"), www.join("members")] {
            fs::create_dir_all(&folder).expect("a folder of its own");
            open(&folder);
        }
        for page in 0..PAGES {
            let text = format!("<html><title>{page}</title><a href=\"/pages/{}.html\">next</a></html>\n", page + 1);
            fs::write(www.join(format!("pages/{page}.html")), text).expect("write a page");
        }
        for (name, text) in [
            ("index.html", "<html><a href=\"/pages/0.html\">pages</a></html>\n"),
            ("style.css", "body { margin: 0 }\n"),
            ("logo.svg", "<svg/>\n"),
            ("robots.txt", "User-agent: *\nDisallow: /members/\n"),
            ("members/index.html", "<html>members</html>\n"),
        ] {
            fs::write(www.join(name), text).expect("write a page");
        }
        let (user, password) = MEMBER;
        fs::write(nginx.file("members"), format!("{user}:{{PLAIN}}{password}\n")).expect("write who may sign in");
        fs::write(nginx.access_log(), "").expect("write an empty log");
        fs::write(nginx.error_log(), "").expect("write an empty log");
        fs::write(nginx.file("nginx.conf"), nginx.configuration(settings)).expect("write nginx's configuration");
        nginx
    }

    /// Starts it in the server's namespace and waits until it answers.
    ///
    /// # Panics
    /// Where nginx is not installed (Debian: `nginx`), or does not start.
    #[track_caller]
    pub fn run(&mut self, namespace: &Namespace) {
        // Its own address is reached by way of the loopback interface.
        namespace.ip(&["link", "set", "lo", "up"]);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace.name(), "nginx", "-p"]).arg(self.folder.path());
        command.arg("-c").arg(self.file("nginx.conf")).arg("-e").arg(self.error_log());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        self.server = Some(command.spawn().unwrap_or_else(|error| panic!("nginx (Debian: nginx): {error}")));
        wait_for("nginx's answer", PATIENCE, || {
            let ended = self.server.as_mut().and_then(|server| server.try_wait().expect("a child can be waited for"));
            assert!(ended.is_none(), "nginx (Debian: nginx) did not start ({ended:?}):\n{}", self.errors());
            namespace.inside(|| std::net::TcpStream::connect((Ipv4Addr::from(SERVER_V4), 80)).ok()).map(drop)
        });
    }

    fn configuration(&self, settings: &str) -> String {
        let at = |name: &str| self.file(name).display().to_string();
        let temporary: Vec<String> = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|what| format!("    {what}_temp_path {};\n", at(&format!("temporary-{what}"))))
            .collect();
        let temporary = temporary.concat();
        format!(
            r#"daemon off;
worker_processes 1;
pid {pid};
events {{ worker_connections 2048; }}
http {{
    access_log {access} combined;
    error_log {error} info;
    default_type text/html;
    types {{ text/css css; image/svg+xml svg; text/plain txt; }}
{temporary}{settings}
    server {{
        listen 80 backlog=4096;
        server_name _;
        root {www};
        location / {{ try_files $uri $uri/ =404; }}
        location = /item {{ return 200 "<html>item $arg_id</html>"; }}
        location = /login {{
            if ($request_method = POST) {{ return 403; }}
            return 200 "<html><form method=post><input name=user><input name=password></form></html>";
        }}
        location /members/ {{
            auth_basic "members";
            auth_basic_user_file {members};
        }}
    }}
}}
"#,
            pid = at("pid"),
            access = self.access_log().display(),
            error = self.error_log().display(),
            www = at("www"),
            members = at("members"),
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its access log, in the combined format.
    pub fn access_log(&self) -> PathBuf {
        self.file("access.log")
    }

    /// Its error log.
    pub fn error_log(&self) -> PathBuf {
        self.file("error.log")
    }

    /// How many requests it has logged.
    ///
    /// # Panics
    /// Where the log cannot be read.
    pub fn requests(&self) -> usize {
        let log = fs::read(self.access_log()).expect("its log");
        log.split(|byte| *byte == b'\n').count().saturating_sub(1)
    }

    /// The last lines of its access log: for who has to find out.
    pub fn tail(&self) -> String {
        let text = fs::read(self.access_log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.error_log()).unwrap_or_default()
    }

    /// Has it close its logs and open them anew, as `logrotate` does after a rename.
    ///
    /// # Panics
    /// Where it is gone.
    pub fn reopen_logs(&self) {
        self.signal(libc::SIGUSR1);
    }

    fn signal(&self, signal: libc::c_int) {
        let text = fs::read_to_string(self.file("pid")).expect("nginx's process number");
        let pid: libc::pid_t = text.trim().parse().expect("a process number");
        // SAFETY: nginx's own master, which runs until this is dropped.
        let sent = unsafe { libc::kill(pid, signal) };
        assert_eq!(sent, 0, "signal {signal}: {}", std::io::Error::last_os_error());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // `ip netns exec` became nginx's master, which ends its workers.
            let pid = libc::pid_t::try_from(server.id()).unwrap_or_default();
            // SAFETY: the child is not waited for yet, so the number is still its own.
            let _sent = unsafe { libc::kill(pid, libc::SIGTERM) };
            drop(server.wait());
        }
    }
}

/// The address that a visitor of the site comes from, in the client's namespace, with a way there and back.
///
/// # Panics
/// Where it cannot be given.
pub fn give_address(site: &Site, address: Ipv4Addr) {
    let peer = &site.links[0].peer;
    site.client.ip(&["link", "set", peer, "arp", "on"]);
    site.client.ip(&["address", "add", &format!("{address}/24"), "dev", peer]);
}
