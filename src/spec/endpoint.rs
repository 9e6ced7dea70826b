//! `DNSEndpoint` of ExternalDNS (`externaldns.k8s.io/v1alpha1`), read as claims.
//!
//! For people who have such objects and no ExternalDNS. The rules of a name and its values are those of a
//! `StaticDNSRecord` and stand in [`super::lower`] and [`super::values`]; here is what differs: one object has many names,
//! each value is a text, and what is meant for other providers is passed over.
//!
//! The schema of that CRD checks hardly anything and is not ours, so the object is read field by field rather than by
//! serde: one wrong endpoint must not hide what is wrong with the others.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use super::form::Form;
use super::lower::{Declaration, Lowered, read_ttl};
use super::problem::Problem;
use super::record::{Adopt, Deletion, Metadata};
use super::rights::Rights;
use super::scalar::{Int, Text};
use super::values::{Collector, Declared, denied};
use super::zones::{ZoneEntry, Zones, read};
use crate::model::{Name, ObjectId, Rdata, RrType};

/// What ExternalDNS has a text form for and hands on to every provider.
const TYPES: &[RrType] = &[
    RrType::A,
    RrType::AAAA,
    RrType::CNAME,
    RrType::TXT,
    RrType::SRV,
    RrType::MX,
    RrType::NS,
    RrType::PTR,
    RrType::NAPTR,
];

/// How many endpoints a note lists.
const LISTED: usize = 5;

/// Checks one `DNSEndpoint`, as the API server gives it, and turns it into claims: as [`super::lower()`] does, with
/// `adopt: IfIdentical`, `deletionPolicy: Delete`, not shared, without PTRs. Endpoints outside every configured zone are
/// passed over with a note.
pub fn lower_endpoint(object: &Value, zones: &Zones, rights: &Rights) -> Lowered {
    let mut reader = Reader::new(zones);
    let metadata = reader.metadata(&object["metadata"]);
    let namespace = metadata.namespace.as_deref().unwrap_or("default");
    let mut lowered = Lowered::begin(ObjectId::endpoint(namespace, &metadata.name), &metadata, namespace);
    reader.spec(&object["spec"]);
    lowered.problems.append(&mut reader.problems);
    lowered.notes.extend(reader.notes());
    for (owner, At { path, zone, sets }) in reader.names {
        let declaration = Declaration {
            namespace,
            owner,
            path: &path,
            zone,
            zone_given: false,
            sets,
            adopt: Adopt::IfIdentical,
            deletion: Deletion::Delete,
            share: false,
            reverse: false,
        };
        lowered.declare(declaration, zones, rights);
    }
    lowered.end()
}

/// The values of an endpoint's targets, for whoever gets endpoints otherwise than as objects: any type that a zone may be
/// told to hold, those that ExternalDNS has no form for as a zone file has them.
///
/// # Errors
/// What is wrong, with the target as the path (`targets[1]`).
pub fn endpoint_values(zones: &Zones, rtype: RrType, targets: &[String]) -> Result<Vec<Rdata>, Vec<Problem>> {
    if let Some(why) = denied(rtype) {
        return Err(vec![Problem::invalid("recordType", format!("{rtype} records cannot be declared: {why}"))]);
    }
    let texts: Vec<Text> = targets.iter().cloned().map(Text).collect();
    let mut collector = Collector::new(zones, None, Form::Endpoint(rtype));
    collector.targets(rtype, "targets", &texts);
    let mut problems = collector.problems;
    match collector.declared.pop() {
        Some(declared) if problems.is_empty() => return Ok(declared.values),
        None if problems.is_empty() => problems.push(Problem::invalid("spec.targets", "there is no target")),
        _ => {}
    }
    for problem in &mut problems {
        problem.path = problem.path.trim_start_matches("spec.").to_owned();
    }
    Err(problems)
}

/// What the endpoints of one name come to.
struct At<'a> {
    /// The field that gives the name first.
    path: String,
    zone: &'a ZoneEntry,
    sets: Vec<Declared>,
}

