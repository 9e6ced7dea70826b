//! An installation of Knotwork on disk: configuration, key, manifests; and runs of the real binary on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::knot::KEYS;

/// A folder with `knotwork.yaml`, the key and `records/`.
pub struct Site {
    dir: tempfile::TempDir,
}

/// What a run said and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 when killed.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Site {
    /// Owner `home` with the key `operator` and one zone `internal`.
    pub fn new(addr: SocketAddr) -> Site {
        Site::of("home", "here", "operator", addr, "")
    }

    /// Any owner, instance and key; `zone` is more of the zone's settings (`, brake: {…}`).
    pub fn of(owner: &str, instance: &str, key: &str, addr: SocketAddr, zone: &str) -> Site {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir(dir.path().join("records")).expect("folder");
        let secret = KEYS.iter().find(|(id, _)| *id == key).expect("a test key").1;
        std::fs::write(dir.path().join("key.b64"), secret).expect("key");
        let site = Site { dir };
        site.config(&format!(
            "owner: {owner}\ninstance: {instance}\nservers:\n  - name: test\n    address: {addr}\n    \
             tsig: {{name: {key}, algorithm: hmac-sha256, secretFile: key.b64}}\n    zones:\n      - {{name: internal, defaultTtl: 300{zone}}}\n"
        ));
        site
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The folder of manifests.
    pub fn records(&self) -> PathBuf {
        self.dir.path().join("records")
    }

    /// Replaces the configuration.
    pub fn config(&self, text: &str) {
        std::fs::write(self.dir.path().join("knotwork.yaml"), text).expect("config");
    }

    /// The configuration as it stands.
    pub fn config_text(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("knotwork.yaml")).expect("config")
    }

    /// Writes one object with the spec given in flow style (`name: x.internal, a: [10.0.0.1]`).
    pub fn put(&self, object: &str, spec: &str) {
        self.file(&format!("{object}.yaml"), &manifest(object, spec));
    }

    /// Takes one object away.
    pub fn cut(&self, object: &str) {
        std::fs::remove_file(self.records().join(format!("{object}.yaml"))).expect("was there");
    }

    /// Writes a file of manifests.
    pub fn file(&self, name: &str, text: &str) {
        std::fs::write(self.records().join(name), text).expect("manifest");
    }

    /// A command of the real binary with our configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_knotwork"));
        command.args(args).arg("-c").arg(self.dir.path().join("knotwork.yaml"));
        command.env_remove("KNOTWORK_CONFIG").stdin(Stdio::null());
        command
    }

    /// Runs `args` with our configuration.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().expect("knotwork runs").into()
    }

    /// Runs `plan` or `apply` on our manifests.
    pub fn records_run(&self, args: &[&str]) -> Ran {
        self.command(args).arg("-f").arg(self.records()).output().expect("knotwork runs").into()
    }

    /// Applies and requires the exit code.
    pub fn apply(&self, args: &[&str], code: i32) -> Ran {
        let ran = self.records_run(&[&["apply"], args].concat());
        assert_eq!(ran.code, code, "{ran:#?}");
        ran
    }
}

/// One manifest.
pub fn manifest(object: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {{name: {object}, namespace: dns}}\nspec: {{{spec}}}\n"
    )
}

/// `n` objects `<prefix><i>` in one file's text, each an A record.
pub fn many(prefix: &str, n: usize, net: u8) -> String {
    (0..n)
        .map(|i| {
            manifest(
                &format!("{prefix}{i}"),
                &format!("name: {prefix}{i}.internal, a: [10.{net}.{}.{}]", i / 250, i % 250),
            )
        })
        .collect()
}

/// The zone as `dig` transfers it, without SOA: `owner ttl type value`.
pub fn zone(addr: SocketAddr, zone: &str) -> Vec<String> {
    let key = format!("hmac-sha256:{}:{}", KEYS[0].0, KEYS[0].1);
    let out = Command::new("dig")
        .args(["@127.0.0.1", "-p", &addr.port().to_string(), "-y", &key])
        .args(["+nocmd", "+nocomments", "+nostats", "+onesoa", "AXFR", zone])
        .output()
        .expect("dig runs");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("SOA"), "no transfer: {text}");
    text.lines()
        .filter(|line| !line.starts_with(';') && !line.trim().is_empty())
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|parts| parts.len() > 4 && parts[3] != "SOA" && parts[3] != "TSIG")
        .map(|parts| format!("{} {} {} {}", parts[0], parts[1], parts[3], parts[4..].join(" ")))
        .collect()
}
