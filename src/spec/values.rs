//! The typed fields of a spec as RDATA.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::form::Form;
use super::limits::{self, few, fits};
use super::problem::Problem;
use super::record::RecordSpec;
use super::scalar::{Int, Text};
use super::zones::{Zones, address_for_name};
use crate::model::rdata::{self, RdataError};
use crate::model::{Name, Rdata, RrType};
use crate::ownership::{external_dns, nix, txt::is_anybodys_marker};

/// The values of one type, with the field they come from.
pub(super) struct Declared {
    pub rtype: RrType,
    /// Seconds; what is not given is the zone's affair.
    pub ttl: Option<u32>,
    pub values: Vec<Rdata>,
    pub path: String,
    pub addresses: Vec<IpAddr>,
}

/// Collects what is declared and what is wrong, field by field.
pub(super) struct Collector<'a> {
    zones: &'a Zones,
    zone: Option<Name>,
    form: Form,
    pub declared: Vec<Declared>,
    pub problems: Vec<Problem>,
}

/// Types that only the server, or another protocol, may write.
pub(super) fn denied(rtype: RrType) -> Option<&'static str> {
    match rtype {
        RrType::SOA => Some("the server keeps the SOA"),
        RrType::DHCID => Some("DHCID is the mark of a DHCP server"),
        RrType::ZONEMD => Some("the server computes ZONEMD"),
        _ if rtype.is_dnssec() => Some("the server that signs the zone makes it"),
        _ if rtype.is_meta() => Some("no zone can hold this type"),
        _ => None,
    }
}