/// Reads an object, and collects what is wrong and what is passed over.
struct Reader<'a> {
    zones: &'a Zones,
    names: BTreeMap<Name, At<'a>>,
    problems: Vec<Problem>,
    /// Whether there is no endpoint at all.
    bare: bool,
    /// Endpoints that lie in no configured zone.
    outside: Vec<String>,
    /// Endpoints without targets.
    empty: Vec<String>,
    /// Endpoints with `providerSpecific`.
    specific: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(zones: &'a Zones) -> Reader<'a> {
        Reader {
            zones,
            names: BTreeMap::new(),
            problems: Vec::new(),
            bare: false,
            outside: Vec::new(),
            empty: Vec::new(),
            specific: Vec::new(),
        }
    }

    /// The value, or nothing when it is wrong and that has been taken down.
    fn keep<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.problems.push(problem)).ok()
    }

    /// What counts of the metadata. The rest is the API server's, and it has checked it.
    fn metadata(&mut self, metadata: &Value) -> Metadata {
        let mut annotations = BTreeMap::new();
        if let Some(Some(given)) = self.keep(map(&metadata["annotations"], "metadata.annotations")) {
            for (key, value) in given {
                if let Some(Some(value)) = self.keep(text(value, &format!("metadata.annotations.{key}"))) {
                    annotations.insert(key.clone(), value);
                }
            }
        }
        let name = self.keep(text(&metadata["name"], "metadata.name")).flatten();
        let namespace = self.keep(text(&metadata["namespace"], "metadata.namespace")).flatten();
        Metadata { name: name.unwrap_or_default(), namespace, annotations: Some(annotations) }
    }

    fn spec(&mut self, spec: &Value) {
        // An object without a spec is mostly one that was not read whole, and declaring nothing would delete what it
        // published. ExternalDNS itself writes an empty one as `spec: {}`.
        let Some(spec) = self.keep(map(spec, "spec")) else { return };
        let Some(spec) = spec else {
            return self.problems.push(Problem::invalid("spec", "there is no spec; one without endpoints is {}"));
        };
        match spec.get("endpoints") {
            Some(Value::Array(endpoints)) => {
                self.bare = endpoints.is_empty();
                endpoints.iter().enumerate().for_each(|(i, endpoint)| self.endpoint(i, endpoint));
            }
            None | Some(Value::Null) => self.bare = true,
            Some(other) => self.problems.push(wrong("a list of endpoints", other, "spec.endpoints")),
        }
    }

    fn endpoint(&mut self, i: usize, endpoint: &Value) {
        let path = format!("spec.endpoints[{i}]");
        let field = |name: &str| (&endpoint[name], format!("{path}.{name}"));
        if !endpoint.is_object() {
            return self.problems.push(wrong("an endpoint", endpoint, &path));
        }
        let (value, at) = field("dnsName");
        let Some((name, typed)) = self.keep(owner(value, &at)) else { return };
        // Before anything else: what another provider is to make of an endpoint is no concern of ours.
        let Some(zone) = self.zones.of(&name) else { return self.outside.push(format!("{path} ({typed})")) };
        let (value, at) = field("recordType");
        let rtype = self.keep(record_type(value, &at));
        let (value, at) = field("recordTTL");
        let ttl = self.keep(ttl(value, &at));
        let (value, at) = field("targets");
        let targets = self.targets(value, &at);
        if !matches!(&endpoint["providerSpecific"], Value::Null) && endpoint["providerSpecific"] != Value::Array(vec![])
        {
            self.specific.push(path.clone());
        }
        let (Some(rtype), Some(ttl), Some(targets)) = (rtype, ttl, targets) else { return };
        if targets.is_empty() {
            return self.empty.push(format!("{path} ({typed} {rtype})"));
        }
        let mut collector = Collector::new(self.zones, None, Form::Endpoint(rtype));
        collector.targets(rtype, &format!("endpoints[{i}].targets"), &targets);
        self.problems.append(&mut collector.problems);
        for set in collector.declared {
            self.add(&name, zone, &path, Declared { ttl, ..set });
        }
    }

    fn targets(&mut self, value: &Value, path: &str) -> Option<Vec<Text>> {
        let targets = match value {
            Value::Null => return Some(Vec::new()),
            Value::Array(targets) => targets,
            other => {
                self.problems.push(wrong("a list of texts", other, path));
                return None;
            }
        };
        let before = self.problems.len();
        let mut texts = Vec::with_capacity(targets.len());
        for (k, target) in targets.iter().enumerate() {
            let path = format!("{path}[{k}]");
            let given = text(target, &path).and_then(|text| text.ok_or_else(|| wrong("a text", target, &path)));
            texts.extend(self.keep(given));
        }
        (self.problems.len() == before).then_some(texts)
    }

    /// Adds a set to its name. ExternalDNS tells endpoints of one name and type apart by `setIdentifier`; DNS does not, so
    /// they are one set.
    fn add(&mut self, name: &Name, zone: &'a ZoneEntry, path: &str, set: Declared) {
        let at = match self.names.entry(name.clone()) {
            Entry::Occupied(at) => at.into_mut(),
            Entry::Vacant(at) => at.insert(At { path: format!("{path}.dnsName"), zone, sets: Vec::new() }),
        };
        let Some(first) = at.sets.iter_mut().find(|first| first.rtype == set.rtype) else { return at.sets.push(set) };
        let [one, other] = [&*first, &set].map(|set| set.ttl.unwrap_or(zone.default_ttl));
        if one != other {
            let shown = |set: &Declared| match set.ttl {
                Some(ttl) => format!("{ttl}"),
                None => format!("the zone's default {}", zone.default_ttl),
            };
            let text = format!(
                "one record set has one TTL, but that of {} {} is {} here and {} in {}",
                name.to_relaxed(),
                set.rtype,
                shown(&set),
                shown(first),
                first.path.trim_end_matches(".targets"),
            );
            return self.problems.push(Problem::invalid(format!("{path}.recordTTL"), text));
        }
        first.values.extend(set.values);
        first.addresses.extend(set.addresses);
    }

    /// What was passed over, a line for each cause however many endpoints there are.
    fn notes(&self) -> impl Iterator<Item = String> {
        let bare = self.bare.then(|| "spec.endpoints is empty: nothing is declared".to_owned());
        let lists = [
            (&self.outside, "in no configured zone, left to other providers"),
            (&self.empty, "no targets, so nothing is declared"),
            (&self.specific, "providerSpecific is not read"),
        ];
        bare.into_iter().chain(lists.into_iter().filter(|(all, _)| !all.is_empty()).map(|(all, words)| {
            let listed = all[..all.len().min(LISTED)].join(", ");
            match all.len() - all.len().min(LISTED) {
                0 => format!("{listed}: {words}"),
                more => format!("{listed} and {more} more: {words}"),
            }
        }))
    }
}

