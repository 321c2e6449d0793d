//! Messages about slots that are passed over.

use keyvault_vault::unlock::slot::Untried;
use keyvault_vault::{PassedOver, Unusable};

/// How many numbers one sentence names.
const SHOWN: usize = 5;

pub(in crate::cli) const REMOVE_STRAYS: &str = "keyvault vault slot remove --strays";

pub(in crate::cli) fn passed_over(found: &[PassedOver]) -> Vec<String> {
    let mut groups: Vec<(Unusable, Vec<i64>)> = Vec::new();
    for PassedOver { slot, why } in found {
        match groups.iter_mut().find(|(known, _)| known == why) {
            Some((_, slots)) => slots.push(*slot),
            None => groups.push((*why, vec![*slot])),
        }
    }
    groups.iter().map(|(why, slots)| sentence(*why, slots)).collect()
}

/// Returns `true` if a slot is none of the vault's own; what only costs too much may be.
pub(in crate::cli) fn is_stray(passed: &PassedOver) -> bool {
    passed.why != Unusable::Untried(Untried::Sum)
}

fn sentence(why: Unusable, slots: &[i64]) -> String {
    let which = numbered(slots);
    let (were, are, it) = if slots.len() == 1 { ("was", "is", "it") } else { ("were", "are", "them") };
    match why {
        Unusable::Untried(why) => format!("{which} {were} passed over: {why}."),
        Unusable::Unknown => {
            format!("{which} {were} passed over: someone without the vault's keys added or altered {it}.")
        }
        Unusable::Missing => format!("{which} {are} missing from the file."),
        Unusable::Beyond { rows: 1 } => format!("{which} was passed over: slots have the numbers 1 to 32."),
        Unusable::Beyond { rows } => {
            let more = rows.saturating_sub(1);
            format!("{which} and {more} more were passed over: slots have the numbers 1 to 32.")
        }
    }
}

fn numbered(slots: &[i64]) -> String {
    let shown: Vec<_> = slots.iter().take(SHOWN).map(i64::to_string).collect();
    let word = if slots.len() == 1 { "Slot" } else { "Slots" };
    match (slots.len().saturating_sub(SHOWN), shown.split_last()) {
        (0, Some((last, first))) if !first.is_empty() => format!("{word} {} and {last}", first.join(", ")),
        (0, _) => format!("{word} {}", shown.join(", ")),
        (more, _) => format!("{word} {} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_one_reason_share_a_sentence() {
        let of =
            |why, slots: &[i64]| slots.iter().map(|slot| PassedOver { slot: *slot, why }).collect::<Vec<_>>();
        let unknown = of(Unusable::Unknown, &[4]);
        let header = of(Untried::Header.into(), &[5, 6]);
        let sum = of(Untried::Sum.into(), &[7, 8, 9, 10, 11, 12, 13]);
        let missing = of(Unusable::Missing, &[2, 3]);
        let beyond = of(Unusable::Beyond { rows: 3 }, &[-1]);
        let all = [unknown, header, sum, missing, beyond].concat();
        assert_eq!(
            passed_over(&all),
            [
                "Slot 4 was passed over: someone without the vault's keys added or altered it.",
                "Slots 5 and 6 were passed over: malformed header.",
                "Slots 7, 8, 9, 10, 11 and 2 more were passed over: the passphrase slots together cost too much.",
                "Slots 2 and 3 are missing from the file.",
                "Slot -1 and 2 more were passed over: slots have the numbers 1 to 32.",
            ]
        );
    }
}
