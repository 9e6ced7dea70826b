//! A real `knotd`, unprivileged, on a free loopback port, with the shipped configuration's persistence settings.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::parts::Program;
use super::wait;

/// A TSIG key of a test server: name and base64 secret, always hmac-sha256.
pub const KEYS: &[(&str, &str)] = &[
    ("operator", "qkYBE6E2mCDYFsAH2WVDAxFZLF7TQb1yEYCbVhKzCkI="),
    ("other", "cGxlYXNlIGRvIG5vdCB1c2UgdGhpcyBzZWNyZXQhISE="),
    ("kea-ddns", "a2VhIGtlYSBrZWEga2VhIGtlYSBrZWEga2VhIGtlYSE="),
    ("externaldns", "ZXh0ZXJuYWxkbnMgZXh0ZXJuYWxkbnMgZXh0ZXJuYWw="),
];

/// The zones that a test server serves unless told otherwise.
pub const ZONES: &[&str] = &["internal", "10.in-addr.arpa", "s3.garage.internal", "d.f.ip6.arpa"];

/// What a test server shall be like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Zone names.
    pub zones: Vec<String>,
    /// Zone files by zone; a minimal one otherwise.
    pub files: Vec<(String, String)>,
    /// Replaces the `acl:` section and the list of rules (id list, section text).
    pub acl: Option<(String, String)>,
    /// More lines for the template.
    pub template: String,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            zones: ZONES.iter().map(|zone| (*zone).to_owned()).collect(),
            files: Vec::new(),
            acl: None,
            template: String::new(),
        }
    }
}

/// A running `knotd`; stopped and removed on drop.
pub struct Knot {
    program: Program,
    child: Option<Child>,
    /// Where it answers, UDP and TCP.
    pub addr: SocketAddr,
    dir: tempfile::TempDir,
}

impl Knot {
    /// Starts a server with the default set-up.
    pub fn start(program: &Program) -> Knot {
        Knot::with(program, &Setup::default())
    }

    /// Starts a server.
    pub fn with(program: &Program, setup: &Setup) -> Knot {
        Knot::shipped(program, setup, |dir, port| config(dir, port, setup))
    }

    /// Starts a server with a configuration of the caller's, made from the folder and the port.
    pub fn shipped(program: &Program, setup: &Setup, config: impl Fn(&str, u16) -> String) -> Knot {
        let dir = tempfile::Builder::new().prefix("kw-knot").tempdir().expect("temp dir");
        let port = wait::free_port();
        for sub in ["run", "db", "zones"] {
            std::fs::create_dir(dir.path().join(sub)).expect("sub dir");
        }
        for zone in &setup.zones {
            let text =
                setup.files.iter().find(|(name, _)| name == zone).map_or_else(|| minimal_zone(zone), |f| f.1.clone());
            std::fs::write(dir.path().join("zones").join(format!("{zone}.zone")), text).expect("zone file");
        }
        std::fs::write(dir.path().join("knot.conf"), config(&dir.path().display().to_string(), port)).expect("config");
        give_to_knot(program, dir.path());
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut knot = Knot { program: program.clone(), child: None, addr, dir };
        knot.resume();
        knot
    }

    /// Starts the process again after [`Knot::kill`] or [`Knot::terminate`].
    pub fn resume(&mut self) {
        let mut command = unprivileged(&self.program);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).expect("log");
        command.arg("-c").arg(self.dir.path().join("knot.conf"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("log")).stderr(log);
        self.child = Some(command.spawn().expect("knotd starts"));
        wait::listening(self.addr);
        let log = self.log_path();
        wait::until("knotd to have loaded its zones", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.rsplit("Knot DNS ").next().is_some_and(|tail| tail.contains("server started")).then_some(())
        });
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// An orderly stop.
    pub fn terminate(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }

    /// Process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The server's log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The server's folder: `knot.conf`, `zones/`, `db/`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A zone with SOA, NS and the address of the name server.
pub fn minimal_zone(zone: &str) -> String {
    format!("$ORIGIN {zone}.\n$TTL 300\n@ SOA ns0 hostmaster 1 3600 600 86400 60\n@ NS ns0\nns0 A 10.0.0.2\n")
}

fn config(dir: &str, port: u16, setup: &Setup) -> String {
    let mut text = format!(
        "server:\n    rundir: \"{dir}/run\"\n    listen: [ 127.0.0.1@{port} ]\n    automatic-acl: off\n    tcp-idle-timeout: 60\n\
         log:\n  - target: stderr\n    any: info\n\
         control:\n    listen: \"{dir}/run/knot.sock\"\n\
         database:\n    storage: \"{dir}/db\"\nkey:\n"
    );
    for (name, secret) in KEYS {
        let _ = write!(text, "  - id: {name}\n    algorithm: hmac-sha256\n    secret: {secret}\n");
    }
    let (ids, acl) = setup.acl.clone().unwrap_or_else(|| {
        let rules = KEYS.iter().fold(String::new(), |mut all, (name, _)| {
            let _ = write!(all, "  - id: {name}-rw\n    key: {name}\n    action: [ update, transfer ]\n");
            all
        });
        (KEYS.iter().map(|(name, _)| format!("{name}-rw")).collect::<Vec<_>>().join(", "), rules)
    });
    let _ = write!(
        text,
        "acl:\n{acl}template:\n  - id: default\n    storage: \"{dir}/zones\"\n    file: \"%s.zone\"\n    zonefile-load: whole\n    \
         zonefile-sync: 300\n    journal-content: changes\n    journal-max-depth: 1000000\n    journal-max-usage: 1G\n    \
         acl: [ {ids} ]\n{}zone:\n",
        setup.template
    );
    for zone in &setup.zones {
        let _ = writeln!(text, "  - domain: {zone}");
    }
    text
}

fn is_root() -> bool {
    // Without libc in the tests, the owner of /proc/self tells who we are.
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").map(|meta| meta.uid() == 0).unwrap_or(false)
}

fn give_to_knot(program: &Program, dir: &Path) {
    if is_root() && program.argv.len() == 1 {
        let _ = Command::new("chown").arg("-R").arg("knot:knot").arg(dir).status();
    }
}

fn unprivileged(program: &Program) -> Command {
    // An unpacked part lies in a cache below a home directory that other users may not enter.
    let packaged = program.argv.len() == 1;
    if packaged
        && is_root()
        && Command::new("id")
            .arg("knot")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=knot", "--regid=knot", "--clear-groups", "--"]).args(&program.argv);
        return command;
    }
    program.command()
}
