//! Vectors with a memory: what was seen of the vault before.

use super::set::{Fails, Set};
use super::vector::Pin;

pub(crate) fn all(set: &mut Set) {
    let (now, earlier, branch) =
        (Set::pin_of(&set.plain.now), Set::pin_of(&set.plain.earlier), Set::pin_of(&set.plain.branch));
    let mut alarm = |name: &str, reason: &str, comment: &str, pin: Pin| {
        set.edited(&format!("pin-{name}"), "plain", Fails(reason, "read a", ""), comment, |vector| {
            vector.pin = Some(pin);
        });
    };
    let with = |change: u64, pin: &Pin| Pin { change, ..pin.clone() };
    alarm("rolled-back", "rolled-back", "the change after this one was seen", with(now.change + 1, &earlier));
    alarm(
        "rolled-back-far",
        "rolled-back",
        "a change far from this one was seen",
        with(u64::from(u32::MAX), &earlier),
    );
    alarm("forked-here", "forked", "another record of the same change was seen", branch.clone());
    alarm(
        "forked-before",
        "forked",
        "another record of an earlier change was seen",
        with(earlier.change, &branch),
    );
    alarm(
        "forked-between",
        "forked",
        "another record was seen than the one before the last change",
        with(now.change - 1, &branch),
    );
    alarm("forked-first", "forked", "another first record was seen", with(1, &branch));
    let rekeyed = Set::pin_of(set.base("rekeyed"));
    let comment = "an epoch after this one was seen, at a change that this one goes on from";
    set.edited("pin-epoch", "rekeyed", Fails("rolled-back", "read a", ""), comment, |vector| {
        vector.pin = Some(Pin { epoch: Some(4), ..rekeyed.clone() });
    });
    set.good(
        "pin-epoch-same",
        "rekeyed",
        "this epoch was seen",
        |_| (),
        |vector| vector.pin = Some(Pin { epoch: Some(3), ..rekeyed.clone() }),
    );
    set.good(
        "pin-epoch-before",
        "rekeyed",
        "the epoch before this one was seen",
        |_| (),
        |vector| vector.pin = Some(Pin { epoch: Some(2), ..rekeyed }),
    );
    set.good(
        "pin-same",
        "plain",
        "this very state was seen",
        |_| (),
        |vector| vector.pin = Some(now.clone()),
    );
    set.good(
        "pin-ahead",
        "plain",
        "an earlier state was seen, and the log leads here from it",
        |_| (),
        |vector| {
            vector.pin = Some(earlier.clone());
        },
    );
}
