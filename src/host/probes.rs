//! Looking names up as a program on the host would: through resolved, past its cache.

use std::net::IpAddr;
use std::time::Duration;

use crate::model::{Name, RrType};
use crate::resolved::resolve1::{Resolve1, flags};
use crate::resolved::{Bus, Reason};
use crate::split::policy::Probe;
use crate::split::wish::Wish;
use crate::split::{HostFacts, SystemdVersion};

/// How long a name may take to become right after a change: the first query after a dead server takes five seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// One lookup; resolved gives up after this by itself.
const LOOKUP: Duration = Duration::from_secs(12);

/// What a probe came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// Its name.
    pub name: String,
    /// What is wrong; `None` when it passes.
    pub wrong: Option<String>,
    /// How long the lookup took.
    pub took: Duration,
}

/// Names that are implied at most: registries may be many, and each is asked twice.
const IMPLIED: usize = 16;

/// What must go on passing though no policy says so, if it did before: names that the kubelet of this host needs.
pub(super) fn implied(facts: &HostFacts) -> Vec<Probe> {
    let needs = facts.kubelet.iter().flat_map(|kubelet| kubelet.needs.iter().flatten());
    let probe = |text: &String| {
        let name = format!("kubelet needs {text}");
        Some(Probe { name, query: Name::parse(text).ok()?, rtype: None, addresses: Vec::new() })
    };
    needs.filter_map(probe).take(IMPLIED).collect()
}

/// What every policy wants to go on, though it does not say so: that some server answers.
pub const ANYBODY: &str = "any server";

/// Names that are nobody's (RFC 2606 §3), of which the first that no policy routes is asked for. The root will not do: asked
/// over the bus with LLMNR on, resolved says of it that there is no such record, whether a server answers or not (measured on
/// 252 and 257).
const NOBODYS: [&str; 3] = ["example.com", "example.net", "example.org"];

/// What is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked<'a> {
    /// A name, which must come to what is expected.
    Name(&'a Probe),
    /// Something that any server answers in some way, as a name: only whether one does counts.
    Anybody(&'a str),
}

/// One try.
pub(super) async fn once(bus: &Bus, asked: Asked<'_>, version: SystemdVersion) -> Probed {
    let started = tokio::time::Instant::now();
    let bus = bus.within(LOOKUP);
    let (name, wrong) = match asked {
        Asked::Name(probe) => (&*probe.name, ask(&bus, probe, version).await.err()),
        Asked::Anybody(name) => (ANYBODY, anybody(&bus, name, version).await.err()),
    };
    Probed { name: name.to_owned(), wrong, took: started.elapsed() }
}

/// Until it passes, for a while.
pub(super) async fn until(bus: &Bus, asked: Asked<'_>, version: SystemdVersion) -> Probed {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let probed = once(bus, asked, version).await;
        if probed.wrong.is_none() || tokio::time::Instant::now() >= end {
            return probed;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What is asked for where only an answer counts: a name that this wish sends to no server of its own.
pub(super) fn nobodys(wish: &Wish) -> &'static str {
    let free = |text: &&&str| Name::parse(text).is_ok_and(|name| !wish.routes(&name));
    NOBODYS.iter().find(free).copied().unwrap_or(NOBODYS[0])
}

/// Whether any server answers for what no domain covers. NXDOMAIN, SERVFAIL, REFUSED are answers; no server, no network,
/// silence and what DNSSEC does not let count are none.
async fn anybody(bus: &Bus, name: &str, version: SystemdVersion) -> Result<(), String> {
    match Resolve1(bus).record(0, name, RrType::SOA.0, no_cache(version)).await {
        Ok(_) => Ok(()),
        Err(error) if error.reason == Reason::Answered => Ok(()),
        // To programs that is as good as no answer, and it is so for every name.
        Err(error) if error.reason == Reason::Unbelieved => {
            Err(format!("what servers answer for {name} fails the check of its signatures: {}", error.message))
        }
        Err(error) => Err(format!("no server answers: {}", error.message)),
    }
}

/// Past the cache.
fn no_cache(version: SystemdVersion) -> u64 {
    // Before 248 an unknown flag is an error; there, a change of settings has emptied the cache anyway.
    if version >= SystemdVersion(248) { flags::NO_CACHE } else { 0 }
}

async fn ask(bus: &Bus, probe: &Probe, version: SystemdVersion) -> Result<(), String> {
    let name = probe.query.to_relaxed();
    let by = Resolve1(bus);
    let Some(rtype) = probe.rtype else {
        let found = by
            .hostname(0, &name, 0, flags::NO_SEARCH | no_cache(version))
            .await
            .map_err(|error| format!("{name}: {}", error.message))?;
        let found: Vec<IpAddr> = found.addresses.into_iter().map(|(_, address)| address).collect();
        let missing: Vec<String> =
            probe.addresses.iter().filter(|wanted| !found.contains(wanted)).map(ToString::to_string).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        return Err(format!("{name} is {}, without {}", found.join(", "), missing.join(", ")));
    };
    // Records are never searched for: the flag that says so is refused here.
    let found = by.record(0, &name, rtype.0, no_cache(version)).await;
    let (found, _) = found.map_err(|error| format!("{name} {rtype}: {}", error.message))?;
    let holds = |wanted: &IpAddr| found.iter().any(|record| record.rtype == rtype.0 && holds(&record.wire, wanted));
    match probe.addresses.iter().find(|wanted| !holds(wanted)) {
        None if found.is_empty() => Err(format!("{name} {rtype}: no record")),
        None => Ok(()),
        Some(missing) => Err(format!("{name} {rtype} is without {missing}")),
    }
}

/// Whether the RDATA, or a record that ends in it, is this address.
pub(super) fn holds(octets: &[u8], wanted: &IpAddr) -> bool {
    match wanted {
        IpAddr::V4(address) => octets.ends_with(&address.octets()),
        IpAddr::V6(address) => octets.ends_with(&address.octets()),
    }
}
