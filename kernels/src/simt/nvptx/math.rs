//! Arithmetic that `core` does not have, or not in the approximate form that speed wants.

use core::arch::asm;

macro_rules! unary {
    ($($name:ident: $instruction:literal;)*) => { $(
        #[inline(always)]
        pub fn $name(x: f32) -> f32 {
            let result: f32;
            // SAFETY: arithmetic on registers.
            unsafe {
                asm!(
                    concat!($instruction, " {0}, {1};"),
                    out(reg32) result,
                    in(reg32) x,
                    options(pure, nomem, nostack)
                );
            }
            result
        }
    )* };
}
unary! {
    sqrt: "sqrt.rn.f32";
    exp2: "ex2.approx.ftz.f32";
    log2: "lg2.approx.ftz.f32";
    rcp: "rcp.approx.ftz.f32";
    rsqrt: "rsqrt.approx.ftz.f32";
}

#[inline(always)]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    let result: f32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "fma.rn.f32 {0}, {1}, {2}, {3};",
            out(reg32) result,
            in(reg32) a,
            in(reg32) b,
            in(reg32) c,
            options(pure, nomem, nostack)
        );
    }
    result
}

#[inline(always)]
pub fn sqrt_f64(x: f64) -> f64 {
    let result: f64;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "sqrt.rn.f64 {0}, {1};",
            out(reg64) result,
            in(reg64) x,
            options(pure, nomem, nostack)
        );
    }
    result
}

#[inline(always)]
pub fn round_to_i32(x: f32) -> i32 {
    let result: i32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "cvt.rni.s32.f32 {0}, {1};",
            out(reg32) result,
            in(reg32) x,
            options(pure, nomem, nostack)
        );
    }
    result
}

#[inline(always)]
pub fn bf16x2(low: f32, high: f32) -> u32 {
    let result: u32;
    // SAFETY: arithmetic on registers. The first source of the instruction is the upper half.
    unsafe {
        asm!(
            "cvt.rn.bf16x2.f32 {0}, {1}, {2};",
            out(reg32) result,
            in(reg32) high,
            in(reg32) low,
            options(pure, nomem, nostack)
        );
    }
    result
}
