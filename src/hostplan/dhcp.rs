//! What is worth saying of DHCP clients on the links of a wish.

use super::merge::interfaces;
use super::plan::Work;
use super::{mechanisms, paths};
use crate::split::facts::{FileKind, Link, Manager};
use crate::split::policy::Writer;

/// Notes about clients that nobody keeps off, and about servers that are yet to come.
pub(super) fn say(work: &mut Work<'_>) {
    let is_on = |writer| work.wish.protect.get(&writer) == Some(&true);
    let (dhclient, dhcpcd) = (is_on(Writer::Dhclient), is_on(Writer::Dhcpcd));
    let mut notes = Vec::new();
    for link in work.facts.links.iter().flatten().filter(|link| has_client(work, link)) {
        let wished = work.wish.links.iter().find(|wish| wish.name == link.name);
        let name = &link.name;
        if wished.is_some() && !dhclient && !dhcpcd {
            notes.push(format!(
                "{name} has its address from a DHCP client, whose hooks write over what is set here when its lease says \
                 something else; protect: {{dhclient: \"On\", dhcpcd: \"On\"}} keeps them from it"
            ));
        }
        let has_none = link.servers.as_ref().is_some_and(Vec::is_empty);
        let sets_none = wished.is_none_or(|wish| wish.servers.is_none());
        if dhclient && has_none && sets_none && is_absent(work, paths::DHCLIENT_EXIT) && is_absent(work, paths::DHCPCD)
        {
            notes.push(format!(
                "resolved has no servers of {name} yet, as dhclient wrote them into resolv.conf alone; from the next lease on \
                 it gets them, and what depends on them needs another apply then. To have them now, list them under links"
            ));
        }
    }
    notes.into_iter().for_each(|note| work.note(note));
}

fn is_absent(work: &Work<'_>, path: &str) -> bool {
    work.seen.files.get(path).is_none_or(|seen| seen.kind == FileKind::Absent)
}

/// Whether its stanza asks for one.
fn has_client(work: &Work<'_>, link: &Link) -> bool {
    let path = mechanisms::stanza_file(work.facts, &link.name);
    let text = work.seen.files.get(path).and_then(|seen| seen.content.as_deref()).unwrap_or_default();
    matches!(link.managed_by, Manager::Ifupdown | Manager::Ifupdown2)
        && interfaces::stanza(text, &link.name).is_ok_and(|stanza| stanza.is_some_and(|stanza| stanza.dhcp))
}
