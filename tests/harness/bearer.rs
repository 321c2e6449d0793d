//! A vault with keys to grant, and commands that have nothing but a token.

use super::{KEYVAULT, Ran, World, finish};

/// Four keys: two in scope `deploy`, one in `other`, one in none; and a session.
pub fn with_keys() -> World {
    let mut world = World::own();
    world.run(&["unlock", "--for", "1h"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    for (name, scope) in [("a", Some("deploy")), ("b", Some("deploy")), ("c", Some("other")), ("d", None)] {
        let mut arguments = vec!["add", name];
        arguments.extend(scope.iter().flat_map(|scope| ["--scope", scope]));
        world.run_with_input(&arguments, format!("value-{name}")).ok();
    }
    world
}

pub fn token(world: &World, arguments: &[&str]) -> String {
    world.run(&[&["token", "create"], arguments].concat()).ok().out.trim_end().to_owned()
}

/// A command of the token's bearer, on the same machine and without a session of the owner.
pub fn held(world: &World, token: &str, arguments: &[&str]) -> Ran {
    let mut command = world.command(KEYVAULT);
    finish(command.env("KEYVAULT_TOKEN", token).args(arguments), b"")
}

/// The values of ours that a child saw, in the order of their variables.
pub fn seen(ran: Ran) -> Vec<String> {
    let mut lines: Vec<_> =
        ran.ok().out.lines().filter(|line| line.contains("value-")).map(str::to_owned).collect();
    lines.sort();
    lines
}

pub const ENV: [&str; 3] = ["exec", "--", "env"];
