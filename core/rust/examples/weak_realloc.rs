//! A Rust allocator with a bug planted, for the harness to find: `realloc` forgets the alignment of its
//! layout and resizes as C's `realloc` does, which is what `krealloc` did behind Rust's `GlobalAlloc` in the
//! Linux kernel.
//!
//!     heapgauge check --layout --backend=./libweak_realloc.so     must name C68

use std::alloc::{GlobalAlloc, Layout, System};

const MALLOC_ALIGN: usize = 16;

struct WeakRealloc;

// SAFETY: sound but for what it was written for: over-aligned blocks that were resized.
unsafe impl GlobalAlloc for WeakRealloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        System.alloc_zeroed(layout)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        System.dealloc(block, layout)
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let align = layout
            .align()
            .min(MALLOC_ALIGN)
            .min(new_size.next_power_of_two());
        let align = if align > new_size { 1 } else { align };
        System.realloc(
            block,
            Layout::from_size_align_unchecked(layout.size(), align),
            new_size,
        )
    }
}

heapgauge::export_backend!(WeakRealloc);
