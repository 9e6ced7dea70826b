//! Which real parts the machine has, and the log of what ran on them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

/// A program to start, perhaps through another loader (a newer Debian's, unpacked).
#[derive(Debug, Clone)]
pub struct Program {
    /// Program and leading arguments.
    pub argv: Vec<String>,
}

impl Program {
    /// A command of this program.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]);
        command
    }
}

/// The tiers of `./test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Pure parts, embedded authority, fakes.
    Quick,
    /// Every kind of real part once.
    Normal,
    /// Soaks and old versions.
    Full,
}

/// The tier this run belongs to (`KNOTWORK_TIER`); `Normal` by default.
pub fn tier() -> Tier {
    match std::env::var("KNOTWORK_TIER").as_deref() {
        Ok("quick") => Tier::Quick,
        Ok("full") => Tier::Full,
        _ => Tier::Normal,
    }
}

/// Where unpacked parts are kept between runs, see `tests/parts/`.
pub fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache"));
    base.join("knotwork")
}

fn on_path(name: &str) -> Option<String> {
    let mut places: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    places.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    places.into_iter().map(|dir| dir.join(name)).find(|path| path.is_file()).map(|path| path.display().to_string())
}

/// A program that `tests/parts/tools` builds, or one of `KUBEBUILDER_ASSETS` if that folder has all that belongs together.
fn compiled(family: &str, name: &str) -> Option<Program> {
    let assets =
        std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from).filter(|_| matches!(family, "kubernetes" | "etcd"));
    let assets = assets.filter(|assets| {
        ["kube-apiserver", "etcd", "kubectl", name].iter().all(|program| assets.join(program).is_file())
    });
    let dir = match assets {
        Some(assets) => assets,
        None => {
            let module = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tools").join(family);
            let mut hash = Sha256::new();
            for file in ["go.mod", "go.sum"] {
                hash.update(std::fs::read(module.join(file)).ok()?);
            }
            hash.update(std::fs::read(module.join("main.go")).unwrap_or_default());
            let hex: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            cache().join("tools").join(format!("{family}-{hex}"))
        }
    };
    let path = dir.join(name);
    path.is_file().then(|| Program { argv: vec![path.display().to_string()] })
}

/// Whether this machine lets us make namespaces, mounts and links in them.
fn namespaces() -> bool {
    let try_it = "mount --make-rprivate / && mount -t tmpfs t /mnt && ip link add kwa type veth peer name kwb";
    Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "sh", "-c", try_it])
        .output()
        .is_ok_and(|done| done.status.success())
}

/// Whether control groups of the unified kind can be had in a mount namespace of our own, which a booted machine needs.
fn control_groups() -> bool {
    let try_it = "mount --make-rprivate / && umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup \
                  && d=/sys/fs/cgroup/knotwork-probe-$$ && mkdir $d && rmdir $d";
    Command::new("unshare").args(["--mount", "sh", "-c", try_it]).output().is_ok_and(|done| done.status.success())
}

/// Whether this run of a suite is on the older line of Kubernetes that `./test full` tries as well.
fn is_older() -> bool {
    std::env::var("KNOTWORK_KUBERNETES").as_deref() == Ok("older")
}

/// The older line of ExternalDNS that this run of a suite is on (`KNOTWORK_EXTERNAL_DNS`, such as 0.14); `None`: the newest.
pub fn external_dns_line() -> Option<String> {
    std::env::var("KNOTWORK_EXTERNAL_DNS").ok().filter(|line| !line.is_empty())
}

/// How a part is called in the log of the run.
fn called(part: &str) -> String {
    match part {
        "kube-apiserver" | "kube-controller-manager" if is_older() => format!("{part}-older"),
        "external-dns" => external_dns_line().map_or_else(|| part.to_owned(), |line| format!("{part}-{line}")),
        part => part.to_owned(),
    }
}

/// The program of a part, if the machine has it.
pub fn find(part: &str) -> Option<Program> {
    let single = |name: &str| on_path(name).map(|path| Program { argv: vec![path] });
    match part {
        "knot" => single("knotd"),
        "knot-next" => {
            let root = cache().join("parts/knot-next/root");
            let lib = root.join("usr/lib/x86_64-linux-gnu");
            let loader = lib.join("ld-linux-x86-64.so.2");
            let program = root.join("usr/sbin/knotd");
            (loader.is_file() && program.is_file()).then(|| Program {
                argv: vec![
                    loader.display().to_string(),
                    "--library-path".into(),
                    lib.display().to_string(),
                    program.display().to_string(),
                ],
            })
        }
        "bind" => single("named"),
        "etcd" => compiled("etcd", part),
        "kube-apiserver" | "kube-controller-manager" if is_older() => compiled("kubernetes-older", part),
        "external-dns" => compiled(&called(part), part),
        "connector-feeder" | "helm" => compiled(part, part),
        "external-dns-chart" => {
            let chart = compiled("external-dns", "external-dns")?
                .argv
                .first()
                .map(|path| Path::new(path).with_file_name("chart"))?;
            chart.is_dir().then(|| Program { argv: vec![chart.display().to_string()] })
        }
        "kube-apiserver" | "kubectl" | "kube-controller-manager" => compiled("kubernetes", part),
        "libfaketime" => {
            let path = PathBuf::from("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1");
            path.is_file().then(|| Program { argv: vec![path.display().to_string()] })
        }
        part if part.starts_with("resolved-") => {
            let daemon = cache().join("parts").join(part).join("root/usr/lib/systemd/systemd-resolved");
            (daemon.is_file() && namespaces()).then(|| Program { argv: vec![daemon.display().to_string()] })
        }
        part if part.starts_with("machine-") => {
            let init = cache().join("parts").join(part).join("root/usr/lib/systemd/systemd");
            (init.is_file() && namespaces() && control_groups())
                .then(|| Program { argv: vec![init.display().to_string()] })
        }
        other => single(other),
    }
}

/// The program of a part, noted in the log of the run; `None` when this run goes without it.
///
/// # Panics
/// With `CI=true` when the machine lacks the part.
pub fn need(part: &str) -> Option<Program> {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    if tier() == Tier::Quick {
        note(&called(part), &test, "quick");
        return None;
    }
    if let Some(program) = find(part) {
        note(&called(part), &test, "ran");
        return Some(program);
    }
    note(&called(part), &test, "missing");
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "the part `{}` is missing, and CI=true forbids that",
        called(part)
    );
    eprintln!("*** {test}: NOT RUN, the part `{}` is missing on this machine (./test installs it)", called(part));
    None
}

/// Whether a test of the `full` tier shall run now; says so when not.
pub fn full() -> bool {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    if tier() == Tier::Full {
        return true;
    }
    eprintln!("--- {test}: belongs to `./test full`");
    false
}

fn note(part: &str, test: &str, what: &str) {
    let Some(path) = std::env::var_os("KNOTWORK_PARTS_LOG") else { return };
    if let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all(format!("{part}\t{what}\t{test}\n").as_bytes());
    }
}
