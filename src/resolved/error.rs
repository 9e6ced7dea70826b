//! What can go wrong on the bus, in stable words.

use std::fmt;

/// Why a call on the bus failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No bus to talk to.
    NoBus,
    /// No reply in time.
    Timeout,
    /// Not allowed: polkit, the bus's policy, or not root.
    Denied,
    /// AppArmor keeps this process off the bus.
    AppArmor,
    /// SELinux does.
    Selinux,
    /// resolved knows no such interface.
    NoSuchLink,
    /// networkd holds the interface, or it is the loopback.
    LinkBusy,
    /// A value that the service does not take; all of the call is refused.
    InvalidArgs,
    /// Too many servers or domains.
    LimitsExceeded,
    /// The unit is masked.
    Masked,
    /// Nobody owns the name, or the object vanished.
    Gone,
    /// This version has no such method or property.
    Unsupported,
    /// A name server answered, only not with what was asked for: NXDOMAIN, SERVFAIL, no such record …
    Answered,
    /// A name server answered, and the check of signatures (DNSSEC) does not let it count.
    Unbelieved,
    /// A job of systemd ended badly, or too many starts came too fast.
    JobFailed,
    /// Anything else.
    Other,
}

impl Reason {
    /// The word that stands in statuses, metrics and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Reason::NoBus => "NoBus",
            Reason::Timeout => "Timeout",
            Reason::Denied => "Denied",
            Reason::AppArmor => "AppArmorDenied",
            Reason::Selinux => "SELinuxDenied",
            Reason::NoSuchLink => "NoSuchLink",
            Reason::LinkBusy => "LinkBusy",
            Reason::InvalidArgs => "InvalidArgs",
            Reason::LimitsExceeded => "LimitsExceeded",
            Reason::Masked => "Masked",
            Reason::Gone => "Gone",
            Reason::Unsupported => "Unsupported",
            Reason::Answered => "Answered",
            Reason::Unbelieved => "DnssecFailed",
            Reason::JobFailed => "JobFailed",
            Reason::Other => "Other",
        }
    }

    /// What a person can do, where that is always the same.
    pub fn way_out(self) -> Option<&'static str> {
        Some(match self {
            Reason::NoBus => {
                "see that dbus runs and its socket is reachable (in a container: mount the directory /run/dbus)"
            }
            Reason::Denied => {
                "run as root of the host (in a pod: runAsUser 0 and hostUsers: true; no capability is needed)"
            }
            Reason::AppArmor => {
                "let the container run unconfined (appArmorProfile: {type: Unconfined}) or under a profile with dbus rules"
            }
            Reason::Selinux => "run the container as spc_t (seLinuxOptions: {type: spc_t})",
            Reason::Masked => "systemctl unmask the unit",
            _ => return None,
        })
    }

    /// Whether asking again soon may help. A denial stays one until somebody changes a profile: never retry it hot.
    pub fn is_passing(self) -> bool {
        matches!(self, Reason::Timeout | Reason::Gone | Reason::LinkBusy | Reason::JobFailed | Reason::NoBus)
    }

    fn of_name(name: &str, message: &str) -> Reason {
        let Some((rest, last)) = name.rsplit_once('.') else { return Reason::Other };
        // Each rcode has a name of its own (`BUS_ERROR_DNS_*` of systemd's bus-common-errors.h).
        if rest.ends_with(".resolve1.DnsError") {
            return Reason::Answered;
        }
        // Errors of resolve1, network1, systemd1 and the bus itself; the last word says the same in all of them.
        match last {
            "AccessDenied" | "InteractiveAuthorizationRequired" | "AuthFailed" if message.contains("AppArmor") => {
                Reason::AppArmor
            }
            "AccessDenied" if message.contains("SELinux") => Reason::Selinux,
            "AccessDenied" | "InteractiveAuthorizationRequired" | "AuthFailed" => Reason::Denied,
            "NoSuchLink" => Reason::NoSuchLink,
            "LinkBusy" => Reason::LinkBusy,
            "InvalidArgs" => Reason::InvalidArgs,
            // E2BIG is what 252 and 257 say of too many domains.
            "LimitsExceeded" | "E2BIG" => Reason::LimitsExceeded,
            "UnitMasked" => Reason::Masked,
            "ServiceUnknown" | "NameHasNoOwner" | "UnknownObject" | "Disconnected" | "NoSuchUnit" | "NoServer"
            | "NoSuchDelegate" | "NoSuchDnsDelegate" => Reason::Gone,
            "UnknownMethod" | "UnknownProperty" | "UnknownInterface" | "NotSupported" | "JobTypeNotApplicable" => {
                Reason::Unsupported
            }
            // What came from a server could not be used: it came all the same.
            "NoSuchRR" | "CNameLoop" => Reason::Answered,
            "DnssecFailed" | "NoTrustAnchor" => Reason::Unbelieved,
            "NoReply" | "Timeout" | "TimedOut" => Reason::Timeout,
            _ => Reason::Other,
        }
    }
}

