//! What a server means by its answer, in words for a person (`knot.md` §2.2, RFC 2136 §3, RFC 8945 §5).

use super::message::Rcode;
use super::tsig::{FUDGE, TsigError};
use super::xfr::XfrError;
use crate::model::Name;

/// What was asked for when the answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A question, the SOA poll for example.
    Query,
    /// A zone transfer.
    Transfer,
    /// An UPDATE.
    Update,
}

impl Asked {
    fn action(self) -> &'static str {
        match self {
            Asked::Query => "query",
            Asked::Transfer => "transfer",
            Asked::Update => "update",
        }
    }
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// A stable word.
    pub reason: &'static str,
    /// What is wrong and what to do, one or two sentences.
    pub message: String,
    /// Whether the same request may succeed later without anybody's doing.
    pub temporary: bool,
}

fn told(reason: &'static str, temporary: bool, message: String) -> Explanation {
    Explanation { reason, message, temporary }
}

/// Explains an answer that is verified, or that needed no signature; `key` names the TSIG key used, if any.
///
/// The rcodes of prerequisites are explained as what they say of the name; NOERROR as nothing wrong.
pub fn rcode(asked: Asked, zone: &Name, key: Option<&Name>, rcode: Rcode) -> Explanation {
    let action = asked.action();
    let as_key = key.map_or("without a TSIG key".to_owned(), |key| format!("with key {}", key.to_relaxed()));
    let zone = zone.to_relaxed();
    let race = "It changed since our copy was made; this update was not applied, and the change is planned again.";
    match rcode {
        Rcode::NOERROR => told("Ok", false, "the server did as asked".into()),
        Rcode::FORMERR => told(
            "UpdateMalformed",
            false,
            format!(
                "the server could not read the {action} for {zone} (FORMERR): a record holds data that it does not take \
                 for valid, or its software is too old for one of the types. This update was not applied."
            ),
        ),
        Rcode::SERVFAIL => told(
            "ServerFailed",
            true,
            match asked {
                Asked::Update => format!(
                    "the server failed inside and did not apply this update of {zone} (SERVFAIL). It is tried again. If it stays: \
                     its journal is full, the zone is not loaded, a set is over BIND's max-records-per-type \
                     (100 by default), or (Knot before 3.4) another writer sends updates \
                     that are refused; its log says which."
                ),
                _ => format!("the server has no usable copy of {zone} now (SERVFAIL): see its log; it is tried again."),
            },
        ),
        Rcode::NXDOMAIN if asked == Asked::Update => {
            told("Conflict", true, format!("a name in {zone} that must be in use is not. {race}"))
        }
        Rcode::NXDOMAIN => {
            told("ZoneNotFound", false, format!("the server knows no {zone}: add it to its configuration."))
        }
        Rcode::YXDOMAIN => told("Conflict", true, format!("a name in {zone} that must be free is in use. {race}")),
        Rcode::YXRRSET => {
            told("Conflict", true, format!("a record set in {zone} that must be absent is there. {race}"))
        }
        Rcode::NXRRSET => {
            told("Conflict", true, format!("a record set in {zone} is not what our copy says, or is gone. {race}"))
        }
        Rcode::NOTIMP => told(
            "NotSupported",
            false,
            format!(
                "the server does not know how to do a DNS {action} of {zone} (NOTIMP): Knotwork needs one that speaks RFC 2136."
            ),
        ),
        Rcode::REFUSED => told(
            "AclRefused",
            false,
            match asked {
                Asked::Update => format!(
                    "the server refused the update of {zone} {as_key} (REFUSED): its ACL does not allow it (BIND: \
                     allow-update or update-policy; Knot: an acl with action update for these names and types), or the \
                     zone is frozen. This update was not applied."
                ),
                _ => format!(
                    "the server refused the {action} of {zone} {as_key} (REFUSED): allow it there (BIND: \
                     allow-transfer; Knot: an acl with action {action}), and check that it serves the zone."
                ),
            },
        ),
        Rcode::NOTAUTH => told(
            "NotAuthorised",
            false,
            match key {
                Some(_) => format!(
                    "the server does not serve {zone}, or its ACL does not allow this {action} {as_key} (NOTAUTH). Check \
                     that {zone} is a zone of its own there, and (Knot) that an acl of it names the key, our address and \
                     action {action}, with these names and types."
                ),
                None => format!(
                    "the server does not serve {zone}, or does not allow this {action} without a key (NOTAUTH): set \
                     tsig for this server in the configuration."
                ),
            },
        ),
        Rcode::NOTZONE => told(
            "NotInZone",
            false,
            format!(
                "the server found a name in the {action} that is not in {zone} (NOTZONE). This update was not applied."
            ),
        ),
        other => told(
            "UnexpectedAnswer",
            false,
            format!("the server answered the {action} for {zone} with {other}; see its log."),
        ),
    }
}

