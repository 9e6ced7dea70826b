//! The typed fields of a spec as RDATA.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::problem::Problem;
use super::record::RecordSpec;
use super::scalar::{Int, Text};
use super::zones::Zones;
use crate::model::rdata::{self, RdataError};
use crate::model::{Name, Rdata, RrType};

/// Values of one list at most; the CRD says the same.
pub(super) const MAX_VALUES: usize = 1024;
/// Entries of `other` at most.
pub(super) const MAX_OTHER: usize = 64;

/// The values of one type, with the field they come from.
pub(super) struct Declared {
    pub rtype: RrType,
    pub values: Vec<Rdata>,
    pub path: String,
    pub addresses: Vec<IpAddr>,
}

/// Collects what is declared and what is wrong, field by field.
pub(super) struct Collector<'a> {
    zones: &'a Zones,
    zone: Option<Name>,
    pub declared: Vec<Declared>,
    pub problems: Vec<Problem>,
}

/// Types that only the server, or another protocol, may write.
fn denied(rtype: RrType) -> Option<&'static str> {
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
    pub(super) fn new(zones: &'a Zones, zone: Option<Name>) -> Collector<'a> {
        Collector { zones, zone, declared: Vec::new(), problems: Vec::new() }
    }

    /// Reads every field of the spec.
    pub(super) fn collect(&mut self, spec: &RecordSpec) {
        self.addresses(spec);
        self.list(RrType::NS, "ns", &spec.ns, |c, text, path| c.name(text, path).map(|name| rdata::target(&name)));
        self.list(RrType::PTR, "ptr", &spec.ptr, |c, text, path| c.name(text, path).map(|name| rdata::target(&name)));
        self.single(RrType::CNAME, "cname", spec.cname.as_ref());
        self.single(RrType::DNAME, "dname", spec.dname.as_ref());
        self.list(RrType::TXT, "txt", &spec.txt, |_, text, path| build(path, rdata::txt_from_value(text)));
        self.list(RrType::MX, "mx", &spec.mx, |c, mx, path| {
            let exchange = c.name(&mx.exchange, &format!("{path}.exchange"))?;
            Ok(rdata::mx(c.number(mx.preference, &format!("{path}.preference"))?, &exchange))
        });
        self.list(RrType::SRV, "srv", &spec.srv, |c, srv, path| {
            let target = c.name(&srv.target, &format!("{path}.target"))?;
            Ok(rdata::srv(
                c.number(srv.priority, &format!("{path}.priority"))?,
                c.number(srv.weight, &format!("{path}.weight"))?,
                c.number(srv.port, &format!("{path}.port"))?,
                &target,
            ))
        });
        self.list(RrType::CAA, "caa", &spec.caa, |c, caa, path| {
            build(path, rdata::caa(c.number(caa.flags, &format!("{path}.flags"))?, &caa.tag, &caa.value))
        });
        self.list(RrType::SSHFP, "sshfp", &spec.sshfp, |c, sshfp, path| {
            let algorithm = c.number(sshfp.algorithm, &format!("{path}.algorithm"))?;
            let kind = c.number(sshfp.fingerprint_type, &format!("{path}.fingerprintType"))?;
            build(&format!("{path}.fingerprint"), rdata::sshfp(algorithm, kind, &sshfp.fingerprint))
        });
        self.list(RrType::TLSA, "tlsa", &spec.tlsa, |c, tlsa, path| {
            let usage = c.number(tlsa.usage, &format!("{path}.usage"))?;
            let selector = c.number(tlsa.selector, &format!("{path}.selector"))?;
            let matching = c.number(tlsa.matching_type, &format!("{path}.matchingType"))?;
            build(&format!("{path}.data"), rdata::tlsa(usage, selector, matching, &tlsa.data))
        });
        for (rtype, field, list) in [(RrType::HTTPS, "https", &spec.https), (RrType::SVCB, "svcb", &spec.svcb)] {
            self.list(rtype, field, list, |c, svcb, path| {
                let priority = c.number(svcb.priority, &format!("{path}.priority"))?;
                let target = c.name(&svcb.target, &format!("{path}.target"))?;
                let params = svcb.params.as_ref().map_or("", |params| &**params);
                build(&format!("{path}.params"), rdata::svcb(rtype, priority, &target, params))
            });
        }
        self.list(RrType::NAPTR, "naptr", &spec.naptr, |c, naptr, path| {
            let order = c.number(naptr.order, &format!("{path}.order"))?;
            let preference = c.number(naptr.preference, &format!("{path}.preference"))?;
            let replacement = c.name(&naptr.replacement, &format!("{path}.replacement"))?;
            build(path, rdata::naptr(order, preference, &naptr.flags, &naptr.service, &naptr.regexp, &replacement))
        });
        self.list(RrType::DS, "ds", &spec.ds, |c, ds, path| {
            let tag = c.number(ds.key_tag, &format!("{path}.keyTag"))?;
            let algorithm = c.number(ds.algorithm, &format!("{path}.algorithm"))?;
            let kind = c.number(ds.digest_type, &format!("{path}.digestType"))?;
            build(&format!("{path}.digest"), rdata::ds(tag, algorithm, kind, &ds.digest))
        });
        self.list(RrType::URI, "uri", &spec.uri, |c, uri, path| {
            let priority = c.number(uri.priority, &format!("{path}.priority"))?;
            let weight = c.number(uri.weight, &format!("{path}.weight"))?;
            build(&format!("{path}.target"), rdata::uri(priority, weight, &uri.target))
        });
        self.list(RrType::LOC, "loc", &spec.loc, |_, text, path| build(path, rdata::loc(text)));
        self.others(spec);
    }

    fn addresses(&mut self, spec: &RecordSpec) {
        self.list(RrType::A, "a", &spec.a, |_, text, path| match text.parse::<Ipv4Addr>() {
            Ok(address) => Ok(rdata::a(address)),
            Err(_) => Err(not_an_address(text, "IPv4", "10.0.0.1", "aaaa", text.parse::<Ipv6Addr>().is_ok(), path)),
        });
        self.list(RrType::AAAA, "aaaa", &spec.aaaa, |_, text, path| match text.parse::<Ipv6Addr>() {
            // The API server's isIP() says no too: in an AAAA record this form reaches nobody.
            Ok(address) if address.to_ipv4_mapped().is_some() => {
                let text = format!(
                    "\"{text}\" is an IPv4 address in IPv6 clothes; it belongs in spec.a as {}",
                    address.to_canonical()
                );
                Err(Problem::invalid(path, text))
            }
            Ok(address) => Ok(rdata::aaaa(address)),
            Err(_) => Err(not_an_address(text, "IPv6", "fd00::1", "a", text.parse::<Ipv4Addr>().is_ok(), path)),
        });
        for declared in &mut self.declared {
            declared.addresses = declared.values.iter().filter_map(|value| address(declared.rtype, value)).collect();
        }
    }

    fn others(&mut self, spec: &RecordSpec) {
        if spec.other.len() > MAX_OTHER {
            let text = format!("{} types; the limit is {MAX_OTHER}", spec.other.len());
            self.problems.push(Problem::invalid("spec.other", text));
            return;
        }
        for (i, other) in spec.other.iter().enumerate() {
            let path = format!("spec.other[{i}]");
            let known = (other.r#type.len() <= 32).then(|| RrType::parse(&other.r#type)).flatten();
            let Some(rtype) = known else {
                let text = format!("\"{}\" is no record type; write a mnemonic (HINFO) or TYPE65400", other.r#type);
                self.problems.push(Problem::invalid(format!("{path}.type"), text));
                continue;
            };
            if other.rdata.is_empty() {
                self.problems.push(Problem::invalid(format!("{path}.rdata"), format!("{rtype}: no value is given")));
                continue;
            }
            self.list(rtype, &format!("other[{i}].rdata"), &other.rdata, |_, text, path| {
                build(path, rdata::other(rtype, text))
            });
            if let Some(declared) = self.declared.last_mut().filter(|declared| declared.rtype == rtype) {
                declared.addresses = declared.values.iter().filter_map(|value| address(rtype, value)).collect();
            }
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

    fn list<T>(
        &mut self,
        rtype: RrType,
        field: &str,
        items: &[T],
        mut value: impl FnMut(&Collector<'a>, &T, &str) -> Result<Rdata, Problem>,
    ) {
        if items.is_empty() {
            return;
        }
        let path = format!("spec.{field}");
        if let Some(why) = denied(rtype) {
            self.problems.push(Problem::invalid(path, format!("{rtype} records cannot be declared: {why}")));
            return;
        }
        if items.len() > MAX_VALUES {
            let text = format!("{} values; the limit is {MAX_VALUES}", items.len());
            self.problems.push(Problem::invalid(path, text));
            return;
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
        self.declared.push(Declared { rtype, values, path, addresses: Vec::new() });
    }

    fn name(&self, text: &str, path: &str) -> Result<Name, Problem> {
        self.zones.target(text, self.zone.as_ref(), path)
    }

    fn number<N: TryFrom<i64>>(&self, value: Int, path: &str) -> Result<N, Problem> {
        N::try_from(value.0).map_err(|_| {
            let most = (1u64 << (8 * size_of::<N>())) - 1;
            Problem::invalid(path, format!("{} is out of range; expected 0 to {most}", value.0))
        })
    }
}

fn build(path: &str, result: Result<Rdata, RdataError>) -> Result<Rdata, Problem> {
    result.map_err(|error| Problem::invalid(path, error.to_string()))
}

fn not_an_address(text: &str, family: &str, example: &str, field: &str, is_other: bool, path: &str) -> Problem {
    let hint = if is_other { format!("; it belongs in spec.{field}") } else { String::new() };
    Problem::invalid(path, format!("\"{text}\" is not an {family} address (such as {example}){hint}"))
}

fn address(rtype: RrType, value: &[u8]) -> Option<IpAddr> {
    match rtype {
        RrType::A => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        RrType::AAAA => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}
