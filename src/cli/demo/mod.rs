//! `demo`: an authority in this process, the sample records applied, a name to ask for.

use std::path::{Path, PathBuf};

use base64::Engine as _;

use super::args::{Apply, Demo, Output, Source, Zone, ZoneCommand};
use super::exit::Exit;
use super::printer::{Printer, Tone};
use super::{records, site, watch, zones};
use crate::authority::{Authority, AuthorityConfig};
use crate::dns::tsig::{Algorithm, Key};
use crate::model::Name;

/// The zones of the demonstration, with what others hold there.
const ZONES: &[(&str, &str)] = &[
    ("internal", include_str!("internal.zone")),
    ("10.in-addr.arpa", include_str!("reverse.zone")),
    ("d.f.ip6.arpa", include_str!("empty.zone")),
    ("s3.garage.internal", include_str!("empty.zone")),
];

/// The samples of the repository, for a binary that is far from it.
const SAMPLES: &[(&str, &str)] = &[
    ("hosts.yaml", include_str!("../../../config/samples/hosts.yaml")),
    ("servers.yaml", include_str!("../../../config/samples/servers.yaml")),
    ("services.yaml", include_str!("../../../config/samples/services.yaml")),
];

/// `knotwork demo`.
pub async fn demo(args: &Demo, printer: &mut Printer) -> Exit {
    match run(args, printer).await {
        Ok(exit) => exit,
        Err(error) => {
            printer.error(&format!("the demonstration could not be set up: {error}"));
            Exit::Error
        }
    }
}

/// A folder that goes when the demonstration ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Scratch> {
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).map_err(|error| std::io::Error::other(error.to_string()))?;
        let path = std::env::temp_dir().join(format!("knotwork-demo-{:016x}", u64::from_ne_bytes(random)));
        std::fs::create_dir(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn run(args: &Demo, printer: &mut Printer) -> std::io::Result<Exit> {
    let scratch = Scratch::new()?;
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret).map_err(|error| std::io::Error::other(error.to_string()))?;
    let key_name = Name::parse("demo").map_err(std::io::Error::other)?;
    let key = Key::new(key_name, Algorithm::HmacSha256, &secret).map_err(std::io::Error::other)?;
    let mut seeds = Vec::new();
    for (zone, text) in ZONES {
        seeds.push((Name::parse(zone).map_err(std::io::Error::other)?, (*text).to_owned()));
    }
    let server =
        Authority::start(AuthorityConfig { listen: args.listen, zones: seeds, keys: vec![key], notify: vec![] })
            .await?;
    let address = server.addr();

    let secret = base64::engine::general_purpose::STANDARD.encode(secret);
    write_private(&scratch.0.join("key.b64"), &secret)?;
    let config_path = scratch.0.join("knotwork.yaml");
    std::fs::write(&config_path, configuration(&address.to_string()))?;
    let samples = samples(&scratch.0)?;

    printer.line(&printer.paint(
        Tone::Bold,
        &format!("An authority answers at {address} (UDP and TCP), in memory, with records of other writers in it."),
    ));
    printer.line(&format!(
        "Applying {}, as `knotwork apply -c {} -f {}` would:",
        samples.display(),
        config_path.display(),
        samples.display()
    ));
    printer.line("");
    let source = Source { inputs: vec![samples.display().to_string()], prune: false, allow_empty: false };
    let apply =
        Apply { source, release: Vec::new(), watch: false, output: Output::Text, metrics_file: None, listen: None };
    let mut exit = records::apply(&apply, Some(config_path.clone()), printer).await;
    printer.line("");
    printer.line(&printer.paint(Tone::Bold, "The zone internal, by writer:"));
    let show = Zone {
        command: ZoneCommand::Show {
            zone: "internal".to_owned(),
            writers: vec![],
            markers: false,
            output: Output::Text,
        },
    };
    exit = exit.and(zones::zone(&show, Some(config_path.clone()), printer).await);
    printer.line("");
    printer.line(if args.once { "Try it while a demo without --once runs, with its port:" } else { "Try it:" });
    printer.line(&format!("  dig @{} -p {} routy.internal A +short", address.ip(), address.port()));
    if args.once {
        return Ok(exit);
    }
    printer.line(&format!("Edit {} and watch what happens; Ctrl-C ends it.", samples.display()));
    printer.flush();
    let Some(config) = site::configuration(Some(config_path), printer) else { return Ok(Exit::Error) };
    let apply = Apply { watch: true, source: Source { prune: true, ..apply.source.clone() }, ..apply };
    Ok(watch::Resident::new(apply, config).run(watch::stop_by_signal(), printer).await)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn configuration(address: &str) -> String {
    let zones: String = ZONES
        .iter()
        .map(|(zone, _)| format!("      - {{name: {zone}, externalDns: [{{prefix: \"k8s.\"}}]}}\n"))
        .collect();
    format!(
        "owner: demo\ninstance: demo\nservers:\n  - name: embedded\n    address: {address}\n    \
         tsig: {{name: demo, algorithm: hmac-sha256, secretFile: key.b64}}\n    zones:\n{zones}"
    )
}

/// The samples of the folder we stand in, else those of this binary.
fn samples(scratch: &Path) -> std::io::Result<PathBuf> {
    let here = Path::new("config/samples");
    if here.is_dir() {
        return Ok(here.to_owned());
    }
    let folder = scratch.join("samples");
    std::fs::create_dir(&folder)?;
    for (name, text) in SAMPLES {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(folder)
}
