//! A real Kubernetes API server with its etcd, on loopback ports and in a folder of its own; on request with the controller
//! manager, without which no namespace ever goes and nothing is garbage-collected.
//!
//! `let Some(cluster) = Cluster::start() else { return };` and everything is gone when it is dropped, or when the test
//! process ends in whatever way: each program has a shell beside it that kills it when our end of a pipe closes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::guarded::Guarded;
use super::parts::{self, Program};

/// What a cluster shall be like.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Also a controller manager.
    pub controllers: bool,
    /// More users than the administrator: name and groups. Rights are the test's to give.
    pub users: Vec<(String, Vec<String>)>,
    /// How many requests may be in flight, of reading and of writing ones each; what is more gets 429 at once. The
    /// administrator is exempt.
    pub requests: Option<u32>,
    /// More flags for the API server.
    pub flags: Vec<String>,
}

impl Setup {
    /// With one more user.
    #[must_use]
    pub fn user(mut self, name: &str, groups: &[&str]) -> Setup {
        self.users.push((name.to_owned(), groups.iter().map(|group| (*group).to_owned()).collect()));
        self
    }
}

/// What a run of `kubectl` came to.
#[derive(Debug, Clone)]
pub struct Said {
    /// Whether it succeeded.
    pub ok: bool,
    /// What it printed.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

/// A running API server and what it needs.
pub struct Cluster {
    etcd: Guarded,
    api: Guarded,
    controllers: Option<Guarded>,
    kubectl: Program,
    port: u16,
    dir: tempfile::TempDir,
}

/// How long an API server may take to be ready: some seconds, or minutes on a machine that builds ten other things.
const PATIENCE: Duration = Duration::from_secs(360);

/// The user of [`Cluster::kubeconfig`], a member of system:masters.
pub const ADMIN: &str = "admin";

/// ExternalDNS's kind `DNSEndpoint`, as far as its readers care.
const DNSENDPOINTS: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: dnsendpoints.externaldns.k8s.io
  annotations: {api-approved.kubernetes.io: \"https://github.com/kubernetes-sigs/external-dns/pull/2007\"}
spec:
  group: externaldns.k8s.io
  scope: Namespaced
  names: {kind: DNSEndpoint, listKind: DNSEndpointList, plural: dnsendpoints, singular: dnsendpoint}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

impl Cluster {
    /// A cluster with the default set-up; `None` where a part is missing (said loudly).
    pub fn start() -> Option<Cluster> {
        Cluster::with(&Setup::default())
    }

    /// A cluster.
    pub fn with(setup: &Setup) -> Option<Cluster> {
        let etcd = parts::need("etcd")?;
        let api = parts::need("kube-apiserver")?;
        let kubectl = parts::need("kubectl")?;
        let manager = if setup.controllers { Some(parts::need("kube-controller-manager")?) } else { None };

        let dir = tempfile::Builder::new().prefix("kw-kube").tempdir().unwrap();
        let path = dir.path();
        signing_key(&path.join("sa.key"));
        let tokens = std::iter::once((ADMIN, "system:masters".to_owned()))
            .chain(setup.users.iter().map(|(name, groups)| (name.as_str(), groups.join(","))))
            .map(|(name, groups)| format!("{},{name},{name},\"{groups}\"\n", token(name)))
            .collect::<String>();
        std::fs::write(path.join("tokens.csv"), tokens).unwrap();

        let (etcd, client) = Guarded::on_ports(path, "etcd", |[client, peer]| {
            let mut command = etcd.command();
            let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
            command
                .args(["--name=test", "--unsafe-no-fsync", "--logger=zap", "--log-level=warn"])
                .arg(format!("--data-dir={}", path.join("etcd.data").display()))
                .arg(format!("--listen-client-urls={client}"))
                .arg(format!("--advertise-client-urls={client}"))
                .arg(format!("--listen-peer-urls={peer}"))
                .arg(format!("--initial-advertise-peer-urls={peer}"))
                .arg(format!("--initial-cluster=test={peer}"));
            command
        });
        let (api, port) = Guarded::on_ports(path, "kube-apiserver", |[port, _]| {
            let file = |name: &str| path.join(name).display().to_string();
            let mut command = api.command();
            command
                .arg(format!("--etcd-servers=http://127.0.0.1:{client}"))
                .arg(format!("--secure-port={port}"))
                .args(["--bind-address=127.0.0.1", "--service-cluster-ip-range=10.96.0.0/16"])
                .arg(format!("--cert-dir={}", file("certs")))
                .arg("--service-account-issuer=https://kubernetes.default.svc")
                .arg(format!("--service-account-signing-key-file={}", file("sa.key")))
                .arg(format!("--service-account-key-file={}", file("sa.key")))
                .arg(format!("--token-auth-file={}", file("tokens.csv")))
                .args(["--authorization-mode=RBAC,Node", "--enable-admission-plugins=NodeRestriction"]);
            if let Some(requests) = setup.requests {
                command
                    .arg(format!("--max-requests-inflight={requests}"))
                    .arg(format!("--max-mutating-requests-inflight={requests}"))
                    .arg("--enable-priority-and-fairness=false");
            }
            command.args(&setup.flags);
            command
        });
        let mut cluster = Cluster { etcd, api, controllers: None, kubectl, port, dir };
        for name in std::iter::once(ADMIN).chain(setup.users.iter().map(|(name, _)| name.as_str())) {
            cluster.write_kubeconfig(name);
        }
        cluster.wait_ready();
        if let Some(program) = manager {
            let mut command = program.command();
            command
                .args(["--leader-elect=false", "--secure-port=0"])
                .arg(format!("--kubeconfig={}", cluster.kubeconfig().display()))
                .arg(format!("--service-account-private-key-file={}", cluster.dir().join("sa.key").display()))
                .arg(format!("--root-ca-file={}", cluster.ca().display()));
            cluster.controllers = Some(Guarded::start(cluster.dir.path(), "kube-controller-manager", &command));
        }
        Some(cluster)
    }

    /// Where the API server listens, as a URL.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The file with the certificate authority of the API server.
    pub fn ca(&self) -> PathBuf {
        self.dir().join("certs/apiserver.crt")
    }

    /// The folder of the cluster: `etcd.log`, `kube-apiserver.log`, kubeconfigs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of(ADMIN)
    }

    /// The kubeconfig of a user of the set-up.
    pub fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.dir().join(format!("{user}.kubeconfig"))
    }

