//! Services that come and go, and the few settings whose change resolved announces.

use futures_util::StreamExt as _;
use tokio::task::JoinHandle;
use zbus::message::Type;
use zbus::{MatchRule, MessageStream};

use super::{Hint, Hints};
use crate::resolved::bus::Bus;
use crate::resolved::error::BusError;
use crate::resolved::{network1, nm, resolve1, systemd1};

/// Services whose coming and going matters here.
const SERVICES: [&str; 4] = [resolve1::NAME, network1::NAME, nm::NAME, systemd1::NAME];

/// Hints whenever a service of ours gets or loses its name, whenever resolved says that a property changed or NetworkManager
/// that a profile did, and once when the connection is gone: then the task ends.
///
/// # Errors
/// Where the bus does not take the subscription.
pub async fn watch_bus(bus: &Bus, hints: Hints) -> Result<JoinHandle<()>, BusError> {
    let wrong = |error: zbus::Error| BusError::of("AddMatch", &error);
    let mut streams = Vec::new();
    for name in SERVICES {
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, name)
            .build()
            .map_err(wrong)?;
        let stream = MessageStream::for_match_rule(rule, bus.connection(), None).await.map_err(wrong)?;
        streams.push(stream.map(move |message| (Hint::Service(name.to_owned()), message.is_ok())).boxed());
    }
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .path_namespace("/org/freedesktop/resolve1")
        .interface("org.freedesktop.DBus.Properties")
        .member("PropertiesChanged")
        .build()
        .map_err(wrong)?;
    let stream = MessageStream::for_match_rule(rule, bus.connection(), None).await.map_err(wrong)?;
    streams.push(stream.map(|message| (Hint::Setting, message.is_ok())).boxed());
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .path_namespace("/org/freedesktop/NetworkManager/Settings")
        .interface("org.freedesktop.NetworkManager.Settings.Connection")
        .member("Updated")
        .build()
        .map_err(wrong)?;
    let stream = MessageStream::for_match_rule(rule, bus.connection(), None).await.map_err(wrong)?;
    streams.push(stream.map(|message| (Hint::Setting, message.is_ok())).boxed());
    // The first stream that ends or breaks says that the connection is gone: all share it.
    Ok(tokio::spawn(async move {
        let ends = streams.into_iter().map(|stream| {
            let hints = hints.clone();
            async move {
                let mut stream = stream;
                while let Some((hint, is_good)) = stream.next().await {
                    if !is_good {
                        break;
                    }
                    // A full queue holds enough to look at.
                    if let Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) = hints.try_send(hint) {
                        return;
                    }
                }
            }
        });
        let ends: Vec<_> = ends.map(Box::pin).collect();
        futures_util::future::select_all(ends).await;
        // This one must arrive: nothing else tells it.
        let _ = hints.send(Hint::BusGone).await;
    }))
}
