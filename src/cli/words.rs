//! Small phrases that several commands share.

use crate::model::{RrSet, RrType, rdata};
use crate::plan::Held;

/// Most values shown in a line for people.
const SHOWN: usize = 6;

/// The values of a set, joined; long lists are cut with their count.
pub fn values(rtype: RrType, set: &RrSet) -> String {
    let mut text = String::new();
    for (i, value) in set.values.iter().take(SHOWN).enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        text.push_str(&shorten(&rdata::to_text(rtype, value)));
    }
    if set.len() > SHOWN {
        text.push_str(&format!(" (+{})", set.len() - SHOWN));
    }
    text
}

/// The TTL of a change, both where it changes.
pub fn ttls(old: Option<&RrSet>, new: Option<&RrSet>, arrow: &str) -> String {
    match (old, new) {
        (Some(old), Some(new)) if old.ttl != new.ttl => format!("{} {arrow} {}", old.ttl, new.ttl),
        (old, new) => new.or(old).map(|set| set.ttl.to_string()).unwrap_or_default(),
    }
}

/// All values in presentation form.
pub fn all_values(rtype: RrType, set: &RrSet) -> Vec<String> {
    set.values.iter().map(|value| rdata::to_text(rtype, value)).collect()
}

fn shorten(text: &str) -> String {
    const MOST: usize = 100;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let head: String = text.chars().take(MOST).collect();
    format!("{head}…")
}

/// `1 set`, `2 sets`.
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// What the brake holds and beyond what.
pub fn held(held: &Held) -> String {
    let parts: Vec<String> = [(held.deletes, "delete"), (held.replaces, "replace"), (held.takeovers, "takeover")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| count(number, word))
        .collect();
    let are = if held.deletes + held.replaces + held.takeovers == 1 { "is" } else { "are" };
    let owned = if held.owned == 1 { "1 set is".to_owned() } else { format!("{} sets are", held.owned) };
    let number = held.deletes + held.replaces + held.takeovers;
    let room = match held.recent {
        0 => format!("no more than {} may go at once", held.limit),
        gone => format!("no more than {} may go in ten minutes, and {gone} did", held.limit),
    };
    let waits = if number + held.recent <= held.limit { "; what was held once waits for a release" } else { "" };
    format!("{} {are} held: while {owned} ours, {room}{waits}", parts.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brake_says_why_it_holds() {
        let mut brake =
            Held { hash: "1".into(), deletes: 11, replaces: 0, takeovers: 0, owned: 20, limit: 10, recent: 0 };
        assert_eq!(held(&brake), "11 deletes are held: while 20 sets are ours, no more than 10 may go at once");
        // Fewer than the limit, because others went before.
        (brake.deletes, brake.recent) = (4, 8);
        assert_eq!(
            held(&brake),
            "4 deletes are held: while 20 sets are ours, no more than 10 may go in ten minutes, and 8 did"
        );
        // Nothing went and it would fit now: it was more when it was held.
        (brake.deletes, brake.recent) = (1, 0);
        let words = "1 delete is held: while 20 sets are ours, no more than 10 may go at once; what was held once waits for a release";
        assert_eq!(held(&brake), words);
    }
}
