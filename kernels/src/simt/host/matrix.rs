//! Matrices of a warp: 8 by 8 pieces between shared memory and registers, and the product of
//! 16 by 16 and 16 by 8. Layouts are those of the PTX ISA ("Matrix Fragments for mma.m16n8k16",
//! "ldmatrix"): with g = lane / 4 and t = lane % 4,
//! A holds (g, 2t) (g+8, 2t) (g, 2t+8) (g+8, 2t+8), B (2t, g) (2t+8, g), C (g, 2t) (g+8, 2t), each
//! with the neighbour that shares its register.

use std::panic::Location;

use super::Shared;
use super::fault::Caller;
use super::here::here;
use super::meeting::meet;
use super::order::{Access, Actor};
use super::shared::{accept, check_outgoing};
use crate::simt::{Element, unpack_bf16x2};

/// `c += a * b` with bf16 factors and f32 sums: A is 16 by 16, B 16 by 8, C 16 by 8, held by the
/// lanes as above. Here the 16 products are summed in order of k and then added to C; the device
/// has an order and a width of its own, so compare by tolerance.
#[inline(always)]
#[track_caller]
pub fn mma_m16n8k16(c: &mut [f32; 4], a: [u32; 4], b: [u32; 2]) {
    let mut fragment = (a, b, *c);
    meet("mma_m16n8k16", Location::caller(), &mut fragment, |_, all| {
        let fragments = std::array::from_fn(|lane| all.get(lane));
        let product = multiply(&fragments);
        for (lane, (a, b, mut c)) in fragments.into_iter().enumerate() {
            let (g, t) = (lane / 4, lane % 4 * 2);
            for (i, c) in c.iter_mut().enumerate() {
                *c += product[g + i / 2 * 8][t + i % 2];
            }
            all.set(lane, (a, b, c));
        }
    });
    *c = fragment.2;
}

type Fragment = ([u32; 4], [u32; 2], [f32; 4]);

#[inline(never)]
fn multiply(fragments: &[Fragment; 32]) -> [[f32; 8]; 16] {
    let (mut a_mk, mut b_kn) = ([[0.0_f32; 16]; 16], [[0.0_f32; 8]; 16]);
    for (lane, (a, b, _)) in fragments.iter().enumerate() {
        let (g, t) = (lane / 4, lane % 4 * 2);
        for (i, pair) in a.iter().enumerate() {
            let (row, k) = (g + i % 2 * 8, t + i / 2 * 8);
            [a_mk[row][k], a_mk[row][k + 1]] = unpack_bf16x2(*pair);
        }
        for (i, pair) in b.iter().enumerate() {
            let k = t + i * 8;
            [b_kn[k][g], b_kn[k + 1][g]] = unpack_bf16x2(*pair);
        }
    }
    a_mk.map(|row| {
        let mut sums = [0.0_f32; 8];
        for (a, b) in row.iter().zip(&b_kn) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a * b;
            }
        }
        sums
    })
}

impl<T: Element> Shared<T> {
    /// Four 8 by 8 matrices of 2-byte values. Lane `l` names the start of row `l % 8` of matrix
    /// `l / 8`, 16 bytes; word `j` of a lane is row `lane / 4` of matrix `j`, its values
    /// `2 * (lane % 4)` and the next.
    #[inline(always)]
    #[track_caller]
    pub fn ldmatrix_x4(self, i: u32) -> [u32; 4] {
        self.load_matrix("ldmatrix_x4", i, false, Location::caller())
    }

    /// [`Shared::ldmatrix_x4`] with each matrix transposed.
    #[inline(always)]
    #[track_caller]
    pub fn ldmatrix_x4_trans(self, i: u32) -> [u32; 4] {
        self.load_matrix("ldmatrix_x4_trans", i, true, Location::caller())
    }

    /// The inverse of [`Shared::ldmatrix_x4`].
    #[inline(always)]
    #[track_caller]
    pub fn stmatrix_x4(self, i: u32, words: [u32; 4]) {
        self.store_matrix("stmatrix_x4", i, words, false, Location::caller());
    }

    /// The inverse of [`Shared::ldmatrix_x4_trans`].
    #[inline(always)]
    #[track_caller]
    pub fn stmatrix_x4_trans(self, i: u32, words: [u32; 4]) {
        self.store_matrix("stmatrix_x4_trans", i, words, true, Location::caller());
    }

    #[inline(always)]
    fn load_matrix(self, op: &'static str, i: u32, trans: bool, caller: Caller) -> [u32; 4] {
        let offset = self.check(i, 16 / size_of::<T>() as u32, caller);
        let mut payload = (offset, [0_u32; 4]);
        meet(op, caller, &mut payload, |block, all| {
            let actor = Actor::Warp(here().warp());
            let rows: [[u16; 8]; 32] = std::array::from_fn(|row| {
                let offset = all.get(row).0;
                if let Some(order) = &mut block.order {
                    accept(order.touch(offset, 16, Access::Read, actor), op, caller);
                }
                block.shared.load(offset)
            });
            for lane in 0..32 {
                let words = std::array::from_fn(|matrix| {
                    let [low, high] = places(lane, trans).map(|(r, c)| rows[matrix * 8 + r][c]);
                    u32::from(low) | u32::from(high) << 16
                });
                all.set(lane, (0, words));
            }
        });
        payload.1
    }

    #[inline(always)]
    fn store_matrix(self, op: &'static str, i: u32, words: [u32; 4], trans: bool, caller: Caller) {
        let offset = self.check(i, 16 / size_of::<T>() as u32, caller);
        let mut payload = (offset, words);
        meet(op, caller, &mut payload, |block, all| {
            let mut rows = [[0_u16; 8]; 32];
            for lane in 0..32 {
                for (matrix, word) in all.get(lane).1.into_iter().enumerate() {
                    let [(r0, c0), (r1, c1)] = places(lane, trans);
                    rows[matrix * 8 + r0][c0] = word as u16;
                    rows[matrix * 8 + r1][c1] = (word >> 16) as u16;
                }
            }
            let warp = here().warp();
            for (lane, row) in rows.into_iter().enumerate() {
                let offset = all.get(lane).0;
                check_outgoing(block, offset, 16, caller);
                if let Some(order) = &mut block.order {
                    let actor = Actor::Lane((warp * 32 + lane) as u32);
                    accept(order.touch(offset, 16, Access::Write, actor), op, caller);
                }
                block.shared.store(offset, row);
            }
        });
    }
}

/// Row and column, in a matrix of 8 by 8, of the two values that a lane's word holds.
#[inline(always)]
fn places(lane: usize, trans: bool) -> [(usize, usize); 2] {
    let (g, t) = (lane / 4, lane % 4 * 2);
    if trans { [(t, g), (t + 1, g)] } else { [(g, t), (g, t + 1)] }
}
