//! Holds the arithmetic of heapgauge/layout.h against Rust's `core::alloc::Layout`: every alignment with
//! every size near a limit, near a power of two and near 0; all pairs of a smaller set; random values.
//!
//! usage: layout [SEED]    (1)
//!
//! Rust up to 1.64 allowed padded sizes up to usize::MAX, and only looked at the larger alignment in
//! `align_to`. layout.h follows the rule of today; what the old one allows beyond it counts as refused.

use std::alloc::Layout;
use std::process;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Raw {
    size: usize,
    align: usize,
}

const UNTOUCHED: usize = 0x5EED_5EED;
const BLANK: Raw = Raw {
    size: UNTOUCHED,
    align: UNTOUCHED,
};

extern "C" {
    fn wrapped_make(size: usize, align: usize, out: *mut Raw) -> bool;
    fn wrapped_is_valid(layout: Raw) -> bool;
    fn wrapped_padding(layout: Raw, align: usize) -> usize;
    fn wrapped_pad(layout: Raw) -> Raw;
    fn wrapped_align_to(layout: Raw, align: usize, out: *mut Raw) -> bool;
    fn wrapped_extend(first: Raw, next: Raw, out: *mut Raw, offset: *mut usize) -> bool;
    fn wrapped_repeat(element: Raw, count: usize, out: *mut Raw, stride: *mut usize) -> bool;
}

fn raw(layout: Layout) -> Raw {
    Raw {
        size: layout.size(),
        align: layout.align(),
    }
}

/// What Rust says, by the rule of today.
fn make(size: usize, align: usize) -> Option<Layout> {
    let layout = Layout::from_size_align(size, align).ok()?;
    (size <= isize::MAX as usize + 1 - align.min(isize::MAX as usize + 1)).then(|| layout)
}

fn remake(layout: Layout) -> Option<Layout> {
    make(layout.size(), layout.align())
}

struct Test {
    compared: u64,
    accepted: u64,
    differing: u64,
}

impl Test {
    fn same<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        input: &[usize],
        ours: T,
        rust: T,
    ) {
        self.compared += 1;
        if ours != rust {
            self.differing += 1;
            if self.differing <= 20 {
                println!(
                    "{} of {:x?}: layout.h {:x?}, Rust {:x?}",
                    what, input, ours, rust
                );
            }
        }
    }

    /// A function with out-parameters: they are written if and only if it succeeds.
    fn same_result(
        &mut self,
        what: &str,
        input: &[usize],
        ours: (bool, Raw, usize),
        rust: Option<(Raw, usize)>,
    ) {
        self.accepted += u64::from(rust.is_some());
        let expected = match rust {
            Some((layout, number)) => (true, layout, number),
            None => (false, BLANK, UNTOUCHED),
        };
        self.same(what, input, ours, expected);
    }

    fn check_make(&mut self, size: usize, align: usize) {
        let rust = make(size, align);
        let mut out = BLANK;
        let made = unsafe { wrapped_make(size, align, &mut out) };
        let input = [size, align];
        self.same_result(
            "make",
            &input,
            (made, out, UNTOUCHED),
            rust.map(|l| (raw(l), UNTOUCHED)),
        );
        self.same(
            "is_valid",
            &input,
            unsafe { wrapped_is_valid(Raw { size, align }) },
            rust.is_some(),
        );
    }

    fn check_one(&mut self, layout: Layout) {
        let input = [layout.size(), layout.align()];
        let padded = layout.pad_to_align();
        self.same(
            "pad",
            &input,
            unsafe { wrapped_pad(raw(layout)) },
            raw(padded),
        );
        let padding = unsafe { wrapped_padding(raw(layout), layout.align()) };
        self.same("padding", &input, padding, padded.size() - layout.size());
    }

    fn check_align_to(&mut self, layout: Layout, align: usize) {
        let rust = if align.is_power_of_two() {
            layout.align_to(align).ok().and_then(remake)
        } else {
            None
        };
        let mut out = BLANK;
        let made = unsafe { wrapped_align_to(raw(layout), align, &mut out) };
        let input = [layout.size(), layout.align(), align];
        self.same_result(
            "align_to",
            &input,
            (made, out, UNTOUCHED),
            rust.map(|l| (raw(l), UNTOUCHED)),
        );
    }

    fn check_extend(&mut self, first: Layout, next: Layout) {
        let rust = first
            .extend(next)
            .ok()
            .and_then(|(l, offset)| Some((raw(remake(l)?), offset)));
        let (mut out, mut offset) = (BLANK, UNTOUCHED);
        let made = unsafe { wrapped_extend(raw(first), raw(next), &mut out, &mut offset) };
        let input = [first.size(), first.align(), next.size(), next.align()];
        self.same_result("extend", &input, (made, out, offset), rust);
    }

    /// `Layout::repeat` is younger than 1.63: here by its definition, and for small counts by `extend`.
    fn check_repeat(&mut self, element: Layout, count: usize) {
        let stride = element.pad_to_align().size();
        let rust = stride
            .checked_mul(count)
            .and_then(|size| make(size, element.align()));
        let (mut out, mut our_stride) = (BLANK, UNTOUCHED);
        let made = unsafe { wrapped_repeat(raw(element), count, &mut out, &mut our_stride) };
        let input = [element.size(), element.align(), count];
        self.same_result(
            "repeat",
            &input,
            (made, out, our_stride),
            rust.map(|l| (raw(l), stride)),
        );
        if count == 0 || count > 8 {
            return;
        }
        let padded = element.pad_to_align();
        let row = (1..count).try_fold(padded, |row, _| remake(row.extend(padded).ok()?.0));
        self.same("repeat by extend", &input, row.map(raw), rust.map(raw));
    }

    fn check_array<T>(&mut self, count: usize) {
        let element = Layout::new::<T>();
        let rust = Layout::array::<T>(count).ok().and_then(remake);
        let (mut out, mut stride) = (BLANK, UNTOUCHED);
        let made = unsafe { wrapped_repeat(raw(element), count, &mut out, &mut stride) };
        let input = [element.size(), element.align(), count];
        let expected = rust.map(|l| (raw(l), element.size()));
        self.same_result("array", &input, (made, out, stride), expected);
    }
}

