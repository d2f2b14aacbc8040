//! Named spans of a thread's work, for NVIDIA's profilers. Where none listens they cost nothing,
//! and nothing is loaded: a profiler says so in `NVTX_INJECTION64_PATH`.

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::sync::LazyLock;

use libloading::Library;

/// What the library is called, of CUDA 12 and of CUDA 13.
const NAMES: [&str; 3] = ["libnvToolsExt.so.1", "libnvtx3interop.so.1", "libnvtx3interop.so"];

/// Its two functions; both return the depth of the span, or less than zero.
struct Nvtx {
    push: unsafe extern "C" fn(*const c_char) -> c_int,
    pop: unsafe extern "C" fn() -> c_int,
}

static NVTX: LazyLock<Option<Nvtx>> = LazyLock::new(|| {
    std::env::var_os("NVTX_INJECTION64_PATH")?;
    NAMES.iter().find_map(|name| load(name))
});

fn load(name: &str) -> Option<Nvtx> {
    // SAFETY: the library does nothing when it is loaded but set up its own state, and its two
    // functions have had these types since there is NVTX. It stays loaded.
    unsafe {
        let library = Box::leak(Box::new(Library::new(name).ok()?));
        let push = *library.get(b"nvtxRangePushA\0").ok()?;
        let pop = *library.get(b"nvtxRangePop\0").ok()?;
        Some(Nvtx { push, pop })
    }
}

/// A span that ends when this value does. Spans of a thread lie within one another, so it stays on
/// its thread.
#[derive(Debug)]
pub struct Span(PhantomData<*const ()>);

/// Begins a span.
pub fn span(name: &CStr) -> Span {
    if let Some(nvtx) = &*NVTX {
        // SAFETY: the name is read before the call returns.
        unsafe { (nvtx.push)(name.as_ptr()) };
    }
    Span(PhantomData)
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(nvtx) = &*NVTX {
            // SAFETY: ends the span that this value began.
            unsafe { (nvtx.pop)() };
        }
    }
}
