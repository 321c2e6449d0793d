//! The mask over a child's output.

use keyvault_exec::mask::forms;
use keyvault_exec::mask::parts;
use keyvault_exec::mask::{Filter, Mask, REPLACEMENT, SHOWN, is_common};

/// The output is the same in any pieces, holds none of the values in any form, and is the input where none stood there;
/// pauses let at most three bytes more out for each that was masked.
///
/// The first byte is the number of values (at most three) and how the rest is cut; each value is a length and bytes, and
/// what is left is the output. Taken is an input in which something was masked.
pub fn masker(bytes: &[u8]) -> bool {
    let Some((first, mut rest)) = bytes.split_first() else { return false };
    let mut values = Vec::new();
    for _ in 0..first % 4 {
        let Some((length, after)) = rest.split_first() else { return false };
        let Some((value, after)) = after.split_at_checked(usize::from(*length)) else { return false };
        values.push(value);
        rest = after;
    }
    let Ok((mask, uncovered)) = Mask::of(&values) else { return false };
    let common = |value: &&&[u8]| !value.is_empty() && is_common(value);
    assert_eq!(uncovered.common.len(), values.iter().filter(common).count());
    let piece = usize::from(first / 4) + 1;
    let whole = through(&mask, &[rest], false);
    let pieces: Vec<&[u8]> = rest.chunks(piece).collect();
    assert_eq!(through(&mask, &pieces, false), whole, "in pieces of {piece}");
    let replaced = count(&whole, REPLACEMENT);
    let paused = through(&mask, &pieces, true);
    assert!(
        (whole.len()..=whole.len() + SHOWN * replaced).contains(&paused.len()),
        "more was shown in pauses"
    );
    let parts: Vec<_> = values.iter().flat_map(|value| parts::parts(value)).collect();
    let plain: Vec<_> = parts.iter().flat_map(|part| forms::plain(part.text.expose())).collect();
    for form in plain.iter().filter(|form| !spells_the_replacement(form.expose())) {
        assert_eq!(count(&paused, form.expose()), 0, "a value was let through");
    }
    if replaced == count(rest, REPLACEMENT) && whole.len() == rest.len() {
        assert_eq!(whole, rest, "something else was changed");
    }
    whole != rest
}

/// Returns `true` if a form may stand in the output because of what replaces forms.
fn spells_the_replacement(form: &[u8]) -> bool {
    form.iter().any(|byte| REPLACEMENT.contains(byte))
}

fn through(mask: &Mask, pieces: &[&[u8]], pauses: bool) -> Vec<u8> {
    let mut shown = Vec::new();
    let mut filter = Filter::new(mask);
    let mut out = |bytes: &[u8]| shown.extend_from_slice(bytes);
    for piece in pieces {
        filter.feed(piece, &mut out);
        if pauses {
            filter.pause(&mut out);
        }
    }
    filter.finish(&mut out);
    shown
}

fn count(text: &[u8], part: &[u8]) -> usize {
    text.windows(part.len()).filter(|window| *window == part).count()
}
