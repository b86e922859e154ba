//! A Rust allocator as a Heapgauge backend: a bump pointer. Only the newest block is ever freed or grown
//! in place; the rest of a chunk is left behind when a request does not fit.
//!
//!     heapgauge check --layout --backend=./libbump.so

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::Mutex;

const CHUNK_SIZE: usize = 1 << 20;
const CHUNK_ALIGN: usize = 4096;

/// The free part of the newest chunk, as addresses.
struct Free {
    begin: usize,
    end: usize,
}

struct Bump(Mutex<Free>);

/// Where a block of `layout` would begin in `free`, if it fits there.
fn place(free: &Free, layout: Layout) -> Option<usize> {
    let begin = free.begin.checked_add(layout.align() - 1)? & !(layout.align() - 1);
    let end = begin.checked_add(layout.size())?;
    (end <= free.end).then(|| begin)
}

/// A chunk in which `layout` fits, wherever the chunk begins.
fn new_chunk(layout: Layout) -> Option<Free> {
    let size = layout.size().checked_add(layout.align())?.max(CHUNK_SIZE);
    let chunk = Layout::from_size_align(size, CHUNK_ALIGN).ok()?;
    // SAFETY: the size is not 0.
    let begin = unsafe { System.alloc(chunk) } as usize;
    (begin != 0).then(|| Free {
        begin,
        end: begin + size,
    })
}

// SAFETY: blocks are cut from chunks in order and never twice, but for the newest, which is given back by
// setting the pointer to its begin. The lock is never held over a call that could take it again.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut free = match self.0.lock() {
            Ok(free) => free,
            Err(_) => return ptr::null_mut(),
        };
        let begin = match place(&free, layout) {
            Some(begin) => begin,
            None => match new_chunk(layout) {
                Some(chunk) => {
                    *free = chunk;
                    place(&free, layout).unwrap_or(0)
                }
                None => 0,
            },
        };
        if begin != 0 {
            free.begin = begin + layout.size();
        }
        begin as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Ok(mut free) = self.0.lock() {
            if block as usize + layout.size() == free.begin {
                free.begin = block as usize;
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if let Ok(mut free) = self.0.lock() {
            let begin = block as usize;
            let is_newest = begin + layout.size() == free.begin;
            if is_newest && new_size <= free.end - begin {
                free.begin = begin + new_size;
                return block;
            }
        }
        let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
        if !moved.is_null() {
            ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
            self.dealloc(block, layout);
        }
        moved
    }
}

// `Mutex::new` is const from Rust 1.63.
static BUMP: Bump = Bump(Mutex::new(Free { begin: 0, end: 0 }));

heapgauge::export_backend!(BUMP);
