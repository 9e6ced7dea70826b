//! What the documents show works: every YAML block of `README.md` and `docs/` is read, and the words that they call stable
//! are those of the code. Blocks marked `yaml ignore` show what is wrong on purpose.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};

use knotwork::source::{Config, Input, load, load_policies};
use knotwork::spec::{Rights, lower_endpoint};

const CONFIG: &str = "owner: home
instance: docs
servers:
  - {name: s, address: 127.0.0.1, zones: [{name: internal}, {name: 10.in-addr.arpa}, {name: s3.garage.internal}]}
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|ext| ext == "md")).collect();
    all.push(root().join("README.md"));
    all.sort();
    all
}

/// The blocks of one document that are to be read, with their lines.
fn blocks(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut fence: Option<bool> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), fence) {
            (Some(_), Some(_)) => fence = None,
            (Some(info), None) => {
                let wanted = info.trim() == "yaml";
                fence = Some(wanted);
                if wanted {
                    found.push((number + 2, String::new()));
                }
            }
            (None, Some(true)) => {
                let (_, block) = found.last_mut().unwrap();
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    found
}

fn check(block: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key.b64"), "cGxlYXNlIGRvIG5vdA==\n").unwrap();
    let key = "key \"operator\" { algorithm hmac-sha256; secret \"cGxlYXNlIGRvIG5vdA==\"; };\n";
    std::fs::write(dir.path().join("operator.key"), key).unwrap();
    if block.lines().any(|line| line.starts_with("servers:")) {
        // The id of the machine that runs the test is no matter of the example's.
        let block = if block.contains("instance:") { block.to_owned() } else { format!("instance: docs\n{block}") };
        return Config::parse(&dir.path().join("knotwork.yaml"), &block).map(drop).map_err(|error| error.to_string());
    }
    let config = Config::parse(&dir.path().join("knotwork.yaml"), CONFIG).unwrap();
    let file = dir.path().join("block.yaml");
    std::fs::write(&file, block).unwrap();
    if block.contains("kind: SplitDNSPolicy") {
        let loaded = load_policies(&[Input::Path(file)]);
        return match loaded.is_good() && !loaded.policies.is_empty() {
            true => Ok(()),
            false => Err(format!("{:?} {:?}", loaded.broken, loaded.refusals)),
        };
    }
    if block.contains("kind: DNSZone") {
        let object: serde_json::Value = serde_saphyr::from_str(block).map_err(|error| error.to_string())?;
        let schema = &knotwork::spec::zone_crd::crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let wrong = knotwork::spec::schema::mismatches(schema, &object);
        return if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?}")) };
    }
    if block.contains("kind: DNSEndpoint") {
        let object = serde_saphyr::from_str(block).map_err(|error| error.to_string())?;
        let lowered = lower_endpoint(&object, &config.zone_table(), &Rights::Ordinary);
        return match lowered.problems.is_empty() && !lowered.claims.is_empty() {
            true => Ok(()),
            false => Err(format!("{lowered:?}")),
        };
    }
    let loaded = load(&[Input::Path(file)], &config, false);
    let refusals = loaded.refusals.iter().map(|refusal| &refusal.diagnostic);
    let wrong: Vec<String> = loaded.broken.iter().chain(refusals).map(ToString::to_string).collect();
    match wrong.is_empty() && loaded.objects > 0 {
        true => Ok(()),
        false => Err(format!("{} objects; {}", loaded.objects, wrong.join("\n"))),
    }
}

