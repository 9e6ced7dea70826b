//! Links and addresses from the kernel.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope as KernelScope,
};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use crate::split::facts::{AddressScope, LinkAddress, LinkState};

/// How long one dump may take; the kernel answers at once, hosts with thousands of interfaces within a second.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why the kernel could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("no netlink socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The kernel refused.
    #[error("netlink: {0}")]
    Refused(#[from] rtnetlink::Error),
    /// No answer.
    #[error("no answer over netlink within {DEADLINE:?}")]
    Timeout,
}

/// A link as the kernel has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelLink {
    /// Its number.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// `veth`, `bridge` …; empty for plain hardware.
    pub kind: String,
    /// Flags and state; networkd's is not known here.
    pub state: LinkState,
    /// The bridge, bond or VRF that it belongs to.
    pub master: Option<u32>,
    /// Its addresses.
    pub addresses: Vec<LinkAddress>,
}

/// All links of this network namespace with their addresses, by number.
///
/// # Errors
/// [`NetlinkError`] of each kind.
pub async fn links() -> Result<Vec<KernelLink>, NetlinkError> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let driver = tokio::spawn(connection);
    let ask = async {
        let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
        let addresses: Vec<AddressMessage> = handle.address().get().execute().try_collect().await?;
        Ok::<_, rtnetlink::Error>((links, addresses))
    };
    let answer = tokio::time::timeout(DEADLINE, ask).await;
    driver.abort();
    let (links, addresses) = answer.map_err(|_| NetlinkError::Timeout)??;
    let mut all: Vec<KernelLink> = links.into_iter().map(link).collect();
    all.sort_by_key(|link| link.ifindex);
    for message in addresses {
        let owner = message.header.index;
        if let Some(link) = all.iter_mut().find(|link| link.ifindex == owner) {
            link.addresses.extend(address(&message));
        }
    }
    Ok(all)
}

fn link(message: LinkMessage) -> KernelLink {
    let flags = message.header.flags;
    let mut link = KernelLink {
        ifindex: message.header.index,
        state: LinkState {
            loopback: Some(flags.contains(LinkFlags::Loopback)),
            up: Some(flags.contains(LinkFlags::Up)),
            carrier: Some(flags.contains(LinkFlags::LowerUp)),
            ..LinkState::default()
        },
        ..KernelLink::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::OperState(state) => link.state.operstate = Some(state.to_string().to_ascii_lowercase()),
            LinkAttribute::Controller(master) if master != 0 => link.master = Some(master),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = kind.to_string();
                    }
                }
            }
            _ => {}
        }
    }
    if flags.contains(LinkFlags::Dormant) {
        link.state.operstate = Some("dormant".into());
    }
    link
}

fn address(message: &AddressMessage) -> Option<LinkAddress> {
    let (mut local, mut other, mut flags) = (None::<IpAddr>, None::<IpAddr>, None::<AddressFlags>);
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link `Address` is the other end.
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => other = Some(*address),
            AddressAttribute::Flags(all) => flags = Some(*all),
            _ => {}
        }
    }
    // The header holds the first eight flags, for kernels without the attribute.
    let unusable = match flags {
        Some(flags) => flags.intersects(AddressFlags::Deprecated | AddressFlags::Tentative),
        None => message.header.flags.intersects(AddressHeaderFlags::Deprecated | AddressHeaderFlags::Tentative),
    };
    let scope = match message.header.scope {
        KernelScope::Universe => AddressScope::Global,
        KernelScope::Site => AddressScope::Site,
        KernelScope::Link => AddressScope::Link,
        // A number of the administrator's own, as good as those that it stands between.
        KernelScope::Other(number) if number < u8::from(KernelScope::Link) => AddressScope::Site,
        _ => AddressScope::Host,
    };
    Some(LinkAddress { address: local.or(other)?, prefix: message.header.prefix_len, scope, unusable })
}
