//! The kernels as the driver has them: PTX from this program, assembled by the driver, which keeps
//! the result on disk for the next time.

use std::collections::HashMap;
use std::ffi::{CString, c_void};

use cudarc::driver::{DriverError, result, sys};

use super::reason;
use crate::cuda::GpuError;

/// Kernels for one kind of GPU.
pub(super) struct Ptx {
    text: &'static str,
    /// Version of CUDA whose drivers know the PTX, and the first of them.
    pub(super) cuda: (u32, u32),
    pub(super) driver: &'static str,
}

static SM_80: Ptx = Ptx {
    text: include_str!("../../../../../kernels/ptx/sm_80.ptx"),
    cuda: (11, 0),
    driver: "450.36",
};
static SM_90A: Ptx = Ptx {
    text: include_str!("../../../../../kernels/ptx/sm_90a.ptx"),
    cuda: (12, 0),
    driver: "525.60",
};
static SM_100A: Ptx = Ptx {
    text: include_str!("../../../../../kernels/ptx/sm_100a.ptx"),
    cuda: (12, 8),
    driver: "570.26",
};

impl Ptx {
    /// The kernels for a compute capability: those made for exactly that architecture, else those
    /// that run on everything from 8.0 on.
    pub(super) fn of(compute_capability: (u32, u32)) -> Option<&'static Self> {
        match compute_capability {
            (9, 0) => Some(&SM_90A),
            (10, 0) => Some(&SM_100A),
            (8.., _) => Some(&SM_80),
            _ => None,
        }
    }
}

/// A loaded module.
pub(super) struct Module {
    module: sys::CUmodule,
    /// Functions by name, with the shared memory that each may use.
    functions: HashMap<&'static str, (sys::CUfunction, u32)>,
}

/// Shared memory that a kernel may use without asking.
const SHARED_BYTES_PLAIN: u32 = 48 << 10;

impl Module {
    /// Loads the kernels into the current context.
    pub(super) fn load(ptx: &Ptx) -> Result<Self, GpuError> {
        const LOG_BYTES: usize = 8 << 10;
        let text = CString::new(ptx.text).expect("PTX is text without zeros");
        let mut log = vec![0_u8; LOG_BYTES];
        let mut options = [
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        let mut values: [*mut c_void; 2] =
            [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG_BYTES)];
        let mut module = std::ptr::null_mut();
        // SAFETY: the image ends in zero, and the log is as long as the options say.
        let outcome = unsafe {
            let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
            sys::cuModuleLoadDataEx(&mut module, text.as_ptr().cast(), 2, options, values)
        };
        outcome.result().map_err(|error| {
            let said = String::from_utf8_lossy(&log);
            let said = said.trim_end_matches('\0').trim();
            let reason = format!("{} {said}", reason(error));
            GpuError::Driver { call: "cuModuleLoadDataEx", after: "none", reason }
        })?;
        Ok(Self { module, functions: HashMap::new() })
    }

    /// The entry called `name`, allowed so much shared memory.
    pub(super) fn function(
        &mut self,
        name: &'static str,
        shared_bytes: u32,
    ) -> Result<sys::CUfunction, DriverError> {
        let (function, allowed) = match self.functions.get(name) {
            Some(known) => *known,
            None => {
                let entry = CString::new(name).expect("a name without zeros");
                // SAFETY: the module is loaded.
                let function = unsafe { result::module::get_function(self.module, entry)? };
                (function, SHARED_BYTES_PLAIN)
            }
        };
        if shared_bytes > allowed {
            let attribute =
                sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is of this module.
            unsafe {
                result::function::set_function_attribute(function, attribute, shared_bytes as i32)?;
            }
        }
        self.functions.insert(name, (function, allowed.max(shared_bytes)));
        Ok(function)
    }

    /// Unloads it.
    ///
    /// # Safety
    /// No function of it runs or is started any more.
    pub(super) unsafe fn release(&mut self) {
        // SAFETY: the caller's promise.
        let _ = unsafe { result::module::unload(self.module) };
    }
}
