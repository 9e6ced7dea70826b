//! A cluster, a Knot and operators between them: what the operator's suites share.
//! [`Place`] is the half without a cluster, for suites that bring an API server of their own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Command, Stdio};

use super::guarded::Guarded;
use super::knot::{KEYS, Knot};
use super::kube::{Cluster, Setup};
use super::{parts, wait};

/// A cluster with our CRDs, a Knot with four zones, and a configuration for both.
pub struct World {
    /// The cluster.
    pub cluster: Cluster,
    /// The rest.
    pub place: Place,
}

/// A Knot with four zones and a configuration, without a cluster.
pub struct Place {
    /// The server.
    pub knot: Knot,
    dir: tempfile::TempDir,
}

impl Deref for World {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Place {
        &mut self.place
    }
}

/// A running operator; killed on drop.
pub struct Operator {
    program: Guarded,
    /// Where it serves its numbers.
    pub listen: SocketAddr,
}

/// An object as YAML, in the namespace `default`.
pub fn record(name: &str, spec: &str) -> String {
    record_in("default", name, spec)
}

/// An object as YAML.
pub fn record_in(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

impl World {
    /// All of it with the default set-up; `None` where a part is missing (said loudly).
    pub fn start() -> Option<World> {
        World::with(&Setup::default())
    }

    /// All of it.
    pub fn with(setup: &Setup) -> Option<World> {
        World::of(setup, &super::knot::Setup::default())
    }

    /// All of it with another Knot.
    pub fn with_knot(knot: &super::knot::Setup) -> Option<World> {
        World::of(&Setup::default(), knot)
    }

    fn of(cluster: &Setup, knot: &super::knot::Setup) -> Option<World> {
        parts::need("knot")?;
        let cluster = Cluster::with(cluster)?;
        cluster.install_crds();
        Some(World { cluster, place: Place::with(knot)? })
    }

    /// Starts an operator, and waits until it leads and has read its zones.
    pub fn operator(&self) -> Operator {
        let operator = self.operator_with("operator", &[]);
        operator.wait_leading();
        operator
    }

    /// Starts an operator of this name with more flags.
    pub fn operator_with(&self, name: &str, flags: &[&str]) -> Operator {
        self.operator_as(name, "admin", flags)
    }

    /// The same as a user of the cluster.
    pub fn operator_as(&self, name: &str, user: &str, flags: &[&str]) -> Operator {
        let kubeconfig = self.cluster.kubeconfig_of(user);
        self.operator_to(name, &kubeconfig, flags)
    }

    /// Waits for a state.
    pub fn until(&self, what: &str, mut holds: impl FnMut(&World) -> bool) {
        wait::until(what, || holds(self).then_some(()));
    }

    /// Waits for a state that gives something.
    pub fn until_some<T>(&self, what: &str, mut find: impl FnMut(&World) -> Option<T>) -> T {
        wait::until(what, || find(self))
    }

    /// Applies an object and waits until it is ready at its own generation.
    pub fn apply_ready(&self, name: &str, spec: &str) {
        self.cluster.must_apply(&record(name, spec));
        self.until_ready(name, "True", "Programmed");
    }

    /// Waits until the condition Ready of an object in `default` says so, of its present generation.
    pub fn until_ready(&self, name: &str, status: &str, reason: &str) {
        let mut last = String::new();
        let want = format!("{status} {reason} ");
        wait::until(&format!("{name} to be {want}"), || {
            let path = "{.status.conditions[?(@.type=='Ready')].status} {.status.conditions[?(@.type=='Ready')].reason} \
                        {.metadata.generation}={.status.observedGeneration} {.status.conditions[?(@.type=='Ready')].message}";
            let said = self.cluster.kubectl(&["get", "staticdnsrecord", name, "-o", &format!("jsonpath={path}")]);
            if said.out != last {
                last.clone_from(&said.out);
                eprintln!("{name}: {last}");
            }
            let (seen, observed) = last.split_once('=')?;
            let generation = seen.rsplit(' ').next()?;
            (last.starts_with(&want) && observed.split(' ').next() == Some(generation)).then_some(())
        });
    }

    /// A field of a condition of an object in `default`; empty where there is none.
    pub fn condition(&self, name: &str, kind: &str, field: &str) -> String {
        let path = format!("jsonpath={{.status.conditions[?(@.type=='{kind}')].{field}}}");
        self.cluster.must(&["get", "staticdnsrecord", name, "-o", &path])
    }

    /// A field of a zone's object, by JSON path; empty where there is none.
    pub fn zone(&self, zone: &str, path: &str) -> String {
        self.cluster.kubectl(&["get", "dnszone", zone, "-o", &format!("jsonpath={path}")]).out
    }

    /// A person changes the spec of a zone's object, once there is one.
    pub fn order(&self, zone: &str, spec: &str) {
        self.until("the zone's object", |world| !world.zone(zone, "{.metadata.uid}").is_empty());
        self.cluster.must(&["patch", "dnszone", zone, "--type=merge", "-p", &format!("{{\"spec\":{spec}}}")]);
    }

    /// Events about an object: type, reason and note.
    pub fn events(&self, name: &str) -> Vec<String> {
        let path = "jsonpath={range .items[*]}{.regarding.name}|{.type} {.reason} {.note}{\"\\n\"}{end}";
        let all = self.cluster.must(&["get", "events.events.k8s.io", "-A", "-o", path]);
        all.lines().filter_map(|line| line.strip_prefix(&format!("{name}|"))).map(str::to_owned).collect()
    }
}

impl Place {
    /// All of it; `None` where a part is missing (said loudly).
    pub fn start() -> Option<Place> {
        Place::with(&super::knot::Setup::default())
    }

    /// All of it with another Knot.
    pub fn with(setup: &super::knot::Setup) -> Option<Place> {
        let knot = Knot::with(&parts::need("knot")?, setup);
        let dir = tempfile::Builder::new().prefix("kw-operator").tempdir().unwrap();
        std::fs::write(dir.path().join("key.b64"), KEYS[0].1).unwrap();
        let place = Place { knot, dir };
        place.configure("");
        Some(place)
    }

    /// Writes the configuration, with `more` at its end.
    pub fn configure(&self, more: &str) {
        let zones = ["internal, externalDns: [{prefix: \"k8s.\"}]", "10.in-addr.arpa", "s3.garage.internal"];
        self.configure_zones(&zones, more);
    }

    /// Writes the configuration with these zones.
    pub fn configure_zones(&self, zones: &[&str], more: &str) {
        let addr = self.knot.addr;
        let zones: String = zones.iter().map(|zone| format!("      - {{name: {zone}}}\n")).collect();
        let text = format!(
            "owner: home\nservers:\n  - name: routy\n    address: {addr}\n    \
             tsig: {{name: operator, algorithm: hmac-sha256, secretFile: key.b64}}\n    zones:\n{zones}{more}"
        );
        // In one step: half a file is a bad version, which is refused for good reason.
        let (new, path) = (self.dir.path().join("new.yaml"), self.config());
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// The configuration's path.
    pub fn config(&self) -> std::path::PathBuf {
        self.dir.path().join("knotwork.yaml")
    }

    /// A folder for whatever a test needs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The same by a kubeconfig.
    pub fn operator_to(&self, name: &str, kubeconfig: &Path, flags: &[&str]) -> Operator {
        self.operator_in(name, kubeconfig, flags, &[])
    }

    /// The same with variables of its environment.
    pub fn operator_in(&self, name: &str, kubeconfig: &Path, flags: &[&str], env: &[(&str, &str)]) -> Operator {
        let command = |[port, _]: [u16; 2]| {
            // Only arguments are passed on to a guarded program.
            let mut command = Command::new("env");
            command.args(env.iter().map(|(name, value)| format!("{name}={value}")));
            command.arg(env!("CARGO_BIN_EXE_knotwork"));
            command.args(["operator", "--listen", &format!("127.0.0.1:{port}")]);
            if !flags.contains(&"--namespace") {
                command.args(["--namespace", "default"]);
            }
            command.arg("-c").arg(self.config()).arg("--kubeconfig").arg(kubeconfig).args(flags);
            command
        };
        let (program, port) = Guarded::on_ports(self.dir.path(), name, command);
        Operator { program, listen: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    /// What the server answers: values, sorted.
    pub fn dig(&self, name: &str, rtype: &str) -> Vec<String> {
        let port = self.knot.addr.port().to_string();
        let out = Command::new("dig")
            .args(["@127.0.0.1", "-p", &port, "+short", "+norecurse", "+tries=3", "+time=5", name, rtype])
            .output()
            .unwrap();
        let mut lines: Vec<String> = String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Another writer adds records, in zone-file form.
    pub fn foreign(&self, records: &[&str]) {
        let adds: String = records.iter().map(|record| format!("update add {record}\n")).collect();
        self.nsupdate(&format!("zone internal\n{adds}send\n"));
    }

    /// Another writer removes a record.
    pub fn remove(&self, record: &str) {
        self.nsupdate(&format!("zone internal\nupdate delete {record}\nsend\n"));
    }

    /// What `nsupdate` is told.
    pub fn nsupdate(&self, script: &str) {
        let (key, secret) = KEYS[2];
        let mut child = Command::new("nsupdate")
            .args(["-v", "-y", &format!("hmac-sha256:{key}:{secret}")])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let script = format!("server 127.0.0.1 {}\n{script}", self.knot.addr.port());
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{}\n{script}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Operator {
    /// Waits until it leads and has read and planned its zones.
    pub fn wait_leading(&self) {
        wait::until("an operator that leads", || {
            assert!(self.program.alive(), "the operator ended:\n{}", self.log());
            (self.number("knotwork_operator_leader") == Some(1.0) && self.get("/readyz").0 == 200).then_some(())
        });
    }

    /// What an endpoint says: code and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        use std::io::Read as _;
        let ask = || -> std::io::Result<String> {
            let mut stream = std::net::TcpStream::connect(self.listen)?;
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let text = ask().unwrap_or_default();
        let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (code, text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
    }

    /// One of its numbers, with its labels as they are written.
    pub fn number(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics");
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// The sum of a family's lines whose labels have this part.
    pub fn sum(&self, name: &str, part: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(part));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// A signal by name.
    pub fn signal(&self, name: &str) {
        self.program.signal(name);
    }

    /// Whether it runs.
    pub fn alive(&self) -> bool {
        self.program.alive()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// What it said.
    pub fn log(&self) -> String {
        self.program.log()
    }
}
