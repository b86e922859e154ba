//! What Rust programs ask of an allocator, in one deterministic program: the same checksum on every
//! allocator, or one of them is broken.
//!
//! Every pointer's alignment is checked where it is handed out ([`Checked`]). What is written is read back
//! through `read_volatile` and `black_box`: LLVM may remove allocations it can see through.
//!
//! usage: PROGRAM [ROUNDS]    (20)
//! Prints the checksum, calls, over-aligned requests, misaligned blocks; exit status 1 if there were any.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{self, AssertUnwindSafe};
use std::process::{self, Command};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;

// ---- the allocator, looked at ----

const MALLOC_ALIGN: usize = 16;

static OVER_ALIGNED: AtomicUsize = AtomicUsize::new(0);
static MISALIGNED: AtomicUsize = AtomicUsize::new(0);

/// Passes everything on, and counts the blocks that are less aligned than their layout says.
pub struct Checked<A>(pub A);

fn look_at(block: *mut u8, align: usize) {
    if block as usize & (align - 1) != 0 {
        MISALIGNED.fetch_add(1, Relaxed);
    }
}

fn look_at_new(block: *mut u8, align: usize) -> *mut u8 {
    if align > MALLOC_ALIGN {
        OVER_ALIGNED.fetch_add(1, Relaxed);
    }
    look_at(block, align);
    block
}

// SAFETY: passes on what it is given; counting neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Checked<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        look_at_new(self.0.alloc(layout), layout.align())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        look_at_new(self.0.alloc_zeroed(layout), layout.align())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.0.dealloc(block, layout)
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        look_at_new(self.0.realloc(block, layout, new_size), layout.align())
    }
}

// ---- tools ----

/// `std::hint::black_box` came with Rust 1.66.
fn black_box<T>(value: T) -> T {
    // SAFETY: reads a value that is there, once; the original is forgotten.
    unsafe {
        let copy = ptr::read_volatile(&value);
        std::mem::forget(value);
        copy
    }
}

/// A 64-bit mixer (splitmix64): a sequence from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// FNV-1a, both as the checksum and as the HashMap's hasher: the standard one is seeded at random.
#[derive(Clone)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xCBF2_9CE4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Fnv>>;

/// Sums elements as the memory has them now.
fn sum(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum: u64, word| {
        // SAFETY: a reference is valid to read.
        sum.wrapping_mul(31)
            .wrapping_add(unsafe { ptr::read_volatile(word) })
    })
}

// ---- the parts ----

fn boxes(random: &mut Random) -> u64 {
    let mut live: Vec<Option<Box<[u64; 6]>>> = vec![None; 512];
    let mut total = 0u64;
    for i in 0..8_000 {
        let slot = random.below(live.len());
        if let Some(block) = live[slot].take() {
            total = total.wrapping_add(sum(&*block));
        }
        live[slot] = Some(black_box(Box::new([i; 6])));
    }
    live.iter()
        .flatten()
        .fold(total, |total, block| total.wrapping_add(sum(&block[..])))
}

/// Vectors that grow by one (realloc chains), shrink, and are split and joined.
fn vectors(random: &mut Random) -> u64 {
    let mut total = 0u64;
    for _ in 0..40 {
        let length = 1 + random.below(3_000);
        let mut words = Vec::new();
        for i in 0..length {
            words.push(i as u64);
        }
        words.truncate(length / 2 + 1);
        words.shrink_to_fit();
        let mut tail = words.split_off(words.len() / 2);
        tail.reserve_exact(random.below(2_000));
        tail.extend_from_slice(&words);
        total = total.wrapping_add(sum(&black_box(tail)));
    }
    let zeroed = black_box(vec![0u64; 60_000]); /* alloc_zeroed */
    assert!(
        zeroed
            .iter()
            .all(|word| unsafe { ptr::read_volatile(word) } == 0),
        "not zeroed"
    );
    total
}

fn strings(random: &mut Random) -> u64 {
    let mut hash = Fnv::default();
    let mut words: Vec<String> = Vec::new();
    for i in 0..1_500 {
        let mut word = format!("{}-{:x}", i, random.next());
        word.push_str(&"é".repeat(random.below(40)));
        words.push(word);
    }
    words.sort();
    hash.write(black_box(words.join("/")).as_bytes());
    hash.finish()
}

fn maps(random: &mut Random) -> u64 {
    let mut by_hash: Map<u64, String> = Map::default();
    let mut by_order: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for _ in 0..4_000 {
        let key = random.next() % 1_000;
        if random.below(3) == 0 {
            by_hash.remove(&key);
            by_order.remove(&key);
        } else {
            by_hash.insert(key, key.to_string());
            by_order.entry(key).or_default().push(key as u8);
        }
    }
    let lengths = by_hash.values().fold(0, |sum, text| sum + text.len());
    let ordered = by_order.iter().fold(0u64, |sum, (key, bytes)| {
        sum.wrapping_mul(33).wrapping_add(key ^ bytes.len() as u64)
    });
    ordered.wrapping_add(black_box(lengths) as u64)
}

