//! Small kernels that use the vocabulary as real ones do. Each is right; the tests of faults have
//! wrong ones of their own.
#![allow(dead_code, missing_docs, reason = "each test file uses its part")]

use kernels::simt::*;
use kernels::{kernel, unroll};

/// Shared layout of [`pipelined_product`]: stages of A and B, then their barriers.
const STAGES: u32 = 2;
const TILE: u32 = 64 * 64;
const STAGE_BYTES: u32 = 2 * TILE * 2;
const FULL: u32 = STAGES * STAGE_BYTES;
const EMPTY: u32 = FULL + 8 * STAGES;
pub(crate) const PIPELINE_BYTES: u32 = EMPTY + 8 * STAGES;

kernel! {
    /// Every collective of a warp: out[lane][..] for 32 lanes.
    pub fn collectives(out: Global<u32>) {
        let l = lane();
        let v = l * l + 1;
        let results = [
            shfl_xor(v, 5), shfl_idx(v, l * 7), shfl_up(v, 3), shfl_down(v, 4),
            ballot(v.is_multiple_of(3)), any(l == 9) as u32, all(l < 31) as u32, redux_add(v),
            redux_min(v), redux_max(v), redux_and(v | 4), redux_or(v),
        ];
        unroll!(i in 12 { out.st(l as usize * 12 + i, results[i]); });
    }

    /// One 16 by 8 by 16 product: A row by row, B column by column, both through ldmatrix.
    pub fn warp_product(a: Global<Bf16>, b: Global<Bf16>, c: Global<f32>) {
        let (l, a_s, b_s) = (lane(), Shared::<Bf16>::at(0, 256), Shared::<Bf16>::at(512, 256));
        a_s.st16b(l * 8, a.ld16b(l as usize * 8));
        b_s.st16b(l * 8, b.ld16b(l as usize * 8));
        sync_warp();
        let fa = a_s.ldmatrix_x4(((l & 7) + 8 * (l >> 3 & 1)) * 16 + 8 * (l >> 4));
        // Two tiles of 8 columns, stored [n][k].
        let fb = b_s.ldmatrix_x4(((l & 7) + 8 * (l >> 4)) * 16 + 8 * (l >> 3 & 1));
        let (mut left, mut right) = ([0.0_f32; 4], [0.0_f32; 4]);
        mma_m16n8k16(&mut left, fa, [fb[0], fb[1]]);
        mma_m16n8k16(&mut right, fa, [fb[2], fb[3]]);
        let (g, t) = (l / 4, l % 4 * 2);
        unroll!(i in 4 {
            let at = ((g + i as u32 / 2 * 8) * 16 + t + i as u32 % 2) as usize;
            c.st(at, left[i]);
            c.st(at + 8, right[i]);
        });
    }

    /// Transposes four 8 by 8 matrices: there by stmatrix of what ldmatrix brought, transposed once
    /// on the way in and once more on the way out of a second copy.
    pub fn transposes(x: Global<Bf16>, once: Global<Bf16>, twice: Global<Bf16>) {
        let l = lane();
        let (from, to) = (Shared::<Bf16>::at(0, 256), Shared::<Bf16>::at(512, 256));
        from.st16b(l * 8, x.ld16b(l as usize * 8));
        sync_warp();
        let words = from.ldmatrix_x4_trans(l * 8);
        to.stmatrix_x4(l * 8, words);
        sync_warp();
        once.st16b(l as usize * 8, to.ld16b(l * 8));
        sync_warp();
        to.stmatrix_x4_trans(l * 8, words);
        sync_warp();
        twice.st16b(l as usize * 8, to.ld16b(l * 8));
    }

    /// C[64][64] = A[64][k] * B[64][k]^T, 64 columns of k in a stage at a time, by tensor copies:
    /// one producer thread, one consumer warpgroup. C leaves in bf16, by stmatrix and a tensor
    /// store.
    pub fn pipelined_product(
        a: TensorMap, b: TensorMap, c: TensorMap, steps: u32,
    ) bounds(256, 1) {
        let (full, empty) = (Mbarrier::at(FULL), Mbarrier::at(EMPTY));
        if thread_idx() == 0 {
            unroll!(s in 2 {
                full.nth(s as u32).init(1);
                empty.nth(s as u32).init(1);
            });
            fence_mbarrier_init();
        }
        sync_threads();
        if warpgroup() == 1 {
            lower_registers::<24>();
            if warp() == 4 && elect_one() {
                produce(a, b, full, empty, steps);
            }
        } else {
            raise_registers::<240>();
            consume(c, full, empty, steps);
        }
    }

    /// C[64][64] = A[64][64] * B: A from registers, B as rows of k (MN-major) in panels of 64
    /// columns, written by the threads.
    pub fn product_from_registers(a: Global<Bf16>, b: Global<Bf16>, c: Global<f32>) {
        let (t, tile) = (thread_idx(), Shared::<Bf16>::at(0, TILE));
        let mut i = t;
        while i < TILE / 8 {
            tile.st16b(swizzled_128b(i / 8, i % 8 * 8), b.ld16b(i as usize * 8));
            i += 128;
        }
        fence_proxy_async();
        sync_threads();
        let (w, g, q) = (warp(), lane() / 4, lane() % 4);
        let mut acc = Accumulator::<32>::zero();
        let b = Operand::<MnMajor<128, 8192>>::at(tile, 0);
        let row = (16 * w + g) as usize * 64 + 2 * q as usize;
        let pair = |at: usize| {
            let [low, high] = a.ld2(at);
            low.0 as u32 | (high.0 as u32) << 16
        };
        wgmma_fence();
        unroll!(k in 4 {
            let at = row + k * 16;
            let words = [pair(at), pair(at + 8 * 64), pair(at + 8), pair(at + 8 * 64 + 8)];
            acc.mma_rs(words, b.step::<{ k as u32 * 2048 }>(), k != 0);
        });
        wgmma_commit();
        wgmma_wait::<0>();
        acc.settle();
        unroll!(j in 8 {
            unroll!(h in 2 {
                let at = row + h * 8 * 64 + 8 * j;
                c.st2(at, [acc.get(4 * j + 2 * h), acc.get(4 * j + 2 * h + 1)]);
            });
        });
    }

    /// Adds one to each value, by cp.async in two groups and bulk copies back.
    pub fn add_one(x: Global<f32>, y: Global<f32>, sums: Global<f32>) {
        let (t, tile) = (thread_idx(), Shared::<f32>::at(0, 1024));
        unroll!(half in 2 {
            let at = half as u32 * 512 + t * 4;
            cp_async16(tile, at, x, at as usize);
            cp_async_commit();
        });
        unroll!(half in 2 {
            if half == 0 { cp_async_wait::<1>(); } else { cp_async_wait::<0>(); }
            sync_threads();
            // The neighbour's values, so that the barrier is needed.
            let at = half as u32 * 512 + (t ^ 127) * 4;
            let v = tile.ld4(at);
            tile.st4(at, [v[0] + 1.0, v[1] + 1.0, v[2] + 1.0, v[3] + 1.0]);
        });
        fence_proxy_async();
        sync_threads();
        if t == 0 {
            bulk_store(y, 0, tile, 0, 1024);
            bulk_add(sums, 0, tile, 0, 1024);
            bulk_commit();
            bulk_wait::<0>();
        }
    }
}