impl<'a> Collector<'a> {
    pub(super) fn new(zones: &'a Zones, zone: Option<Name>, form: Form) -> Collector<'a> {
        Collector { zones, zone, form, declared: Vec::new(), problems: Vec::new() }
    }

    /// Reads every field of the spec.
    pub(super) fn collect(&mut self, spec: &RecordSpec) {
        self.list(RrType::A, "a", &spec.a, Self::ipv4);
        self.list(RrType::AAAA, "aaaa", &spec.aaaa, Self::ipv6);
        self.list(RrType::NS, "ns", &spec.ns, Self::target);
        self.list(RrType::PTR, "ptr", &spec.ptr, Self::target);
        self.single(RrType::CNAME, "cname", spec.cname.as_ref());
        self.single(RrType::DNAME, "dname", spec.dname.as_ref());
        self.list(RrType::TXT, "txt", &spec.txt, Self::text);
        self.objects(RrType::MX, "mx", &spec.mx, |c, mx, path| {
            let exchange = c.name(&mx.exchange, &format!("{path}.exchange"))?;
            Ok(rdata::mx(c.number(mx.preference, &format!("{path}.preference"))?, &exchange))
        });
        self.objects(RrType::SRV, "srv", &spec.srv, |c, srv, path| {
            let target = c.name(&srv.target, &format!("{path}.target"))?;
            Ok(rdata::srv(
                c.number(srv.priority, &format!("{path}.priority"))?,
                c.number(srv.weight, &format!("{path}.weight"))?,
                c.number(srv.port, &format!("{path}.port"))?,
                &target,
            ))
        });
        self.objects(RrType::CAA, "caa", &spec.caa, |c, caa, path| {
            let flags = c.number(caa.flags, &format!("{path}.flags"))?;
            fits(&caa.value, limits::TEXT, &format!("{path}.value"))?;
            build(path, rdata::caa(flags, &caa.tag, &caa.value))
        });
        self.objects(RrType::SSHFP, "sshfp", &spec.sshfp, |c, sshfp, path| {
            let algorithm = c.number(sshfp.algorithm, &format!("{path}.algorithm"))?;
            let kind = c.number(sshfp.fingerprint_type, &format!("{path}.fingerprintType"))?;
            fits(&sshfp.fingerprint, limits::HASH, &format!("{path}.fingerprint"))?;
            build(path, rdata::sshfp(algorithm, kind, &sshfp.fingerprint))
        });
        self.objects(RrType::TLSA, "tlsa", &spec.tlsa, |c, tlsa, path| {
            let usage = c.number(tlsa.usage, &format!("{path}.usage"))?;
            let selector = c.number(tlsa.selector, &format!("{path}.selector"))?;
            let matching = c.number(tlsa.matching_type, &format!("{path}.matchingType"))?;
            fits(&tlsa.data, limits::HEX, &format!("{path}.data"))?;
            build(path, rdata::tlsa(usage, selector, matching, &tlsa.data))
        });
        for (rtype, field, list) in [(RrType::HTTPS, "https", &spec.https), (RrType::SVCB, "svcb", &spec.svcb)] {
            self.objects(rtype, field, list, |c, svcb, path| {
                let priority = c.number(svcb.priority, &format!("{path}.priority"))?;
                let target = c.name(&svcb.target, &format!("{path}.target"))?;
                let params = svcb.params.as_ref().map_or("", |params| &**params);
                let path = format!("{path}.params");
                fits(params, limits::TEXT, &path)?;
                rdata::svcb(rtype, priority, &target, params).map_err(|error| Problem::invalid(path, error.to_string()))
            });
        }
        self.objects(RrType::NAPTR, "naptr", &spec.naptr, |c, naptr, path| {
            let order = c.number(naptr.order, &format!("{path}.order"))?;
            let preference = c.number(naptr.preference, &format!("{path}.preference"))?;
            let replacement = c.name(&naptr.replacement, &format!("{path}.replacement"))?;
            build(path, rdata::naptr(order, preference, &naptr.flags, &naptr.service, &naptr.regexp, &replacement))
        });
        self.objects(RrType::DS, "ds", &spec.ds, |c, ds, path| {
            let tag = c.number(ds.key_tag, &format!("{path}.keyTag"))?;
            let algorithm = c.number(ds.algorithm, &format!("{path}.algorithm"))?;
            let kind = c.number(ds.digest_type, &format!("{path}.digestType"))?;
            fits(&ds.digest, limits::HASH, &format!("{path}.digest"))?;
            build(path, rdata::ds(tag, algorithm, kind, &ds.digest))
        });
        self.objects(RrType::URI, "uri", &spec.uri, |c, uri, path| {
            let priority = c.number(uri.priority, &format!("{path}.priority"))?;
            let weight = c.number(uri.weight, &format!("{path}.weight"))?;
            build(path, rdata::uri(priority, weight, &uri.target))
        });
        self.list(RrType::LOC, "loc", &spec.loc, |_, text, path| {
            fits(text, limits::STRING, path)?;
            whole(path, rdata::loc(text))
        });
        self.others(spec);
    }

    /// Reads the targets of an endpoint, each of them one text, under `field` of the spec. An unknown type is the caller's
    /// affair.
    pub(super) fn targets(&mut self, rtype: RrType, field: &str, targets: &[Text]) {
        match rtype {
            RrType::A => self.list(rtype, field, targets, Self::ipv4),
            RrType::AAAA => self.list(rtype, field, targets, Self::ipv6),
            RrType::CNAME | RrType::NS | RrType::PTR => self.list(rtype, field, targets, Self::target),
            RrType::TXT => self.list(rtype, field, targets, |c, text, path| match text.starts_with('"') {
                true => {
                    fits(text, limits::RDATA, path)?;
                    whole(path, rdata::txt_from_text(text)).and_then(|value| not_a_mark(rtype, value, path))
                }
                false => c.text(text, path),
            }),
            RrType::MX => self.list(rtype, field, targets, |c, text, path| {
                let [preference, exchange] = parts(text, path, "10 mail.example.org")?;
                Ok(rdata::mx(number(preference, "preference", path)?, &c.name(exchange, path)?))
            }),
            RrType::SRV => self.list(rtype, field, targets, |c, text, path| {
                let [priority, weight, port, target] = parts(text, path, "0 50 5060 pbx.example.org.")?;
                Ok(rdata::srv(
                    number(priority, "priority", path)?,
                    number(weight, "weight", path)?,
                    number(port, "port", path)?,
                    &c.name(target, path)?,
                ))
            }),
            _ => self.list(rtype, field, targets, |c, text, path| c.zone_file(rtype, text, path)),
        }
    }

    fn ipv4(&self, text: &Text, path: &str) -> Result<Rdata, Problem> {
        text.parse::<Ipv4Addr>().map(rdata::a).map_err(|_| {
            let hint = text.parse::<Ipv6Addr>().is_ok().then(|| self.form.field_of(RrType::AAAA));
            not_an_address(text, "IPv4", "10.0.0.1", hint, path)
        })
    }

    fn ipv6(&self, text: &Text, path: &str) -> Result<Rdata, Problem> {
        match text.parse::<Ipv6Addr>() {
            // The API server takes these for IPv4 addresses, and so would a reader.
            Ok(address) if address.to_ipv4_mapped().is_some() => Err(Problem::invalid(
                path,
                format!(
                    "\"{text}\" is an IPv4 address in IPv6 clothes; it belongs in {} as {}",
                    self.form.field_of(RrType::A),
                    address.to_canonical()
                ),
            )),
            Ok(address) => Ok(rdata::aaaa(address)),
            Err(_) => {
                let hint = text.parse::<Ipv4Addr>().is_ok().then(|| self.form.field_of(RrType::A));
                Err(not_an_address(text, "IPv6", "fd00::1", hint, path))
            }
        }
    }

    fn target(&self, text: &Text, path: &str) -> Result<Rdata, Problem> {
        self.name(text, path).map(|name| rdata::target(&name))
    }

    fn text(&self, text: &Text, path: &str) -> Result<Rdata, Problem> {
        fits(text, limits::TEXT, path)?;
        build(path, rdata::txt_from_value(text)).and_then(|value| not_a_mark(RrType::TXT, value, path))
    }

    fn zone_file(&self, rtype: RrType, text: &Text, path: &str) -> Result<Rdata, Problem> {
        fits(text, limits::RDATA, path)?;
        // In these the name stands last.
        let named = [RrType::NS, RrType::CNAME, RrType::DNAME, RrType::PTR, RrType::MX, RrType::SRV];
        let last = text.split_whitespace().last().filter(|_| named.contains(&rtype));
        if let Some(problem) = last.and_then(|last| address_for_name(last, self.form, path)) {
            return Err(problem);
        }
        let value = whole(path, rdata::other(rtype, text))?;
        not_a_mark(rtype, value, path)
    }

    fn others(&mut self, spec: &RecordSpec) {
        if let Err(problem) = few(spec.other.len(), limits::TYPES, "spec.other") {
            return self.problems.push(problem);
        }
        for (i, other) in spec.other.iter().enumerate() {
            let path = format!("spec.other[{i}]");
            let known = fits(&other.r#type, limits::TYPE, "").ok().and_then(|()| RrType::parse(&other.r#type));
            let rtype = match known.map(|rtype| (rtype, denied(rtype))) {
                Some((rtype, None)) => rtype,
                Some((rtype, Some(why))) => {
                    let text = format!("{rtype} records cannot be declared: {why}");
                    self.problems.push(Problem::invalid(format!("{path}.type"), text));
                    continue;
                }
                None => {
                    let text = format!("\"{}\" is no record type; write a mnemonic (HINFO) or TYPE65400", other.r#type);
                    self.problems.push(Problem::invalid(format!("{path}.type"), text));
                    continue;
                }
            };
            if other.rdata.is_empty() {
                self.problems.push(Problem::invalid(format!("{path}.rdata"), format!("{rtype}: no value is given")));
                continue;
            }
            let field = format!("other[{i}].rdata");
            self.list(rtype, &field, &other.rdata, |c, text, path| c.zone_file(rtype, text, path));
        }
    }

    fn single(&mut self, rtype: RrType, field: &str, value: Option<&Text>) {
        let Some(value) = value else { return };
        let path = format!("spec.{field}");
        match self.name(value, &path) {
            Ok(name) => self.declare(rtype, vec![rdata::target(&name)], path),
            Err(problem) => self.problems.push(problem),
        }
    }

    fn list(
        &mut self,
        rtype: RrType,
        field: &str,
        items: &[Text],
        value: impl FnMut(&Collector<'a>, &Text, &str) -> Result<Rdata, Problem>,
    ) {
        self.each(rtype, field, items, limits::VALUES, value);
    }

    fn objects<T>(
        &mut self,
        rtype: RrType,
        field: &str,
        items: &[T],
        value: impl FnMut(&Collector<'a>, &T, &str) -> Result<Rdata, Problem>,
    ) {
        self.each(rtype, field, items, limits::OBJECTS, value);
    }

    fn each<T>(
        &mut self,
        rtype: RrType,
        field: &str,
        items: &[T],
        most: usize,
        mut value: impl FnMut(&Collector<'a>, &T, &str) -> Result<Rdata, Problem>,
    ) {
        if items.is_empty() {
            return;
        }
        let path = format!("spec.{field}");
        if let Err(problem) = few(items.len(), most, &path) {
            return self.problems.push(problem);
        }
        let mut values = Vec::with_capacity(items.len());
        let mut problems = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match value(self, item, &format!("{path}[{i}]")) {
                Ok(rdata) => values.push(rdata),
                Err(problem) => problems.push(problem),
            }
        }
        self.problems.append(&mut problems);
        if !values.is_empty() {
            self.declare(rtype, values, path);
        }
    }

    fn declare(&mut self, rtype: RrType, values: Vec<Rdata>, path: String) {
        if let Some(first) = self.declared.iter().find(|declared| declared.rtype == rtype) {
            let text = format!("{rtype} is declared twice, here and at {}; put all values in one place", first.path);
            self.problems.push(Problem::invalid(path, text));
            return;
        }
        let addresses = values.iter().filter_map(|value| address(rtype, value)).collect();
        self.declared.push(Declared { rtype, ttl: None, values, path, addresses });
    }

    fn name(&self, text: &str, path: &str) -> Result<Name, Problem> {
        self.zones.target(text, self.zone.as_ref(), self.form, path)
    }

    fn number<N: TryFrom<i64>>(&self, value: Int, path: &str) -> Result<N, Problem> {
        N::try_from(value.0).map_err(|_| {
            let most = (1u64 << (8 * size_of::<N>())) - 1;
            Problem::invalid(path, format!("{} is out of range; expected 0 to {most}", value.0))
        })
    }
}

/// The value, or what is wrong with it at the field that the error names.
fn build(path: &str, result: Result<Rdata, RdataError>) -> Result<Rdata, Problem> {
    result.map_err(|error| match &error {
        RdataError::Value { field, .. } if *field != "text" => {
            Problem::invalid(format!("{path}.{field}"), error.to_string())
        }
        _ => Problem::invalid(path, error.to_string()),
    })
}

/// The value of a text that is one field: a part of it has no path of its own, and which one is wrong is in the words.
fn whole(path: &str, result: Result<Rdata, RdataError>) -> Result<Rdata, Problem> {
    result.map_err(|error| Problem::invalid(path, error.to_string()))
}

/// The words of a target that has `N` of them.
fn parts<'t, const N: usize>(text: &'t str, path: &str, example: &str) -> Result<[&'t str; N], Problem> {
    fits(text, limits::RDATA, path)?;
    let words: Vec<&str> = text.split_whitespace().take(N + 1).collect();
    words
        .try_into()
        .map_err(|_| Problem::invalid(path, format!("\"{text}\" does not have {N} parts, as \"{example}\" has")))
}

/// A number of 16 bits in a target.
fn number(text: &str, what: &str, path: &str) -> Result<u16, Problem> {
    // `parse` takes a sign, which no zone file has.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        Problem::invalid(path, format!("\"{text}\" is no {what}; expected a number from 0 to {}", u16::MAX))
    })
}

/// Refuses a text that is a mark of ownership; a declared one would forge it.
fn not_a_mark(rtype: RrType, value: Rdata, path: &str) -> Result<Rdata, Problem> {
    // As each tool reads it: ExternalDNS takes its pairs in any order.
    let mark = || is_anybodys_marker(&value) || external_dns::parse(&value).is_some() || nix::parse(&value).is_some();
    if rtype != RrType::TXT || !mark() {
        return Ok(value);
    }
    Err(Problem::invalid(
        path,
        "a text that begins with heritage=knotwork, heritage=external-dns or heritage=nix is an ownership mark and cannot be declared",
    ))
}

fn not_an_address(text: &str, family: &str, example: &str, home: Option<String>, path: &str) -> Problem {
    let hint = home.map_or_else(String::new, |home| format!("; it belongs in {home}"));
    Problem::invalid(path, format!("\"{text}\" is not an {family} address (such as {example}){hint}"))
}

fn address(rtype: RrType, value: &[u8]) -> Option<IpAddr> {
    match rtype {
        RrType::A => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        RrType::AAAA => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}
