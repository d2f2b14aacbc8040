//! Fixed-width little-endian fields, read from and written to a cursor over bytes.

/// Reads fields one behind the other from bytes whose length was checked before.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `len` bytes, or all that are left if there are fewer.
    pub(super) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The next `LEN` bytes; zeros stand in for missing ones.
    pub(super) fn array<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut out = [0; LEN];
        let taken = self.bytes(LEN);
        out[..taken.len()].copy_from_slice(taken);
        out
    }

    pub(super) fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(super) fn f32(&mut self) -> f32 {
        f32::from_le_bytes(self.array())
    }
}
