//! What the kubelet hands to pods, and the names that it must always resolve.

use std::net::IpAddr;

use serde_json::Value;

use super::Work;
use crate::split::HostFacts;
use crate::split::facts::Kubelet;

/// kubeadm's file of the kubelet.
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// What the kubelet takes where nothing says otherwise.
const DEFAULT: &str = "/etc/resolv.conf";

pub(super) fn gather(work: &mut Work, facts: &mut HostFacts) {
    let running = running();
    for flavour in ["k3s", "rke2"] {
        let runs = running.iter().find(|process| process.program.starts_with(flavour));
        if runs.is_some() || work.files.exists(&format!("/etc/rancher/{flavour}")) {
            facts.kubelet = Some(rancher(work, flavour, runs));
            return;
        }
    }
    let runs = running.iter().find(|process| process.program == "kubelet");
    if runs.is_some() || work.files.exists(CONFIG) {
        facts.kubelet = Some(plain(work, runs));
    }
}

/// A process of interest.
struct Process {
    program: String,
    arguments: Vec<String>,
}

/// Processes that may be a kubelet, as far as they are in sight.
fn running() -> Vec<Process> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let processes = all.flatten().filter_map(|process| {
        let program = std::fs::read_to_string(process.path().join("comm")).ok()?.trim_end().to_owned();
        let wanted = program == "kubelet" || program.starts_with("k3s") || program.starts_with("rke2");
        let line = wanted.then(|| std::fs::read(process.path().join("cmdline")).ok())??;
        let arguments = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Some(Process { program, arguments })
    });
    processes.collect()
}

fn plain(work: &mut Work, runs: Option<&Process>) -> Kubelet {
    let mut told = runs.and_then(|process| flag(&process.arguments, "resolv-conf"));
    // Flags of a kubelet out of sight, where kubeadm and the packages put them; a flag goes before the file.
    for path in ["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet"] {
        if told.is_none() {
            told = work.files.text(path).ok().and_then(|text| flag(&words(&text), "resolv-conf"));
        }
    }
    let config = runs.and_then(|process| flag(&process.arguments, "config")).unwrap_or_else(|| CONFIG.to_owned());
    if told.is_none() {
        told = match yaml(work, &config) {
            Read::Value(value) => Some(value["resolvConf"].as_str().unwrap_or(DEFAULT).to_owned()),
            // All by flags, and none of them says so.
            Read::Absent => Some(DEFAULT.to_owned()),
            Read::Unknown => None,
        };
    }
    let kubeconfig = runs.and_then(|process| flag(&process.arguments, "kubeconfig"));
    let kubeconfig = kubeconfig.unwrap_or_else(|| "/etc/kubernetes/kubelet.conf".to_owned());
    let mut needs = Some(Vec::new());
    add(&mut needs, servers(work, &kubeconfig));
    add(&mut needs, registries(work, "/etc/containerd/certs.d"));
    Kubelet { flavour: Some("kubelet".into()), resolv_conf: told, needs }
}

