//! wgmma: products of a warpgroup, whose second factor, and maybe first, lies in shared memory. The
//! operands are read through their descriptors, address by address as the hardware does, so a wrong
//! swizzle, stride or step along k gives wrong numbers.

use std::panic::Location;

use super::block::Block;
use super::fault::{Caller, FaultKind, fail};
use super::here::here;
use super::meeting::{assemble, meet};
use super::order::Actor;
use super::shared::{WINDOW, accept};
use crate::simt::{Operand, OperandLayout, Swizzle, unpack_bf16x2};

const ROWS: usize = 64;
const DEPTH: usize = 16;

/// What a lane has issued, closed and waited for.
#[derive(Default)]
pub(super) struct LaneProducts {
    fences: u32,
    /// Groups that it closed.
    closed: u32,
    /// Groups that it knows to be done.
    done: u32,
}

/// Lets wgmma use registers that other instructions wrote: before the first product, and again
/// after the accumulator (or an A in registers) was written. The whole warpgroup comes here.
#[inline(always)]
#[track_caller]
pub fn wgmma_fence() {
    let (here, caller) = (here(), Location::caller());
    if here.with(|block| block.is_left_out(caller)) {
        return;
    }
    meet("wgmma_fence", caller, &mut (), |_, _| ());
    here.with(|block| block.lanes[here.thread as usize].products.fences += 1);
}

/// Closes the group of products issued since the last one. The whole warpgroup comes here.
#[inline(always)]
#[track_caller]
pub fn wgmma_commit() {
    let here = here();
    meet("wgmma_commit", Location::caller(), &mut (), |_, _| ());
    here.with(|block| block.lanes[here.thread as usize].products.closed += 1);
}

/// Waits until at most `PENDING` of the newest groups are under way. Then `settle` the accumulators
/// that are done. Straight-line code, the whole warpgroup.
#[inline(always)]
#[track_caller]
pub fn wgmma_wait<const PENDING: u64>() {
    let (here, caller) = (here(), Location::caller());
    if here.with(|block| block.is_left_out(caller)) {
        return;
    }
    meet("wgmma_wait", caller, &mut (), |_, _| ());
    here.with(|block| {
        let products = &mut block.lanes[here.thread as usize].products;
        products.done = products.done.max(products.closed.saturating_sub(PENDING as u32));
        let done = products.done;
        if let Some(order) = &mut block.order {
            order.acquire_products(here.thread, here.thread as usize / 128, done);
        }
    });
}

/// 64 rows of f32 in the registers of a warpgroup: `REGISTERS` per thread, for twice as many
/// columns. Register `4j + 2h + e` of a thread is row `16w + 8h + g`, column `8j + 2t + e`, with w
/// its warp in the warpgroup, g = lane / 4 and t = lane % 4.
///
/// On the device only constants may index it: `unroll!`.
pub struct Accumulator<const REGISTERS: usize> {
    values: [f32; REGISTERS],
    /// Group of the last product that writes it, and whether `settle` came after it.
    group: u32,
    is_settled: bool,
    /// Fences that the lane had executed when it last wrote a value itself.
    written_at: u32,
}

impl<const REGISTERS: usize> Accumulator<REGISTERS> {
    /// All zero.
    #[inline(always)]
    pub fn zero() -> Self {
        let written_at = fences();
        Self { values: [0.0; REGISTERS], group: 0, is_settled: true, written_at }
    }

    /// Value of register `i`.
    #[inline(always)]
    #[track_caller]
    pub fn get(&self, i: usize) -> f32 {
        self.check_settled(Location::caller());
        self.values[i]
    }

    /// Sets register `i`.
    #[inline(always)]
    #[track_caller]
    pub fn set(&mut self, i: usize, value: f32) {
        self.check_settled(Location::caller());
        self.written_at = fences();
        self.values[i] = value;
    }

    /// After the wait for the group of its last product: the values may be read.
    #[inline(always)]
    #[track_caller]
    pub fn settle(&mut self) {
        let here = here();
        let done = here.with(|block| block.lanes[here.thread as usize].products.done);
        if self.group > done {
            let what = "accumulator settled while its product is under way: commit and wait first";
            fail(FaultKind::InFlight, Location::caller(), what.to_string());
        }
        self.is_settled = true;
    }

    fn check_settled(&self, caller: Caller) {
        if !self.is_settled {
            let what = "accumulator used before the wait for its product and its settle";
            fail(FaultKind::InFlight, caller, what.to_string());
        }
    }

