//! `history`: who made a version, and when it was last read.

use crate::harness::World;

fn value(world: &World, name: &str) -> String {
    world.run(&["show", name, "--reveal"]).ok().out
}

#[test]
fn history_tells_who_made_a_version_and_when_it_was_last_read_through_a_rename() {
    let world = World::new();
    world.run(&["generate", "old"]).ok();
    value(&world, "old");
    world.run(&["edit", "old", "--rename", "new"]).ok();
    world.run(&["rotate", "new"]).ok();
    world.run(&["history", "new", "--json"]).prints(r#"
            {"name":"new","versions":[{"version":2,"state":"current","wiped":false,"valid_until":null,"reason":null,"created":"2040-05-17T08:00:00.000Z","since":"2040-05-17T08:00:00.000Z","fingerprint":"xxxxxxxxxxxx","made_by":"ada@host","last_read":null},{"version":1,"state":"retired","wiped":false,"valid_until":null,"reason":null,"created":"2040-05-17T08:00:00.000Z","since":"2040-05-17T08:00:00.000Z","fingerprint":"xxxxxxxxxxxx","made_by":"ada@host","last_read":"2040-05-17T08:00:00.000Z"}]}
        "#);
    world.run(&["history", "new"]).prints(
        "
            VER  STATE  AGE  FINGERPRINT  MADE BY  LAST READ
            2  current  0s  xxxxxxxxxxxx  ada@host  never
            1  retired  0s  xxxxxxxxxxxx  ada@host  just now
        ",
    );
}
