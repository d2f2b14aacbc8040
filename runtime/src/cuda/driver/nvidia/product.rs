//! Matrix products by cuBLASLt. Of the algorithms that the library proposes for a shape the fastest
//! is chosen once, by timing them, and kept on disk, so that a run gives the same bits from its
//! first step to its last, after a restart too.
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

mod choices;
use choices::Choices;

/// Scratch of an algorithm: what the fastest of them for Hopper ask for.
const WORKSPACE_BYTES: usize = 64 << 20;

/// Algorithms that are timed for a shape, and how often each.
const CANDIDATES: usize = 8;
const TIMED: usize = 3;

/// What every address is a multiple of.
const ALIGNMENT_BYTES: u32 = 16;

/// The library, and what it has been asked.
pub(super) struct Products {
    handle: sys::cublasLtHandle_t,
    workspace: u64,
    plans: HashMap<Shape, Plan>,
    choices: Choices,
}

/// What a plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Loads the library, in the current context, for a GPU of that name.
    pub(super) fn new(gpu: &str) -> Result<Self, CublasError> {
        let handle = result::create_handle()?;
        // SAFETY: there is a current context; the memory is given back by `release`.
        let workspace = unsafe { driver::result::malloc_sync(WORKSPACE_BYTES) };
        let full = CublasError(sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED);
        let workspace = workspace.map_err(|_| full)?;
        // SAFETY: asks for a number.
        let version = unsafe { sys::cublasLtGetVersion() };
        Ok(Self { handle, workspace, plans: HashMap::new(), choices: Choices::open(gpu, version) })
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
        if !self.plans.contains_key(&shape) {
            // SAFETY: the caller's promise.
            let plan = unsafe { self.plan(shape, product, stream)? };
            self.plans.insert(shape, plan);
        }
        let plan = &self.plans[&shape];
        // SAFETY: the caller's promise.
        unsafe { self.start(plan, &plan.algorithm, product, product.c, stream) }
    }

    /// Starts a product by an algorithm, its result at `c`.
    ///
    /// # Safety
    /// As [`Products::multiply`], and the plan is of the product's shape.
    unsafe fn start(
        &self,
        plan: &Plan,
        algorithm: &sys::cublasLtMatmulAlgo_t,
        product: &Product,
        c: u64,
        stream: driver::sys::CUstream,
    ) -> Result<(), CublasError> {
        let (alpha, beta) = (1.0_f32, if product.accumulate { 1.0_f32 } else { 0.0 });
        let c = pointer(c);
        // SAFETY: the factors are by f32, and the rest is the caller's promise; both CUstream are
        // the same type of the driver.
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
                algorithm,
                pointer(self.workspace),
                WORKSPACE_BYTES,
                stream.cast(),
            )
        }
    }

    /// A plan for a shape: what was chosen before, else the fastest of what the library proposes.
    ///
    /// # Safety
    /// As [`Products::multiply`].
    unsafe fn plan(
        &mut self,
        shape: Shape,
        product: &Product,
        stream: driver::sys::CUstream,
    ) -> Result<Plan, CublasError> {
        let (mut plan, proposed) = Plan::new(self.handle, product)?;
        let name = format!("{shape:?}");
        if let Some(data) = self.choices.get(&name) {
            // Of this version of the library it is one that it proposed: else it is chosen anew.
            if proposed.iter().any(|algorithm| algorithm.data == data) {
                plan.algorithm = sys::cublasLtMatmulAlgo_t { data };
                return Ok(plan);
            }
            self.choices.forget(&name);
        }
        let result_bytes = product.m * product.n * if shape.is_f32 { 4 } else { 2 };
        let mut fastest = (f32::INFINITY, proposed[0]);
        // Results go elsewhere meanwhile, for what is added to must be added to once. Where there
        // is no memory for that, the library's first proposal is good enough.
        // SAFETY: the stream is of the current context.
        if let Ok(elsewhere) = unsafe { driver::result::malloc_async(stream, result_bytes) } {
            for algorithm in &proposed {
                // SAFETY: the caller's promise; the result has memory of its own.
                let ms = unsafe { self.time(&plan, algorithm, product, elsewhere, stream) };
                if let Ok(ms) = ms
                    && ms < fastest.0
                {
                    fastest = (ms, *algorithm);
                }
            }
            // SAFETY: allocated above.
            let _ = unsafe { driver::result::free_async(elsewhere, stream) };
            self.choices.keep(name, fastest.1.data);
        }
        plan.algorithm = fastest.1;
        Ok(plan)
    }

    /// Milliseconds that an algorithm takes, of the fastest of a few times.
    ///
    /// # Safety
    /// As [`Products::start`], with `c` for the result.
    unsafe fn time(
        &self,
        plan: &Plan,
        algorithm: &sys::cublasLtMatmulAlgo_t,
        product: &Product,
        c: u64,
        stream: driver::sys::CUstream,
    ) -> Result<f32, CublasError> {
        use driver::result::event;
        let failed = |_| CublasError(sys::cublasStatus_t::CUBLAS_STATUS_INTERNAL_ERROR);
        let flags = driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
        let marks = [event::create(flags).map_err(failed)?, event::create(flags).map_err(failed)?];
        let mut fastest = Ok(f32::INFINITY);
        for turn in 0..=TIMED {
            // SAFETY: the caller's promise; both events were just made.
            let ms = unsafe {
                event::record(marks[0], stream)
                    .map_err(failed)
                    .and_then(|()| self.start(plan, algorithm, product, c, stream))
                    .and_then(|()| event::record(marks[1], stream).map_err(failed))
                    .and_then(|()| event::synchronize(marks[1]).map_err(failed))
                    .and_then(|()| event::elapsed(marks[0], marks[1]).map_err(failed))
            };
            fastest = match (fastest, ms) {
                // The first time warms up.
                (Ok(fastest), Ok(ms)) if turn > 0 => Ok(fastest.min(ms)),
                (Ok(fastest), Ok(_)) => Ok(fastest),
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
        }
        for mark in marks {
            // SAFETY: made above.
            let _ = unsafe { event::destroy(mark) };
        }
        fastest
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
    /// A plan with the library's first proposal, and all of them.
    fn new(
        handle: sys::cublasLtHandle_t,
        product: &Product,
    ) -> Result<(Self, Vec<sys::cublasLtMatmulAlgo_t>), CublasError> {
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
        let proposed = proposals(handle, operation, [a, b, c])?;
        Ok((Self { operation, a, b, c, algorithm: proposed[0] }, proposed))
    }
}

/// The algorithms that the library proposes, the one that it holds to be the fastest first; there
/// is at least one.
fn proposals(
    handle: sys::cublasLtHandle_t,
    operation: sys::cublasLtMatmulDesc_t,
    [a, b, c]: [sys::cublasLtMatrixLayout_t; 3],
) -> Result<Vec<sys::cublasLtMatmulAlgo_t>, CublasError> {
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
        // SAFETY: plain numbers, which the library writes over.
        let mut found: [sys::cublasLtMatmulHeuristicResult_t; CANDIDATES] =
            unsafe { std::mem::zeroed() };
        let mut count = 0;
        // SAFETY: all of these were made by the library and live; there is room for so many.
        unsafe {
            sys::cublasLtMatmulAlgoGetHeuristic(
                handle,
                operation,
                a,
                b,
                c,
                c,
                preference,
                CANDIDATES as i32,
                found.as_mut_ptr(),
                &mut count,
            )
        }
        .result()?;
        let usable = |found: &&sys::cublasLtMatmulHeuristicResult_t| {
            found.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS
        };
        let found = found.iter().take(count as usize).filter(usable).map(|found| found.algo);
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED));
        }
        Ok(found)
    };
    let found = ask();
    // SAFETY: made above, and not used any more.
    let _ = unsafe { result::destroy_matmul_pref(preference) };
    found
}
