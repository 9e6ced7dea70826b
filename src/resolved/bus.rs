//! The system bus: one connection, no cache of properties, a deadline on every call.
//!
//! A service is never started by asking it something: a stopped resolved would be activated by the mere read of a
//! property, and a masked one answers with an error that looks like a broken bus. Who wants a service running says so to
//! [`systemd1`](super::systemd1).

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use zbus::proxy::CacheProperties;
use zbus::wire::{DynamicDeserialize, DynamicType, OwnedVariant};
use zbus::{Connection, Proxy};

use super::error::{BusError, Reason};

/// How long one call may take. All of these services answer from memory, within milliseconds; dbus-daemon itself waits
/// 25 s for an activation, which would hold a whole run. A loaded machine with slow disks stays well under 2 s.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// A connection to the system bus.
#[derive(Debug, Clone)]
pub struct Bus {
    connection: Connection,
    deadline: Duration,
}

/// An object of a service, with one of its interfaces.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// The well-known name.
    pub service: &'a str,
    /// The object's path.
    pub path: &'a str,
    /// The interface.
    pub interface: &'a str,
}

impl<'a> Object<'a> {
    /// The same object by another of its interfaces.
    pub fn by(self, interface: &'a str) -> Object<'a> {
        Object { interface, ..self }
    }
}

const DAEMON: Object<'static> =
    Object { service: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

impl Bus {
    /// Connects to the bus at this address, else to that of `DBUS_SYSTEM_BUS_ADDRESS`, else to the usual socket.
    ///
    /// # Errors
    /// [`Reason::NoBus`] where nobody listens, [`Reason::Timeout`] where somebody does and says nothing.
    pub async fn connect(address: Option<&str>) -> Result<Bus, BusError> {
        let at = address.unwrap_or("the system bus");
        let builder = match address {
            Some(address) => zbus::connection::Builder::address(address),
            None => zbus::connection::Builder::system(),
        };
        let connecting = tokio::time::timeout(DEADLINE, builder.method_timeout(DEADLINE).build());
        let connection = match connecting.await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(BusError::connecting(at, &error)),
            Err(_) => return Err(BusError::new(Reason::Timeout, at, format!("no greeting within {DEADLINE:?}"))),
        };
        Ok(Bus { connection, deadline: DEADLINE })
    }

    /// The same connection with another deadline for each call.
    pub fn within(&self, deadline: Duration) -> Bus {
        Bus { connection: self.connection.clone(), deadline }
    }

    /// The connection itself, for signals.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Calls a method; never starts the service.
    ///
    /// # Errors
    /// [`BusError`] of any reason.
    pub async fn call<B, R>(&self, object: Object<'_>, method: &str, body: &B) -> Result<R, BusError>
    where
        B: Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        let name = || format!("{}.{method}", object.interface);
        let call = async {
            let proxy: Proxy<'_> = zbus::proxy::Builder::new(&self.connection)
                .destination(object.service)
                .path(object.path)
                .interface(object.interface)
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            proxy.call_with_flags::<_, B, R>(method, zbus::proxy::MethodFlags::NO_AUTO_START, body).await
        };
        let began = tokio::time::Instant::now();
        let ended = tokio::time::timeout(self.deadline, call).await;
        tracing::trace!(object = object.path, method, took = ?began.elapsed(), "called");
        match ended {
            // A call that wants a reply gives one or an error.
            Ok(Ok(reply)) => reply.ok_or_else(|| BusError::new(Reason::Other, &name(), "no reply".into())),
            Ok(Err(error)) => Err(BusError::of(&name(), &error)),
            Err(_) => Err(BusError::new(Reason::Timeout, &name(), format!("no reply within {:?}", self.deadline))),
        }
    }

    /// Whether the bus itself still answers.
    ///
    /// # Errors
    /// [`Reason::NoBus`] and others where it does not.
    pub async fn call_daemon(&self) -> Result<(), BusError> {
        let owner: Result<String, BusError> = self.call(DAEMON, "GetNameOwner", &("org.freedesktop.systemd1",)).await;
        owner.map(|_| ())
    }

    /// All properties of an interface, as they are now.
    ///
    /// # Errors
    /// As [`Bus::call`].
    pub async fn properties(&self, object: Object<'_>) -> Result<Properties, BusError> {
        let all: HashMap<String, OwnedVariant> =
            self.call(object.by("org.freedesktop.DBus.Properties"), "GetAll", &(object.interface,)).await?;
        Ok(Properties(all))
    }

    /// One property, as it is now.
    ///
    /// # Errors
    /// As [`Bus::call`]; [`Reason::Unsupported`] where this version has none of the name.
    pub async fn property(&self, object: Object<'_>, name: &str) -> Result<OwnedVariant, BusError> {
        self.call(object.by("org.freedesktop.DBus.Properties"), "Get", &(object.interface, name)).await
    }

    /// Completes properties with those that the service leaves out of a list of all (`EXPLICIT` of sd-bus, as through
    /// 256 for `CurrentDNSServer`); what this version does not have stays missing.
    ///
    /// # Errors
    /// As [`Bus::call`], but for [`Reason::Unsupported`].
    pub async fn complete(&self, object: Object<'_>, all: &mut Properties, names: &[&str]) -> Result<(), BusError> {
        for name in names {
            if all.0.contains_key(*name) {
                continue;
            }
            match self.property(object, name).await {
                Ok(value) => _ = all.0.insert((*name).to_owned(), value),
                Err(error) if error.reason == Reason::Unsupported => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The connection that owns a name, or `None` where nobody does.
    ///
    /// # Errors
    /// As [`Bus::call`].
    pub async fn owner(&self, name: &str) -> Result<Option<String>, BusError> {
        match self.call::<_, String>(DAEMON, "GetNameOwner", &(name,)).await {
            Ok(owner) => Ok(Some(owner)),
            Err(error) if error.reason == Reason::Gone => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The process behind a name, by its number where the bus runs.
    ///
    /// # Errors
    /// As [`Bus::call`]; [`Reason::Gone`] where nobody owns it.
    pub async fn pid_of(&self, name: &str) -> Result<u32, BusError> {
        self.call(DAEMON, "GetConnectionUnixProcessID", &(name,)).await
    }
}

/// The properties of one interface.
#[derive(Debug, Default)]
pub struct Properties(HashMap<String, OwnedVariant>);

impl Properties {
    /// A property in the type that it should have; `None` where this version has none of the name, or of another type.
    pub fn get<T>(&mut self, name: &str) -> Option<T>
    where
        T: TryFrom<OwnedVariant>,
    {
        T::try_from(self.0.remove(name)?).ok()
    }

    /// A property of text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.get(name)
    }
}
