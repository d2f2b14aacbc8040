//! How rows lie in shared memory: 16-byte pieces of a row are permuted so that a column of pieces
//! falls on different banks. TMA writes and wgmma reads the same permutation of absolute addresses.

/// Permutation of the 16-byte pieces within rows of 32, 64 or 128 bytes, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swizzle {
    /// Rows as they are.
    None,
    /// Address bit 4 is xored with bit 7; the pattern repeats after 256 bytes.
    B32,
    /// Address bits 5-4 are xored with bits 8-7; the pattern repeats after 512 bytes.
    B64,
    /// Address bits 6-4 are xored with bits 9-7; the pattern repeats after 1,024 bytes.
    B128,
}

impl Swizzle {
    /// The permutation of rows that are `WIDTH` bytes wide; 16 for none. Other widths do not
    /// compile. (A generic, so that the device build holds no path that panics.)
    pub const fn of_width<const WIDTH: u32>() -> Self {
        match WIDTH {
            16 => Self::None,
            32 => Self::B32,
            64 => Self::B64,
            128 => Self::B128,
            _ => panic!("rows are 16, 32, 64 or 128 bytes wide"),
        }
    }

    /// Bytes of a row: the widest that a tensor copy may write, and the span of the permutation.
    pub const fn width_bytes(self) -> u32 {
        match self {
            Self::None => 16,
            Self::B32 => 32,
            Self::B64 => 64,
            Self::B128 => 128,
        }
    }

    /// Where the byte of logical address `address` lies.
    #[inline(always)]
    pub const fn apply(self, address: u32) -> u32 {
        address ^ ((address >> 3) & (self.width_bytes() - 16))
    }

    /// The code in bits 62-63 of a wgmma descriptor (PTX ISA, "Matrix descriptor format").
    pub const fn descriptor_code(self) -> u32 {
        match self {
            Self::None => 0,
            Self::B128 => 1,
            Self::B64 => 2,
            Self::B32 => 3,
        }
    }
}

/// Where element `column` of `row` lies, in elements of 2 bytes from the start of a panel with rows
/// of 64 elements (128 bytes); the panel starts on 1,024 bytes.
#[inline(always)]
pub const fn swizzled_128b(row: u32, column: u32) -> u32 {
    row * 64 + ((column >> 3) ^ (row & 7)) * 8 + (column & 7)
}
