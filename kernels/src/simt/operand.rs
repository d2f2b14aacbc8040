//! Matrix operands of wgmma in shared memory: where a tile starts and, as a type, how it lies. The
//! descriptor's constant half never occupies a register, and steps along k are added inside the
//! instruction: held as 64-bit values, descriptors are hoisted out of loops and spill.

use core::marker::PhantomData;

use super::swizzle::Swizzle;
use super::{Element, Shared};

/// How a tile of 2-byte elements lies in shared memory. PTX ISA, "Asynchronous warpgroup level
/// matrix shared memory layout".
pub trait OperandLayout: Copy {
    /// Rows of A (columns of B) are neighbours in memory, rather than steps along k.
    const MN_MAJOR: bool;
    /// Permutation of 16-byte pieces.
    const SWIZZLE: Swizzle;
    /// "Leading byte offset".
    const LEADING_BYTES: u32;
    /// "Stride byte offset".
    const STRIDE_BYTES: u32;
    /// Upper half of the descriptor.
    const HIGH: u32 = (Self::STRIDE_BYTES >> 4 & 0x3fff) | Self::SWIZZLE.descriptor_code() << 30;
}

/// Rows of A (or columns of B) lie one after another, `WIDTH` bytes (32, 64 or 128) of k each,
/// swizzled. More k follows in the next panel of the same kind.
#[derive(Clone, Copy)]
pub struct KMajor<const WIDTH: u32>;

impl<const WIDTH: u32> OperandLayout for KMajor<WIDTH> {
    const MN_MAJOR: bool = false;
    const SWIZZLE: Swizzle = Swizzle::of_width::<WIDTH>();
    // Unused by the hardware in this layout; 1 in units of 16 bytes, as others write.
    const LEADING_BYTES: u32 = 16;
    const STRIDE_BYTES: u32 = 8 * WIDTH;
}

/// Steps of k lie one after another, `WIDTH` bytes (32, 64 or 128) of rows of A (or columns of B)
/// each, swizzled; `PANEL` bytes further follow the next rows.
#[derive(Clone, Copy)]
pub struct MnMajor<const WIDTH: u32, const PANEL: u32>;

impl<const WIDTH: u32, const PANEL: u32> OperandLayout for MnMajor<WIDTH, PANEL> {
    const MN_MAJOR: bool = true;
    const SWIZZLE: Swizzle = Swizzle::of_width::<WIDTH>();
    const LEADING_BYTES: u32 = PANEL;
    const STRIDE_BYTES: u32 = 8 * WIDTH;
}

/// Blocks of 8 by 16 bytes without swizzle, with their two pitches in bytes.
#[derive(Clone, Copy)]
pub struct Unswizzled<const MN_MAJOR: bool, const LEADING: u32, const STRIDE: u32>;

impl<const MN_MAJOR: bool, const LEADING: u32, const STRIDE: u32> OperandLayout
    for Unswizzled<MN_MAJOR, LEADING, STRIDE>
{
    const MN_MAJOR: bool = MN_MAJOR;
    const SWIZZLE: Swizzle = Swizzle::None;
    const LEADING_BYTES: u32 = LEADING;
    const STRIDE_BYTES: u32 = STRIDE;
}

/// A tile in shared memory, `OFFSET` bytes after where it was made.
#[derive(Clone, Copy)]
pub struct Operand<L, const OFFSET: u32 = 0> {
    low: u32,
    layout: PhantomData<L>,
}

impl<L: OperandLayout> Operand<L> {
    /// The tile that starts at element `at` of `tile`. A swizzled tile starts on a whole pattern:
    /// 1,024 bytes for rows of 128, 512 for 64, 256 for 32.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub fn at<T: Element>(tile: Shared<T>, at: u32) -> Self {
        let low = (tile.address(at) & 0x3_ffff) >> 4 | (L::LEADING_BYTES >> 4 & 0x3fff) << 16;
        Self { low, layout: PhantomData }
    }

    /// The tile `BYTES` further: along k by 32 within a K-major panel of 128-byte rows.
    #[inline(always)]
    pub fn step<const BYTES: u32>(self) -> Operand<L, BYTES> {
        Operand { low: self.low, layout: PhantomData }
    }
}

impl<L: OperandLayout, const OFFSET: u32> Operand<L, OFFSET> {
    /// What the step adds to the lower half.
    pub(crate) const STEP: u32 = OFFSET >> 4;

    /// Lower half of the descriptor, before the step.
    #[cfg(target_arch = "nvptx64")]
    #[inline(always)]
    pub(crate) fn low(self) -> u32 {
        self.low
    }

    /// The 64-bit descriptor that the hardware sees.
    pub fn descriptor(self) -> u64 {
        (L::HIGH as u64) << 32 | self.low.wrapping_add(Self::STEP) as u64
    }
}