/// What an ACL does not allow, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The action as such: a message that changes nothing is not let in either.
    Action,
    /// These names or types: other messages are let in.
    Scope,
    /// One of the two.
    Either,
}

/// Explains NOTAUTH to a client that has had a good answer about this zone with the same key: the key and the zone are
/// known then, so it is the ACL. Knot answers so (`knot.md` fact 9).
pub fn not_allowed(asked: Asked, zone: &Name, key: Option<&Name>, missing: Missing) -> String {
    let (action, zone) = (asked.action(), zone.to_relaxed());
    let Some(key) = key.map(Name::to_relaxed) else {
        return format!(
            "the server serves {zone}, but its ACL does not allow this {action} without a key (NOTAUTH): set tsig for \
             this server in the configuration, with a key that may {action} there."
        );
    };
    let head = format!("the server knows key {key} and serves {zone}, but its ACL does not allow");
    let action_line = format!(
        "add `{action}` to the action list of the acl with `key: {key}` that zone {zone} names in knot.conf (where it \
         stands there already, look at `address` and `deny` of the acls)"
    );
    let scope_line = format!(
        "add them to `update-type` and `update-owner-name` of the acl with `key: {key}` that zone {zone} names in knot.conf"
    );
    match missing {
        Missing::Action => format!("{head} any {action} with it (NOTAUTH): {action_line}."),
        Missing::Scope => format!(
            "the server lets key {key} {action} {zone}, but its ACL does not allow these names or types (NOTAUTH): {scope_line}."
        ),
        Missing::Either => format!("{head} this {action} with it (NOTAUTH): {action_line}, or these names and types."),
    }
}

/// Explains an answer that was not accepted for its signature, or what the server said of ours.
pub fn tsig(asked: Asked, zone: &Name, key: &Name, error: &TsigError) -> Explanation {
    let action = asked.action();
    let (zone_text, key_text) = (zone.to_relaxed(), key.to_relaxed());
    match error {
        TsigError::BadKey(_) => told(
            "KeyRefused",
            false,
            format!(
                "the server does not accept key {key_text} for this {action} of {zone_text} (BADKEY). Either it does not \
                 know the key under this name and algorithm, or (Knot before 3.5 says the same) its ACL does not allow \
                 the key this {action}. Compare `key:` and `acl:` there with tsig in the configuration."
            ),
        ),
        TsigError::BadSig(_) => told(
            "SecretDiffers",
            false,
            format!("the server knows key {key_text} with another secret (BADSIG): put the same secret on both sides."),
        ),
        TsigError::BadTime { ours, server } => {
            let (off, direction) = (ours.abs_diff(*server), if ours > server { "ahead of" } else { "behind" });
            told(
                "ClockDiffers",
                true,
                format!(
                    "our clock is {off} s {direction} the server's (BADTIME): {ours} here, {server} there, and {FUDGE} s \
                     are allowed. Let both take the time from NTP."
                ),
            )
        }
        // An unsigned answer counts as a failure only; what it says is passed on as hearsay.
        TsigError::Unsigned(Rcode::NOERROR) => told(
            "AnswerUnsigned",
            false,
            format!(
                "the answer to the signed {action} of {zone_text} is not signed and was not used: the server does not \
                 know about key {key_text}, or the answer is forged."
            ),
        ),
        TsigError::Unsigned(Rcode::NOTAUTH) => told(
            "NotAuthorised",
            false,
            format!(
                "the server answered NOTAUTH without a signature: it does not serve {zone_text}, does not know key \
                 {key_text}, or (Knot from 3.5 on) its ACL does not allow this {action} with it. Compare `zone:`, `key:` \
                 and `acl:` there with the configuration."
            ),
        ),
        TsigError::Unsigned(other) => {
            let told = rcode(asked, zone, Some(key), *other);
            Explanation { message: format!("{} (The answer is not signed.)", told.message), ..told }
        }
        TsigError::Other(_, 22) => told(
            "SignatureRefused",
            false,
            format!("the server wants longer signatures than key {key_text} makes (BADTRUNC)."),
        ),
        TsigError::Other(rcode, code) => told(
            "SignatureRefused",
            false,
            format!("the server answered {rcode} with TSIG error {code} to key {key_text}; see its log."),
        ),
        TsigError::Forged | TsigError::WrongKey | TsigError::WrongId => told(
            "AnswerForged",
            true,
            format!(
                "{error}, so it was not used: something between us and the server changes answers, or the server signs \
                 with another key than {key_text}."
            ),
        ),
        TsigError::Stale => told(
            "AnswerForged",
            true,
            format!("{error}, so it was not used: one of the clocks jumped, or an old answer was sent again."),
        ),
        TsigError::UnsignedEnd | TsigError::Malformed(_) => {
            told(error.reason(), true, format!("{error}, so it was not used; it is tried again."))
        }
    }
}

