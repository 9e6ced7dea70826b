//! The reason words of a status that no other suite comes by, each from its real cause on a real API server and a real Knot.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::operator::{World, record};
use support::{knot, wait};

#[test]
fn what_cannot_be_published_says_why_and_holds_up_nobody() {
    // The operator's key may write addresses, names and texts, and no mail exchangers.
    let acl = "  - id: op\n    key: operator\n    action: [update, transfer, query]\n    update-type: [A, PTR, CNAME, TXT]\n  \
               - id: kea\n    key: kea-ddns\n    action: [update, transfer, query]\n";
    let setup = knot::Setup { acl: Some(("op, kea".into(), acl.into())), ..knot::Setup::default() };
    let Some(world) = World::with_knot(&setup) else { return };
    let _operator = world.operator();
    let long: Vec<String> = (0..120).map(|n| format!("\"{n:03}{}\"", "x".repeat(247))).collect();
    world.apply_ready("kept", "{name: kept.internal, a: [10.0.0.1]}");
    world.cluster.must_apply(&record("denied", "{name: sub.internal, ns: [ns.internal]}"));
    world.cluster.must_apply(&record("large", &format!("{{name: large.internal, txt: [{}]}}", long.join(", "))));
    world.cluster.must_apply(&record("mail", "{name: mail.internal, mx: [{preference: 10, exchange: m.internal}]}"));
    world.cluster.must_apply(&record("twin", "{name: kept.internal, a: [10.0.0.2]}"));
    for (name, reason, words) in [
        ("denied", "ClaimDenied", "claims"),
        ("large", "Incompatible", "large.internal"),
        ("mail", "UpdateRefused", "MX"),
        ("twin", "NameClaimed", "staticdnsrecord/default/kept"),
    ] {
        world.until_ready(name, "False", reason);
        let message = world.condition(name, "Ready", "message");
        assert!(message.contains(words), "{name}: {message}");
        assert_eq!(world.condition(name, "Stalled", "status"), "True", "{name}: {message}");
    }
    // A DHCP server gives a name of ours to a machine.
    world.foreign(&["kept.internal. 300 DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="]);
    world.until_ready("kept", "False", "Contested");
    assert_eq!(world.dig("kept.internal", "A"), ["10.0.0.1"], "nothing is touched");
    world.apply_ready("other", "{name: other.internal, a: [10.0.0.3]}");
    // Somebody else's finalizer keeps an object whose records are gone.
    world.cluster.must(&[
        "patch",
        "staticdnsrecord",
        "other",
        "--type=json",
        "-p",
        r#"[{"op":"add","path":"/metadata/finalizers/-","value":"example.net/x"}]"#,
    ]);
    world.cluster.must(&["delete", "staticdnsrecord", "other", "--wait=false"]);
    world.until_ready("other", "False", "Deleting");
    world.until("its record to go", |world| world.dig("other.internal", "A").is_empty());
    world.cluster.must(&[
        "patch",
        "staticdnsrecord",
        "other",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/metadata/finalizers"}]"#,
    ]);
}

#[test]
fn a_server_that_is_away_and_a_fence_that_is_lost_are_told() {
    let Some(mut world) = World::start() else { return };
    let mut operator = world.operator();
    world.apply_ready("first", "{name: first.internal, a: [10.0.0.1]}");
    world.place.knot.kill();
    world.cluster.must_apply(&record("second", "{name: second.internal, a: [10.0.0.2]}"));
    world.until_ready("second", "False", "ServerUnreachable");
    world.place.knot.resume();
    world.until_ready("second", "True", "Programmed");
    operator.kill();
    // The zone loses the fence while nobody looks: somebody else may be at work.
    world.remove("home._knotwork.internal. TXT");
    let _operator = world.operator_with("again", &[]);
    world.cluster.must_apply(&record("third", "{name: third.internal, a: [10.0.0.3]}"));
    world.until_ready("third", "False", "FenceLost");
    let message = world.condition("third", "Ready", "message");
    assert!(message.contains("zone takeover internal --to "), "{message}");
    assert!(world.dig("third.internal", "A").is_empty());
    wait::until("the zone to say so", || {
        world.zone("internal", "{.status.conditions[*].reason}").contains("FenceLost").then_some(())
    });
}

/// Somebody takes a record out as soon as it is there, again and again: what the server accepted is not believed, and that is said.
#[test]
fn a_record_that_does_not_stay_is_not_called_programmed() {
    let Some(world) = World::start() else { return };
    let _operator = world.operator();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                world.remove("rival.internal. A");
            }
        });
        world.cluster.must_apply(&record("rival", "{name: rival.internal, a: [10.0.0.1]}"));
        let begun = std::time::Instant::now();
        let seen = std::iter::repeat_with(|| {
            let reason = world.condition("rival", "Programmed", "reason");
            matches!(reason.as_str(), "NotEffective" | "Unconfirmed" | "Conflict").then_some(reason)
        })
        .take_while(|_| begun.elapsed() < std::time::Duration::from_secs(90))
        .find_map(|seen| seen);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(seen.is_some(), "{}", world.condition("rival", "Programmed", "message"));
    });
    world.until_ready("rival", "True", "Programmed");
    assert_eq!(world.dig("rival.internal", "A"), ["10.0.0.1"]);
}
