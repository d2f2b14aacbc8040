//! Tensor copies: boxes of a tensor of two to four dimensions, between global memory and shared
//! memory with a swizzle. Outside of the tensor a load brings zeros and a store does nothing; the
//! mbarrier gets the bytes of the whole box either way.

use std::panic::Location;

use super::copy::{Outgoing, start_store};
use super::fault::{FaultKind, fail};
use super::here::here;
use super::landing::{Source, take_off};
use super::shared::WINDOW;
use super::{Global, Mbarrier, Shared, memory};
use crate::simt::{Argument, Element, Parameter, Swizzle, Value};

const RANK_MAX: usize = 4;
const BOX_MAX: u32 = 256;

/// How a tensor lies in global memory and how boxes of it lie in shared memory. Dimension 0 is the
/// innermost, of neighbouring values. (`cuTensorMapEncodeTiled`)
#[derive(Clone, Copy, Debug)]
pub struct TensorMap {
    /// Address of the first value.
    pub address: u64,
    /// Bytes from there on that belong to the tensor's buffer.
    pub bytes: u64,
    /// Bytes of a value.
    pub value_bytes: u32,
    /// Dimensions, 2 to 4.
    pub rank: usize,
    /// Values in each dimension; 1 beyond the rank.
    pub extents: [u32; RANK_MAX],
    /// Bytes from one value to the next in dimensions 1 and up.
    pub strides_bytes: [u64; RANK_MAX - 1],
    /// Values of a box in each dimension; 1 beyond the rank.
    pub box_extents: [u32; RANK_MAX],
    /// How the box's rows lie in shared memory.
    pub swizzle: Swizzle,
}

impl TensorMap {
    /// The map of a tensor that starts at value 0 of `memory`, with `RANK` extents and box extents
    /// and `RANK - 1` strides in bytes, of dimensions 1 and up.
    ///
    /// # Panics
    /// When the driver would refuse it: an address or stride that is no multiple of 16 bytes, a
    /// box of more than 256 values a side or whose rows are no multiple of 16 bytes or wider than
    /// the swizzle; or when the tensor does not fit `memory`.
    pub fn new<T: Element, const RANK: usize>(
        memory: Global<T>,
        extents: [u32; RANK],
        strides_bytes: &[u64],
        box_extents: [u32; RANK],
        swizzle: Swizzle,
    ) -> Self {
        assert!((2..=RANK_MAX).contains(&RANK), "tensors have 2 to 4 dimensions, not {RANK}");
        assert_eq!(strides_bytes.len(), RANK - 1, "strides of dimensions 1 and up");
        let Value::Memory { address, bytes } = memory.value() else { unreachable!() };
        assert!(address.is_multiple_of(16), "a tensor at {address:#x}, which is not on 16 bytes");
        for stride in strides_bytes {
            assert!(stride.is_multiple_of(16), "a stride of {stride} bytes");
        }
        let sides = box_extents.iter().zip(&extents);
        for (side, extent) in sides {
            assert!((1..=BOX_MAX).contains(side) && *extent > 0, "box {box_extents:?}");
        }
        let value_bytes = size_of::<T>() as u32;
        let row = box_extents[0] * value_bytes;
        assert!(row.is_multiple_of(16), "rows of {row} bytes in the box");
        let is_none = matches!(swizzle, Swizzle::None);
        assert!(is_none || row <= swizzle.width_bytes(), "rows of {row} bytes under {swizzle:?}");
        let last = strides_bytes.iter().zip(&extents[1..]);
        let last: u64 = last.map(|(stride, extent)| stride * u64::from(extent - 1)).sum();
        let end = last + u64::from(extents[0]) * u64::from(value_bytes);
        assert!(end <= bytes, "a tensor of {end} bytes in {bytes} bytes of memory");
        let pad = |given: &[u32]| std::array::from_fn(|d| given.get(d).copied().unwrap_or(1));
        Self {
            address,
            bytes,
            value_bytes,
            rank: RANK,
            extents: pad(&extents),
            strides_bytes: std::array::from_fn(|d| strides_bytes.get(d).copied().unwrap_or(0)),
            box_extents: pad(&box_extents),
            swizzle,
        }
    }

    /// Bytes of a box: what the mbarrier of a load is to expect.
    pub fn box_bytes(&self) -> u32 {
        self.box_extents.iter().product::<u32>() * self.value_bytes
    }

    /// Loads the box whose first value has the coordinates `at`, in values and innermost first, to
    /// value `i` of `to`; counts its bytes at `done`. One thread issues it.
    #[track_caller]
    pub fn load<T: Element, const RANK: usize>(
        self,
        to: Shared<T>,
        i: u32,
        at: [i32; RANK],
        done: Mbarrier,
    ) {
        let (here, caller) = (here(), Location::caller());
        let (to, tensor) = self.place(to, i, at);
        here.with(|block| {
            let mbarrier = done.find_for_copy(block, caller);
            let range = (to, self.box_bytes());
            take_off(block, here.thread, range, Source::Box(tensor), mbarrier, caller);
        });
    }

