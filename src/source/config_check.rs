//! From the configuration as it stands to one that is right; everything that is wrong is said at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::config::{
    Config, Mode, RawBrake, RawConfig, RawRule, RawServer, RawTsig, RawWebhook, RawZone, ServerSettings, WebhookConfig,
    ZoneSettings,
};
use super::diagnostic::Diagnostic;
use super::from_tree::At;
use super::keyfile;
use super::tree::Place;
use crate::dns::tsig::Key;
use crate::knot::{ServerConfig, Timeouts};
use crate::model::{Name, RrType};
use crate::ownership::{AdoptFrom, Affix, BrakeLimit, TxtKey, ZoneRules};
use crate::spec::{AddressRange, Int, NamePattern, Rights, Rule, Text};

/// Two settings on one machine must not mistake its id for ours, nor tell it to the zone's readers.
const INSTANCE_SALT: &[u8] = b"knotwork instance v1\0";

struct Checker<'a> {
    file: String,
    dir: PathBuf,
    text: &'a str,
    wrong: Vec<Diagnostic>,
    warnings: Vec<String>,
    files: Vec<PathBuf>,
}

/// Checks all values.
pub(super) fn check(path: &Path, text: &str, raw: RawConfig) -> Result<Config, Vec<Diagnostic>> {
    let dir = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut checker = Checker {
        file: path.display().to_string(),
        dir,
        text,
        wrong: Vec::new(),
        warnings: Vec::new(),
        files: vec![path.to_owned()],
    };
    let owner = raw.owner.as_ref().map(|owner| checker.owner(owner)).unwrap_or_default();
    let instance = checker.instance(raw.instance.as_ref());
    let label = checker.label(raw.marker.label.as_ref());
    if let Some(servers) = raw.servers.as_ref().filter(|servers| servers.value.is_empty()) {
        checker.error(servers, "no server is named; give at least one with its zones");
    }
    let mut seen: HashMap<Name, String> = HashMap::new();
    let mut names = HashMap::new();
    let mut servers = Vec::new();
    for server in raw.servers.iter().flat_map(|servers| &servers.value) {
        servers.extend(checker.server(server, (&mut seen, &mut names), (&owner, &instance, &label)));
    }
    let rights = match &raw.claims {
        None => Rights::Trusted,
        Some(rules) => Rights::Rules(rules.iter().map(|rule| checker.rule(rule)).collect()),
    };
    let webhook = raw.webhook.as_ref().and_then(|raw| checker.webhook(raw, &servers));
    if let Some(key) = raw.webhook.as_ref().and_then(|raw| checker.txt_key(raw)) {
        let zones = servers.iter_mut().flat_map(|server: &mut ServerSettings| &mut server.zones);
        zones.for_each(|zone| zone.rules.txt_key = Some(key.clone()));
    }
    if !checker.wrong.is_empty() {
        return Err(checker.wrong);
    }
    let Checker { warnings, files, .. } = checker;
    Ok(Config { path: path.to_owned(), owner, instance, label, servers, rights, webhook, files, warnings })
}

