//! A rename to a name that somebody else has.

use super::*;

fn renamed(there: &str) -> World {
    World::new().claim("x", "old A 10.0.0.1").settle().there(there)
}

#[test]
fn the_old_set_stays_until_the_new_name_can_be_had() {
    for there in ["new A 10.9.0.1", "new DHCID x"] {
        let world = renamed(there);
        let moved = world.without("x").claim("x", "new A 10.0.0.1");
        let plan = moved.plan();
        assert!(plan.changes.is_empty() && plan.is_settled(), "{:?}", lines(&plan));
        assert_eq!(plan.conflicts.len(), 1);
        assert!(plan.conflicts[0].message.ends_with("; until then old.internal A stays"), "{:?}", plan.conflicts);
        // The name is free: both at once.
        let mut free = moved;
        free.cut(there.split(' ').take(2).collect::<Vec<_>>().join(" ").as_str());
        assert_eq!(lines(&free.plan()), ["create new A", "delete old A"]);
    }
}

#[test]
fn what_somebody_else_declares_or_deletes_is_not_held_up_by_it() {
    let stuck = renamed("new A 10.9.0.1").without("x").claim("x", "new A 10.0.0.1");
    // Somebody else declares the old name now.
    let wanted = stuck.clone().claim("y", "old A 10.0.0.2");
    assert!(!wanted.plan().changes.is_empty(), "{:?}", lines(&wanted.plan()));
    // The object is deleted.
    let gone = stuck.clone().without("x").state("x", Some(ObjectState::Deleting));
    assert_eq!(lines(&gone.plan()), ["delete old A"]);
    // An edit back takes nothing out either.
    let back = stuck.without("x").claim("x", "old A 10.0.0.1");
    assert!(back.plan().changes.is_empty());
}

/// An object that declares many names: what it does not declare any more has nothing to do with the one it cannot have.
#[test]
fn an_object_of_many_names_lets_go_what_it_does_not_declare() {
    let world = World::new().claim("dnsendpoint/dns/x", "old A 10.0.0.1").settle().there("new A 10.9.0.1");
    let moved = world.without("dnsendpoint/dns/x").claim("dnsendpoint/dns/x", "new A 10.0.0.1");
    assert!(lines(&moved.plan()).contains(&"delete old A".to_owned()));
}