    /// Stores the box from value `i` of `from`. As with `bulk_store`, writers fence, and this
    /// thread commits and waits.
    #[track_caller]
    pub fn store<T: Element, const RANK: usize>(self, from: Shared<T>, i: u32, at: [i32; RANK]) {
        let caller = Location::caller();
        let (from, tensor) = self.place(from, i, at);
        start_store(Outgoing::of_box(from, self.box_bytes(), tensor), caller);
    }

    /// Fetches the map into a cache.
    pub fn prefetch(self) {}

    #[track_caller]
    fn place<T: Element, const RANK: usize>(
        self,
        window: Shared<T>,
        i: u32,
        at: [i32; RANK],
    ) -> (u32, TensorBox) {
        let caller = Location::caller();
        if RANK != self.rank || size_of::<T>() as u32 != self.value_bytes {
            let what = format!(
                "{RANK} coordinates and {}-byte values for a map of rank {} and {} bytes",
                size_of::<T>(),
                self.rank,
                self.value_bytes
            );
            fail(FaultKind::Protocol, caller, what);
        }
        let values = self.box_bytes() / self.value_bytes;
        let align = match self.swizzle {
            Swizzle::None => 128,
            // On whole patterns, so that the swizzle of an address is that of a row.
            swizzle => 8 * swizzle.width_bytes(),
        };
        let offset = window.check_range(i, values, align, caller);
        let at = std::array::from_fn(|d| at.get(d).copied().unwrap_or(0));
        (offset, TensorBox { map: self, at })
    }
}

impl Argument for TensorMap {
    const SHAPE: Parameter = Parameter { name: "", bytes: 128, align: 64 };

    fn value(&self) -> Value {
        Value::Map(*self)
    }
}

/// A box and where it starts.
#[derive(Clone, Copy)]
pub(super) struct TensorBox {
    map: TensorMap,
    at: [i32; RANK_MAX],
}

impl TensorBox {
    /// Fills `target`, which lies `offset` bytes into shared memory.
    pub(super) fn load(&self, offset: u32, target: &mut [u8]) {
        self.each_piece(offset, |place, inside| {
            let piece = &mut target[place..place + 16];
            piece.fill(0);
            if let Some((start, len, address)) = inside {
                memory::read_bytes(address, &mut piece[start..start + len]);
            }
        });
    }

    /// Writes `bytes`, which lie `offset` bytes into shared memory.
    pub(super) fn store(&self, offset: u32, bytes: &[u8]) {
        self.each_piece(offset, |place, inside| {
            if let Some((start, len, address)) = inside {
                memory::write_bytes(address, &bytes[place + start..place + start + len]);
            }
        });
    }

    /// Calls `move_piece` for each 16 bytes of the box with their place in it, swizzled, and the
    /// run of them that is inside of the tensor: start, length, global address.
    fn each_piece(
        &self,
        offset: u32,
        mut move_piece: impl FnMut(usize, Option<(usize, usize, u64)>),
    ) {
        let map = &self.map;
        let [width, height, depth, count] = map.box_extents;
        let row_bytes = width * map.value_bytes;
        for row in 0..height * depth * count {
            let steps = [row % height, row / height % depth, row / height / depth];
            let outer: [i64; 3] =
                std::array::from_fn(|d| i64::from(self.at[d + 1]) + i64::from(steps[d]));
            let is_inside = (0..3).all(|d| (0..i64::from(map.extents[d + 1])).contains(&outer[d]));
            let distance: u64 = (0..3).map(|d| outer[d].max(0) as u64 * map.strides_bytes[d]).sum();
            for piece in 0..row_bytes / 16 {
                let logical = WINDOW + offset + row * row_bytes + piece * 16;
                let place = match map.swizzle {
                    Swizzle::None => logical,
                    swizzle => swizzle.apply(logical),
                };
                let place = (place - WINDOW - offset) as usize;
                let run = is_inside.then(|| self.run(piece)).flatten();
                let run = run.map(|(start, len, x)| {
                    let value_bytes = u64::from(map.value_bytes);
                    (start, len, map.address + distance + x * value_bytes)
                });
                move_piece(place, run);
            }
        }
    }

    /// The part of piece `piece` of a row that is inside: first byte, bytes, first value's x.
    fn run(&self, piece: u32) -> Option<(usize, usize, u64)> {
        let map = &self.map;
        let values = i64::from(16 / map.value_bytes);
        let x = i64::from(self.at[0]) + i64::from(piece) * values;
        let (first, end) = (x.max(0), (x + values).min(i64::from(map.extents[0])));
        let value_bytes = map.value_bytes as usize;
        (first < end).then(|| {
            let start = (first - x) as usize * value_bytes;
            (start, (end - first) as usize * value_bytes, first as u64)
        })
    }
}
