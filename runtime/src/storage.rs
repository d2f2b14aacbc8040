//! How many bytes a device keeps a value in, for plans that are made before anything is allocated.

/// The kind of memory that a device computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// The host's: everything f32.
    Host,
    /// A GPU's: activations bf16, parameters f32 in two halves of which one is bf16.
    Gpu,
}

impl Storage {
    /// Bytes of one activation.
    pub fn activation_bytes(self) -> usize {
        match self {
            Storage::Host => 4,
            Storage::Gpu => 2,
        }
    }
}
