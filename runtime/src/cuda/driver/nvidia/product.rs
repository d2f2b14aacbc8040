//! Matrix products by cuBLASLt. For each shape the library is asked once which algorithm is best;
//! that one stays, so that a run gives the same bits from its first step to its last.
//!
//! The library counts columns first: `c = a b` of matrices by rows is `c' = b' a'` of matrices by
//! columns, in the same memory.

use std::collections::HashMap;
use std::ffi::c_void;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;
use cudarc::driver;

use super::pointer;
use crate::cuda::driver::{Factor, Precision, Product};

/// Scratch of an algorithm: what the fastest of them for Hopper ask for.
const WORKSPACE_BYTES: usize = 64 << 20;

/// What every address is a multiple of.
const ALIGNMENT_BYTES: u32 = 16;

/// The library, and what it has been asked.
pub(super) struct Products {
    handle: sys::cublasLtHandle_t,
    workspace: u64,
    plans: HashMap<Shape, Plan>,
}

/// What a plan depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    dims: [usize; 3],
    a: (usize, bool),
    b: (usize, bool),
    is_f32: bool,
    accumulate: bool,
}

impl Shape {
    fn of(product: &Product) -> Self {
        let side = |factor: Factor| (factor.row_stride, factor.transposed);
        Self {
            dims: [product.m, product.n, product.k],
            a: side(product.a),
            b: side(product.b),
            is_f32: product.precision == Precision::F32,
            accumulate: product.accumulate,
        }
    }
}

/// How the library does one shape.
struct Plan {
    operation: sys::cublasLtMatmulDesc_t,
    a: sys::cublasLtMatrixLayout_t,
    b: sys::cublasLtMatrixLayout_t,
    c: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Products {
    /// Loads the library, in the current context.
    pub(super) fn new() -> Result<Self, CublasError> {
        let handle = result::create_handle()?;
        // SAFETY: there is a current context; the memory is given back by `release`.
        let workspace = unsafe { driver::result::malloc_sync(WORKSPACE_BYTES) };
        let full = CublasError(sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED);
        let workspace = workspace.map_err(|_| full)?;
        Ok(Self { handle, workspace, plans: HashMap::new() })
    }

    /// Starts a product.
    ///
    /// # Safety
    /// Addresses are memory of the current context, as long as the shapes say; nobody else asks
    /// anything of c meanwhile.
    pub(super) unsafe fn multiply(
        &mut self,
        product: &Product,
        stream: driver::sys::CUstream,
    ) -> Result<(), CublasError> {
        let shape = Shape::of(product);
        let plan = match self.plans.entry(shape) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(Plan::new(self.handle, product)?)
            }
        };
        let (alpha, beta) = (1.0_f32, if product.accumulate { 1.0_f32 } else { 0.0 });
        let c = pointer(product.c);
        // SAFETY: the plan is of this shape, the factors are by f32, and the rest is the caller's
        // promise; both CUstream are the same type of the driver.
        unsafe {
            result::matmul(
                self.handle,
                plan.operation,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                pointer(product.b.address),
                plan.a,
                pointer(product.a.address),
                plan.b,
                c,
                plan.c,
                c,
                plan.c,
                &plan.algorithm,
                pointer(self.workspace),
                WORKSPACE_BYTES,
                stream.cast(),
            )
        }
    }

    /// Gives the memory back and closes the library.
    ///
    /// # Safety
    /// No product is under way, and none is started any more.
    pub(super) unsafe fn release(&mut self) {
        // SAFETY: the caller's promise; each was made by this value and is given back once.
        unsafe {
            for plan in self.plans.values() {
                let _ = result::destroy_matmul_desc(plan.operation);
                for layout in [plan.a, plan.b, plan.c] {
                    let _ = result::destroy_matrix_layout(layout);
                }
            }
            let _ = driver::result::free_sync(self.workspace);
            let _ = result::destroy_handle(self.handle);
        }
    }
}

impl Plan {
    fn new(handle: sys::cublasLtHandle_t, product: &Product) -> Result<Self, CublasError> {
        let Product { m, n, k, .. } = *product;
        let sums = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let operation = result::create_matmul_desc(sums, sys::cudaDataType_t::CUDA_R_32F)?;
        let transposes = [
            (sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA, product.b),
            (sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSB, product.a),
        ];
        for (attribute, factor) in transposes {
            let transposed = i32::from(factor.transposed);
            // SAFETY: the attribute is an i32.
            unsafe {
                let value = (&raw const transposed).cast();
                result::set_matmul_desc_attribute(operation, attribute, value, 4)?;
            }
        }
        let bf16 = sys::cudaDataType_t::CUDA_R_16BF;
        let c_type = match product.precision {
            Precision::F32 => sys::cudaDataType_t::CUDA_R_32F,
            Precision::Bf16 => bf16,
        };
        // Rows and columns as in memory, seen by columns.
        let layout = |factor: Factor, rows: usize, cols: usize| {
            let (rows, cols) = if factor.transposed { (rows, cols) } else { (cols, rows) };
            let (rows, cols, stride) = (rows as u64, cols as u64, factor.row_stride as i64);
            result::create_matrix_layout(bf16, rows, cols, stride)
        };
        let (a, b) = (layout(product.b, k, n)?, layout(product.a, m, k)?);
        let c = result::create_matrix_layout(c_type, n as u64, m as u64, n as i64)?;
        let algorithm = best(handle, operation, [a, b, c])?;
        Ok(Self { operation, a, b, c, algorithm })
    }
}

/// What the library holds to be the fastest algorithm.
fn best(
    handle: sys::cublasLtHandle_t,
    operation: sys::cublasLtMatmulDesc_t,
    [a, b, c]: [sys::cublasLtMatrixLayout_t; 3],
) -> Result<sys::cublasLtMatmulAlgo_t, CublasError> {
    use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
    let preference = result::create_matmul_pref()?;
    let (workspace, alignment) = (WORKSPACE_BYTES as u64, ALIGNMENT_BYTES);
    let aligned = [
        Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
        Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
    ];
    let set = |attribute, value: *const c_void, bytes| {
        // SAFETY: each attribute is a number of so many bytes.
        unsafe { result::set_matmul_pref_attribute(preference, attribute, value, bytes) }
    };
    let ask = || {
        let most = Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        set(most, (&raw const workspace).cast(), 8)?;
        for attribute in aligned {
            set(attribute, (&raw const alignment).cast(), 4)?;
        }
        // SAFETY: all of these were made by the library and live.
        unsafe { result::get_matmul_algo_heuristic(handle, operation, a, b, c, c, preference) }
    };
    let found = ask();
    // SAFETY: made above, and not used any more.
    let _ = unsafe { result::destroy_matmul_pref(preference) };
    Ok(found?.algo)
}
