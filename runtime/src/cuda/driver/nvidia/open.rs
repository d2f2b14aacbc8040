//! From a number to an opened GPU, or to a sentence that says what is missing.

use std::sync::Mutex;

use cudarc::driver::{DriverError, result, sys};

use super::later::Later;
use super::module::{Module, Ptx};
use super::product::Products;
use super::staging::Staging;
use super::{GpuFacts, Nvidia, reason};
use crate::cuda::GpuError;

/// The library of matrix products, of the oldest CUDA that serves.
const PRODUCTS_LIBRARY: &str = "libcublasLt.so.12";
const PRODUCTS_CUDA: u32 = 12;

fn failed(call: &'static str) -> impl Fn(DriverError) -> GpuError {
    move |error| GpuError::Driver { call, after: "none", reason: reason(error) }
}

impl Nvidia {
    /// Opens GPU `ordinal` of those that the driver shows.
    pub(crate) fn open(ordinal: usize) -> Result<Self, GpuError> {
        // SAFETY: looks whether the libraries load, and runs nothing of them but their start.
        let (has_driver, has_products) =
            unsafe { (sys::is_culib_present(), cudarc::cublaslt::sys::is_culib_present()) };
        if !has_driver {
            return Err(GpuError::NoDriver);
        }
        count_devices(ordinal)?;
        if !has_products {
            let (library, cuda) = (PRODUCTS_LIBRARY, PRODUCTS_CUDA);
            return Err(GpuError::NoLibrary { library, cuda });
        }
        let device = result::device::get(ordinal as i32).map_err(failed("cuDeviceGet"))?;
        let mut facts = facts(device)?;
        let ptx = Ptx::of(facts.compute_capability).ok_or_else(|| GpuError::Architecture {
            ordinal,
            name: facts.name.clone(),
            has: facts.compute_capability,
        })?;
        check_version(ptx)?;
        // SAFETY: the device is one that the driver shows; the context is released on drop.
        let context = unsafe { result::primary_ctx::retain(device) }
            .map_err(failed("cuDevicePrimaryCtxRetain"))?;
        // SAFETY: the context was just retained.
        unsafe { result::ctx::set_current(context) }.map_err(failed("cuCtxSetCurrent"))?;
        keep_memory(device).map_err(failed("cuMemPoolSetAttribute"))?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(failed("cuStreamCreate"))?;
        let products = Products::new(&facts.name).map_err(|error| GpuError::Driver {
            call: "cublasLtCreate",
            after: "none",
            reason: error.to_string(),
        })?;
        let module = Mutex::new(Module::load(ptx)?);
        let staging = Mutex::new(Staging::new().map_err(failed("cuMemHostAlloc"))?);
        let later = Mutex::new(Later::new().map_err(failed("cuMemHostAlloc"))?);
        facts.free_bytes = result::mem_get_info().map_err(failed("cuMemGetInfo"))?.0 as u64;
        Ok(Self {
            device,
            context,
            stream,
            facts,
            module,
            products: Mutex::new(products),
            staging,
            later,
            last_kernel: Mutex::new("none"),
        })
    }
}

/// Checks that the driver shows a GPU of that number.
fn count_devices(ordinal: usize) -> Result<(), GpuError> {
    let no_device = || GpuError::NoDevice { visible: std::env::var("CUDA_VISIBLE_DEVICES").ok() };
    match result::init() {
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Err(no_device()),
        outcome => outcome.map_err(failed("cuInit"))?,
    }
    let count = result::device::get_count().map_err(failed("cuDeviceGetCount"))? as usize;
    match count {
        0 => Err(no_device()),
        count if ordinal >= count => Err(GpuError::NoSuchDevice { ordinal, count }),
        _ => Ok(()),
    }
}

fn facts(device: sys::CUdevice) -> Result<GpuFacts, GpuError> {
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
    };
    let attribute = |attribute| {
        // SAFETY: the device is one that the driver shows.
        let value = unsafe { result::device::get_attribute(device, attribute) };
        value.map(|value| value as u32).map_err(failed("cuDeviceGetAttribute"))
    };
    let major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    // SAFETY: as above.
    let memory =
        unsafe { result::device::total_mem(device) }.map_err(failed("cuDeviceTotalMem"))?;
    Ok(GpuFacts {
        name: result::device::get_name(device).map_err(failed("cuDeviceGetName"))?,
        driver: driver()?,
        memory_bytes: memory as u64,
        free_bytes: 0,
        compute_capability: (major, minor),
    })
}

/// Version of CUDA that the driver speaks.
fn cuda_version() -> Result<(u32, u32), GpuError> {
    let mut version = 0;
    // SAFETY: writes one number.
    unsafe { sys::cuDriverGetVersion(&mut version) }
        .result()
        .map_err(failed("cuDriverGetVersion"))?;
    Ok((version as u32 / 1000, version as u32 % 1000 / 10))
}

/// The driver by what it speaks, and by its own number where the kernel tells it.
fn driver() -> Result<String, GpuError> {
    let (major, minor) = cuda_version()?;
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let own = text
        .split_whitespace()
        .find(|word| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.'));
    let own = own.map_or(String::new(), |own| format!("driver {own}, "));
    Ok(format!("{own}CUDA {major}.{minor}"))
}

/// Checks that the driver knows the PTX.
fn check_version(ptx: &Ptx) -> Result<(), GpuError> {
    let has = cuda_version()?;
    let (needs, driver) = (ptx.cuda, ptx.driver);
    if has < needs {
        return Err(GpuError::DriverTooOld { has, needs, driver });
    }
    Ok(())
}

/// Lets the pool keep memory that was given back to it.
fn keep_memory(device: sys::CUdevice) -> Result<(), DriverError> {
    let mut threshold = u64::MAX;
    // SAFETY: the pool is the device's own, the attribute is a u64.
    unsafe {
        let pool = result::device::get_default_mem_pool(device)?;
        result::mem_pool::set_attribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut threshold).cast(),
        )
    }
}