/// k3s and rke2 choose the file themselves at start where nothing tells them which: then it is `None`.
fn rancher(work: &mut Work, flavour: &str, runs: Option<&Process>) -> Kubelet {
    let above = format!("/etc/rancher/{flavour}");
    let mut paths = vec![format!("{above}/config.yaml")];
    let parts = format!("{above}/config.yaml.d");
    paths.extend(work.files.list(&parts).unwrap_or_default().into_iter().map(|name| format!("{parts}/{name}")));
    let (mut told, mut needs) = (None, Some(Vec::new()));
    for path in paths.iter().filter(|path| path.ends_with(".yaml") || path.ends_with(".yml")) {
        if let Read::Value(value) = yaml(work, path) {
            if let Some(path) = value["resolv-conf"].as_str() {
                told = Some(path.to_owned());
            }
            add(&mut needs, Some(value["server"].as_str().and_then(host).into_iter().collect()));
        }
    }
    for path in [
        format!("/etc/systemd/system/{flavour}.service.env"),
        format!("/etc/systemd/system/{flavour}-agent.service.env"),
    ] {
        let text = work.files.text(&path).unwrap_or_default();
        let key = format!("{}_RESOLV_CONF=", flavour.to_ascii_uppercase());
        told = words(&text).iter().find_map(|word| word.strip_prefix(&key)).map(str::to_owned).or(told);
    }
    told = runs.and_then(|process| flag(&process.arguments, "resolv-conf")).or(told);
    add(&mut needs, servers(work, &format!("/var/lib/rancher/{flavour}/agent/kubelet.kubeconfig")));
    if let Read::Value(value) = yaml(work, &format!("{above}/registries.yaml")) {
        let mut found = Vec::new();
        for (name, mirror) in value["mirrors"].as_object().into_iter().flatten() {
            found.extend(host(name));
            found
                .extend(mirror["endpoint"].as_array().into_iter().flatten().filter_map(Value::as_str).filter_map(host));
        }
        add(&mut needs, Some(found));
    }
    Kubelet { flavour: Some(flavour.to_owned()), resolv_conf: told, needs }
}

/// What became of a file of YAML.
enum Read {
    Value(Value),
    Absent,
    Unknown,
}

fn yaml(work: &mut Work, path: &str) -> Read {
    let read = work.files.text_if_there(path);
    let Some(text) = work.file(path, read) else { return Read::Unknown };
    let Some(text) = text else { return Read::Absent };
    match serde_saphyr::from_str(&text) {
        Ok(value) => Read::Value(value),
        Err(error) => {
            work.miss(path, error.to_string().lines().next().unwrap_or("not YAML"));
            Read::Unknown
        }
    }
}

/// The API servers of a kubeconfig; `None` where it is there and cannot be read.
fn servers(work: &mut Work, path: &str) -> Option<Vec<String>> {
    match yaml(work, path) {
        Read::Value(value) => {
            let clusters = value["clusters"].as_array().into_iter().flatten();
            Some(clusters.filter_map(|cluster| host(cluster["cluster"]["server"].as_str()?)).collect())
        }
        Read::Absent => Some(Vec::new()),
        Read::Unknown => None,
    }
}

/// containerd's registries: a directory for each.
fn registries(work: &mut Work, dir: &str) -> Option<Vec<String>> {
    let listed = work.files.list(dir);
    Some(work.file(dir, listed)?.iter().filter_map(|name| host(name)).collect())
}

/// Names join the others, each once; an unknown part makes all unknown.
fn add(needs: &mut Option<Vec<String>>, more: Option<Vec<String>>) {
    match (needs.as_mut(), more) {
        (Some(all), Some(more)) => {
            for name in more {
                if !all.contains(&name) {
                    all.push(name);
                }
            }
        }
        _ => *needs = None,
    }
}

/// `--name=value` or `--name value` among arguments; the last counts.
fn flag(arguments: &[String], name: &str) -> Option<String> {
    let mut found = None;
    for (at, word) in arguments.iter().enumerate() {
        let Some(rest) = word.trim_start_matches('-').strip_prefix(name).filter(|_| word.starts_with('-')) else {
            continue;
        };
        match rest.strip_prefix('=') {
            Some(value) => found = Some(value.to_owned()),
            None if rest.is_empty() => found = arguments.get(at + 1).cloned().or(found),
            None => {}
        }
    }
    found
}