    fn write_kubeconfig(&self, user: &str) {
        let (url, ca, token) = (self.url(), self.ca().display().to_string(), token(user));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters:\n  - name: test\n    cluster: {{server: '{url}', certificate-authority: '{ca}'}}\n\
             users:\n  - name: {user}\n    user: {{token: '{token}'}}\n\
             contexts:\n  - name: test\n    context: {{cluster: test, user: {user}}}\n"
        );
        std::fs::write(self.kubeconfig_of(user), text).unwrap();
    }

    /// Runs `kubectl` as the administrator.
    pub fn kubectl(&self, args: &[&str]) -> Said {
        self.kubectl_as(ADMIN, args, "")
    }

    /// Runs `kubectl` as a user of the set-up, with something to read.
    pub fn kubectl_as(&self, user: &str, args: &[&str], input: &str) -> Said {
        let mut child = self
            .kubectl
            .command()
            .arg(format!("--kubeconfig={}", self.kubeconfig_of(user).display()))
            .arg(format!("--cache-dir={}", self.dir().join("kubectl").display()))
            .args(args)
            .env_remove("KUBECONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A kubectl that reads nothing of it may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let done = child.wait_with_output().unwrap();
        Said {
            ok: done.status.success(),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }

    /// Runs `kubectl` as the administrator; gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn must(&self, args: &[&str]) -> String {
        let said = self.kubectl(args);
        assert!(said.ok, "kubectl {args:?}: {}{}", said.out, said.err);
        said.out
    }

    /// `kubectl apply` of a text with objects, on the server's side.
    pub fn apply(&self, yaml: &str) -> Said {
        self.kubectl_as(ADMIN, &["apply", "--server-side", "-f", "-"], yaml)
    }

    /// [`Cluster::apply`] of what must be taken.
    pub fn must_apply(&self, yaml: &str) {
        let said = self.apply(yaml);
        assert!(said.ok, "{}{}\n{yaml}", said.out, said.err);
    }

    /// Applies our own CRDs and waits until they are served.
    pub fn install_crds(&self) {
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
        self.must(&["apply", "--server-side", "-f", crds]);
        self.must(&["wait", "--for=condition=Established", "--timeout=120s", "-f", crds]);
    }

    /// Applies ExternalDNS's kind `DNSEndpoint` and waits until it is served.
    pub fn install_dnsendpoints(&self) {
        self.must_apply(DNSENDPOINTS);
        let crd = "crd/dnsendpoints.externaldns.k8s.io";
        self.must(&["wait", "--for=condition=Established", "--timeout=120s", crd]);
    }

    /// Whether the API server says that it is ready.
    pub fn ready(&self) -> bool {
        self.readiness().ok
    }

    fn readiness(&self) -> Said {
        self.kubectl(&["get", "--raw", "/readyz?verbose", "--request-timeout=10s"])
    }

    /// Waits until the API server is ready.
    pub fn wait_ready(&self) {
        let begun = Instant::now();
        loop {
            let said = self.readiness();
            if said.ok {
                return;
            }
            assert!(self.api.alive(), "the API server ended:\n{}", self.api.log_end());
            let etcd = || self.etcd.log_end();
            assert!(
                begun.elapsed() < PATIENCE,
                "not ready: {}{}\n{}\n{}",
                said.out,
                said.err,
                self.api.log_end(),
                etcd()
            );
            // Each look is a process, and takes from the server what it needs to become ready.
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// `kill -9` of the API server.
    pub fn stop_apiserver(&mut self) {
        self.api.kill();
    }

    /// Starts the API server again, on the same port and with the same data, and waits until it is ready.
    pub fn start_apiserver(&mut self) {
        self.api.resume();
        self.wait_ready();
    }

    /// `kill -9` of etcd.
    pub fn stop_etcd(&mut self) {
        self.etcd.kill();
    }

    /// Starts etcd again with its data, and waits until the API server is ready if it runs.
    pub fn start_etcd(&mut self) {
        self.etcd.resume();
        if self.api.alive() {
            self.wait_ready();
        }
    }

    /// Stops the API server in its tracks: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.api.signal("STOP");
    }

    /// Lets a frozen API server go on.
    pub fn thaw(&self) {
        self.api.signal("CONT");
    }

    /// The process ids of what runs.
    pub fn pids(&self) -> Vec<u32> {
        [Some(&self.etcd), Some(&self.api), self.controllers.as_ref()].into_iter().flatten().map(Guarded::pid).collect()
    }

    /// The log of the API server.
    pub fn log(&self) -> String {
        self.api.log()
    }
}

/// The token of a user; no secret.
pub fn token(user: &str) -> String {
    format!("token-of-{user}")
}

/// Writes a key that signs the tokens of service accounts.
fn signing_key(path: &Path) {
    let done = Command::new("openssl")
        .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"])
        .arg(path)
        .output()
        .expect("openssl, of which Debian has a package");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
