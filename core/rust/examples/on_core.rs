//! The program of `work/mod.rs` on the reference allocator.

mod work;

use heapgauge::Heapgauge;

#[global_allocator]
static ALLOCATOR: work::Checked<Heapgauge> = work::Checked(Heapgauge);

fn main() {
    work::main();
}
