//! The zone, and both programs on it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::knot::{KEYS, Knot, Setup, minimal_zone};
use crate::support::parts::{self, Program};
use crate::support::wait;

/// Endpoints of the zone.
pub const ENDPOINTS: usize = 100_000;

/// The name and the address of an endpoint.
pub fn host(index: usize) -> (String, String) {
    (format!("h{index}.internal"), format!("10.{}.{}.{}", index >> 16, (index >> 8) & 255, index & 255))
}

/// What stands in an ownership TXT.
pub const MARK: &str = "heritage=external-dns,external-dns/owner=me,external-dns/resource=service/default/www";

/// A Knot with so many endpoints, each with its ownership TXT.
pub fn knot(program: &Program, count: usize) -> Knot {
    let mut zone = minimal_zone("internal");
    for index in 0..count {
        let (name, address) = host(index);
        let _ = writeln!(zone, "{name}. 300 A {address}\nedns-a.{name}. 300 TXT \"{MARK}\"");
    }
    let files = vec![("internal".to_owned(), zone)];
    Knot::with(program, &Setup { zones: vec!["internal".into()], files, ..Setup::default() })
}

/// How long an answer is waited for.
pub const LONGEST: Duration = Duration::from_secs(120);

/// The zone's serial.
pub fn serial(addr: SocketAddr) -> u32 {
    let (key, secret) = KEYS[0];
    let out = Command::new("kdig")
        .args([&format!("@{}", addr.ip()), "-p", &addr.port().to_string()])
        .args(["-y", &format!("hmac-sha256:{key}:{secret}"), "+short", "internal", "SOA"])
        .output()
        .expect("kdig");
    let text = String::from_utf8_lossy(&out.stdout);
    text.split_whitespace().nth(2).and_then(|serial| serial.parse().ok()).expect("a serial")
}

/// One of the two programs.
pub struct Provider {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Provider {
    /// Knotwork's, ready.
    pub fn ours(addr: SocketAddr) -> Provider {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("key"), KEYS[0].1).expect("key");
        let config = format!(
            "owner: home\ninstance: here\nwebhook: {{owner: me}}\nservers:\n  - name: knot\n    address: {addr}\n    tsig: {{name: {}, secretFile: key}}\n    \
             zones:\n      - {{name: internal, externalDns: [{{prefix: \"edns-%{{record_type}}.\"}}]}}\n",
            KEYS[0].0
        );
        std::fs::write(dir.path().join("knotwork.yaml"), config).expect("configuration");
        let mut child = Command::new(env!("CARGO_BIN_EXE_knotwork"))
            .arg("-c")
            .arg(dir.path().join("knotwork.yaml"))
            .args(["webhook", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let said =
            lines.by_ref().map_while(Result::ok).find(|line| line.contains("webhook at")).expect("where it listens");
        let port = said.rsplit_once("127.0.0.1:").expect("a port").1;
        let port = port.split(|c: char| !c.is_ascii_digit()).next().and_then(|port| port.parse().ok()).expect("a port");
        std::thread::spawn(move || lines.for_each(drop));
        let provider = Provider { child, port, _dir: dir };
        wait::until("the zone to be read", || (provider.ask("GET", "/records", "").0 == 200).then_some(()));
        provider
    }

    /// ExternalDNS's own; `None` where it is not built. It listens on a port of its own choice that cannot be changed.
    pub fn in_tree(addr: SocketAddr) -> Option<Provider> {
        let program = parts::find("external-dns")?;
        let mut command = program.command();
        command
            .args(["--webhook-server", "--source=empty", "--provider=rfc2136", "--policy=sync", "--txt-owner-id=me"])
            .arg(format!("--rfc2136-host={}", addr.ip()))
            .arg(format!("--rfc2136-port={}", addr.port()))
            .args(["--rfc2136-zone=internal", "--rfc2136-tsig-secret-alg=hmac-sha256", "--rfc2136-axfr"])
            .arg(format!("--rfc2136-tsig-keyname={}", KEYS[0].0))
            .arg(format!("--rfc2136-tsig-secret={}", KEYS[0].1))
            .args(["--metrics-address=127.0.0.1:0", "--log-level=error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let provider = Provider { child: command.spawn().ok()?, port: 8888, _dir: tempfile::tempdir().ok()? };
        wait::until("external-dns to listen", || TcpStream::connect(("127.0.0.1", 8888)).ok());
        Some(provider)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Status, octets of the answer, and how long it took; a status of 0 where it took longer than [`LONGEST`].
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, usize, Duration) {
        let from = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let media = "application/external.dns.webhook+json;version=1";
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: {media}\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("written");
        stream.write_all(body.as_bytes()).expect("written");
        let mut all = Vec::new();
        stream.set_read_timeout(Some(LONGEST)).expect("a deadline");
        if stream.read_to_end(&mut all).is_err() || all.len() < 12 {
            return (0, 0, from.elapsed());
        }
        let took = from.elapsed();
        let status = std::str::from_utf8(&all[9..12]).ok().and_then(|status| status.parse().ok()).expect("a status");
        (status, all.len(), took)
    }
}

/// Somebody else's change.
pub fn nsupdate(addr: SocketAddr, changes: &str) {
    let (key, secret) = KEYS[1];
    let script = format!(
        "server {} {}\nkey hmac-sha256:{key} {secret}\nzone internal\n{changes}\nsend\n",
        addr.ip(),
        addr.port()
    );
    let mut child = Command::new("nsupdate").stdin(Stdio::piped()).spawn().expect("nsupdate");
    child.stdin.take().expect("stdin").write_all(script.as_bytes()).expect("written");
    assert!(child.wait().expect("it ends").success(), "{script}");
}