#[inline(always)]
fn produce(a: TensorMap, b: TensorMap, full: Mbarrier, empty: Mbarrier, steps: u32) {
    a.prefetch();
    let (mut step, mut stage, mut phase) = (0, 0, 0);
    while step < steps {
        empty.nth(stage).wait(phase ^ 1);
        let done = full.nth(stage);
        done.arrive_expect_tx(STAGE_BYTES);
        let tiles = Shared::<Bf16>::at(stage * STAGE_BYTES, 2 * TILE);
        a.load(tiles, 0, [step as i32 * 64, 0], done);
        b.load(tiles, TILE, [step as i32 * 64, 0], done);
        step += 1;
        stage += 1;
        if stage == STAGES {
            (stage, phase) = (0, phase ^ 1);
        }
    }
}

#[inline(always)]
fn consume(c: TensorMap, full: Mbarrier, empty: Mbarrier, steps: u32) {
    let mut acc = Accumulator::<32>::zero();
    let (mut step, mut stage, mut phase) = (0, 0, 0);
    while step < steps {
        full.nth(stage).wait(phase);
        let tiles = Shared::<Bf16>::at(stage * STAGE_BYTES, 2 * TILE);
        let (a, b) =
            (Operand::<KMajor<128>>::at(tiles, 0), Operand::<KMajor<128>>::at(tiles, TILE));
        wgmma_fence();
        unroll!(k in 4 {
            let (a, b) = (a.step::<{ k as u32 * 32 }>(), b.step::<{ k as u32 * 32 }>());
            acc.mma_ss(a, b, k != 0 || step > 0);
        });
        wgmma_commit();
        wgmma_wait::<0>();
        acc.settle();
        if thread_idx() == 0 {
            empty.nth(stage).arrive();
        }
        step += 1;
        stage += 1;
        if stage == STAGES {
            (stage, phase) = (0, phase ^ 1);
        }
    }
    // All copies have landed, and each warp overwrites rows of A that only its own products read.
    let tile = Shared::<Bf16>::at(0, TILE);
    let (w, l) = (warp(), lane());
    unroll!(q in 4 {
        let mut words = [0_u32; 4];
        unroll!(i in 4 { words[i] = bf16x2(acc.get(8 * q + 2 * i), acc.get(8 * q + 2 * i + 1)); });
        let (row, column) = (16 * w + (l & 7) + 8 * (l >> 3 & 1), 16 * q as u32 + 8 * (l >> 4));
        tile.stmatrix_x4(swizzled_128b(row, column), words);
    });
    fence_proxy_async();
    bar_sync(1, 128);
    if thread_idx() == 0 {
        c.store(tile, 0, [0, 0]);
        bulk_commit();
        bulk_wait::<0>();
    }
}
