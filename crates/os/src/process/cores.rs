//! One function over many things, shared out over the machine's cores.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

/// Items per thread, at least: fewer are done sooner than a thread starts.
const MIN_PER_THREAD: usize = 500;

/// Applies `each` to every thing; results come in the order of the things.
pub fn on_all_cores<T: Sync, R: Send>(things: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = things.len().div_ceil(cores).max(MIN_PER_THREAD);
    let each = &each;
    let some = move |things: &[T]| things.iter().map(each).collect::<Vec<R>>();
    let (first, rest) = things.split_at_checked(share).unwrap_or((things, &[]));
    thread::scope(|scope| {
        let others: Vec<_> = rest.chunks(share).map(|things| scope.spawn(move || some(things))).collect();
        let mut made = Vec::with_capacity(things.len());
        made.extend(first.iter().map(each));
        for other in others {
            made.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_nothing_is_left_out() {
        for count in [0, 1, MIN_PER_THREAD, MIN_PER_THREAD * 7 + 3] {
            let things: Vec<_> = (0..count).collect();
            assert_eq!(
                on_all_cores(&things, |thing| thing * 2),
                (0..count).map(|n| n * 2).collect::<Vec<_>>()
            );
        }
    }
}
