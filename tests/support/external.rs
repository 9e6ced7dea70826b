//! The real ExternalDNS, the listener that feeds it, and a Knot with our webhook for it: what the suites of ExternalDNS share.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::guarded::Guarded;
use super::knot::{KEYS, Knot, Setup};
use super::parts::{self, Program};
use super::{site, wait};

/// A prefix that has a place in the zone for every name.
pub const PREFIX: &str = "edns-%{record_type}.";

/// All types that ExternalDNS can manage but NS: the name servers of the zone would keep it away from its apex.
pub const TYPES: &[&str] = &["A", "AAAA", "CNAME", "TXT", "SRV", "PTR", "MX", "NAPTR", "DNAME"];

/// A Knot, a listener for the source `connector`, and a folder for the rest.
pub struct Lab {
    /// The server.
    pub knot: Knot,
    feeder: Guarded,
    feeder_port: u16,
    program: Program,
    dir: tempfile::TempDir,
}

/// A running `knotwork webhook`; killed on drop.
pub struct Webhook {
    /// The process.
    pub program: Guarded,
    port: u16,
    ops: u16,
}

/// A running ExternalDNS; killed on drop.
pub struct External {
    program: Guarded,
    metrics: u16,
    line: u32,
}

/// What one run with `--once` came to.
#[derive(Debug)]
pub struct Once {
    /// Whether it says that all went well.
    pub ok: bool,
    /// What it logged.
    pub log: String,
}

/// What a zone holds beside its SOA, its name server and fences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zone {
    /// `owner ttl type value` of everything but ownership TXTs of ExternalDNS.
    pub data: BTreeSet<String>,
    /// The owner ids of the ownership TXTs by name.
    pub marks: BTreeMap<String, Vec<String>>,
    /// Where the webhook keeps a note beside an ownership TXT.
    pub notes: BTreeSet<String>,
}

/// An endpoint as JSON.
pub fn endpoint(name: &str, rtype: &str, ttl: u32, targets: &[&str]) -> Value {
    json!({"dnsName": name, "recordType": rtype, "targets": targets, "recordTTL": ttl,
        "labels": {"resource": "service/default/www"}})
}

/// The minor version of the line that this run is on.
pub fn line() -> u32 {
    parts::external_dns_line().map_or(22, |line| line.split('.').nth(1).unwrap().parse().unwrap())
}

/// The prefix that the tests use: before 0.18 a line knew only A, AAAA, CNAME and NS by a name with their type in it, and all
/// others by the form without one, which goes with a plain prefix.
pub fn prefix() -> &'static str {
    if line() < 18 { "edns-" } else { PREFIX }
}

/// The names at which the ownership of a set stands, with [`prefix`]. Where there is no room, the webhook keeps it elsewhere:
/// below a DNAME, and with a label that leaves none for a prefix.
pub fn places(name: &str, rtype: &str) -> Vec<String> {
    let word = rtype.to_lowercase();
    match (line() < 18, rtype) {
        (false, "DNAME") => vec![format!("_edns-dname-{name}.")],
        (false, _) => vec![format!("edns-{word}.{name}.")],
        (true, _) if name.split('.').next().is_some_and(|first| first.len() > 50) => {
            vec![format!("_edns-{word}.{name}.")]
        }
        (true, "AAAA") => vec![format!("edns-{word}-{name}.")],
        (true, _) => vec![format!("edns-{word}-{name}."), format!("edns-{name}.")],
    }
}

impl Lab {
    /// A lab with the usual zones; `None` where a part is missing (said loudly).
    pub fn start() -> Option<Lab> {
        Lab::with(&Setup::default())
    }

    /// A lab with another Knot.
    pub fn with(setup: &Setup) -> Option<Lab> {
        Lab::of(setup, parts::need("external-dns")?)
    }

    /// A lab for bodies that were recorded.
    pub fn without_external_dns() -> Option<Lab> {
        Lab::of(&Setup::default(), parts::find("true")?)
    }

