//! Setting links over the bus in the order that leaks nothing, and reading back what became of it.
//!
//! Domains and default route come before servers, so that a link that gets servers is never for a moment asked for names
//! that are not its own; where they would reach further than those of the servers that go, only what is common to both
//! comes first (`reference/host-dns.md` §5).

use std::time::Duration;

use super::error::HostError;
use super::profiles;
use super::services::PASSING;
use super::transaction::{Step, Tell};
use crate::hostplan::handover::{Handover, handover};
use crate::hostplan::{HostPlan, Mechanism, mechanisms};
use crate::resolved::fault::step;
use crate::resolved::links::LinkSetters;
use crate::resolved::network1::Network1;
use crate::resolved::resolve1::{LinkSettings, Resolve1};
use crate::resolved::{Bus, BusError, Reason};
use crate::split::RoutedDomain;
use crate::split::facts::{DefaultRoute, Link};
use crate::split::policy::Modes;
use crate::split::wish::LinkWish;

/// Releases that keep stale entries need a second try (248 to 250), some a third after `RevertLink`.
const TRIES: u32 = 5;

/// How long a file-carried link setting may take to arrive in resolved.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Sets all of a link and reads it back until it is so. `was` is the link before us, where it gets that back.
pub(super) async fn set(bus: &Bus, wish: &LinkWish, was: Option<&Link>) -> Result<Link, HostError> {
    let mut differs = Vec::new();
    let mut is = read(bus, wish).await?;
    let is_flipped = is_flipped(wish, &is);
    // What a link has like the host as a whole it follows from then on, too, as one does that was never told.
    let host = match was {
        Some(_) => Modes::read(&Resolve1(bus).manager().await?.modes),
        None => Modes::default(),
    };
    let own = OwnModes::new(wish, was, host);
    let wish = &LinkWish { modes: own.compared(wish.modes), ..wish.clone() };
    let anew = was.filter(|_| is_bare(wish) || starts_anew(wish, was));
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        // What stays although it was replaced goes with everything else.
        if attempt == 2 {
            reverted(bus, wish.ifindex).await?;
            is = read(bus, wish).await?;
        }
        step(&format!("link {} is to be set", wish.name));
        match anew {
            Some(was) => set_anew(bus, wish, was, own).await?,
            None => {
                let between = handover(&is, wish);
                // What comes out as it was is the link's own, or the host's limit of it: setting it would make it the link's.
                let own = if was.is_some() { own.where_other(Modes::read(&is.modes)) } else { own };
                each(&Resolve1(bus).links(), &Network1(bus).links(), (wish, own), between, is_flipped).await?;
            }
        }
        is = read(bus, wish).await?;
        differs = mechanisms::differs(wish, &is);
        if anew.is_some() {
            // Automatic is not the same as what it came to, and what follows the host is as that is now.
            differs.retain(|word| word == "servers" || word == "domains");
        }
        if differs.is_empty() {
            step(&format!("link {} is set", wish.name));
            return Ok(is);
        }
    }
    Err(HostError::NotTaken { at: format!("link {}", wish.name), differs, tries: TRIES })
}

fn is_bare(wish: &LinkWish) -> bool {
    wish.servers.as_ref().is_some_and(Vec::is_empty) && wish.domains.is_empty()
}

/// Whether a link gets back what it had by a revert and all of it anew. Nothing else makes a default route automatic again; but
/// for a moment the link has nothing, so not where it was asked for names of its own, which would go to others meanwhile, nor
/// where something would be lost that we do not set.
fn starts_anew(wish: &LinkWish, was: Option<&Link>) -> bool {
    let Some(was) = was.filter(|was| was.default_route == DefaultRoute::Automatic) else { return false };
    let routes = wish.domains.iter().any(|domain| !domain.is_search() && !domain.name.is_root());
    !routes && was.told.as_ref().is_some_and(|told| !told.iter().any(|word| word == "ntas"))
}