#[test]
fn every_yaml_block_is_read() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in documents() {
        for (line, block) in blocks(&path) {
            count += 1;
            if let Err(words) = check(&block) {
                wrong.push(format!("{}:{line}: {words}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
    assert!(count >= 7, "only {count} blocks were found");
}

#[test]
fn the_test_refuses_what_is_wrong() {
    assert!(check("owner: home\nservers: []\n").is_err());
    assert!(check("apiVersion: v1\nkind: ConfigMap\n").is_err());
    assert!(
        check("apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {name: x}\nspec: {}\n").is_err()
    );
    assert!(check("kind: DNSEndpoint\nmetadata: {name: x}\nspec: {}\n").is_err());
}

#[test]
fn the_configuration_and_the_samples_that_ship_are_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key.b64"), "cGxlYXNlIGRvIG5vdA==\n").unwrap();
    let text = std::fs::read_to_string(root().join("config/knotwork.yaml")).unwrap();
    let config = Config::parse(&dir.path().join("knotwork.yaml"), &text).unwrap();
    let loaded = load(&[Input::Path(root().join("config/samples"))], &config, true);
    assert!(loaded.is_complete() && loaded.refusals.is_empty() && loaded.objects > 5, "{loaded:?}");
}

/// The lines of the README that make the key do: the server's file and the one that `knotwork.yaml` names hold one secret.
#[test]
fn the_readme_makes_the_key_that_its_configuration_names() {
    let Some(keymgr) = std::env::var_os("PATH").and_then(|path| {
        let all: Vec<_> = std::env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
        all.into_iter().map(|dir| dir.join("keymgr")).find(|file| file.is_file())
    }) else {
        eprintln!("SKIPPED: there is no keymgr here (apt install knot)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("knot.conf");
    std::fs::copy(root().join("config/knot/knot.conf"), &conf).unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let lines: Vec<&str> = readme.lines().filter(|line| line.contains("key.b64") && !line.contains("tsig:")).collect();
    assert!(!lines.is_empty(), "the README never writes key.b64");
    let script = lines.join("\n").replace("/etc/knot/knot.conf", "knot.conf");
    let script = script.replace("keymgr", keymgr.to_str().unwrap());
    let ran = std::process::Command::new("sh").args(["-ec", &script]).current_dir(dir.path()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let secret = std::fs::read_to_string(dir.path().join("key.b64")).unwrap();
    let (secret, conf) = (secret.trim(), std::fs::read_to_string(conf).unwrap());
    assert_eq!(secret.len(), 44, "{secret}");
    assert_eq!(conf.matches(secret).count(), 1);
    let key = conf.split("id: operator ").nth(1).unwrap().split("- id:").next().unwrap();
    assert!(key.contains(&format!("secret: \"{secret}\"\n")), "{key}");
    let text =
        readme.split("```yaml\n").find(|block| block.starts_with("owner:")).unwrap().split("```").next().unwrap();
    let config = Config::parse(&dir.path().join("knotwork.yaml"), &format!("instance: docs\n{text}")).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

/// Every key of the configuration and every field of a record is in the reference.
#[test]
fn no_field_goes_without_words() {
    let text = std::fs::read_to_string(root().join("docs/records.md")).unwrap();
    let crd = knotwork::spec::crd::crd();
    let mut keys = Vec::new();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    fields(schema, &mut keys);
    fields(&knotwork::source::CONFIG_SCHEMA, &mut keys);
    let missing: Vec<&String> = keys.iter().filter(|key| !text.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "docs/records.md does not name {missing:?}");
}

fn fields(schema: &serde_json::Value, keys: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (key, inner) in properties {
            keys.push(key.clone());
            fields(inner, keys);
        }
    }
    if schema["items"].is_object() {
        fields(&schema["items"], keys);
    }
}

/// The same for policies, and for every rule of lint; the table says of each how grave it is.
#[test]
fn no_field_of_a_policy_and_no_rule_goes_without_words() {
    let text = std::fs::read_to_string(root().join("docs/hosts.md")).unwrap();
    let crd = knotwork::spec::policy_crd::crd();
    let mut keys = Vec::new();
    fields(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], &mut keys);
    // The parts of a label selector are Kubernetes' own words.
    keys.retain(|key| !["key", "operator"].contains(&key.as_str()));
    let missing: Vec<&String> = keys.iter().filter(|key| !text.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty() && keys.len() > 40, "docs/hosts.md does not name {missing:?}");
    for rule in knotwork::split::lint_rules::RULES {
        let allow = if rule.allowable { "yes" } else { "no" };
        let row = format!("| `{}` | {} | {allow} |", rule.id, rule.severity.word());
        assert!(text.contains(&row), "docs/hosts.md has no row {row}");
    }
    let rows = text.lines().filter(|line| line.contains("| error |") || line.contains("| warning |")).count();
    assert_eq!(rows, knotwork::split::lint_rules::RULES.len(), "docs/hosts.md tells of rules that are none");
}

/// The same for zones, what is reported of them included.
#[test]
fn no_field_of_a_zone_goes_without_words() {
    let text = std::fs::read_to_string(root().join("docs/records.md")).unwrap();
    let (_, section) = text.split_once("## Zones in Kubernetes").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let crd = knotwork::spec::zone_crd::crd();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut keys = Vec::new();
    fields(&schema["spec"], &mut keys);
    fields(&schema["status"]["properties"]["held"], &mut keys);
    keys.extend(schema["status"]["properties"].as_object().unwrap().keys().cloned());
    // Every kind has it; the words are Kubernetes' own.
    keys.retain(|key| key != "observedGeneration");
    let missing: Vec<&String> = keys.iter().filter(|key| !section.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty() && keys.len() > 20, "docs/records.md does not name {missing:?}");
}

/// The rights that ship: as small as they are meant to be, and for kinds that there are.
#[test]
fn the_rights_that_ship_are_few_and_for_kinds_that_there_are() {
    let dir = root().join("config/rbac");
    let text = std::fs::read_to_string(dir.join("kustomization.yaml")).unwrap();
    let kustomization: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let mut listed: Vec<&str> =
        kustomization["resources"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    // What somebody has to choose stands there as a comment.
    listed.extend(text.lines().filter_map(|line| line.trim_start().strip_prefix("# - ")));
    listed.sort_unstable();
    let mut files = Vec::new();
    let mut rules = Vec::new();
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "kustomization.yaml" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for document in text.split("\n---\n") {
            let object: serde_json::Value = serde_saphyr::from_str(document).unwrap();
            rules.extend(object["rules"].as_array().cloned().unwrap_or_default());
        }
        files.push(name);
    }
    files.sort();
    assert_eq!(files, listed);
    assert!(rules.len() > 7, "{rules:?}");
    let crds = knotwork::spec::crds();
    for rule in &rules {
        let said = rule.to_string();
        assert!(!said.contains("secrets") && !said.contains('*') && !said.contains("delete"), "{said}");
        if rule["apiGroups"][0] == "dns.knotwork.dev" {
            let resource = rule["resources"][0].as_str().unwrap();
            let plural = resource.strip_suffix("/status").unwrap_or(resource);
            assert!(crds.contains(&format!("plural: {plural}\n")), "{said}");
        }
        if rule["resources"][0] == "customresourcedefinitions" {
            for name in rule["resourceNames"].as_array().unwrap() {
                assert!(crds.contains(&format!("name: {}\n", name.as_str().unwrap())), "{said}");
            }
        }
    }
}

#[test]
fn the_policies_that_ship_are_read() {
    let loaded = load_policies(&[Input::Path(root().join("config/hosts"))]);
    assert!(loaded.is_good() && loaded.policies.len() >= 2, "{loaded:?}");
}

/// The table of reason words against the places in the code where such words are given.
#[test]
fn reason_words_are_those_of_the_code() {
    let text = std::fs::read_to_string(root().join("docs/cli.md")).unwrap();
    let (_, table) = text.split_once("## Reason words").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let told: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();

    let mut code = String::new();
    for room in ["spec", "source", "plan", "zone", "knot", "view"] {
        gather(&root().join("src").join(room), &mut code);
    }
    let unknown: Vec<&&str> = told.iter().filter(|word| !code.contains(&format!("\"{word}\""))).collect();
    assert!(unknown.is_empty(), "docs/cli.md tells of reasons that the code does not give: {unknown:?}");

    let mut untold = Vec::new();
    // In these places the next string literal is a reason word.
    for opening in
        ["Problem::of(", "Stop::Conflict(", "conflict(claim, ", "reason: ", "Outcome::Unconfirmed, ", "Outcome::Held, "]
    {
        for piece in code.split(opening).skip(1) {
            let Some(word) = piece.strip_prefix('"').and_then(|rest| rest.split('"').next()) else { continue };
            if !told.contains(&word) {
                untold.push(word.to_owned());
            }
        }
    }
    // And in functions called `reason`, every literal of a match arm.
    for body in code.split("fn reason(&self) -> &'static str {").skip(1) {
        let body = body.split("\n    }\n").next().unwrap();
        for piece in body.split('"').skip(1).step_by(2) {
            if !told.contains(&piece) {
                untold.push(piece.to_owned());
            }
        }
    }
    assert!(untold.is_empty(), "docs/cli.md does not tell of {untold:?}");
    assert!(told.len() > 25, "{told:?}");
}

fn gather(dir: &Path, code: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            gather(&path, code);
        } else if name.ends_with(".rs") && !name.contains("test") {
            code.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
