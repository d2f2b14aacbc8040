//! Fixed-width little-endian fields, read one behind the other.

/// A cursor over a header whose length was checked before.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    /// The next `LEN` bytes.
    ///
    /// # Panics
    /// Fewer are left.
    pub(super) fn array<const LEN: usize>(&mut self) -> [u8; LEN] {
        let (taken, rest) = self.0.split_at(LEN);
        self.0 = rest;
        taken.try_into().expect("as many bytes as were split off")
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
}
