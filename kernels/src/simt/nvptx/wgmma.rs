//! wgmma: products of a warpgroup. The accumulator's registers are named one by one in the
//! instruction, and only constants may index them, or they fall into local memory.

use core::arch::asm;

use crate::simt::{Operand, OperandLayout};

unsafe extern "unadjusted" {
    #[link_name = "llvm.nvvm.wgmma.fence.sync.aligned"]
    fn fence();
    #[link_name = "llvm.nvvm.wgmma.commit_group.sync.aligned"]
    fn commit();
    #[link_name = "llvm.nvvm.wgmma.wait_group.sync.aligned"]
    fn wait(pending: u64);
}

#[inline(always)]
pub fn wgmma_fence() {
    // SAFETY: the whole warpgroup comes here; so the vocabulary demands. So below.
    unsafe { fence() }
}

#[inline(always)]
pub fn wgmma_commit() {
    // SAFETY: as in `wgmma_fence`.
    unsafe { commit() }
}

#[inline(always)]
pub fn wgmma_wait<const PENDING: u64>() {
    // SAFETY: as in `wgmma_fence`.
    unsafe { wait(PENDING) }
}

/// 64 rows in the registers of a warpgroup.
pub struct Accumulator<const REGISTERS: usize>([f32; REGISTERS]);

impl<const REGISTERS: usize> Accumulator<REGISTERS> {
    #[inline(always)]
    pub fn zero() -> Self {
        Self([0.0; REGISTERS])
    }

    #[inline(always)]
    pub fn get(&self, i: usize) -> f32 {
        // SAFETY: the emulator checks the index; here it must be a constant.
        unsafe { *self.0.get_unchecked(i) }
    }

    #[inline(always)]
    pub fn set(&mut self, i: usize, value: f32) {
        // SAFETY: as in `get`.
        unsafe { *self.0.get_unchecked_mut(i) = value }
    }
}

/// The products of one width: the instruction names every register of the accumulator.
macro_rules! products {
    ($registers:literal, $shape:literal, [$first:tt $($r:tt)*]) => {
        impl Accumulator<$registers> {
            #[inline(always)]
            pub fn mma_ss<A: OperandLayout, B: OperandLayout, const I: u32, const J: u32>(
                &mut self,
                a: Operand<A, I>,
                b: Operand<B, J>,
                accumulate: bool,
            ) {
                let d = &mut self.0;
                // SAFETY: the operands lie in bounds of shared memory, and nobody touches them or
                // the registers before the wait; the emulator checks all of it.
                unsafe {
                    asm!(
                        "{{ .reg .pred p; .reg .b32 low; .reg .b64 a, b;",
                        "setp.ne.b32 p, {accumulate}, 0;",
                        "add.u32 low, {a_low}, {a_step}; mov.b64 a, {{low, {a_high}}};",
                        "add.u32 low, {b_low}, {b_step}; mov.b64 b, {{low, {b_high}}};",
                        concat!("wgmma.mma_async.sync.aligned.", $shape, ".f32.bf16.bf16"),
                        concat!("{{ {", $first, "}"), $(concat!(",{", $r, "}"),)*
                        "}}, a, b, p, 1, 1, {a_major}, {b_major}; }}",
                        inout(reg32) d[$first], $(inout(reg32) d[$r],)*
                        accumulate = in(reg32) accumulate as u32,
                        a_low = in(reg32) a.low(),
                        a_step = const Operand::<A, I>::STEP,
                        a_high = const A::HIGH,
                        a_major = const A::MN_MAJOR as u32,
                        b_low = in(reg32) b.low(),
                        b_step = const Operand::<B, J>::STEP,
                        b_high = const B::HIGH,
                        b_major = const B::MN_MAJOR as u32,
                        options(nostack)
                    );
                }
            }

            #[inline(always)]
            pub fn mma_rs<B: OperandLayout, const J: u32>(
                &mut self,
                a: [u32; 4],
                b: Operand<B, J>,
                accumulate: bool,
            ) {
                let d = &mut self.0;
                // SAFETY: as in `mma_ss`.
                unsafe {
                    asm!(
                        "{{ .reg .pred p; .reg .b32 low; .reg .b64 b;",
                        "setp.ne.b32 p, {accumulate}, 0;",
                        "add.u32 low, {b_low}, {b_step}; mov.b64 b, {{low, {b_high}}};",
                        concat!("wgmma.mma_async.sync.aligned.", $shape, ".f32.bf16.bf16"),
                        concat!("{{ {", $first, "}"), $(concat!(",{", $r, "}"),)*
                        "}}, {{{a0}, {a1}, {a2}, {a3}}}, b, p, 1, 1, {b_major}; }}",
                        inout(reg32) d[$first], $(inout(reg32) d[$r],)*
                        accumulate = in(reg32) accumulate as u32,
                        a0 = in(reg32) a[0],
                        a1 = in(reg32) a[1],
                        a2 = in(reg32) a[2],
                        a3 = in(reg32) a[3],
                        b_low = in(reg32) b.low(),
                        b_step = const Operand::<B, J>::STEP,
                        b_high = const B::HIGH,
                        b_major = const B::MN_MAJOR as u32,
                        options(nostack)
                    );
                }
            }

            #[inline(always)]
            pub fn settle(&mut self) {
                let d = &mut self.0;
                // SAFETY: a comment that names the registers, so that none is read further up.
                unsafe {
                    asm!(
                        "// settled",
                        concat!("// {", $first, "}"), $(concat!("// {", $r, "}"),)*
                        inout(reg32) d[$first], $(inout(reg32) d[$r],)*
                        options(nostack)
                    );
                }
            }
        }
    };
}
products!(32, "m64n64k16", [
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
]);
products!(40, "m64n80k16", [
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33
        34 35 36 37 38 39
]);
products!(64, "m64n128k16", [
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33
        34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
]);
products!(88, "m64n176k16", [
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33
        34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
        64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87
]);
products!(96, "m64n192k16", [
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33
        34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
        64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93
        94 95
]);
products!(128, "m64n256k16", [
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33
        34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
        64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93
        94 95 96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117
        118 119 120 121 122 123 124 125 126 127
]);