    /// `self = a * b`, plus `self` where `accumulate`: A 64 by 16 and B 16 by `2 * REGISTERS`, both
    /// in shared memory. Sums run in order of k here; the device has an order of its own.
    #[track_caller]
    pub fn mma_ss<A: OperandLayout, B: OperandLayout, const I: u32, const J: u32>(
        &mut self,
        a: Operand<A, I>,
        b: Operand<B, J>,
        accumulate: bool,
    ) {
        let (a, b) = (Tile::new(a), Tile::new(b));
        self.multiply(FirstFactor::Shared(a), b, accumulate, Location::caller());
    }

    /// [`Accumulator::mma_ss`] with A in registers: word `2q + h` of a thread is row
    /// `16w + 8h + g`, k = `8q + 2t` and the next.
    #[track_caller]
    pub fn mma_rs<B: OperandLayout, const J: u32>(
        &mut self,
        a: [u32; 4],
        b: Operand<B, J>,
        accumulate: bool,
    ) {
        let b = Tile::new(b);
        self.multiply(FirstFactor::Registers(a), b, accumulate, Location::caller());
    }

    fn multiply(&mut self, a: FirstFactor, b: Tile, accumulate: bool, caller: Caller) {
        let (here, columns) = (here(), 2 * REGISTERS);
        let products = here.with(|block| {
            let products = &block.lanes[here.thread as usize].products;
            (products.fences, products.closed + 1)
        });
        if self.written_at >= products.0 {
            let what = "wgmma into registers that were written since the last wgmma_fence";
            fail(FaultKind::InFlight, caller, what.to_string());
        }
        self.group = products.1;
        self.is_settled = false;
        let values: *mut [f32; REGISTERS] = &mut self.values;
        let mut payload = (values.cast::<f32>(), a, b, accumulate, columns);
        assemble("wgmma", caller, &mut payload, |block, all| {
            let (_, first, b, accumulate, columns) = all.get(0);
            let differs = |lane| {
                let (_, other, other_b, other_accumulate, _) = all.get(lane);
                let same_a = match (first, other) {
                    (FirstFactor::Shared(a), FirstFactor::Shared(other)) => a == other,
                    (FirstFactor::Registers(_), FirstFactor::Registers(_)) => true,
                    _ => false,
                };
                !same_a || other_b != b || other_accumulate != accumulate
            };
            if (0..128).any(differs) {
                let what = "operands differ within the warpgroup".to_string();
                fail(FaultKind::Divergence, caller, what);
            }
            let a_mk = match first {
                FirstFactor::Shared(tile) => tile.read(block, ROWS, products.1, caller),
                FirstFactor::Registers(_) => from_registers(|lane| match all.get(lane).1 {
                    FirstFactor::Registers(words) => words,
                    FirstFactor::Shared(_) => [0; 4],
                }),
            };
            let b_nk = b.read(block, columns, products.1, caller);
            let product = product(&a_mk, &b_nk, columns);
            for thread in 0..128 {
                // SAFETY: the lane lent its accumulator of `columns / 2` values to the assembly.
                let registers =
                    unsafe { std::slice::from_raw_parts_mut(all.get(thread).0, columns / 2) };
                scatter(&product, columns, thread, accumulate, registers);
            }
        });
    }
}

#[inline(always)]
fn fences() -> u32 {
    let here = here();
    here.with(|block| block.lanes[here.thread as usize].products.fences)
}

/// Where the first factor comes from.
#[derive(Clone, Copy)]
enum FirstFactor {
    Shared(Tile),
    Registers([u32; 4]),
}

/// A descriptor with the bit of the instruction that belongs to it.
#[derive(Clone, Copy, PartialEq)]
struct Tile {
    descriptor: u64,
    mn_major: bool,
}

impl Tile {
    fn new<L: OperandLayout, const OFFSET: u32>(operand: Operand<L, OFFSET>) -> Self {
        Self { descriptor: operand.descriptor(), mn_major: L::MN_MAJOR }
    }

    /// The address, before the swizzle, of element (`mn`, `k`) of the tile; elements are 2 bytes.
    /// PTX ISA, "Strides" and "Canonical layouts" of wgmma's shared memory matrices.
    fn logical_address(self, swizzle: Swizzle, mn: u32, k: u32) -> u32 {
        let field = |shift: u32| ((self.descriptor >> shift) as u32 & 0x3fff) << 4;
        let (start, leading, stride) = (field(0), field(16), field(32));
        let width = swizzle.width_bytes();
        start
            + match (self.mn_major, swizzle) {
                (false, Swizzle::None) => {
                    mn % 8 * 16 + mn / 8 * stride + k / 8 * leading + k % 8 * 2
                }
                (false, _) => mn % 8 * width + mn / 8 * stride + k * 2,
                (true, Swizzle::None) => {
                    mn % 8 * 2 + mn / 8 * stride + k % 8 * 16 + k / 8 * leading
                }
                (true, _) => {
                    let span = width / 2;
                    mn % span * 2 + mn / span * leading + k % 8 * width + k / 8 * stride
                }
            }
    }