/// Reverts a link and sets what it had: servers last, so that it is asked for nothing that is not its own.
async fn set_anew(bus: &Bus, wish: &LinkWish, was: &Link, own: OwnModes) -> Result<(), BusError> {
    reverted(bus, wish.ifindex).await?;
    let resolved = Resolve1(bus);
    let by = resolved.links();
    if !wish.domains.is_empty() {
        by.set_domains(wish.ifindex, &wish.domains).await?;
    }
    // Of a link that networkd manages nothing is told, and it is networkd that has it then.
    if was.told.is_some() && matches!(was.default_route, DefaultRoute::Yes | DefaultRoute::No) {
        by.set_default_route(wish.ifindex, was.default_route == DefaultRoute::Yes).await?;
    }
    modes(bus, wish, own).await?;
    match &wish.servers {
        Some(servers) if !servers.is_empty() => by.set_servers(wish.ifindex, servers).await,
        _ => Ok(()),
    }
}

/// Links that get back what they had before resolved reads its files: what a delegate or the global scope took would go to the
/// default route until the link that had it before us has it again. As long as the global scope stands, only `~.` on the
/// uplinks keeps all other names from it: those that have it wait, unless they had no servers: then the names that the
/// global scope kept from them would go there until they are told. Gives their names, and the UUIDs of profiles.
///
/// # Errors
/// Of the first that does not take it.
pub(super) async fn set_back(bus: &Bus, plan: &HostPlan, tell: Tell<'_>) -> Result<Vec<String>, HostError> {
    let (all, mut done) = (plan.gives_up_delegates(), Vec::new());
    for step in plan.profiles.iter().filter(|step| step.restores && step.is_change()) {
        let first = match &step.was {
            Some(was) => goes_first(bus, &mechanisms::as_it_was(was)).await,
            None => true,
        };
        if all || first {
            profiles::set(bus, step).await?;
            tell(Step::Link(step.link.clone(), true));
            done.push(step.uuid.clone());
        }
    }
    for step in plan.links.iter().filter(|step| step.over_bus && step.restores) {
        if all || goes_first(bus, &step.wish).await {
            set(bus, &step.wish, step.was.as_deref().or(Some(&bare(&step.wish)))).await?;
            tell(Step::Link(step.wish.name.clone(), true));
            done.push(step.wish.name.clone());
        }
    }
    Ok(done)
}

/// Whether a link gets back what it had before resolved reads its files.
pub(super) async fn goes_first(bus: &Bus, wish: &LinkWish) -> bool {
    wish.servers.as_ref().is_some_and(Vec::is_empty) || !takes_all(bus, wish).await
}

/// Whether a link has `~.` now, or does not tell.
async fn takes_all(bus: &Bus, wish: &LinkWish) -> bool {
    let domains = read(bus, wish).await.ok().and_then(|link| link.domains);
    domains.is_none_or(|domains| domains.iter().any(|domain| domain.name.is_root()))
}

/// All links of a plan but those that are done already; tells of those that were set, as it goes.
///
/// # Errors
/// Of the first that is not as wished in the end; those after it are left alone.
pub(super) async fn set_all(bus: &Bus, plan: &HostPlan, done: &[String], tell: Tell<'_>) -> Result<(), HostError> {
    profiles::set_all(bus, plan, done, tell).await?;
    for step in &plan.links {
        if step.mechanism == Mechanism::NetworkManager {
            // Away for a moment, it sets the link when it is back.
            if !step.is_awaited(plan) {
                continue;
            }
            profiles::await_taken(bus, &step.wish, step.overruled).await?;
        } else if !step.over_bus {
            if step.overruled {
                Network1(bus).links().revert(step.wish.ifindex).await?;
            }
            await_taken(bus, &step.wish, TAKEN_WITHIN).await?;
        } else if step.restores {
            if done.contains(&step.wish.name) {
                // A restart in between may have lost it.
                let mut differs = mechanisms::differs(&step.wish, &read(bus, &step.wish).await?);
                differs.retain(|word| word == "servers" || word == "domains");
                if differs.is_empty() {
                    continue;
                }
            }
            set(bus, &step.wish, step.was.as_deref().or(Some(&bare(&step.wish)))).await?;
        } else {
            // A restart in this transaction may have lost what did not differ before it.
            let is = read(bus, &step.wish).await?;
            if mechanisms::differs(&step.wish, &is).is_empty() {
                continue;
            }
            set(bus, &step.wish, None).await?;
        }
        tell(Step::Link(step.wish.name.clone(), step.restores));
    }
    Ok(())
}