/// A call on the bus that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusError {
    /// The stable word.
    pub reason: Reason,
    /// What was called.
    pub call: String,
    /// What the other side said.
    pub message: String,
}

impl BusError {
    pub(super) fn new(reason: Reason, call: &str, message: String) -> BusError {
        BusError { reason, call: call.to_owned(), message }
    }

    pub(super) fn connecting(at: &str, error: &zbus::Error) -> BusError {
        let mapped = BusError::of(at, error);
        // Whatever else keeps us from it: without a greeting there is no bus.
        let reason = match mapped.reason {
            Reason::AppArmor | Reason::Selinux | Reason::Denied | Reason::Timeout => mapped.reason,
            _ => Reason::NoBus,
        };
        BusError { reason, ..mapped }
    }

    pub(super) fn of(call: &str, error: &zbus::Error) -> BusError {
        use zbus::DBusError as _;
        let (reason, message) = match error {
            zbus::Error::MethodError(name, message, _) => {
                let message = message.clone().unwrap_or_else(|| name.to_string());
                (Reason::of_name(name.as_str(), &message), message)
            }
            zbus::Error::FDO(fdo) => {
                let message = fdo.description().map_or_else(|| fdo.to_string(), str::to_owned);
                (Reason::of_name(fdo.name().as_str(), &message), message)
            }
            zbus::Error::InputOutput(io) | zbus::Error::Connection(io, _) => {
                let reason = match io.kind() {
                    std::io::ErrorKind::TimedOut => Reason::Timeout,
                    std::io::ErrorKind::PermissionDenied => Reason::Denied,
                    _ => Reason::NoBus,
                };
                (reason, io.to_string())
            }
            other => (Reason::Other, other.to_string()),
        };
        BusError { reason, call: call.to_owned(), message }
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.call, self.reason.word(), self.message)?;
        match self.reason.way_out() {
            Some(way_out) => write!(f, "; {way_out}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BusError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_services_become_the_same_words() {
        for (name, message, reason) in [
            ("org.freedesktop.resolve1.LinkBusy", "Link e1 is managed.", Reason::LinkBusy),
            ("org.freedesktop.resolve1.NoSuchLink", "Link 99 not known", Reason::NoSuchLink),
            ("org.freedesktop.DBus.Error.InvalidArgs", "Invalid DNS server address", Reason::InvalidArgs),
            ("org.freedesktop.DBus.Error.LimitsExceeded", "", Reason::LimitsExceeded),
            ("System.Error.E2BIG", "Argument list too long", Reason::LimitsExceeded),
            ("org.freedesktop.systemd1.UnitMasked", "Unit is masked.", Reason::Masked),
            ("org.freedesktop.systemd1.NoSuchUnit", "", Reason::Gone),
            ("org.freedesktop.DBus.Error.NameHasNoOwner", "", Reason::Gone),
            ("org.freedesktop.DBus.Error.UnknownMethod", "", Reason::Unsupported),
            ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "", Reason::Denied),
            ("org.freedesktop.DBus.Error.AccessDenied", "Permission denied", Reason::Denied),
            ("org.freedesktop.resolve1.DnsError.NXDOMAIN", "'nx.test' not found", Reason::Answered),
            ("org.freedesktop.resolve1.DnsError.SERVFAIL", "Could not resolve", Reason::Answered),
            ("org.freedesktop.resolve1.NoSuchRR", "", Reason::Answered),
            ("org.freedesktop.resolve1.DnssecFailed", "", Reason::Unbelieved),
            ("org.freedesktop.resolve1.NoNameServers", "", Reason::Other),
            ("org.freedesktop.resolve1.NetworkDown", "", Reason::Other),
            ("org.freedesktop.DBus.Error.Timeout", "Query timed out", Reason::Timeout),
            ("strange", "", Reason::Other),
        ] {
            assert_eq!(Reason::of_name(name, message), reason, "{name}");
        }
    }

    #[test]
    fn f42_an_apparmor_denial_says_what_to_do_and_is_not_retried() {
        let said =
            "An AppArmor policy prevents this sender from sending this message to this recipient; type=\"method_call\"";
        let reason = Reason::of_name("org.freedesktop.DBus.Error.AccessDenied", said);
        assert_eq!(reason, Reason::AppArmor);
        assert!(!reason.is_passing());
        let error = BusError::new(reason, "org.freedesktop.resolve1.Manager.GetLink", said.into());
        assert!(error.to_string().contains("AppArmorDenied") && error.to_string().contains("Unconfined"), "{error}");
    }
}
