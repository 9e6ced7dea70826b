//! A real Kubernetes API server takes our CRDs and comes to the verdicts that our own tests of the rules come to; and the
//! cluster of the tests itself does what its users rely on.

#![allow(clippy::unwrap_used)]

mod support;

#[path = "spec/crds.rs"]
mod crds;

use std::fmt::Write as _;
use std::path::Path;

use support::guarded::running;
use support::kube::{Cluster, Setup};
use support::wait;

const RECORD: &str = "staticdnsrecords.dns.knotwork.dev";

fn repo(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

#[test]
fn shipped_objects_are_taken_and_a_bad_one_is_refused_in_our_words() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.install_crds();
    cluster.must(&["create", "namespace", "dns"]);
    for folder in ["config/samples", "config/hosts"] {
        let said = cluster.must(&["apply", "--server-side", "-f", &repo(folder)]);
        let files = std::fs::read_dir(repo(folder)).unwrap();
        let objects: usize = files
            .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap().matches("apiVersion:").count())
            .sum();
        assert_eq!(said.lines().count(), objects, "{said}");
    }
    let said = cluster.apply(&document("StaticDNSRecord", "bad", "{name: bad.internal, a: [10.0.0.300]}"));
    assert!(!said.ok);
    assert!(
        said.err.contains("spec.a[0]") && said.err.contains("not an IPv4 address (such as 10.0.0.1)"),
        "{}",
        said.err
    );
    // The columns are ours, and an object begins with conditions that wait for the operator.
    let table = cluster.must(&["get", RECORD, "-n", "dns"]);
    assert!(table.contains("FQDN") && table.matches("Pending").count() == table.lines().count() - 1, "{table}");
}

/// Each sample of `tests/spec/*.txt`, whose verdict the offline tests hold against our schema walker and `kube-cel`.
#[test]
fn the_api_server_gives_the_verdicts_of_the_offline_tests() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.install_crds();
    for (kind, plural, text) in [
        ("StaticDNSRecord", "staticdnsrecord", include_str!("spec/samples.txt")),
        ("SplitDNSPolicy", "splitdnspolicy", include_str!("spec/policies.txt")),
    ] {
        let samples = crds::samples(text);
        let mut all = String::new();
        for (number, (_, spec)) in samples.iter().enumerate() {
            let _ = write!(all, "{}", document(kind, &format!("s{number}"), spec));
        }
        let said = cluster.kubectl_as("admin", &["create", "--dry-run=server", "-f", "-"], &all);
        let mut wrong = String::new();
        for (number, (verdict, spec)) in samples.iter().enumerate() {
            let taken = said.out.contains(&format!("{plural}.dns.knotwork.dev/s{number} created"));
            // The API server drops a field that is null before it looks; only files are held to more.
            if spec.contains(": null") {
                continue;
            }
            // "deep" is what only the code sees, knowing zones and other objects.
            if taken != matches!(*verdict, "good" | "deep") {
                let about = format!("\"s{number}\" is invalid");
                let why = said.err.lines().find(|line| line.contains(&about)).unwrap_or("refused otherwise");
                let why = if taken { "taken" } else { why };
                let _ = writeln!(wrong, "{spec}\n  offline {verdict}, the API server: {why}");
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}

#[test]
fn objects_outlive_the_api_server_and_etcd() {
    let setup = Setup::default().user("alice", &["team-a"]);
    let Some(mut cluster) = Cluster::with(&setup) else { return };
    cluster.install_crds();
    let kept = document("StaticDNSRecord", "kept", "{name: kept.internal, a: [10.0.0.1]}");
    cluster.must_apply(&kept);
    let uid = ["get", RECORD, "kept", "-o", "jsonpath={.metadata.uid} {.metadata.resourceVersion}"];
    let before = cluster.must(&uid);

    let log = cluster.log().len();
    cluster.stop_apiserver();
    assert!(!cluster.ready());
    cluster.start_apiserver();
    assert!(cluster.log().len() > log);
    assert_eq!(cluster.must(&uid), before);

    cluster.stop_etcd();
    wait::until("an API server that misses its etcd", || (!cluster.ready()).then_some(()));
    cluster.start_etcd();
    assert_eq!(cluster.must(&uid), before);

    cluster.freeze();
    let said = cluster.kubectl(&["get", RECORD, "kept", "--request-timeout=1s"]);
    assert!(!said.ok, "{}", said.out);
    cluster.thaw();
    assert_eq!(cluster.must(&uid), before);

    // A user has no rights but those that are given.
    let said = cluster.kubectl_as("alice", &["get", RECORD, "kept"], "");
    assert!(said.err.contains("forbidden"), "{}", said.err);
    cluster.must(&["create", "role", "reader", "--verb=get", "--resource", RECORD]);
    cluster.must(&["create", "rolebinding", "team-a", "--role=reader", "--group=team-a"]);
    wait::until("the rights of alice", || cluster.kubectl_as("alice", &["get", RECORD, "kept"], "").ok.then_some(()));
    assert!(!cluster.kubectl_as("alice", &["delete", RECORD, "kept"], "").ok);
}

#[test]
fn a_namespace_goes_when_the_controllers_run() {
    let setup = Setup { controllers: true, ..Setup::default() };
    let Some(cluster) = Cluster::with(&setup) else { return };
    cluster.install_crds();
    cluster.must(&["create", "namespace", "team"]);
    let one = document("StaticDNSRecord", "one", "{name: one.internal, a: [10.0.0.1]}");
    cluster.must_apply(&one.replace("{name: one}", "{name: one, namespace: team}"));
    wait::until("the service account of the namespace", || {
        cluster.kubectl(&["get", "serviceaccount", "default", "-n", "team"]).ok.then_some(())
    });
    cluster.must(&["delete", "namespace", "team", "--timeout=120s"]);
    assert!(!cluster.kubectl(&["get", "namespace", "team"]).ok);
}

/// Several clusters at once, and nothing is left of one whose test fails.
#[test]
fn clusters_stand_side_by_side_and_leave_nothing_behind() {
    let Some(one) = Cluster::start() else { return };
    let folder = std::thread::spawn(|| {
        let two = Cluster::start().unwrap();
        two.must(&["create", "namespace", "two"]);
        std::fs::write(two.dir().join("seen"), "").unwrap();
        let pids = two.pids();
        assert!(pids.iter().all(|pid| running(*pid)));
        std::panic::resume_unwind(Box::new((two.dir().to_owned(), pids)));
    });
    let (folder, pids) = *folder.join().unwrap_err().downcast::<(std::path::PathBuf, Vec<u32>)>().unwrap();
    assert!(!folder.exists());
    wait::until("the programs of the other cluster to be gone", || pids.iter().all(|pid| !running(*pid)).then_some(()));
    assert!(one.kubectl(&["get", "namespace", "two"]).err.contains("NotFound"));
    assert!(one.ready());
}
