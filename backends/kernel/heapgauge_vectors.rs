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
        #[derive(Clone, Copy)]
        struct $name([u8; $size]);
    };
}

element!(Of96By32, 32, 96);
element!(Of160By32, 32, 160);
element!(Of192By64, 64, 192);
element!(Of128By128, 128, 128);
element!(Of4096By4096, 4096, 20);

fn survey<T: Copy>(element: T) -> Result {
    let mut vectors: Vec<Vec<T>> = Vec::new();
    let mut bad = 0;
    for _ in 0..COUNT {
        let mut vector = Vec::new();
        vector.try_push(element)?;
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
        survey(Of96By32([1; 96]))?;
        survey(Of160By32([1; 160]))?;
        survey(Of192By64([1; 192]))?;
        survey(Of128By128([1; 128]))?;
        survey(Of4096By4096([1; 20]))?;
        Ok(Vectors)
    }
}
