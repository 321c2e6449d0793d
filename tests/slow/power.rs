//! Case 22 of the fault catalog: the power is cut, and of what was not synced any part may be lost, torn at the
//! disk's sectors, or written in another order than it came. What was acknowledged stands.
//!
//! A VFS under SQLite ([`vfs`]) records what the disk is told ([`tape`]) while a story of commands is told through the
//! library ([`story`], [`deeds`]). Then the power is cut between any two of its operations ([`judge`]), and what a disk
//! may hold by then ([`disk`]) is opened, checked and compared with what had been acknowledged ([`look`]).
//!
//!     KEYVAULT_POWER=100000 cargo test --release --test slow power -- --nocapture
//!
//! cuts it so often instead of the sample; `KEYVAULT_POWER_SEED` tells the stories of another seed.

mod chance;
mod deeds;
mod disk;
mod judge;
mod look;
mod story;
mod tape;
mod vfs;

use std::sync::Mutex;
use std::time::Instant;

use disk::Lies;
use judge::{Tally, judge};
use tape::Name;

/// Power cuts without `KEYVAULT_POWER`.
const SAMPLE: usize = 2000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn seed() -> u64 {
    number("KEYVAULT_POWER_SEED").unwrap_or(22)
}

#[test]
fn case_22_a_power_cut_costs_nothing_that_was_acknowledged() {
    vfs::install();
    let begun = Instant::now();
    let cuts = number("KEYVAULT_POWER").map_or(SAMPLE, |cuts| usize::try_from(cuts).unwrap());
    let stories = cuts.div_ceil(5000).max(2);
    let whole = Mutex::new((seed()..seed() + u64::try_from(stories).unwrap(), Tally::default()));
    let tell = || {
        while let Some(seed) = { whole.lock().unwrap().0.next() } {
            let story = story::tell(seed, if cuts > SAMPLE { 20 } else { 0 });
            let tally = judge(&story, seed, cuts.div_ceil(stories), Lies::Never);
            whole.lock().unwrap().1.add(tally);
        }
    };
    std::thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(tell)));
    });
    let (_, tally) = whole.into_inner().unwrap();
    println!(
        "case 22: seed {}, {} stories, {} commands, {} operations; {} power cuts, {} different images, {} with the \
         command in flight done, {} with reads lost that were only logged, {} with an \
         alarm until a restore or adoption is pinned, {} used afterwards, {} faults, in {:.1?}",
        seed(),
        stories,
        tally.acknowledged,
        tally.operations,
        tally.states,
        tally.distinct.len(),
        tally.ahead,
        tally.reads_lost,
        tally.alarms,
        tally.used,
        tally.faults.len(),
        begun.elapsed()
    );
    let some: Vec<_> = tally.faults.iter().take(20).cloned().collect();
    assert!(some.is_empty(), "\n{}", some.join("\n"));
    assert!(tally.states >= cuts && tally.ahead > 0 && tally.reads_lost > 0 && tally.used > 0);
}

#[test]
fn a_disk_that_lies_about_its_syncs_loses_acknowledged_changes_and_this_test_sees_it() {
    vfs::install();
    let story = story::tell(seed() + 1000, 0);
    for lies in [Lies::Always, Lies::About(Name::Log), Lies::About(Name::Vault), Lies::AboutTheFolder] {
        let tally = judge(&story, seed(), 80, lies);
        println!("{lies:?}: {} of {} states are at fault", tally.faults.len(), tally.states);
        assert!(!tally.faults.is_empty(), "{lies:?} was not seen");
    }
}
