//! `knotwork route -f`: lint's verdict by exit code and words, on any machine.
#![allow(clippy::unwrap_used)]

use std::process::Command;

const HEAD: &str = "apiVersion: dns.knotwork.dev/v1alpha1\nkind: SplitDNSPolicy\nmetadata: {name: p}\nspec: ";

fn route(spec: &str, more: &[&str]) -> (i32, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.yaml");
    std::fs::write(&file, format!("{HEAD}{spec}\n")).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_knotwork"))
        .args(["route", "-f"])
        .arg(&file)
        .args(more)
        .env("NO_COLOR", "1")
        // A developer's machine may have a resolver of its own.
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (run.status.code().unwrap(), text(run.stdout), text(run.stderr))
}

const LAB: &str = "{routes: [{name: lab, domains: [maas], servers: [192.168.4.53], failClosed: true}]}";

#[test]
fn a_good_policy_routes_its_names() {
    for (at, scope) in [("v262", "delegate:50-knotwork-p-lab"), ("v252", "global")] {
        let (code, out, err) = route(LAB, &["x.maas", "--at", at, "-o", "json"]);
        assert_eq!(code, 0, "{out}{err}");
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["asked"][0]["scope"], scope);
        assert_eq!(value["asked"][0]["servers"], serde_json::json!(["192.168.4.53"]));
        assert_eq!(value["failClosed"], true);
        assert!(value["policy"]["findings"].is_array());
    }
}

#[test]
fn the_wrong_recipe_is_refused_with_the_reason_and_a_right_policy() {
    // As the reference has it, and as people write it.
    let wrong = "{global: {servers: [192.168.4.53, 1.1.1.1], domains: [maas, homelab]}}";
    let tildes = wrong.replace("maas, home", "~maas, ~home");
    for (wrong, at) in [(wrong, "v252"), (wrong, "v257"), (wrong, "v262"), (&tildes, "v252"), (&tildes, "v262")] {
        let (code, out, err) = route(wrong, &["x.maas", "--at", at]);
        assert_eq!(code, 3, "{out}{err}");
        assert_eq!(
            err.contains("\"~maas\", \"~homelab\": the '~' of resolved.conf changes nothing"),
            wrong == tildes,
            "{err}"
        );
        for words in ["p.yaml:4:", "error global-domains", "1.1.1.1 would be told of private names", "failClosed: true"]
        {
            assert!(out.contains(words), "{words}: {out}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_an_error_with_its_place() {
    let (code, out, err) = route("{routes: [{name: lab, domains: [maas], servers: [192.168.4.300]}]}", &["x.maas"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains("p.yaml:4:56") && err.contains('^'), "{err}");
    let many: String = (0..300).map(|i| format!("d{i}.maas, ")).collect();
    let many = format!("{{routes: [{{name: lab, domains: [{many}], servers: [192.168.4.53], failClosed: true}}]}}");
    let (code, out, _) = route(&many, &["x.maas", "--at", "v252"]);
    assert!(code == 3 && out.contains("too-many-domains"), "{out}");
}