    /// `rows` by 16 values, k innermost.
    fn read(self, block: &mut Block, rows: usize, group: u32, caller: Caller) -> Vec<f32> {
        let swizzle = match self.descriptor >> 62 {
            0 => Swizzle::None,
            1 => Swizzle::B128,
            2 => Swizzle::B64,
            _ => Swizzle::B32,
        };
        let mut values = vec![0.0_f32; rows * DEPTH];
        // Eight values that are neighbours in memory, whatever the layout.
        for piece in 0..rows * DEPTH / 8 {
            let (mn, k) = if self.mn_major {
                (piece / DEPTH * 8, piece % DEPTH)
            } else {
                (piece / 2, piece % 2 * 8)
            };
            let logical = self.logical_address(swizzle, mn as u32, k as u32);
            let place = match swizzle {
                Swizzle::None => logical,
                swizzle => swizzle.apply(logical),
            };
            let words = read_piece(block, place, group, caller);
            for (i, pair) in words.into_iter().enumerate() {
                for (e, value) in unpack_bf16x2(pair).into_iter().enumerate() {
                    let at = 2 * i + e;
                    let (mn, k) = if self.mn_major { (mn + at, k) } else { (mn, k + at) };
                    values[mn * DEPTH + k] = value;
                }
            }
        }
        values
    }
}

/// 16 bytes of an operand at a shared address, by the asynchronous proxy.
fn read_piece(block: &mut Block, place: u32, group: u32, caller: Caller) -> [u32; 4] {
    let warpgroup = here().thread as usize / 128;
    let offset = place.wrapping_sub(WINDOW);
    if place < WINDOW || offset + 16 > block.shared.len() || !place.is_multiple_of(16) {
        let have = block.shared.len();
        let what = format!("wgmma operand at shared byte {offset} of {have}");
        fail(FaultKind::OutOfBounds, caller, what);
    }
    if let Some(order) = &mut block.order {
        for warp in warpgroup * 4..warpgroup * 4 + 4 {
            accept(order.read_async(offset, 16, Actor::Warp(warp)), "wgmma read", caller);
        }
        order.note_product(offset, warpgroup, group);
    }
    block.shared.load(offset)
}

/// A, 64 by 16 with k innermost, from the words of the lanes.
fn from_registers(words: impl Fn(usize) -> [u32; 4]) -> Vec<f32> {
    let mut a_mk = vec![0.0_f32; ROWS * DEPTH];
    for thread in 0..128 {
        let (w, g, t) = (thread / 32, thread % 32 / 4, thread % 4);
        for (i, pair) in words(thread).into_iter().enumerate() {
            let (q, h) = (i / 2, i % 2);
            let at = (16 * w + 8 * h + g) * DEPTH + 8 * q + 2 * t;
            [a_mk[at], a_mk[at + 1]] = unpack_bf16x2(pair);
        }
    }
    a_mk
}

/// 64 by `columns`.
fn product(a_mk: &[f32], b_nk: &[f32], columns: usize) -> Vec<f32> {
    let mut b_kn = vec![0.0_f32; DEPTH * columns];
    for (n, row) in b_nk.as_chunks::<DEPTH>().0.iter().enumerate() {
        for (k, value) in row.iter().enumerate() {
            b_kn[k * columns + n] = *value;
        }
    }
    let mut sums_mn = vec![0.0_f32; ROWS * columns];
    for (a, sums) in a_mk.as_chunks::<DEPTH>().0.iter().zip(sums_mn.chunks_exact_mut(columns)) {
        for (a, b) in a.iter().zip(b_kn.chunks_exact(columns)) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a * b;
            }
        }
    }
    sums_mn
}

/// Hands a thread its part of the product.
fn scatter(
    product: &[f32],
    columns: usize,
    thread: usize,
    accumulate: bool,
    registers: &mut [f32],
) {
    let (w, g, t) = (thread / 32, thread % 32 / 4, thread % 4);
    for (i, register) in registers.iter_mut().enumerate() {
        let (j, h, e) = (i / 4, i / 2 % 2, i % 2);
        let value = product[(16 * w + 8 * h + g) * columns + 8 * j + 2 * t + e];
        *register = if accumulate { *register + value } else { value };
    }
}