/// A link that a file carries: only read until it is so.
pub(super) async fn await_taken(bus: &Bus, wish: &LinkWish, within: Duration) -> Result<Link, HostError> {
    let end = tokio::time::Instant::now() + within;
    let mut tries = 0;
    loop {
        tries += 1;
        let link = read(bus, wish).await?;
        let differs = mechanisms::differs(wish, &link);
        if differs.is_empty() {
            return Ok(link);
        }
        if tokio::time::Instant::now() >= end {
            return Err(HostError::NotTaken { at: format!("link {}", wish.name), differs, tries });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A link as resolved shows it now.
pub(super) async fn read(bus: &Bus, wish: &LinkWish) -> Result<Link, BusError> {
    let LinkSettings { servers, current, domains, default_route, scopes_mask, modes } =
        Resolve1(bus).link(wish.ifindex).await?;
    Ok(Link {
        servers,
        current: current.flatten(),
        domains,
        default_route: DefaultRoute::Unknown,
        default_route_effective: default_route,
        scopes_mask,
        modes,
        ..bare(wish)
    })
}

/// A link of which nothing but name and number is known.
pub(super) fn bare(wish: &LinkWish) -> Link {
    Link {
        ifindex: wish.ifindex,
        name: wish.name.clone(),
        kind: None,
        state: Default::default(),
        managed_by: Default::default(),
        network_file: None,
        addresses: None,
        servers: None,
        current: None,
        domains: None,
        default_route: DefaultRoute::Unknown,
        default_route_effective: None,
        scopes_mask: None,
        modes: Default::default(),
        told: None,
    }
}

/// Whether all that a link has was in one of these, domains in either form.
pub(super) fn is_made_of(is: &Link, all: [&Link; 2]) -> bool {
    let mut servers = is.servers.iter().flatten();
    let mut domains = is.domains.iter().flatten();
    servers.all(|server| all.iter().any(|one| one.servers.iter().flatten().any(|had| had == server)))
        && domains.all(|is| all.iter().any(|one| one.domains.iter().flatten().any(|had| had.name == is.name)))
}

async fn reverted(bus: &Bus, ifindex: u32) -> Result<(), BusError> {
    match Resolve1(bus).links().revert(ifindex).await {
        Err(busy) if busy.reason == Reason::LinkBusy => Network1(bus).links().revert(ifindex).await,
        other => other,
    }
}

/// Whether a domain stays and only changes between search and routing.
fn is_flipped(wish: &LinkWish, is: &Link) -> bool {
    let now = is.domains.as_deref().unwrap_or_default();
    wish.domains.iter().any(|own| now.iter().any(|is| is.name == own.name && is.is_search() != own.is_search()))
}

/// Modes of a link, and those of which it follows the host.
#[derive(Debug, Clone, Copy)]
struct OwnModes {
    modes: Modes,
    /// DNSSEC, DNS over TLS: told apart from what comes of following only by resolved's memory.
    follows: [bool; 2],
    is_told: bool,
}

impl OwnModes {
    /// Of a wish; where the link gets back what it had, of what was set there before us, as far as that is known. Else it is
    /// taken to follow the host in what it has like it.
    fn new(wish: &LinkWish, was: Option<&Link>, host: Modes) -> OwnModes {
        let Modes { dnssec, dns_over_tls, .. } = wish.modes;
        let told = was.and_then(|was| was.told.as_ref());
        let follows = match (was, told) {
            (None, _) => [false; 2],
            (Some(_), Some(told)) => ["dnssec", "dnsOverTls"].map(|word| !told.iter().any(|own| own == word)),
            (Some(_), None) => {
                [dnssec.is_some() && dnssec == host.dnssec, dns_over_tls.is_some() && dns_over_tls == host.dns_over_tls]
            }
        };
        OwnModes { modes: wish.modes, follows, is_told: told.is_some() }
    }

    /// Without multicast DNS and LLMNR where these are so already.
    fn where_other(mut self, is: Modes) -> OwnModes {
        self.modes.mdns = self.modes.mdns.filter(|mode| is.mdns != Some(*mode));
        self.modes.llmnr = self.modes.llmnr.filter(|mode| is.llmnr != Some(*mode));
        self
    }

    /// What must come out: what follows the host is as that will be.
    fn compared(self, modes: Modes) -> Modes {
        let [dnssec, tls] = self.follows.map(|follows| follows && self.is_told);
        Modes { dnssec: modes.dnssec.filter(|_| !dnssec), dns_over_tls: modes.dns_over_tls.filter(|_| !tls), ..modes }
    }

    /// Sets them; an empty word makes a link follow the host.
    async fn set(self, by: &LinkSetters<'_>, ifindex: u32) -> Result<(), BusError> {
        let Modes { dnssec, dns_over_tls, mdns, llmnr } = self.modes;
        let word = |follows, word| if follows { Some("") } else { word };
        if let Some(word) = word(self.follows[0], dnssec.map(|mode| mode.word())) {
            by.set_dnssec(ifindex, word).await?;
        }
        if let Some(word) = word(self.follows[1], dns_over_tls.map(|mode| mode.word())) {
            by.set_dns_over_tls(ifindex, word).await?;
        }
        if let Some(mode) = mdns {
            by.set_mdns(ifindex, mode.word()).await?;
        }
        if let Some(mode) = llmnr {
            by.set_llmnr(ifindex, mode.word()).await?;
        }
        Ok(())
    }
}

/// Modes that were set on a link: a revert takes them too. Where it is not known what was set, what does not come out as it was
/// is.
async fn modes(bus: &Bus, wish: &LinkWish, own: OwnModes) -> Result<(), BusError> {
    let (is, was) = (Modes::read(&read(bus, wish).await?.modes), own.modes);
    let is_known = own.is_told;
    let modes = Modes {
        dnssec: was.dnssec.filter(|_| is_known || is.dnssec != was.dnssec),
        dns_over_tls: was.dns_over_tls.filter(|_| is_known || is.dns_over_tls != was.dns_over_tls),
        mdns: was.mdns.filter(|_| is.mdns != was.mdns),
        llmnr: was.llmnr.filter(|_| is.llmnr != was.llmnr),
    };
    let own = OwnModes { modes, follows: own.follows.map(|follows| follows && is_known), ..own };
    match own.set(&Resolve1(bus).links(), wish.ifindex).await {
        Err(busy) if busy.reason == Reason::LinkBusy => own.set(&Network1(bus).links(), wish.ifindex).await,
        other => other,
    }
}

async fn each(
    resolved: &LinkSetters<'_>,
    networkd: &LinkSetters<'_>,
    (wish, own): (&LinkWish, OwnModes),
    between: Option<Handover>,
    is_flipped: bool,
) -> Result<(), BusError> {
    let is_whole = between.is_none();
    let first =
        between.unwrap_or_else(|| Handover { domains: wish.domains.clone(), default_route: wish.default_route });
    // A search domain that becomes a routing domain is not saved for the next start before 262, since nothing else changes
    // [tried on 252 and 257]: a domain that nobody asks for comes and goes with it, and so there is no gap.
    if is_flipped {
        let with: Vec<RoutedDomain> = first.domains.iter().cloned().chain(PASSING.parse().ok()).collect();
        match resolved.set_domains(wish.ifindex, &with).await {
            Err(busy) if busy.reason == Reason::LinkBusy => {}
            other => other?,
        }
    }
    // resolved refuses links that networkd manages, and networkd all others: the first call finds out which it is.
    let domains = resolved.set_domains(wish.ifindex, &first.domains).await;
    let by = match domains {
        Err(busy) if busy.reason == Reason::LinkBusy => {
            networkd.set_domains(wish.ifindex, &first.domains).await?;
            networkd
        }
        other => {
            other?;
            resolved
        }
    };
    step(&format!("link {} has its domains", wish.name));
    by.set_default_route(wish.ifindex, first.default_route).await?;
    step(&format!("link {} has its default route", wish.name));
    own.set(by, wish.ifindex).await?;
    if let Some(servers) = &wish.servers {
        by.set_servers(wish.ifindex, servers).await?;
    }
    if !is_whole {
        step(&format!("link {} has its servers", wish.name));
        by.set_domains(wish.ifindex, &wish.domains).await?;
        by.set_default_route(wish.ifindex, wish.default_route).await?;
    }
    Ok(())
}