impl Checker<'_> {
    fn error<T>(&mut self, at: &At<T>, message: impl Into<String>) {
        self.wrong.push(Diagnostic::at(&self.file, self.text, 0, at.place, message));
    }

    fn owner(&mut self, owner: &At<Text>) -> String {
        let text = owner.value.to_ascii_lowercase();
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if text.is_empty() || text.len() > 32 || !text.chars().all(good) || text.starts_with('-') || text.ends_with('-')
        {
            let message = format!(
                "\"{}\" is no owner id: one DNS label of letters, digits and '-', at most 32 characters",
                owner.value
            );
            self.error(owner, message);
        }
        text
    }

    fn instance(&mut self, instance: Option<&At<Text>>) -> String {
        if let Some(instance) = instance {
            if let Err(message) = check_instance(&instance.value) {
                self.error(instance, message);
            }
            return instance.value.0.clone();
        }
        let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let id = id.trim();
        if id.len() != 32 {
            let message = "this machine has no /etc/machine-id to derive the instance from; set `instance:` to a name of this installation";
            self.wrong.push(Diagnostic::file(self.file.clone(), message));
            return String::new();
        }
        short_hash(&[INSTANCE_SALT, id.as_bytes()])
    }

    fn label(&mut self, label: Option<&At<Text>>) -> String {
        let Some(label) = label else { return "_knotwork".to_owned() };
        let text = label.value.to_ascii_lowercase();
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > 63 || !text.chars().all(good) {
            self.error(label, format!("\"{}\" is no label: letters, digits, '-' and '_', at most 63", label.value));
        }
        text
    }

    fn server(
        &mut self,
        raw: &RawServer,
        (seen, servers): (&mut HashMap<Name, String>, &mut HashMap<String, Place>),
        ids: (&str, &str, &str),
    ) -> Option<ServerSettings> {
        let name = raw.name.as_ref().map_or("", |name| &*name.value);
        let mut addresses = Vec::new();
        if let Some(given) = &raw.address {
            for text in &given.value.0 {
                match address(text) {
                    Ok(address) => addresses.push(address),
                    Err(message) => self.error(given, message),
                }
            }
            if given.value.0.is_empty() {
                self.error(given, "no address is given");
            }
        }
        let source: Option<IpAddr> = raw.source_address.as_ref().and_then(|text| match text.value.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                self.error(text, format!("\"{}\" is not an IP address", text.value));
                None
            }
        });
        let key = raw.tsig.as_ref().and_then(|tsig| self.key(tsig));
        if raw.tsig.is_none() {
            self.warnings.push(format!(
                "server {name}: without tsig: anybody on the network can forge its answers and our updates"
            ));
        }
        let timeouts = self.timeouts(raw);
        if let Some(at) = &raw.name
            && let Some((line, column)) = servers.insert(name.to_owned(), at.place)
        {
            let message = format!(
                "the server \"{name}\" is named twice, first at {}:{line}:{column}; give this one a name of its own, or, if it \
                 is the same server, put its zones and addresses there",
                self.file
            );
            self.error(at, message);
        }
        let mut zones = Vec::new();
        for zone in raw.zones.iter().flat_map(|zones| &zones.value) {
            let Some(settings) = self.zone(zone, ids) else { continue };
            if let Some(first) = seen.insert(settings.rules.zone.clone(), name.to_owned()) {
                let message = format!(
                    "the zone {} is named twice (first under server {first}); one writer to a zone",
                    settings.rules.zone.to_relaxed()
                );
                if let Some(at) = &zone.name {
                    self.error(at, message);
                }
            }
            zones.push(settings);
        }
        if let Some(given) = raw.zones.as_ref().filter(|zones| zones.value.is_empty()) {
            self.error(given, "no zone is named");
        }
        Some(ServerSettings { server: ServerConfig { name: name.to_owned(), addresses, source, key, timeouts }, zones })
    }

    fn key(&mut self, tsig: &At<RawTsig>) -> Option<Key> {
        // What the file is not to blame for is said first, at its place.
        let wrong = self.wrong.len();
        if let Some(at) = &tsig.value.name
            && let Err(error) = keyfile::key_name(&at.value)
        {
            self.error(at, error);
        }
        if let Some(at) = &tsig.value.algorithm
            && let Err(error) = keyfile::algorithm(&at.value)
        {
            self.error(at, error);
        }
        if self.wrong.len() > wrong {
            return None;
        }
        let text = |at: &Option<At<Text>>| at.as_ref().map(|at| at.value.0.clone());
        let place = tsig.value.secret_file.as_ref().or(tsig.value.key_file.as_ref()).map(|at| at.place);
        let (name, algorithm) = (text(&tsig.value.name), text(&tsig.value.algorithm));
        let (secret_file, key_file) = (text(&tsig.value.secret_file), text(&tsig.value.key_file));
        let result = match (&secret_file, &key_file) {
            (Some(_), Some(_)) | (None, None) => {
                self.error(tsig, "tsig: give either secretFile (base64) with name, or keyFile (BIND's key format)");
                return None;
            }
            (None, Some(file)) => self.read_secret(file).and_then(|text| {
                keyfile::from_bind(&text, name.as_deref(), algorithm.as_deref())
                    .map_err(|error| format!("{file}: {error}"))
            }),
            (Some(file), None) => match &name {
                None => Err("the key's name is missing: tsig.name".to_owned()),
                Some(name) => {
                    let algorithm = algorithm.as_deref().unwrap_or("hmac-sha256");
                    self.read_secret(file).and_then(|text| {
                        keyfile::key(name, algorithm, &text).map_err(|error| format!("{file}: {error}"))
                    })
                }
            },
        };
        match result {
            Ok(key) => Some(key),
            Err(message) => {
                let place = place.unwrap_or(tsig.place);
                self.wrong.push(Diagnostic::at(&self.file, self.text, 0, place, message));
                None
            }
        }
    }

    /// Every part of Knotwork knows by it whose records those with encrypted registrations are.
    fn txt_key(&mut self, raw: &RawWebhook) -> Option<TxtKey> {
        let file = raw.txt_encrypt_key_file.as_ref()?;
        let read = self.read_secret(&file.value.0);
        let key =
            read.and_then(|text| TxtKey::parse(text.as_bytes()).map_err(|error| format!("{}: {error}", file.value.0)));
        key.map_err(|message| self.error(file, message)).ok()
    }

    fn read_secret(&mut self, file: &str) -> Result<String, String> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.join(file);
        self.files.push(path.clone());
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("the key file {}: {error}", path.display()))?;
        if std::fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
            self.warnings
                .push(format!("{}: everybody on this machine may read this secret; chmod 600 it", path.display()));
        }
        Ok(text)
    }

    fn seconds(&mut self, value: Option<&At<Int>>, default: Duration) -> Duration {
        let Some(value) = value else { return default };
        match u64::try_from(value.value.0).ok().filter(|n| (1..=3600).contains(n)) {
            Some(n) => Duration::from_secs(n),
            None => {
                self.error(value, format!("{} is out of range; expected 1 to 3600 seconds", value.value.0));
                default
            }
        }
    }

    fn timeouts(&mut self, raw: &RawServer) -> Timeouts {
        let default = Timeouts::default();
        Timeouts {
            connect: self.seconds(raw.timeouts.connect.as_ref(), default.connect),
            query: self.seconds(raw.timeouts.query.as_ref(), default.query),
            update: self.seconds(raw.timeouts.update.as_ref(), default.update),
            transfer: self.seconds(raw.timeouts.transfer.as_ref(), default.transfer),
            progress: default.progress,
        }
    }

    fn zone(&mut self, raw: &RawZone, (owner, instance, label): (&str, &str, &str)) -> Option<ZoneSettings> {
        // Without a name that can be read, the rest of the zone is looked at all the same.
        let zone = raw.name.as_ref().and_then(|name| match Name::parse(&name.value) {
            Ok(zone) => Some(zone),
            Err(error) => {
                self.error(name, format!("\"{}\": {error}", name.value));
                None
            }
        });
        let default_ttl = match &raw.default_ttl {
            None => 300,
            Some(ttl) => u32::try_from(ttl.value.0).ok().filter(|ttl| *ttl <= i32::MAX as u32).unwrap_or_else(|| {
                self.error(ttl, format!("{} is no TTL; expected 0 to 2147483647 seconds", ttl.value.0));
                300
            }),
        };
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.0.clone());
        let mut external_dns = Vec::new();
        for affix in &raw.external_dns {
            if affix.value.prefix.is_some() && affix.value.suffix.is_some() {
                self.error(
                    affix,
                    "ExternalDNS has either a prefix or a suffix; for two installations give two entries",
                );
            }
            external_dns.push(Affix {
                prefix: text(&affix.value.prefix),
                suffix: text(&affix.value.suffix),
                wildcard: text(&affix.value.wildcard_replacement),
            });
        }
        let mut adopt_from = Vec::new();
        for entry in &raw.adopt_from {
            let get = |key: &str| entry.value.get(key).map(|text| text.0.clone());
            let keys = entry.value.len();
            match (get("heritage").as_deref(), get("managedBy"), get("owner")) {
                (Some("nix"), Some(managed_by), None) if keys == 2 => adopt_from.push(AdoptFrom::Nix { managed_by }),
                (Some("knotwork"), None, Some(owner)) if keys == 2 => adopt_from.push(AdoptFrom::Knotwork { owner }),
                (Some("external-dns"), None, Some(owner)) if keys == 2 => adopt_from.push(AdoptFrom::ExternalDns { owner }),
                _ => self.error(entry, "adoptFrom: expected {heritage: nix, managedBy: NAME}, {heritage: knotwork, owner: ID} or {heritage: external-dns, owner: ID}"),
            }
        }
        let mut brake = BrakeLimit::default();
        if let Some(raw) = &raw.brake {
            let RawBrake { percent, at_least } = &raw.value;
            for (key, value, most, into) in
                [("percent", percent, 100, &mut brake.percent), ("atLeast", at_least, u32::MAX, &mut brake.at_least)]
            {
                let Some(value) = value else { continue };
                match u32::try_from(value.value.0).ok().filter(|n| *n <= most) {
                    Some(number) => *into = number,
                    None => self
                        .error(value, format!("brake.{key}: {} is out of range; expected 0 to {most}", value.value.0)),
                }
            }
        }
        let check_interval = match &raw.check_interval {
            None => Duration::from_secs(1),
            Some(text) => duration(&text.value).unwrap_or_else(|| {
                self.error(text, format!("\"{}\" is no interval; write 200ms, 1s or 5m (20ms to 1h)", text.value));
                Duration::from_secs(1)
            }),
        };
        let rules = ZoneRules {
            zone: zone?,
            owner: owner.to_owned(),
            instance: instance.to_owned(),
            label: label.to_owned(),
            external_dns,
            txt_key: None,
            nix_prefix: raw.nix_prefix.as_ref().map_or_else(|| "nix.".to_owned(), |text| text.0.clone()),
            adopt_from,
            brake,
            observe: raw.mode == Some(Mode::Observe),
        };
        Some(ZoneSettings { rules, default_ttl, check_interval, release: text(&raw.release) })
    }

    fn webhook(&mut self, raw: &RawWebhook, servers: &[ServerSettings]) -> Option<WebhookConfig> {
        // As the registry writes it into a text of pairs.
        let good = |text: &str| !text.is_empty() && !text.contains([',', '"', '=']) && text.is_ascii();
        for owner in raw.owner.iter().chain(&raw.migrate_from).filter(|owner| !good(&owner.value)) {
            self.error(
                owner,
                format!("{:?} is no --txt-owner-id: some ASCII text without , = and quotes", owner.value.0),
            );
        }
        let mut zones = Vec::new();
        for zone in &raw.zones {
            let known = Name::parse(&zone.value)
                .ok()
                .filter(|name| servers.iter().flat_map(|server| &server.zones).any(|one| one.rules.zone == *name));
            match known {
                Some(name) => zones.push(name),
                None => self.error(zone, format!("\"{}\" is no zone of this configuration", zone.value)),
            }
        }
        let mut ttl = |ttl: &Option<At<Int>>| {
            let ttl = ttl.as_ref()?;
            let read = u32::try_from(ttl.value.0).ok().filter(|ttl| (1..=i32::MAX as u32).contains(ttl));
            if read.is_none() {
                self.error(ttl, format!("{} is no TTL; expected 1 to 2147483647 seconds", ttl.value.0));
            }
            read
        };
        let (min_ttl, default_ttl) = (ttl(&raw.min_ttl), ttl(&raw.default_ttl));
        let migrate_from = raw.migrate_from.iter().map(|owner| owner.value.0.clone()).collect();
        let owner = raw.owner.as_ref()?.value.0.clone();
        if owner == "default" {
            let words = "webhook.owner is \"default\", which is every ExternalDNS's own --txt-owner-id: with two of them on one zone each \
                         would take the other's records for its own; give it an id";
            self.warnings.push(words.to_owned());
        }
        let state_file = raw.state_file.as_ref().map(|file| self.dir.join(&file.value.0));
        Some(WebhookConfig { owner, migrate_from, zones, min_ttl, default_ttl, ptr: raw.ptr, state_file })
    }

    fn rule(&mut self, raw: &RawRule) -> Rule {
        let mut rule = Rule {
            namespaces: raw.namespaces.iter().map(|text| text.0.clone()).collect(),
            takeover: raw.takeover,
            share: raw.share,
            ..Rule::default()
        };
        for text in &raw.names {
            match NamePattern::parse(&text.value) {
                Ok(pattern) => rule.names.push(pattern),
                Err(message) => self.error(text, message),
            }
        }
        for text in &raw.types {
            match RrType::parse(&text.value) {
                Some(rtype) => rule.types.push(rtype),
                None => self.error(text, format!("\"{}\" is no record type", text.value)),
            }
        }
        for text in &raw.addresses {
            match AddressRange::parse(&text.value) {
                Ok(range) => rule.addresses.push(range),
                Err(message) => self.error(text, message),
            }
        }
        rule
    }
}

