//! Heapgauge's allocators as Rust's global allocator, and Rust's allocators as Heapgauge backends.
//!
//! ```ignore
//! use heapgauge::Heapgauge;
//!
//! #[global_allocator]
//! static ALLOCATOR: Heapgauge = Heapgauge;
//! ```
//!
//! [`Heapgauge`] is the reference allocator (libheapgauge_core.a). [`AnyBackend`] is whatever
//! `HEAPGAUGE_BACKEND` names when the program starts (libheapgauge_backends.a as well).
//! [`export_backend!`] goes the other way.
//!
//! No dependency, no `std`, Rust 1.63 and later.

#![no_std]
#![warn(missing_docs)]

use core::alloc::{GlobalAlloc, Layout};

#[doc(hidden)]
pub use core as __core;

/// `struct hg_layout` of heapgauge/layout.h: a valid `Layout`, field by field.
#[repr(C)]
#[derive(Clone, Copy)]
struct RawLayout {
    size: usize,
    align: usize,
}

impl From<Layout> for RawLayout {
    #[inline]
    fn from(layout: Layout) -> Self {
        RawLayout {
            size: layout.size(),
            align: layout.align(),
        }
    }
}

extern "C" {
    // heapgauge/core.h
    fn hg_alloc(layout: RawLayout) -> *mut u8;
    fn hg_alloc_zeroed(layout: RawLayout) -> *mut u8;
    fn hg_dealloc(block: *mut u8, layout: RawLayout);
    fn hg_realloc(block: *mut u8, old: RawLayout, new_size: usize) -> *mut u8;

    // backends/rust_shim.c
    fn hg_any_alloc(layout: RawLayout) -> *mut u8;
    fn hg_any_alloc_zeroed(layout: RawLayout) -> *mut u8;
    fn hg_any_dealloc(block: *mut u8, layout: RawLayout);
    fn hg_any_realloc(block: *mut u8, old: RawLayout, new_size: usize) -> *mut u8;
}

/// The reference allocator: one process-wide heap, shared with C code that calls `hg_alloc`.
///
/// The C functions promise what `GlobalAlloc` asks, and more: size 0 gives a block of its own, and they
/// may be called before `main` and in a thread's last destructors. Nothing here unwinds or allocates
/// through itself. As the methods are inlined, a call costs what it costs in C.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heapgauge;

// SAFETY: core.h promises every point of GlobalAlloc's contract for valid layouts, which a Layout is:
// blocks are aligned and disjoint, NULL means failure with nothing changed, realloc keeps the alignment
// and the content, every function may be called from any thread. (Rust up to 1.64 also makes layouts
// above isize::MAX; hg_alloc answers those with NULL.)
unsafe impl GlobalAlloc for Heapgauge {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        hg_alloc(layout.into())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        hg_alloc_zeroed(layout.into())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        hg_dealloc(block, layout.into())
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        hg_realloc(block, layout.into(), new_size)
    }
}

/// Any Heapgauge backend, chosen at start: `HEAPGAUGE_BACKEND=core|system|jemalloc|mimalloc|...|PATH.so`,
/// `core` if it is not set.
///
/// The choice is made in C before `main` (or at the first allocation, if that is earlier), without a Rust
/// allocation. A backend that can't be had ends the program with status 2 and a line that says why.
/// Where a backend lacks `alloc_zeroed` or `realloc`, what `GlobalAlloc` itself gives by default serves.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyBackend;

// SAFETY: a layout face promises what GlobalAlloc asks (heapgauge/backend.h); that it does so is exactly
// what `heapgauge check` is for.
unsafe impl GlobalAlloc for AnyBackend {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        hg_any_alloc(layout.into())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        hg_any_alloc_zeroed(layout.into())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        hg_any_dealloc(block, layout.into())
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        hg_any_realloc(block, layout.into(), new_size)
    }
}

/// Exports a `GlobalAlloc` as the four functions of a Heapgauge backend (heapgauge/backend.h).
///
/// In a crate of type `cdylib`, once, with a unit struct or a `static`:
///
/// ```ignore
/// static ALLOCATOR: Bump = Bump::new();
/// heapgauge::export_backend!(ALLOCATOR);
/// ```
///
/// and the library is a backend: `heapgauge check --layout --backend=./libbump.so`. As everywhere behind
/// `GlobalAlloc`, the methods may not unwind, nor allocate through a global allocator that is this one.
#[macro_export]
macro_rules! export_backend {
    ($allocator:expr) => {
        const _: () = {
            use $crate::__core::alloc::{GlobalAlloc, Layout};

            // SAFETY of all four: the caller passes valid layouts, and blocks with the layout they have.
            #[no_mangle]
            unsafe extern "C" fn heapgauge_alloc(size: usize, align: usize) -> *mut u8 {
                GlobalAlloc::alloc(&$allocator, Layout::from_size_align_unchecked(size, align))
            }

            #[no_mangle]
            unsafe extern "C" fn heapgauge_alloc_zeroed(size: usize, align: usize) -> *mut u8 {
                GlobalAlloc::alloc_zeroed(
                    &$allocator,
                    Layout::from_size_align_unchecked(size, align),
                )
            }

            #[no_mangle]
            unsafe extern "C" fn heapgauge_realloc(
                block: *mut u8,
                size: usize,
                align: usize,
                new_size: usize,
            ) -> *mut u8 {
                let layout = Layout::from_size_align_unchecked(size, align);
                GlobalAlloc::realloc(&$allocator, block, layout, new_size)
            }

            #[no_mangle]
            unsafe extern "C" fn heapgauge_dealloc(block: *mut u8, size: usize, align: usize) {
                let layout = Layout::from_size_align_unchecked(size, align);
                GlobalAlloc::dealloc(&$allocator, block, layout)
            }
        };
    };
}
