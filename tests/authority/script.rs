//! What is sent to both servers.

use std::fmt::Write as _;

use knotwork::dns::{Class, Message, Opcode, Question, Record};
use knotwork::model::{Name, Rdata, RrType, rdata};
use knotwork::view::View;

/// The zone at the start.
pub const ZONE: &str = "\
$ORIGIN internal.
$TTL 300
@ 3600 SOA ns0 hostmaster 7 3600 600 86400 60
@ NS ns0
@ MX 10 mail
ns0 A 10.0.0.2
mail A 10.0.0.3
www A 10.0.0.1
www A 10.0.0.9
www TXT \"Hello\" \"world\"
alias CNAME www
chain CNAME alias
away CNAME www.example.org.
gone CNAME nowhere
loop1 CNAME loop2
loop2 CNAME loop1
self CNAME self
a.b.deep A 10.0.0.4
*.wild A 10.0.0.5
*.wild TXT \"wild\"
x.held.wild TXT \"held\"
*.walias CNAME www
*.wout CNAME nowhere
sub NS ns.sub
sub NS ns.example.org.
sub DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000
ns.sub A 10.0.0.6
tree DNAME new
h.new A 10.0.0.7
out DNAME example.org.
srv SRV 0 0 80 www
multi MX 10 mail
multi MX 20 www
mixed TYPE65400 \\# 3 010203
";

/// Questions: name and type.
pub const QUERIES: &[(&str, &str)] = &[
    ("internal", "SOA"),
    ("internal", "NS"),
    ("internal", "A"),
    ("internal", "DS"),
    ("internal", "ANY"),
    ("ns.sub.internal", "ANY"),
    ("www.internal", "A"),
    ("www.internal", "TXT"),
    ("www.internal", "AAAA"),
    ("www.internal", "ANY"),
    ("nowhere.internal", "A"),
    ("a.nowhere.internal", "A"),
    ("alias.internal", "A"),
    ("alias.internal", "CNAME"),
    ("alias.internal", "AAAA"),
    ("alias.internal", "ANY"),
    ("chain.internal", "A"),
    ("chain.internal", "MX"),
    ("away.internal", "A"),
    ("gone.internal", "A"),
    ("loop1.internal", "A"),
    ("self.internal", "A"),
    ("deep.internal", "A"),
    ("b.deep.internal", "A"),
    ("c.deep.internal", "A"),
    ("wild.internal", "A"),
    ("x.wild.internal", "A"),
    ("x.y.wild.internal", "A"),
    ("x.wild.internal", "TXT"),
    ("x.wild.internal", "MX"),
    ("x.wild.internal", "ANY"),
    ("*.wild.internal", "A"),
    ("held.wild.internal", "A"),
    ("y.held.wild.internal", "A"),
    ("x.walias.internal", "A"),
    ("x.walias.internal", "CNAME"),
    ("x.wout.internal", "A"),
    ("sub.internal", "A"),
    ("sub.internal", "NS"),
    ("sub.internal", "DS"),
    ("sub.internal", "ANY"),
    ("x.sub.internal", "A"),
    ("x.sub.internal", "DS"),
    ("ns.sub.internal", "A"),
    ("tree.internal", "DNAME"),
    ("tree.internal", "A"),
    ("h.tree.internal", "A"),
    ("h.tree.internal", "CNAME"),
    ("h.tree.internal", "TXT"),
    ("h.tree.internal", "ANY"),
    ("nope.tree.internal", "A"),
    ("a.out.internal", "A"),
    ("srv.internal", "SRV"),
    ("multi.internal", "MX"),
    ("mixed.internal", "TYPE65400"),
    ("www.example.org", "A"),
    ("org", "NS"),
    (
        "0123456789012345678901234567890123456789.0123456789012345678901234567890123456789.0123456789012345678901234567890123456789.0123456789012345678901234567890123456789.0123456789012345678901234567890123456789.0123456789012345678901234567890.tree.internal",
        "A",
    ),
];

/// UPDATEs, one after the other on one zone: title and records. A line is `?` (prerequisite) or `+` (update), class, TTL,
/// owner, type, and the value if there is one; `zone` lines replace the zone section; `hex:` values are raw.
pub fn updates() -> impl Iterator<Item = (&'static str, &'static str)> {
    UPDATES.split("\n# ").filter(|part| !part.trim().is_empty()).map(|part| {
        let part = part.trim_start_matches('#').trim();
        part.split_once('\n').unwrap_or((part, ""))
    })
}

fn name(text: &str) -> Name {
    match text {
        "@" => Name::parse("internal").unwrap(),
        text if Name::is_absolute(text) => Name::parse(text).unwrap(),
        text => Name::parse(text).unwrap().under(&Name::parse("internal").unwrap()).unwrap(),
    }
}

fn class(text: &str) -> Class {
    match text {
        "IN" => Class::IN,
        "ANY" => Class::ANY,
        "NONE" => Class::NONE,
        "CH" => Class::CH,
        other => Class(other.parse().unwrap()),
    }
}

fn value(rtype: RrType, text: &str) -> Rdata {
    if let Some(hex) = text.strip_prefix("hex:") {
        return (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    }
    match text {
        "" => Box::default(),
        text => rdata::from_text(rtype, text, Some(&name("@"))).unwrap(),
    }
}

/// The message of one step.
pub fn message(text: &str) -> Message {
    let mut message = Message::new(77, Opcode::UPDATE);
    let mut zones = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        if line == "zone none" {
            continue;
        }
        if words[0] == "zone" {
            let rtype = RrType::parse(words[3]).unwrap();
            zones.push(Question { name: name(words[1]), rtype, class: class(words[2]) });
            continue;
        }
        let rtype = RrType::parse(words[4]).unwrap_or_else(|| panic!("{line}"));
        let record = Record {
            name: name(words[3]),
            rtype,
            class: class(words[1]),
            ttl: words[2].parse().unwrap(),
            rdata: value(rtype, words.get(5).copied().unwrap_or("")),
        };
        match words[0] {
            "?" => message.answers.push(record),
            "+" => message.authorities.push(record),
            other => panic!("{other}"),
        }
    }
    if zones.is_empty() && !text.contains("zone none") {
        zones.push(Question { name: name("@"), rtype: RrType::SOA, class: Class::IN });
    }
    message.questions = zones;
    message
}

/// A zone as text, to make one server's the other's.
pub fn zone_of(view: &View) -> String {
    let mut text = String::new();
    for (name, rtype, set) in view.sets() {
        for value in &set.values {
            let _ = writeln!(text, "{name} {} {rtype} {}", set.ttl, rdata::to_text(rtype, value));
        }
    }
    text
}

const UPDATES: &str = include_str!("updates.txt");
