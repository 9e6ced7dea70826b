//! Creating, changing and deleting what is ours alone.

use super::*;

#[test]
fn a_new_name_is_created_whole_and_then_nothing_is_left() {
    let world = World::new().claim("www", "www A 10.0.0.1");
    let plan = world.plan();
    assert_eq!(lines(&plan), ["create www A"]);
    assert_eq!(plan.changes[0].guards, [Guard::NameNotInUse(full("www")), Guard::NameNotInUse(full("_knotwork.www"))]);
    assert_eq!(plan.changes[0].edits.len(), 2);
    let world = world.settle();
    assert_eq!(world.live("www", RrType::A), ["10.0.0.1"]);
    assert_eq!(
        world.marker_texts("www"),
        ["heritage=knotwork,v=1,owner=home,type=A,set=3f0c8e3ea3c6ec25,resource=staticdnsrecord/dns/www"
            .replace("3f0c8e3ea3c6ec25", &crate::ownership::SetHash::of_value(RrType::A, &[10, 0, 0, 1]).to_string())]
    );
    assert_eq!(world.plan().owned, 1);
}
