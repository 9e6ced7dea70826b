//! The values that `docs/external-dns.md` gives for the official chart of ExternalDNS: rendered by the real Helm, and what comes
//! of them is what the webhook expects.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{parts, wait};

/// The block of the document with this mark.
fn block(mark: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/external-dns.md")).unwrap();
    let (_, rest) = text.split_once(&format!("```yaml {mark}\n")).expect("the block");
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_values_of_the_document_make_a_sidecar_that_runs() {
    let (Some(helm), Some(chart)) = (parts::need("helm"), parts::need("external-dns-chart")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let values = dir.path().join("values.yaml");
    std::fs::write(&values, block("values")).unwrap();
    let out = helm
        .command()
        .args(["template", "external-dns", &chart.argv[0], "--namespace", "external-dns", "-f"])
        .arg(&values)
        .env("HOME", dir.path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let documents = text.split("\n---\n").map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
    let deployment = documents.into_iter().find(|one| one["kind"] == "Deployment").expect("a Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = |name: &str| {
        let all = pod["containers"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {pod}")).clone()
    };
    let args = |container: &Value| -> Vec<String> {
        container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap().to_owned()).collect()
    };
    let (main, sidecar) = (container("external-dns"), container("webhook"));
    for arg in [
        "--provider=webhook",
        "--registry=txt",
        "--txt-owner-id=k8s",
        "--txt-prefix=edns-%{record_type}.",
        "--policy=sync",
    ] {
        assert!(args(&main).iter().any(|one| one == arg), "{arg}: {:?}", args(&main));
    }
    // Where nothing is said ExternalDNS asks localhost:8888, and the probes ask what we serve at 8080.
    assert!(!args(&main).iter().any(|arg| arg.starts_with("--webhook-provider-url")));
    assert_eq!(
        (&sidecar["ports"][0]["name"], &sidecar["ports"][0]["containerPort"]),
        (&"http-webhook".into(), &8080.into())
    );
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(sidecar[probe]["httpGet"]["path"], "/healthz", "{sidecar}");
        assert_eq!(sidecar[probe]["httpGet"]["port"], "http-webhook");
    }
    let volumes: Vec<&str> =
        pod["volumes"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    for mount in sidecar["volumeMounts"].as_array().unwrap() {
        assert!(volumes.contains(&mount["name"].as_str().unwrap()), "{mount}");
    }
    // The same arguments start the program, on the configuration that lies there.
    let mounted = dir.path().join("etc");
    std::fs::create_dir(&mounted).unwrap();
    std::fs::write(mounted.join("key.b64"), "cGxlYXNlIGRvIG5vdA==").unwrap();
    let config = "owner: home\ninstance: here\nwebhook: {owner: k8s}\nservers:\n  - {name: s, address: 127.0.0.1, tsig: {name: k, secretFile: key.b64}, zones: [{name: internal, externalDns: [{prefix: \"edns-%{record_type}.\"}]}]}\n";
    std::fs::write(mounted.join("knotwork.yaml"), config).unwrap();
    let args: Vec<String> =
        args(&sidecar).iter().map(|arg| arg.replace("/etc/knotwork", &mounted.display().to_string())).collect();
    let log = dir.path().join("log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_knotwork"))
        .args(&args)
        .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
        .stderr(std::fs::File::create(&log).unwrap())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let said = wait::until("it to serve, or to end", || {
        let text = std::fs::read_to_string(&log).unwrap();
        (text.contains("writing for the ExternalDNS") || child.try_wait().unwrap().is_some()).then_some(text)
    });
    let _ = child.kill();
    let _ = child.wait();
    assert!(said.contains("writing for the ExternalDNS \"k8s\" in internal"), "{said}");
}
