//! An allocator that wipes what it takes back.
//!
//! Secrets of ours live in buffers that wipe themselves; libraries make copies that do not (a JSON string, an
//! estimator's lower-cased passphrase, a line editor's buffer). With this allocator those are gone with their block.

#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{Ordering, compiler_fence};

/// The system's allocator, wiping each block before it is freed.
#[derive(Debug, Clone, Copy)]
pub struct WipingAllocator;

// SAFETY: every call is passed on to `System` with the same layout; a block is written to only between the caller
// giving it up and `System` getting it back, within its layout's size.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` is a live block of `layout.size()` bytes that nobody else uses any more.
        unsafe {
            wipe(block, layout.size());
            System.dealloc(block, layout);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // `System.realloc` may move the block and free the old one unwiped, so it is moved here.
        // SAFETY: the caller guarantees that `new_size` is not zero and does not overflow with the alignment; the
        // two blocks do not overlap, and the smaller size bounds the copy.
        unsafe {
            let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
            let moved = System.alloc(new_layout);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Zeroes memory in a way that is not optimised away although nobody reads it again.
///
/// # Safety
/// `block` must be valid for writes of `len` bytes.
unsafe fn wipe(block: *mut u8, len: usize) {
    // SAFETY: by this function's contract; the empty assembly makes the pointer escape, so the write is observable.
    unsafe {
        std::ptr::write_bytes(block, 0, len);
        std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags));
    }
    compiler_fence(Ordering::SeqCst);
}