/// `10.0.0.1`, `10.0.0.1:5301`, `fd00::1` or `[fd00::1]:5301`.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    // Eight groups or a gap: "::1:53" is an address that ends with :53, and nobody means that one.
    if let (Ok(_), Some((host, port))) = (text.parse::<Ipv6Addr>(), text.rsplit_once(':'))
        && !host.ends_with(':')
        && port == "53"
        && host.parse::<Ipv6Addr>().is_ok()
    {
        return Err(format!("\"{text}\" may be an address, or a port behind one; write [{host}]:{port}, or [{text}]"));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)).map_err(|_| {
        format!("\"{text}\" is no address; write 10.0.0.1, 10.0.0.1:5301 or [fd00::1]:5301 (a host name would need the very DNS that this keeps)")
    })
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().ok()?;
    let millis = match unit {
        "ms" => number,
        "s" => number.checked_mul(1000)?,
        "m" => number.checked_mul(60_000)?,
        _ => return None,
    };
    (20..=3_600_000).contains(&millis).then(|| Duration::from_millis(millis))
}

/// Eight octets of a hash, as text: an id made from another one.
pub(super) fn short_hash(parts: &[&[u8]]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text can name an instance, as a fence holds it.
///
/// # Errors
/// What is wrong with it.
pub fn check_instance(text: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_graphic() && !",=\"\\".contains(c);
    match !text.is_empty() && text.len() <= 64 && text.chars().all(good) {
        true => Ok(()),
        false => Err(format!("\"{text}\" is no instance: 1 to 64 visible characters without , = \" \\")),
    }
}
