//! Links and addresses, as the kernel announces them.

use futures_util::StreamExt as _;
use rtnetlink::MulticastGroup;
use tokio::task::JoinHandle;

use super::{Hint, Hints};
use crate::resolved::netlink::NetlinkError;

/// Hints whenever a link or an address comes, goes or changes, until the task is aborted or nobody listens.
///
/// # Errors
/// [`NetlinkError::Socket`].
pub fn watch_kernel(hints: Hints) -> Result<JoinHandle<()>, NetlinkError> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (connection, _, mut messages) = rtnetlink::new_multicast_connection(&groups)?;
    Ok(tokio::spawn(async move {
        let listen = async {
            while messages.next().await.is_some() {
                if let Err(mpsc_closed) = hints.try_send(Hint::Links)
                    && matches!(mpsc_closed, tokio::sync::mpsc::error::TrySendError::Closed(_))
                {
                    return;
                }
            }
        };
        // The driver ends when the socket does.
        tokio::select! {
            () = connection => {}
            () = listen => {}
        }
    }))
}
