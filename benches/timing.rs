//! Shows if a check of a credential takes longer the more of it is right: `cargo bench --bench timing`.
//!
//! Two classes of wrong secrets, drawn in random turns: one that differs from the right one in its first byte, one in its
//! last. Welch's t-test over the times, after the manner of dudect (Reparaz, Balasch, Verbauwhede, 2017); also over the
//! times without their slowest tenths, where a busy machine shows. A leak is suspected above |t| = 4.5.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a report, not a program"
)]

use std::hint::black_box;
use std::time::Instant;

use keyvault_core::clock::{Rng, RngError};
use keyvault_core::crypto::SystemRng;
use keyvault_core::identity::Identity;
use keyvault_core::secret::SecretBytes;
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::unlock::keys::Root;
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::unlock::slot::{self, SealedFor};

/// Gives the same bytes each time, with one of them turned over.
struct Fixed(Option<usize>);

impl Rng for Fixed {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        target.fill(0x5A);
        if let Some(place) = self.0 {
            let place = if place == 0 { 0 } else { target.len() - 1 };
            target[place] ^= 1;
        }
        Ok(())
    }
}

/// Times of one class, in nanoseconds.
type Times = Vec<f64>;

/// Welch's t between two samples.
fn welch(left: &[f64], right: &[f64]) -> f64 {
    let mean = |times: &[f64]| times.iter().sum::<f64>() / times.len() as f64;
    let (one, two) = (mean(left), mean(right));
    let spread = |times: &[f64], mean: f64| {
        times.iter().map(|time| (time - mean).powi(2)).sum::<f64>()
            / (times.len() as f64 - 1.0)
            / times.len() as f64
    };
    (one - two) / (spread(left, one) + spread(right, two)).sqrt()
}

/// Runs both classes in random turns and prints |t| of all times and of the fastest nine to five tenths.
fn compare(what: &str, rounds: usize, mut check: impl FnMut(usize)) {
    let mut turns = vec![0_u8; rounds];
    SystemRng.fill(&mut turns).unwrap();
    let mut times: [Times; 2] = [Vec::with_capacity(rounds), Vec::with_capacity(rounds)];
    for turn in turns {
        let class = usize::from(turn & 1);
        let begun = Instant::now();
        check(class);
        times[class].push(begun.elapsed().as_nanos() as f64);
    }
    let mut all: Times = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let worst = (5..=10)
        .map(|tenths| {
            let bound = all[(all.len() - 1) * tenths / 10];
            let kept =
                |class: usize| times[class].iter().copied().filter(|time| *time <= bound).collect::<Times>();
            welch(&kept(0), &kept(1)).abs()
        })
        .fold(0.0, f64::max);
    println!("{what:<44} {rounds:>9} checks, median {:>7.0} ns, worst |t| {worst:.2}", all[all.len() / 2]);
}

fn main() {
    let right = SecretBytes::copy_from(&[0x5A; 4096]);
    let wrong = [0, 4095].map(|place| {
        let mut bytes = [0x5A; 4096];
        bytes[place] ^= 1;
        SecretBytes::copy_from(&bytes)
    });
    compare("comparison of secrets, 4 KiB", 1_000_000, |class| {
        black_box(black_box(&right) == black_box(&wrong[class]));
    });

    let identity = Identity { vault_id: [7; 16], epoch: 1 };
    let sealed_for = SealedFor { own: identity, others: &Vec::new };
    let root = Root::create(&SystemRng).unwrap();
    let file = KeyFile::create(&Fixed(None)).unwrap();
    let rows = [slot::seal_key_file(1, &root, &file, &identity, &SystemRng).unwrap()];
    let files = [0, 1].map(|place| KeyFile::create(&Fixed(Some(place))).unwrap());
    compare("a key file against its slot", 500_000, |class| {
        assert!(slot::open_key_file(black_box(&rows), &files[class], &sealed_for).is_err());
    });

    let code = RecoveryCode::create(&Fixed(None)).unwrap();
    let rows = [slot::seal_recovery(1, &root, &code, &identity, &SystemRng).unwrap()];
    let codes = [0, 1].map(|place| RecoveryCode::create(&Fixed(Some(place))).unwrap());
    compare("a recovery code against its slot", 500_000, |class| {
        assert!(slot::open_recovery(black_box(&rows), &codes[class], &sealed_for).is_err());
    });
}
