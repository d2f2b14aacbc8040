//! What two contributions have in common, counted value by value.

use wire::SparseTensor;

use super::sketch::is_telling;

/// A count over the tensors in which contributions can differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Values that each keeps.
    pub values: u64,
    /// Values that both keep.
    pub shared: u64,
    /// Of those, the ones of the same sign in both.
    pub agreed: u64,
}

impl Overlap {
    /// Share of the values that both keep; 0 of none.
    pub fn share(&self) -> f64 {
        self.shared as f64 / self.values.max(1) as f64
    }

    /// Of the values that both keep, the share with the same sign; 0 of none.
    pub fn agreement(&self) -> f64 {
        self.agreed as f64 / self.shared.max(1) as f64
    }
}

/// What `a` and `b`, both by tensor, have in common. Tensors of different shapes have nothing.
pub fn overlap(a: &[SparseTensor], b: &[SparseTensor]) -> Overlap {
    let mut sum = Overlap::default();
    for (a, b) in a.iter().zip(b).filter(|(a, b)| a.shape() == b.shape() && is_telling(a.shape())) {
        add_tensor(a, b, &mut sum);
    }
    sum
}

fn add_tensor(a: &SparseTensor, b: &SparseTensor, sum: &mut Overlap) {
    let k = a.shape().k();
    let negative = |tensor: &SparseTensor| tensor.codebook().map(|value| value < 0.0);
    let (negative_a, negative_b) = (negative(a), negative(b));
    let chunks = a.indices().chunks_exact(k).zip(b.indices().chunks_exact(k));
    for (chunk, (indices_a, indices_b)) in chunks.enumerate() {
        let (mut i, mut j) = (0, 0);
        while i < k && j < k {
            let (left, right) = (indices_a[i], indices_b[j]);
            if left == right {
                sum.shared += 1;
                let sign_a = negative_a[usize::from(a.code(chunk, i))];
                let sign_b = negative_b[usize::from(b.code(chunk, j))];
                sum.agreed += u64::from(sign_a == sign_b);
            }
            i += usize::from(left <= right);
            j += usize::from(right <= left);
        }
    }
    sum.values += a.indices().len() as u64;
}
