//! A real `named` on a free loopback port: the second opinion.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use super::knot::{KEYS, ZONES, minimal_zone};
use super::parts::Program;
use super::wait;

/// A running `named`; stopped on drop.
pub struct Bind {
    child: Child,
    /// Where it answers, UDP and TCP.
    pub addr: SocketAddr,
    dir: tempfile::TempDir,
}

impl Bind {
    /// Starts a server with the same zones and keys as [`super::knot::Knot::start`].
    pub fn start(program: &Program) -> Bind {
        let grants = KEYS.iter().fold(String::new(), |mut all, (name, _)| {
            let _ = write!(all, "key \"{name}\"; ");
            all
        });
        Bind::with(program, &format!("allow-update {{ {grants}}};"))
    }

    /// Starts a server whose zones may be updated by this clause (`allow-update { … };`, `update-policy { … };`).
    pub fn with(program: &Program, rights: &str) -> Bind {
        let dir = tempfile::Builder::new().prefix("kw-bind").tempdir().expect("temp dir");
        let path = dir.path().display().to_string();
        let port = wait::free_port();
        let mut text = format!(
            "options {{ directory \"{path}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none; \
             recursion no; dnssec-validation no; session-keyfile none; notify no; max-journal-size 100m; check-names primary ignore; check-integrity no; check-mx ignore; check-spf ignore; max-records-per-type 0; max-types-per-name 0; \
             tcp-clients 200; }};\ncontrols {{ }};\n"
        );
        for (name, secret) in KEYS {
            let _ = writeln!(text, "key \"{name}\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};");
        }
        let grants = KEYS.iter().fold(String::new(), |mut all, (name, _)| {
            let _ = write!(all, "key \"{name}\"; ");
            all
        });
        for zone in ZONES {
            std::fs::write(dir.path().join(format!("{zone}.zone")), minimal_zone(zone)).expect("zone file");
            let _ = writeln!(
                text,
                "zone \"{zone}\" {{ type primary; file \"{zone}.zone\"; {rights} allow-transfer {{ {grants}}}; }};"
            );
        }
        std::fs::write(dir.path().join("named.conf"), text).expect("config");
        let log = std::fs::File::create(dir.path().join("log")).expect("log");
        let child = program
            .command()
            .args(["-g", "-n", "2", "-c"])
            .arg(dir.path().join("named.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("named starts");
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let bind = Bind { child, addr, dir };
        wait::until("named to have loaded its zones", || bind.log().contains("all zones loaded").then_some(()));
        wait::listening(addr);
        bind
    }

    /// The server's log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