/// The owner name, and how it was typed.
fn owner<'v>(value: &'v Value, path: &str) -> Result<(Name, &'v str), Problem> {
    match value {
        Value::String(typed) if !typed.is_empty() => Ok((read(typed, path)?, typed)),
        Value::String(_) | Value::Null => Err(Problem::invalid(path, "the name of the endpoint is missing")),
        other => Err(wrong("a text", other, path)),
    }
}

/// ExternalDNS compares types letter for letter.
fn record_type(value: &Value, path: &str) -> Result<RrType, Problem> {
    let list = || TYPES.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let typed = match value {
        Value::String(typed) => typed.as_str(),
        Value::Null => "",
        other => return Err(wrong("a text", other, path)),
    };
    if let Some(rtype) = TYPES.iter().find(|rtype| rtype.mnemonic() == Some(typed)) {
        return Ok(*rtype);
    }
    let words = match RrType::parse(typed) {
        _ if typed.is_empty() => format!("the type is missing; it is one of {}", list()),
        Some(rtype) if TYPES.contains(&rtype) => format!("\"{typed}\" is written {rtype}"),
        Some(rtype) => format!("{rtype} is not read from endpoints; a StaticDNSRecord can declare it"),
        None => format!("\"{typed}\" is no type of an endpoint; it is one of {}", list()),
    };
    Err(Problem::invalid(path, words))
}

/// The TTL; 0 is how ExternalDNS writes that none is given.
fn ttl(value: &Value, path: &str) -> Result<Option<u32>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Ok(None),
            Some(ttl) => read_ttl(Int(ttl), path).map(Some),
            None => Err(wrong("a whole number of seconds", value, path)),
        },
        other => Err(wrong("a whole number of seconds", other, path)),
    }
}

/// A text; a null is as if it were not there, as for the API server's own clients.
fn text(value: &Value, path: &str) -> Result<Option<Text>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Text(text.clone()))),
        other => Err(wrong("a text", other, path)),
    }
}

/// Keys and values; a null is as if they were not there.
fn map<'v>(value: &'v Value, path: &str) -> Result<Option<&'v Map<String, Value>>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::Object(map) => Ok(Some(map)),
        other => Err(wrong("an object", other, path)),
    }
}

fn wrong(wanted: &str, value: &Value, path: &str) -> Problem {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("the boolean {flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    Problem::invalid(path, format!("this is {found}, where {wanted} is wanted"))
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
