//! An allocator that wipes every block when it is given back.
//!
//! Our own secrets wipe themselves, but they pass through libraries that know nothing of secrets: the JSON
//! writer, the strength estimator, the argument parser. Their buffers are freed with the value still in them and
//! stay readable in the heap until something else happens to overwrite them. Wiping below all of them costs one
//! pass of `memset` over memory that is warm in the cache, and needs nobody's cooperation.
//!
//! It does not reach the stack, registers, or blocks that are never freed.
#![allow(unsafe_code, reason = "a global allocator cannot be written without it")]

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, with every block zeroed before it goes back.
///
/// To be installed with `#[global_allocator]` by the binary.
#[derive(Debug, Clone, Copy, Default)]
pub struct WipingAllocator;

// SAFETY: every call is passed on to `System`, which is a correct allocator, with the layout that belongs to the
// block; the wiping touches only blocks that the caller owns and is giving up.
unsafe impl GlobalAlloc for WipingAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are the ones that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller owns `block`, of `layout.size()` bytes, and will not look at it again.
        unsafe {
            wipe(block, layout.size());
            System.dealloc(block, layout);
        }
    }

    /// Never grows in place: the system's `realloc` may move a block and leave the old copy behind.
    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises a non-zero `new_size` that does not overflow when rounded up to the alignment.
        // The two blocks are both live and distinct, and each is at least as long as what is copied.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(new_size, layout.align());
            let moved = System.alloc(wanted);
            if !moved.is_null() {
                block.copy_to_nonoverlapping(moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Zeroes `len` bytes in a way that survives the optimiser, which otherwise drops stores to memory about to be
/// freed.
///
/// # Safety
/// `block` must be valid for writes of `len` bytes.
#[inline]
unsafe fn wipe(block: *mut u8, len: usize) {
    // SAFETY: the caller's promise. The empty assembly takes the pointer and may, as far as the compiler knows, read
    // all memory that it leads to; so the zeroes must be there by then.
    unsafe {
        block.write_bytes(0, len);
        std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags, readonly));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MARK: u8 = 0xA5;
    const SIZE: usize = 4096;

    fn marked_block() -> (*mut u8, Layout) {
        let layout = Layout::from_size_align(SIZE, 16).unwrap();
        // SAFETY: the layout is not empty, and the block that comes is as long as it says.
        let block = unsafe { WipingAllocator.alloc(layout) };
        assert!(!block.is_null());
        // SAFETY: just allocated with this size.
        unsafe { block.write_bytes(MARK, SIZE) };
        (block, layout)
    }

    /// Reads memory through the kernel, since Rust forbids looking at freed memory. A page that is gone holds nothing.
    #[cfg(target_os = "linux")]
    fn marks_left_at(address: usize) -> usize {
        use std::os::unix::fs::FileExt;
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut seen = [0_u8; SIZE];
        match memory.read_exact_at(&mut seen, address as u64) {
            Ok(()) => seen.into_iter().filter(|byte| *byte == MARK).count(),
            Err(_) => 0,
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_freed_block_is_wiped() {
        let (block, layout) = marked_block();
        assert_eq!(marks_left_at(block as usize), SIZE);
        // SAFETY: allocated above with this layout, not used afterwards.
        unsafe { WipingAllocator.dealloc(block, layout) };
        // A few bytes may belong to whoever got the memory next, and hold the mark by chance.
        assert!(marks_left_at(block as usize) < SIZE / 16);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_grown_block_keeps_its_content_and_leaves_none_behind() {
        let (block, layout) = marked_block();
        // SAFETY: allocated above with this layout; the result replaces it.
        let grown = unsafe { WipingAllocator.realloc(block, layout, SIZE * 2) };
        assert!(!grown.is_null() && grown != block);
        assert_eq!(marks_left_at(grown as usize), SIZE);
        assert!(marks_left_at(block as usize) < SIZE / 16);
        let grown_layout = Layout::from_size_align(SIZE * 2, 16).unwrap();
        // SAFETY: allocated above with this layout, not used afterwards.
        unsafe { WipingAllocator.dealloc(grown, grown_layout) };
    }
}
