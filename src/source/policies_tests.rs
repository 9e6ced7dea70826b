//! Policies from files: places, several errors at once, good ones beside bad ones.
#![allow(clippy::unwrap_used)]

use super::*;

fn load(text: &str) -> Policies {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.yaml");
    std::fs::write(&file, text).unwrap();
    let mut all = load_policies(&[Input::Path(file)]);
    let prefix = format!("{}/", dir.path().display());
    for diagnostic in all.broken.iter_mut().chain(all.refusals.iter_mut().map(|(_, diagnostic)| diagnostic)) {
        diagnostic.file = diagnostic.file.replace(&prefix, "");
    }
    all
}

const HEAD: &str = "apiVersion: dns.knotwork.dev/v1alpha1\nkind: SplitDNSPolicy\nmetadata: {name: NAME}\n";

fn policy(name: &str, spec: &str) -> String {
    format!("{}{spec}", HEAD.replace("NAME", name))
}

#[test]
fn a_bad_policy_never_hides_a_good_one() {
    let bad = policy(
        "bad",
        "spec:\n  routes:\n    - name: lab\n      domains: [maas, ~~homelab, bad..x]\n      servers: [192.168.4.300]\n      reverseFor: [192.168.4.7/24]\n",
    );
    let good = policy("good", "spec: {routes: [{name: lab, domains: [Maas., bücher], servers: [192.168.4.53]}]}\n");
    let record = "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {name: x}\nspec: {name: x}\n";
    let all = load(&format!("{bad}---\n{good}---\n{record}---\na: [\n"));
    assert_eq!(all.policies.len(), 1);
    let domains: Vec<String> = all.policies[0].routes[0].domains.iter().map(|name| name.to_relaxed()).collect();
    assert_eq!(domains, ["maas", "xn--bcher-kva"]);
    let places: Vec<String> = all.refusals.iter().map(|(name, wrong)| format!("{name} {}", wrong.place())).collect();
    assert_eq!(places, ["bad p.yaml:7:23", "bad p.yaml:7:34", "bad p.yaml:9:20", "bad p.yaml:8:17"], "{all:#?}");
    assert!(all.refusals[0].1.to_string().contains("no place in a domain"), "{}", all.refusals[0].1);
    assert_eq!(all.broken.len(), 1);
    assert!(all.notes.iter().any(|note| note.ends_with("StaticDNSRecord is not a policy; skipped here")));
    let place = all.place("good", "spec.routes[0].servers[0]").unwrap();
    assert!(place.ends_with("p.yaml:14:65"), "{place}");
}

/// As people bring them from resolved.conf.
#[test]
fn a_tilde_before_a_domain_means_what_is_done_anyway() {
    let all = load(&policy(
        "x",
        "spec:\n  global: {servers: [192.168.4.53], domains: [~maas, homelab]}\n  routes: [{name: a, domains: [~corp], servers: [10.0.0.1]}]\n  links: [{name: b, match: {name: eth0}, domains: [~.]}]\n",
    ));
    assert!(all.is_good(), "{all:#?}");
    let names = |names: &[crate::model::Name]| names.iter().map(|name| name.to_relaxed()).collect::<Vec<_>>();
    let policy = &all.policies[0];
    assert_eq!(names(policy.global.domains.as_ref().unwrap()), ["maas", "homelab"]);
    assert_eq!(
        (names(&policy.routes[0].domains), names(&policy.links[0].domains)),
        (vec!["corp".to_owned()], vec![".".to_owned()])
    );
    let [note] = all.notes.as_slice() else { panic!("{:?}", all.notes) };
    assert!(note.contains("p.yaml:5:") && note.contains("\"~maas\", \"~corp\", \"~.\""), "{note}");
}

#[test]
fn the_schema_speaks_first_and_of_everything() {
    let all = load(&policy(
        "x",
        "spec:\n  rutes: []\n  resolvConf: stub\n  global: {dnssec: off}\n  routes: [{name: a, domains: [x]}]\n  priority: 5000\n",
    ));
    let said: Vec<&str> = all.refusals.iter().map(|(_, wrong)| wrong.message.as_str()).collect();
    let wanted = [
        "spec.rutes: unknown field \"rutes\"; did you mean \"routes\"?",
        "spec.resolvConf: \"stub\" is not one of Stub, Uplink, Unmanaged",
        "spec.global.dnssec: YAML reads this as the boolean false",
        "spec.routes[0]: the field \"servers\" is missing",
        "spec.priority: 5000 is out of range; expected -1000 to 1000",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.starts_with(wanted), "{said} / {wanted}");
    }
}

#[test]
fn one_name_stands_once_and_without_a_namespace() {
    let spec = "spec: {routes: [{name: lab, domains: [maas], servers: [192.168.4.53]}]}\n";
    let all = load(&format!("{}---\n{}", policy("x", spec), policy("x", spec)));
    assert!(all.policies.is_empty() && all.refusals.len() == 1, "{all:#?}");
    let spaced = policy("x", spec).replace("{name: x}", "{name: x, namespace: dns}");
    assert!(load(&spaced).refusals[0].1.message.starts_with("metadata.namespace: a SplitDNSPolicy has no namespace"));
    let nobody = load("# nothing\n");
    assert_eq!((nobody.empty.len(), nobody.policies.len()), (1, 0));
}

/// An empty list names nobody, and would be taken for the absence of one: every host.
#[test]
fn hosts_are_named_and_in_lower_case() {
    let said = |hosts: &str| {
        let all = load(&policy("x", &format!("spec: {{hosts: {hosts}}}\n")));
        all.refusals.iter().map(|(_, wrong)| wrong.message.clone()).collect::<Vec<_>>().join("; ")
    };
    assert!(said("[]").starts_with("spec.hosts: "), "{}", said("[]"));
    assert!(said("[KWHOST]").ends_with("; did you mean \"kwhost\"?"), "{}", said("[KWHOST]"));
    assert!(!said("[\"a_B\"]").contains("did you mean"));
    assert_eq!(said("[kwhost]"), "");
}
