//! The configuration as a schema: so that everything that is misspelt or of the wrong kind is said at once, and editors
//! can complete it. The types in `config` read it; a test holds the two together.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// The schema of `knotwork.yaml`, in the words of JSON Schema.
pub static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    closed(
        "Knotwork's configuration.",
        json!({
            "owner": text("The id of this installation, written in its markers: one DNS label, at most 32 characters."),
            "instance": text("Who holds the owner id: this machine or cluster. Default: made from the machine id."),
            "marker": closed("Ownership markers.", json!({"label": text("The label under which they stand. Default: _knotwork.")}), &[]),
            "servers": list("Servers with their zones.", server()),
            "webhook": webhook(),
            "claims": list("Who may declare what; without it, files are trusted.", rule()),
        }),
        &["owner", "servers"],
    )
});

fn server() -> Value {
    let address = json!({"title": "an address or a list of addresses", "description": "10.0.0.1, 10.0.0.1:5301 or [fd00::1]:5301; several are tried in order.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    let tsig = json!({
        "name": text("The key's name; with keyFile, which of its keys."),
        "algorithm": text("hmac-sha256 (default), hmac-sha384, hmac-sha512 or hmac-sha1."),
        "secretFile": text("A file with the secret in base64, relative to this file."),
        "keyFile": text("A file in BIND's key format, relative to this file."),
    });
    let seconds = |what: &str| json!({"type": "integer", "description": format!("{what}, seconds.")});
    let timeouts = json!({
        "connect": seconds("To connect"),
        "query": seconds("For an answer to a query"),
        "update": seconds("For an answer to an UPDATE"),
        "transfer": seconds("For a whole transfer"),
    });
    closed(
        "One server.",
        json!({
            "name": text("What it is called in messages and metrics."),
            "address": address,
            "sourceAddress": text("The address to speak from."),
            "tsig": closed("The key that signs what is said to it.", tsig, &[]),
            "timeouts": closed("Deadlines.", timeouts, &[]),
            "zones": list("Its zones.", zone()),
        }),
        &["name", "address", "zones"],
    )
}

fn zone() -> Value {
    let affix = json!({
        "prefix": text("--txt-prefix of ExternalDNS."),
        "suffix": text("--txt-suffix of ExternalDNS."),
        "wildcardReplacement": text("--txt-wildcard-replacement of ExternalDNS."),
    });
    // Ranges are the code's to check, so that each fault is said once.
    let brake = json!({
        "percent": {"type": "integer", "description": "Of the sets owned; default 30."},
        "atLeast": {"type": "integer", "description": "So many always pass; default 10."},
    });
    let adopt = json!({
        "heritage": {"type": "string", "enum": ["nix", "knotwork", "external-dns"], "description": "The tool."},
        "managedBy": text("With nix: its managed-by."),
        "owner": text("With knotwork and external-dns: the owner id."),
    });
    closed(
        "One zone.",
        json!({
            "name": text("The apex."),
            "defaultTtl": {"type": "integer", "description": "TTL of records that declare none, seconds; default 300."},
            "externalDns": list("How ExternalDNS installations name their TXTs here.", closed("One installation.", affix, &[])),
            "nixPrefix": text("Prefix of the Nix module's markers; default nix."),
            "adoptFrom": list("Whose markers may be taken over.", closed("One tool.", adopt, &["heritage"])),
            "brake": closed("The limit on deletes and replaces.", brake, &[]),
            "mode": {"type": "string", "enum": ["Repair", "Observe"], "description": "Observe reports and writes nothing."},
            "checkInterval": text("Longest pause between two looks at the serial: 200ms, 1s, 5m."),
            "release": text("The hash of held operations that may go."),
        }),
        &["name"],
    )
}

fn webhook() -> Value {
    closed(
        "For which ExternalDNS knotwork webhook writes.",
        json!({
            "owner": text("Its --txt-owner-id."),
            "migrateFrom": texts("Owner ids whose records become its own when they are written."),
            "zones": texts("The zones that it may write; absent: all of this configuration."),
            "minTtl": {"type": "integer", "description": "The shortest TTL that is published, seconds."},
            "defaultTtl": {"type": "integer", "description": "TTL of endpoints that declare none, seconds; absent: the zone's, for new ones."},
            "txtEncryptKeyFile": text("A file with its --txt-encrypt-aes-key, relative to this file."),
            "ptr": {"type": "boolean", "description": "Whether addresses get PTRs in the configured reverse zones where their endpoint does not say (webhook/ptr)."},
            "stateFile": text("Where the brake remembers over a restart what went before it; relative to this file. knotwork operator keeps that in the DNSZone objects."),
        }),
        &["owner"],
    )
}

fn rule() -> Value {
    closed(
        "One rule: what these namespaces may declare.",
        json!({
            "namespaces": texts("Namespaces; * is every one."),
            "names": texts("Owner names: internal is just this name, *.internal all below it; absent: any."),
            "types": texts("Record types; absent: any that needs no word of its own."),
            "addresses": texts("Address ranges of A and AAAA records and of PTRs made for them; absent: any."),
            "takeover": {"type": "boolean", "description": "Whether adopt: Takeover is allowed."},
            "share": {"type": "boolean", "description": "Whether a record set may be shared with other namespaces that may."},
        }),
        &["namespaces"],
    )
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn texts(description: &str) -> Value {
    list(description, json!({"type": "string"}))
}

fn list(description: &str, items: Value) -> Value {
    json!({"type": "array", "description": description, "items": items})
}

/// A mapping with these keys and no others.
fn closed(description: &str, properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "description": description, "required": required, "properties": properties})
}
