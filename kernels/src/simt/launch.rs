//! What a launch is made of, for whoever carries it out: the shape of the grid, and a kernel with
//! its arguments as values. The emulator and the driver take the same two things.

use super::{TensorMap, WARP};

/// Grid and block of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block, a multiple of 32 up to 1,024.
    pub threads: u32,
    /// Shared memory of a block.
    pub shared_bytes: u32,
}

impl Launch {
    /// `blocks` blocks in a row, of `threads` threads.
    ///
    /// # Panics
    /// When `threads` is no multiple of 32 from 32 to 1,024: collectives of a partial warp hang.
    pub fn new(blocks: u32, threads: u32, shared_bytes: u32) -> Self {
        Self::grid([blocks, 1, 1], threads, shared_bytes)
    }

    /// A grid of up to three dimensions.
    ///
    /// # Panics
    /// As [`Launch::new`].
    pub fn grid(grid: [u32; 3], threads: u32, shared_bytes: u32) -> Self {
        let whole = threads.is_multiple_of(WARP) && (WARP..=1024).contains(&threads);
        assert!(whole, "a block of {threads} threads: it must be 32, 64, .. or 1,024");
        Self { grid, threads, shared_bytes }
    }

    /// Blocks of the grid.
    pub fn blocks(&self) -> u64 {
        self.grid.iter().map(|n| u64::from(*n)).product()
    }
}

/// Promise about every launch of a kernel; `ptxas` divides the registers by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most threads of a block.
    pub threads_max: u32,
    /// Fewest blocks that fit a multiprocessor at once.
    pub blocks_min: u32,
}

/// One parameter of an entry, as the PTX must declare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name of the argument.
    pub name: &'static str,
    /// Bytes of the parameter.
    pub bytes: u32,
    /// Alignment in bytes that a launch needs.
    pub align: u32,
}

impl Parameter {
    /// A parameter whose name is still to come, aligned to its size.
    pub const fn of_bytes(bytes: u32) -> Self {
        Self { name: "", bytes, align: bytes }
    }

    /// The same, by the name of the argument.
    pub const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}

/// An argument as a launcher passes it on.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A number of 4 bytes, by its bits.
    Bits32(u32),
    /// A number of 8 bytes, by its bits.
    Bits64(u64),
    /// Device memory; the launcher checks that it is memory of its own device.
    Memory {
        /// Address of the first byte.
        address: u64,
        /// Bytes that the kernel may touch.
        bytes: u64,
    },
    /// A tensor map, which a driver encodes into 128 bytes.
    Map(TensorMap),
}

/// A type that may be an argument of a kernel.
pub trait Argument: Copy + Send + Sync {
    /// What the PTX must declare for it, but for the name.
    const SHAPE: Parameter;

    /// The value to pass.
    fn value(&self) -> Value;
}

macro_rules! numbers {
    ($($number:ty: $variant:ident($bits:expr);)*) => { $(
        impl Argument for $number {
            const SHAPE: Parameter = Parameter::of_bytes(size_of::<$number>() as u32);

            fn value(&self) -> Value {
                let bits: fn($number) -> _ = $bits;
                Value::$variant(bits(*self))
            }
        }
    )* };
}
numbers! {
    u32: Bits32(|v| v);
    i32: Bits32(|v| v as u32);
    f32: Bits32(f32::to_bits);
    u64: Bits64(|v| v);
    i64: Bits64(|v| v as u64);
    f64: Bits64(f64::to_bits);
}

/// A kernel with its arguments; `kernel!` implements it.
pub trait Kernel: Sync {
    /// Name of the entry in the PTX.
    const NAME: &'static str;
    /// Parameters in the order of the entry.
    const PARAMETERS: &'static [Parameter];
    /// What was promised about launches.
    const BOUNDS: Option<Bounds> = None;

    /// Arguments in the order of the entry.
    fn arguments(&self) -> Vec<Value>;

    /// Runs one thread; only the emulator calls it.
    fn run_lane(&self);
}
