//! The program of `work/mod.rs` on the backend that HEAPGAUGE_BACKEND names.

mod work;

use heapgauge::AnyBackend;

#[global_allocator]
static ALLOCATOR: work::Checked<AnyBackend> = work::Checked(AnyBackend);

fn main() {
    work::main();
}
