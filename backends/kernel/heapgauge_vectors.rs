// Over-aligned vectors, made by the kernel's own Rust: 64 of each element live at once, and how many of them lie less
// aligned than their type asks. One line for each on the console, "heapgauge_vectors: SIZE/ALIGN BAD of COUNT".
// SPDX-License-Identifier: MIT

//! Over-aligned vectors for Heapgauge.

use kernel::prelude::*;

module! {
    type: Vectors,
    name: b"heapgauge_vectors",
    author: b"The Heapgauge authors",
    description: b"Counts over-aligned vectors that are not",
    license: b"Dual MIT/GPL",
}

struct Vectors;

const COUNT: usize = 64;

macro_rules! element {
    ($name:ident, $align:literal, $size:literal) => {
        #[repr(align($align))]
        #[allow(dead_code)]
        struct $name([u8; $size]);
    };
}

element!(Of96By32, 32, 96);
element!(Of160By32, 32, 160);
element!(Of192By64, 64, 192);
element!(Of128By128, 128, 128);
element!(Of4096By4096, 4096, 20);

// Room for one element, not written to: a value of 4096 bytes by the stack's 16 KiB is one too many.
fn survey<T>() -> Result {
    let mut vectors: Vec<Vec<T>> = Vec::new();
    let mut bad = 0;
    for _ in 0..COUNT {
        let mut vector: Vec<T> = Vec::new();
        vector.try_reserve_exact(1)?;
        if vector.as_ptr() as usize % core::mem::align_of::<T>() != 0 {
            bad += 1;
        }
        vectors.try_push(vector)?;
    }
    pr_emerg!(
        "{}/{} {} of {}\n",
        core::mem::size_of::<T>(),
        core::mem::align_of::<T>(),
        bad,
        COUNT
    );
    Ok(())
}

impl kernel::Module for Vectors {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        survey::<Of96By32>()?;
        survey::<Of160By32>()?;
        survey::<Of192By64>()?;
        survey::<Of128By128>()?;
        survey::<Of4096By4096>()?;
        Ok(Vectors)
    }
}
