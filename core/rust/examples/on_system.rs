//! The program of `work/mod.rs` on Rust's own System: what the others are compared with.

mod work;

use std::alloc::System;

#[global_allocator]
static ALLOCATOR: work::Checked<System> = work::Checked(System);

fn main() {
    work::main();
}