/// Explains a transfer that gave nothing.
pub fn transfer(zone: &Name, key: Option<&Name>, error: &XfrError) -> Explanation {
    match (error, key) {
        (XfrError::Refused(code), _) => rcode(Asked::Transfer, zone, key, *code),
        (XfrError::Tsig(error), Some(key)) => tsig(Asked::Transfer, zone, key, error),
        _ => told(
            error.reason(),
            true,
            format!(
                "the transfer of {} was not used: {error}. Our copy stays as it was; it is tried again.",
                zone.to_relaxed()
            ),
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn every_rcode_says_something_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for code in 0..=11 {
            let told = rcode(Asked::Update, &n("internal"), Some(&n("operator")), Rcode(code));
            assert!(seen.insert(told.message.clone()), "{}", told.message);
            assert!(code == 0 || told.message.contains("internal"));
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        let zone = n("internal");
        let update = |code| rcode(Asked::Update, &zone, Some(&n("operator")), code);
        assert!(
            update(Rcode::SERVFAIL).temporary && update(Rcode::SERVFAIL).message.contains("did not apply this update")
        );
        assert!(!update(Rcode::REFUSED).temporary && update(Rcode::REFUSED).message.contains("with key operator"));
        assert_eq!(update(Rcode::YXDOMAIN).reason, "Conflict");
        assert_eq!(rcode(Asked::Query, &zone, None, Rcode::NXDOMAIN).reason, "ZoneNotFound");
        assert!(rcode(Asked::Update, &zone, None, Rcode::NOTAUTH).message.contains("tsig"));
    }

    #[test]
    fn a_proven_key_is_not_doubted() {
        let (zone, key) = (n("internal"), n("operator"));
        for asked in [Asked::Transfer, Asked::Update] {
            for missing in [Missing::Action, Missing::Scope, Missing::Either] {
                let said = not_allowed(asked, &zone, Some(&key), missing);
                assert!(said.contains("key operator") && !said.contains("does not know"), "{said}");
                assert_eq!(said.contains("action list"), missing != Missing::Scope, "{said}");
            }
        }
        assert!(not_allowed(Asked::Transfer, &zone, Some(&key), Missing::Action).contains("add `transfer` to"));
        assert!(not_allowed(Asked::Update, &zone, None, Missing::Action).contains("tsig"));
    }

    #[test]
    fn signatures() {
        let (zone, key) = (n("internal"), n("operator"));
        let of = |error| tsig(Asked::Update, &zone, &key, &error);
        let clock = of(TsigError::BadTime { ours: 1000, server: 4600 });
        assert!(
            clock.message.contains("3600 s behind") && clock.message.contains("1000") && clock.message.contains("4600")
        );
        assert_eq!(of(TsigError::BadKey(Rcode::NOTAUTH)).reason, "KeyRefused");
        assert_eq!(of(TsigError::BadSig(Rcode::NOTAUTH)).reason, "SecretDiffers");
        assert!(of(TsigError::Unsigned(Rcode::NOTAUTH)).message.contains("ACL"));
        let refused = of(TsigError::Unsigned(Rcode::REFUSED));
        assert_eq!((refused.reason, refused.message.ends_with("is not signed.)")), ("AclRefused", true));
        assert_eq!(of(TsigError::Unsigned(Rcode::NOERROR)).reason, "AnswerUnsigned");
    }

    #[test]
    fn transfers() {
        let zone = n("internal");
        assert_eq!(transfer(&zone, None, &XfrError::Refused(Rcode::REFUSED)).reason, "AclRefused");
        let early = transfer(&zone, None, &XfrError::Early(5));
        assert!(early.temporary && early.message.contains("after 5 records") && early.reason == "TransferIncomplete");
    }
}
