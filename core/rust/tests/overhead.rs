//! The loop of overhead.c through the crate, for `overhead.sh` to count the instructions of both.
//!
//! usage: overhead ROUNDS pair|realloc direct|global
//! direct: methods of `Heapgauge`; global: `std::alloc::alloc` and so on, behind `#[global_allocator]`.

use heapgauge::Heapgauge;
use std::alloc::{self, GlobalAlloc, Layout};
use std::ptr;

#[global_allocator]
static ALLOCATOR: Heapgauge = Heapgauge;

const BLOCKS: usize = 64;
const LAYOUTS: [(usize, usize); 8] = [
    (16, 8),
    (24, 8),
    (48, 8),
    (64, 64),
    (100, 4),
    (200, 8),
    (1000, 8),
    (4096, 4096),
];

/// `std::alloc`'s functions as an allocator.
struct Global;

// SAFETY: passes on what it is given.
unsafe impl GlobalAlloc for Global {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        alloc::alloc(layout)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        alloc::dealloc(block, layout)
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        alloc::realloc(block, layout, new_size)
    }
}

/// # Safety
/// Sizes must not be 0, nor so large that the block could not be had.
#[inline(never)]
unsafe fn one_round<A: GlobalAlloc>(
    allocator: &A,
    turns: &[Layout; BLOCKS],
    blocks: &mut [*mut u8; BLOCKS],
    growth: usize,
) {
    for (block, layout) in blocks.iter_mut().zip(turns) {
        *block = allocator.alloc(*layout);
    }
    if growth != 0 {
        for (block, layout) in blocks.iter_mut().zip(turns) {
            *block = allocator.realloc(*block, *layout, layout.size() + growth);
        }
    }
    for (block, layout) in blocks.iter().zip(turns) {
        let grown = Layout::from_size_align_unchecked(layout.size() + growth, layout.align());
        allocator.dealloc(*block, grown);
    }
}

fn main() {
    let rounds: u64 = std::env::args()
        .nth(1)
        .map_or(0, |word| word.parse().expect("a number"));
    let growth = std::env::args()
        .nth(2)
        .map_or(0, |word| if word == "realloc" { 64 } else { 0 });
    let global = std::env::args()
        .nth(3)
        .map_or(false, |word| word == "global");
    let mut turns = [Layout::new::<u8>(); BLOCKS];
    for (i, turn) in turns.iter_mut().enumerate() {
        let (size, align) = LAYOUTS[i % LAYOUTS.len()];
        *turn = Layout::from_size_align(size, align).expect("a layout");
    }
    let mut blocks = [ptr::null_mut(); BLOCKS];
    for _ in 0..rounds {
        // SAFETY: the sizes are those above.
        unsafe {
            if global {
                one_round(&Global, &turns, &mut blocks, growth);
            } else {
                one_round(&ALLOCATOR, &turns, &mut blocks, growth);
            }
        }
    }
}