    fn of(setup: &Setup, program: Program) -> Option<Lab> {
        let (knot, feeder) = (parts::need("knot")?, parts::need("connector-feeder")?);
        let knot = Knot::with(&knot, setup);
        let dir = tempfile::Builder::new().prefix("kw-edns").tempdir().unwrap();
        std::fs::write(dir.path().join("key"), KEYS[3].1).unwrap();
        std::fs::write(dir.path().join("feed.json"), "[]").unwrap();
        let (feeder, feeder_port) = Guarded::on_ports(dir.path(), "feeder", |[port, _]| {
            let mut command = feeder.command();
            command.arg(format!("127.0.0.1:{port}")).arg(dir.path().join("feed.json"));
            command
        });
        let lab = Lab { knot, feeder, feeder_port, program, dir };
        lab.configure(&format!("prefix: \"{}\"", prefix()), "owner: me", "");
        Some(lab)
    }

    /// The lab's folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the configuration: how ExternalDNS names its TXTs, the section `webhook`, and more of each zone's settings.
    pub fn configure(&self, affix: &str, webhook: &str, zone: &str) {
        let zones: String = ["internal", "10.in-addr.arpa", "s3.garage.internal"]
            .map(|name| format!("      - {{name: {name}, defaultTtl: 300, externalDns: [{{{affix}}}]{zone}}}\n"))
            .concat();
        let text = format!(
            "owner: home\ninstance: here\nwebhook: {{{webhook}}}\nservers:\n  - name: knot\n    address: {}\n    \
             tsig: {{name: externaldns, secretFile: key}}\n    zones:\n{zones}",
            self.knot.addr
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// The configuration's path.
    pub fn config(&self) -> std::path::PathBuf {
        self.dir().join("knotwork.yaml")
    }

    /// What the source gives from now on.
    pub fn feed(&self, endpoints: &[Value]) {
        // In one step: the listener reads the file at each connection.
        let new = self.dir().join("feed.new");
        std::fs::write(&new, json!(endpoints).to_string()).unwrap();
        std::fs::rename(new, self.dir().join("feed.json")).unwrap();
        assert!(self.feeder.alive(), "{}", self.feeder.log_end());
    }

    /// Starts a webhook on the configuration as it stands, and waits until it is ready.
    pub fn webhook(&self, name: &str, flags: &[&str]) -> Webhook {
        let webhook = self.unready_webhook(name, flags);
        webhook.wait_ready();
        webhook
    }

    /// Starts a webhook, which may never be ready.
    pub fn unready_webhook(&self, name: &str, flags: &[&str]) -> Webhook {
        let second = Cell::new(0);
        let (program, port) = Guarded::on_ports(self.dir(), name, |[port, ops]| {
            second.set(ops);
            let mut command = Command::new(env!("CARGO_BIN_EXE_knotwork"));
            command.arg("-c").arg(self.config()).arg("webhook").args(flags);
            command.args(["--listen", &format!("127.0.0.1:{port}"), "--ops-listen", &format!("127.0.0.1:{ops}")]);
            command
        });
        Webhook { program, port, ops: second.get() }
    }

    /// What every ExternalDNS here is told: the source, all types, quick loops, and no Kubernetes.
    pub fn common(&self) -> Vec<String> {
        let mut flags: Vec<String> =
            ["--source=connector", "--policy=sync", "--interval=500ms", "--log-level=info"].map(str::to_owned).to_vec();
        flags.push(format!("--connector-source-server=127.0.0.1:{}", self.feeder_port));
        flags.extend(TYPES.iter().map(|rtype| format!("--managed-record-types={rtype}")));
        flags
    }

    /// Starts ExternalDNS on a webhook, for an owner.
    pub fn external(&self, name: &str, webhook: &Webhook, flags: &[&str]) -> External {
        self.external_with(name, &[self.common(), webhook.flags(), owned(flags)].concat())
    }

    /// Starts ExternalDNS with precisely these flags.
    pub fn external_with(&self, name: &str, flags: &[String]) -> External {
        let (program, metrics) = Guarded::on_ports(self.dir(), name, |[port, _]| {
            let mut command = self.program.command();
            command.args(flags).arg(format!("--metrics-address=127.0.0.1:{port}"));
            command
        });
        External { program, metrics, line: line() }
    }

    /// Runs ExternalDNS for one loop.
    pub fn once(&self, flags: &[String]) -> Once {
        let mut command = self.program.command();
        command.args(flags).args(["--once", "--metrics-address=127.0.0.1:0"]).stdin(Stdio::null());
        let done = command.output().unwrap();
        let log = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        Once { ok: done.status.success(), log }
    }

    /// What a zone holds now.
    pub fn zone(&self, zone: &str) -> Zone {
        let mut read = Zone::default();
        for line in site::zone(self.knot.addr, zone) {
            let own = [format!("{zone}. 300 NS ns0.{zone}."), format!("ns0.{zone}. 300 A 10.0.0.2")].contains(&line);
            if own || line.contains("heritage=knotwork,instance=") {
                continue;
            }
            if line.contains("heritage=knotwork-edns") {
                read.notes.insert(line.split(' ').next().unwrap().to_owned());
                continue;
            }
            match line.split_once("heritage=external-dns,external-dns/owner=") {
                Some((before, rest)) => {
                    let name = before.split(' ').next().unwrap().to_owned();
                    let owner = rest.split([',', '"', '\\']).next().unwrap().to_owned();
                    read.marks.entry(name).or_default().push(owner);
                }
                None => drop(read.data.insert(line)),
            }
        }
        read
    }

    /// The serials of all zones: while they stay, nothing was written.
    pub fn serials(&self) -> Vec<String> {
        ["internal", "10.in-addr.arpa", "s3.garage.internal"].map(|zone| self.dig(zone, "SOA").concat()).to_vec()
    }

    /// What the server answers: values, sorted.
    pub fn dig(&self, name: &str, rtype: &str) -> Vec<String> {
        let out = Command::new("dig")
            .args(["@127.0.0.1", "-p", &self.knot.addr.port().to_string()])
            .args(["+short", "+norecurse", "+tries=3", "+time=5", name, rtype])
            .output()
            .unwrap();
        let mut values: Vec<String> = String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect();
        values.sort();
        values
    }

    /// Another writer: lines of `nsupdate` in one zone, with a key of [`KEYS`].
    pub fn nsupdate(&self, key: &str, zone: &str, updates: &[&str]) {
        let secret = KEYS.iter().find(|(id, _)| *id == key).unwrap().1;
        let mut child = Command::new("nsupdate")
            .args(["-v", "-y", &format!("hmac-sha256:{key}:{secret}")])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let updates: String = updates.iter().map(|line| format!("update {line}\n")).collect();
        let script = format!("server 127.0.0.1 {}\nzone {zone}\n{updates}send\n", self.knot.addr.port());
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{}\n{script}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Webhook {
    /// The flags that lead ExternalDNS here.
    pub fn flags(&self) -> Vec<String> {
        vec!["--provider=webhook".to_owned(), format!("--webhook-provider-url=http://127.0.0.1:{}", self.port)]
    }

    /// Where it serves its API.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until all zones are read.
    pub fn wait_ready(&self) {
        wait::until("the webhook to be ready", || {
            assert!(self.program.alive(), "the webhook ended:\n{}", self.program.log_end());
            get(self.ops, "/readyz").is_some_and(|(status, _)| status == 200).then_some(())
        });
    }

    /// The sum of a family's lines whose labels have this part.
    pub fn sum(&self, family: &str, part: &str) -> u64 {
        let (_, text) = get(self.ops, "/metrics").unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with(&format!("{family}{{")) && line.contains(part));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// How often it was asked for this (`list`, `adjust`, `apply`).
    pub fn asked(&self, operation: &str) -> u64 {
        self.sum("knotwork_webhook_requests_total", &format!("operation=\"{operation}\""))
    }
}

impl External {
    /// The number of a metric without labels; `None` where it is not there.
    pub fn number(&self, name: &str) -> Option<f64> {
        let (_, text) = get(self.metrics, "/metrics")?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Loops since the last that went well, in each of which the provider failed softly. Older lines only log them.
    pub fn soft_errors(&self) -> u64 {
        assert!(self.alive(), "{}", self.program.log_end());
        if let Some(number) = self.number("external_dns_controller_consecutive_soft_errors") {
            return number as u64;
        }
        assert!(self.line < 22, "the metric of soft errors is gone");
        let log = self.program.log();
        let since = log.rfind("All records are already up to date").map_or(&log[..], |at| &log[at..]);
        since.matches("Failed to do run once").count() as u64
    }

    /// Whether it still runs: there are answers at which it ends.
    pub fn alive(&self) -> bool {
        self.program.alive()
    }

    /// Starts it again with the same flags.
    pub fn resume(&mut self) {
        self.program.kill();
        self.program.resume();
    }

    /// What it said.
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// Waits for a state, while it must go on running.
    pub fn until<T>(&self, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
        let begun = std::time::Instant::now();
        loop {
            assert!(self.alive(), "waiting for {what}, and ExternalDNS ended:\n{}", self.program.log_end());
            if let Some(value) = check() {
                return value;
            }
            assert!(begun.elapsed() < wait::PATIENCE, "waited in vain for {what}:\n{}", self.program.log_end());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Waits for this many more loops from their beginning to their end.
    pub fn loops(&self, webhook: &Webhook, number: u64) {
        let before = webhook.asked("adjust");
        // The first that ends may have begun before whatever the caller did.
        self.until(&format!("{number} loops"), || (webhook.asked("adjust") > before + number).then_some(()));
    }

    /// Waits until the zones are as they shall be, and holds that it then has nothing more to say: two loops post nothing.
    pub fn settles(&self, lab: &Lab, webhook: &Webhook, wanted: &BTreeMap<&str, Zone>) {
        self.settles_by(lab, webhook, || {
            wanted.iter().try_for_each(|(zone, wanted)| same(zone, &lab.zone(zone), wanted))
        });
    }

    /// The same for what is told by a check, which gives words where something is not so yet.
    pub fn settles_by(&self, lab: &Lab, webhook: &Webhook, check: impl Fn() -> Result<(), String>) {
        let begun = std::time::Instant::now();
        while let Err(words) = check() {
            let log = self.program.log_end();
            assert!(self.alive(), "ExternalDNS ended:\n{log}");
            assert!(begun.elapsed() < wait::PATIENCE, "{words}\n{log}\n{}", webhook.program.log_end());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.is_idle(lab, webhook);
        check().unwrap();
    }

    /// Holds that two loops post nothing, change nothing and go well.
    pub fn is_idle(&self, lab: &Lab, webhook: &Webhook) {
        // Whatever is under way ends first.
        self.loops(webhook, 0);
        let (applies, serials) = (webhook.asked("apply"), lab.serials());
        self.loops(webhook, 2);
        let log = || format!("{}\n{}", self.program.log_end(), webhook.program.log_end());
        assert_eq!(webhook.asked("apply"), applies, "an idle loop posts nothing:\n{}", log());
        assert_eq!(lab.serials(), serials, "an idle loop writes nothing:\n{}", log());
        assert_eq!(self.soft_errors(), 0, "{}", log());
    }
}

/// Whether two zones are the same; else in words what differs.
pub fn same<T: std::fmt::Debug + PartialEq>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what} is not as it shall be\nfound {found:#?}\nwanted {wanted:#?}"))
    }
}

/// Flags as they are wanted here.
pub fn owned(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|flag| (*flag).to_owned()).collect()
}

/// The data lines of a zone, and ownership by `owner` of the sets that are named.
pub fn zone(data: &[&str], owner: &str, sets: &[(&str, &str)]) -> Zone {
    let mut zone = Zone { data: data.iter().map(|line| (*line).to_owned()).collect(), ..Zone::default() };
    for place in sets.iter().flat_map(|(name, rtype)| places(name, rtype)) {
        // Only what ExternalDNS believes to be elsewhere has a note.
        if place.starts_with("_edns-dname-") {
            zone.notes.insert(place.clone());
        }
        // Two sets of one name share the place of the old form.
        zone.marks.entry(place).or_insert_with(|| vec![owner.to_owned()]);
    }
    zone
}

fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = ask().ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned()))
}
