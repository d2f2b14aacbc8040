//! Shared memory: a 32-bit address in the block's dynamic window. Rust knows no address spaces, so
//! every access is inline PTX.

use core::arch::{asm, global_asm};
use core::marker::PhantomData;
use core::mem::{size_of, transmute_copy};

use crate::simt::Element;

global_asm!(".extern .shared .align 1024 .b8 dynamic_shared[];");

/// Values in shared memory.
pub struct Shared<T> {
    address: u32,
    values: PhantomData<T>,
}

impl<T> Clone for Shared<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

/// Where the window starts.
#[inline(always)]
pub(super) fn window() -> u32 {
    let address: u32;
    // SAFETY: takes an address.
    unsafe {
        asm!("mov.u32 {0}, dynamic_shared;", out(reg32) address, options(pure, nomem, nostack));
    }
    address
}

impl<T: Element> Shared<T> {
    #[inline(always)]
    pub fn at(offset_bytes: u32, _len: u32) -> Self {
        Self { address: window() + offset_bytes, values: PhantomData }
    }

    #[inline(always)]
    pub fn slice(self, from: u32, _len: u32) -> Self {
        Self { address: self.address(from), values: PhantomData }
    }

    #[inline(always)]
    pub fn cast<U: Element>(self) -> Shared<U> {
        Shared { address: self.address, values: PhantomData }
    }

    #[inline(always)]
    pub fn address(self, i: u32) -> u32 {
        self.address + i * size_of::<T>() as u32
    }

    #[inline(always)]
    pub fn ld(self, i: u32) -> T {
        let at = self.address(i);
        // SAFETY: in bounds, which the emulator checks; an `Element` is any bits of its size.
        unsafe {
            match size_of::<T>() {
                1 => {
                    let bits: u16;
                    asm!("ld.shared.u8 {0}, [{1}];", out(reg16) bits, in(reg32) at,
                        options(pure, readonly, nostack));
                    transmute_copy(&(bits as u8))
                }
                2 => {
                    let bits: u16;
                    asm!("ld.shared.b16 {0}, [{1}];", out(reg16) bits, in(reg32) at,
                        options(pure, readonly, nostack));
                    transmute_copy(&bits)
                }
                4 => {
                    let bits: u32;
                    asm!("ld.shared.b32 {0}, [{1}];", out(reg32) bits, in(reg32) at,
                        options(pure, readonly, nostack));
                    transmute_copy(&bits)
                }
                _ => {
                    let bits: u64;
                    asm!("ld.shared.b64 {0}, [{1}];", out(reg64) bits, in(reg32) at,
                        options(pure, readonly, nostack));
                    transmute_copy(&bits)
                }
            }
        }
    }

    #[inline(always)]
    pub fn st(self, i: u32, value: T) {
        let at = self.address(i);
        // SAFETY: as in `ld`.
        unsafe {
            match size_of::<T>() {
                1 => {
                    let bits = transmute_copy::<T, u8>(&value) as u16;
                    asm!("st.shared.u8 [{0}], {1};", in(reg32) at, in(reg16) bits,
                        options(nostack));
                }
                2 => {
                    let bits: u16 = transmute_copy(&value);
                    asm!("st.shared.b16 [{0}], {1};", in(reg32) at, in(reg16) bits,
                        options(nostack));
                }
                4 => {
                    let bits: u32 = transmute_copy(&value);
                    asm!("st.shared.b32 [{0}], {1};", in(reg32) at, in(reg32) bits,
                        options(nostack));
                }
                _ => {
                    let bits: u64 = transmute_copy(&value);
                    asm!("st.shared.b64 [{0}], {1};", in(reg32) at, in(reg64) bits,
                        options(nostack));
                }
            }
        }
    }

    #[inline(always)]
    pub fn ld16b(self, i: u32) -> [u32; 4] {
        let (a, b, c, d);
        // SAFETY: in bounds and aligned, which the emulator checks.
        unsafe {
            asm!("ld.shared.v4.b32 {{{0}, {1}, {2}, {3}}}, [{4}];",
                out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d,
                in(reg32) self.address(i), options(pure, readonly, nostack));
        }
        [a, b, c, d]
    }

    #[inline(always)]
    pub fn st16b(self, i: u32, words: [u32; 4]) {
        // SAFETY: in bounds and aligned, which the emulator checks.
        unsafe {
            asm!("st.shared.v4.b32 [{0}], {{{1}, {2}, {3}, {4}}};",
                in(reg32) self.address(i), in(reg32) words[0], in(reg32) words[1],
                in(reg32) words[2], in(reg32) words[3], options(nostack));
        }
    }
}

macro_rules! vectors {
    ($($type:ty)*) => { $(
        impl Shared<$type> {
            #[inline(always)]
            pub fn ld2(self, i: u32) -> [$type; 2] {
                let (a, b);
                // SAFETY: in bounds and aligned, which the emulator checks.
                unsafe {
                    asm!("ld.shared.v2.b32 {{{0}, {1}}}, [{2}];", out(reg32) a, out(reg32) b,
                        in(reg32) self.address(i), options(pure, readonly, nostack));
                }
                [a, b]
            }

            #[inline(always)]
            pub fn ld4(self, i: u32) -> [$type; 4] {
                let words = self.ld16b(i);
                // SAFETY: four words are four words.
                unsafe { core::mem::transmute(words) }
            }

            #[inline(always)]
            pub fn st2(self, i: u32, values: [$type; 2]) {
                // SAFETY: in bounds and aligned, which the emulator checks.
                unsafe {
                    asm!("st.shared.v2.b32 [{0}], {{{1}, {2}}};", in(reg32) self.address(i),
                        in(reg32) values[0], in(reg32) values[1], options(nostack));
                }
            }

            #[inline(always)]
            pub fn st4(self, i: u32, values: [$type; 4]) {
                // SAFETY: four words are four words.
                self.st16b(i, unsafe { core::mem::transmute::<[$type; 4], [u32; 4]>(values) })
            }
        }
    )* };
}
vectors!(u32 i32 f32);