/// 0, powers of two, isize::MAX, usize::MAX, and for each alignment the greatest size: each with its
/// neighbours up to `around` away.
fn edge_sizes(around: usize) -> Vec<usize> {
    let mut centres = vec![0, isize::MAX as usize, usize::MAX];
    for shift in 0..usize::BITS {
        let power = 1usize << shift;
        centres.extend([
            power,
            power.wrapping_neg(),
            (isize::MAX as usize).wrapping_add(1).wrapping_sub(power),
        ]);
    }
    let mut sizes = Vec::new();
    for centre in centres {
        sizes.extend((0..=around).map(|distance| centre.wrapping_add(distance)));
        sizes.extend((0..=around).map(|distance| centre.wrapping_sub(distance)));
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Every power of two, and what is none.
fn aligns() -> Vec<usize> {
    let mut aligns: Vec<usize> = (0..usize::BITS).map(|shift| 1 << shift).collect();
    aligns.extend([
        0,
        3,
        6,
        12,
        24,
        4097,
        isize::MAX as usize,
        isize::MAX as usize + 2,
        usize::MAX,
    ]);
    aligns
}

fn valid_layouts(sizes: &[usize]) -> Vec<Layout> {
    let aligns = aligns();
    sizes
        .iter()
        .flat_map(|size| aligns.iter().filter_map(move |align| make(*size, *align)))
        .collect()
}

fn check_edges(test: &mut Test) {
    let sizes = edge_sizes(260);
    for size in &sizes {
        for align in aligns() {
            test.check_make(*size, align);
        }
    }
    for layout in valid_layouts(&edge_sizes(20)) {
        test.check_one(layout);
        for align in aligns() {
            test.check_align_to(layout, align);
        }
        let stride = layout.pad_to_align().size().max(1);
        let limit = (isize::MAX as usize + 1 - layout.align()) / stride;
        for count in [
            0,
            1,
            2,
            3,
            7,
            8,
            limit.wrapping_sub(1),
            limit,
            limit.wrapping_add(1),
            usize::MAX / stride,
            usize::MAX,
        ] {
            test.check_repeat(layout, count);
        }
    }
    let few = valid_layouts(&edge_sizes(1));
    for first in &few {
        for next in few.iter().step_by(3) {
            test.check_extend(*first, *next);
        }
    }
}

fn check_arrays(test: &mut Test) {
    #[repr(align(64))]
    struct Line([u8; 64]);
    let _ = Line([0; 64]).0;
    for count in edge_sizes(70) {
        test.check_array::<u8>(count);
        test.check_array::<[u16; 3]>(count);
        test.check_array::<u64>(count);
        test.check_array::<[u8; 0]>(count);
        test.check_array::<Line>(count);
    }
}

fn check_random(test: &mut Test, seed: u64) {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let shift = (state >> 58) as u32;
        (state as usize) >> shift
    };
    for _ in 0..1_000_000 {
        let (size, other) = (next(), next());
        let (align, other_align) = (1usize << (next() % 64), 1usize << (next() % 64));
        test.check_make(size, align);
        let first = make(size >> 1, align).or_else(|| make(size, 1));
        let second = make(other >> 1, other_align).or_else(|| make(other >> 1, 1));
        if let (Some(first), Some(second)) = (first, second) {
            test.check_one(first);
            test.check_align_to(first, other_align);
            test.check_extend(first, second);
            test.check_repeat(first, next());
        }
    }
}

fn main() {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "1".into());
    let seed: u64 = argument.parse().unwrap_or_else(|_| {
        eprintln!("'{}' is no seed", argument);
        process::exit(2);
    });
    let mut test = Test {
        compared: 0,
        accepted: 0,
        differing: 0,
    };
    check_edges(&mut test);
    check_arrays(&mut test);
    check_random(&mut test, seed);
    let old_rule = Layout::from_size_align(isize::MAX as usize + 1, 1).is_ok();
    println!(
        "{} comparisons, {} of them with a layout as result, {} differ; seed {}, Rust's limit is {}",
        test.compared,
        test.accepted,
        test.differing,
        seed,
        if old_rule { "usize::MAX (before 1.65), narrowed here" } else { "isize::MAX" }
    );
    process::exit(i32::from(test.differing != 0));
}