macro_rules! over_aligned {
    ($($name:ident $align:literal),*) => {$(
        #[repr(align($align))]
        #[derive(Clone)]
        struct $name([u64; 3]);
    )*

        /// Boxes and growing vectors of over-aligned types: realloc must keep an alignment that C's
        /// realloc knows nothing of.
        fn over_aligned(random: &mut Random) -> u64 {
            let mut total = 0u64;
            $({
                let single = black_box(Box::new($name([random.next(); 3])));
                total = total.wrapping_add(sum(&single.0));
                let mut many: Vec<$name> = Vec::new();
                let mut kept: Vec<Vec<$name>> = Vec::new();
                for i in 0..24u64 {
                    many.push($name([i; 3]));
                    if i % 2 == 0 {
                        kept.push(many.clone());
                    }
                    look_at(black_box(many.as_mut_ptr()).cast(), $align);
                }
                many.shrink_to_fit();
                kept.push(many);
                for element in kept.iter().flatten() {
                    total = total.wrapping_mul(7).wrapping_add(sum(&element.0));
                }
            })*
            total
        }
    };
}

over_aligned!(A32 32, A64 64, A128 128, A256 256, A512 512, A1024 1024, A2048 2048, A4096 4096);

#[derive(Clone, Default)]
struct Nothing;

#[repr(align(64))]
#[derive(Clone, Default)]
struct AlignedNothing;

/// Types without size: no allocation at all, but pointers that look like blocks.
fn zero_sized() -> u64 {
    let boxes: Vec<Box<Nothing>> = (0..100).map(|_| Box::new(Nothing)).collect();
    let mut aligned = black_box(vec![AlignedNothing; 1_000]);
    look_at(aligned.as_mut_ptr().cast(), 64);
    let empty: Box<[u64]> = Vec::new().into_boxed_slice();
    (black_box(boxes).len() + aligned.len() + black_box(empty).len()) as u64
}

/// Each thread frees what its neighbour made, and ends while blocks of its own are live elsewhere.
fn threads(seed: u64) -> u64 {
    const COUNT: usize = 3;
    const BLOCKS: u64 = 1_500;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..COUNT)
        .map(|_| mpsc::sync_channel::<Vec<u64>>(64))
        .unzip();
    let mut workers = Vec::new();
    for (i, receiver) in receivers.into_iter().enumerate() {
        let sender = senders[(i + 1) % COUNT].clone();
        workers.push(thread::spawn(move || {
            let mut random = Random(seed + i as u64);
            let producer = thread::spawn(move || {
                for k in 0..BLOCKS {
                    let block = vec![k; 1 + random.below(200)];
                    sender.send(black_box(block)).expect("the neighbour lives");
                }
            });
            let total = receiver
                .iter()
                .take(BLOCKS as usize)
                .fold(0u64, |total, mut block| {
                    block.push(1); /* a remote realloc */
                    total.wrapping_add(sum(&block))
                });
            producer.join().expect("producers do not panic");
            total
        }));
    }
    drop(senders);
    workers.into_iter().fold(0, |total, worker| {
        total.wrapping_add(worker.join().expect("no panic"))
    })
}

/// Allocates and frees when dropped, in the middle of an unwinding.
struct Mourner<'a>(&'a mut Vec<String>);

impl Drop for Mourner<'_> {
    fn drop(&mut self) {
        self.0.push(format!("unwinding: {}", thread::panicking()));
        self.0.push(sum(&black_box(vec![3u64; 100])).to_string());
    }
}

fn panics(random: &mut Random) -> u64 {
    let mut hash = Fnv::default();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {})); /* these are no news */
    for depth in 0..30 {
        let mut notes = Vec::new();
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            let held: Vec<Box<u64>> = (0..depth).map(Box::new).collect();
            let _mourner = Mourner(&mut notes);
            panic::panic_any(format!(
                "{} with {} blocks",
                random.next(),
                black_box(held).len()
            ));
        }));
        let message = result
            .expect_err("it panics")
            .downcast::<String>()
            .expect("a string");
        hash.write(message.as_bytes());
        notes.iter().for_each(|note| hash.write(note.as_bytes()));
    }
    panic::set_hook(hook);
    hash.finish()
}

/// A panic that leaves a destructor while unwinding ends the process, by abort and nothing else.
struct Fatal;

impl Drop for Fatal {
    fn drop(&mut self) {
        panic!("out of a destructor");
    }
}

fn die_while_unwinding() {
    let _fatal = Fatal;
    panic!("first");
}

#[cfg(unix)]
fn aborts_while_unwinding() -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SIGABRT: i32 = 6;
    let program = std::env::current_exe().expect("a path");
    let child = Command::new(program)
        .arg("die-while-unwinding")
        .output()
        .expect("a child");
    child.status.signal() == Some(SIGABRT)
}

// ---- all ----

fn one_round(round: u64) -> u64 {
    let mut random = Random(round);
    let parts = [
        boxes(&mut random),
        vectors(&mut random),
        strings(&mut random),
        maps(&mut random),
        over_aligned(&mut random),
        zero_sized(),
        threads(round),
        panics(&mut random),
    ];
    sum(&black_box(parts))
}

pub fn main() {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "20".into());
    if argument == "die-while-unwinding" {
        return die_while_unwinding();
    }
    let rounds: u64 = argument.parse().unwrap_or_else(|_| {
        eprintln!("'{}' is no number of rounds", argument);
        process::exit(2);
    });
    let checksum = (0..rounds).fold(0u64, |sum, round| sum.rotate_left(9) ^ one_round(round));
    let dies_well = rounds == 0 || aborts_while_unwinding();
    let misaligned = MISALIGNED.load(Relaxed);
    println!(
        "checksum {:016x}  over-aligned requests {}  misaligned blocks {}  panic in unwinding {}",
        checksum,
        OVER_ALIGNED.load(Relaxed),
        misaligned,
        if dies_well {
            "aborts"
        } else {
            "DOES NOT ABORT"
        }
    );
    process::exit(i32::from(misaligned != 0 || !dies_well));
}