/// Words of a file of environment variables, quotes off.
fn words(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    // A variable's name before its first flag: `KUBELET_EXTRA_ARGS="--x=y"`.
    lines
        .flat_map(|line| line.replace(['"', '\''], " ").split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The host of a URL or of `host[:port]`, where it is a name and no address.
fn host(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['/', '?']).next().unwrap_or(rest);
    let rest = rest.rsplit('@').next().unwrap_or(rest);
    let name = match rest.strip_prefix('[') {
        Some(_) => return None,
        None => rest.split(':').next().unwrap_or(rest),
    };
    let is_name = name.contains('.') || name == "localhost";
    (is_name && !name.starts_with('.') && name.parse::<IpAddr>().is_err()).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::resolved::files::HostFiles;

    fn host_with(all: &[(&str, &str)]) -> (tempfile::TempDir, Work) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in all {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let files = HostFiles::new(dir.path());
        (dir, Work { files, bus: None, unread: Vec::new() })
    }

    #[test]
    fn f39_the_kubelets_own_word_is_found() {
        let kubeconfig = "apiVersion: v1\nclusters:\n- name: c\n  cluster:\n    server: https://API.maas:6443\n";
        let (_dir, mut work) = host_with(&[
            (
                "var/lib/kubelet/config.yaml",
                "kind: KubeletConfiguration\r\nresolvConf: /run/systemd/resolve/resolv.conf\r\n",
            ),
            ("etc/kubernetes/kubelet.conf", kubeconfig),
            ("etc/containerd/certs.d/registry.maas:5000/hosts.toml", ""),
            ("etc/containerd/certs.d/_default/hosts.toml", ""),
        ]);
        let kubelet = plain(&mut work, None);
        assert_eq!(kubelet.resolv_conf.as_deref(), Some("/run/systemd/resolve/resolv.conf"));
        assert_eq!(kubelet.needs.unwrap(), ["api.maas", "registry.maas"]);
        assert!(work.unread.is_empty());

        // Nothing said: the default.
        let (_dir, mut work) = host_with(&[("var/lib/kubelet/config.yaml", "kind: KubeletConfiguration")]);
        assert_eq!(plain(&mut work, None).resolv_conf.as_deref(), Some(DEFAULT));
        // A flag goes before the file.
        let flags = "# --resolv-conf=/no\nKUBELET_KUBEADM_ARGS=\"--x=1 --resolv-conf=/etc/kubelet.resolv --y\"\n";
        let (_dir, mut work) = host_with(&[
            ("var/lib/kubelet/config.yaml", "resolvConf: /a\n"),
            ("var/lib/kubelet/kubeadm-flags.env", flags),
        ]);
        assert_eq!(plain(&mut work, None).resolv_conf.as_deref(), Some("/etc/kubelet.resolv"));
        // Garbage is no answer.
        let (_dir, mut work) = host_with(&[("var/lib/kubelet/config.yaml", "\u{fffd}\0: [")]);
        assert_eq!(plain(&mut work, None).resolv_conf, None);
        assert_eq!(work.unread.len(), 1);
    }

    #[test]
    fn f39_k3s_may_be_told_which_file() {
        let (_dir, mut work) = host_with(&[("etc/rancher/k3s/config.yaml", "server: https://10.0.0.1:6443\n")]);
        let kubelet = rancher(&mut work, "k3s", None);
        assert_eq!((kubelet.resolv_conf, kubelet.needs.unwrap()), (None, Vec::new()));
        let registries = "mirrors:\n  docker.io:\n    endpoint: [\"https://user@registry.homelab:5000/v2\", \"http://10.0.0.9\"]\n  \"*\": {}\n";
        let (_dir, mut work) = host_with(&[
            ("etc/rancher/k3s/config.yaml", "server: https://k3s.maas:6443\nresolv-conf: /a\n"),
            ("etc/rancher/k3s/config.yaml.d/b.yaml", "resolv-conf: /run/systemd/resolve/resolv.conf\n"),
            ("etc/rancher/k3s/registries.yaml", registries),
        ]);
        let kubelet = rancher(&mut work, "k3s", None);
        assert_eq!(kubelet.resolv_conf.as_deref(), Some("/run/systemd/resolve/resolv.conf"));
        assert_eq!(kubelet.needs.unwrap(), ["k3s.maas", "docker.io", "registry.homelab"]);
        let process = Process {
            program: "k3s-server".into(),
            arguments: vec!["k3s".into(), "--resolv-conf".into(), "/c".into()],
        };
        assert_eq!(rancher(&mut work, "k3s", Some(&process)).resolv_conf.as_deref(), Some("/c"));
    }
}
