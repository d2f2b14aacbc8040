//! GPU kernels of cov72, written once in Rust. Compiled for `nvptx64-nvidia-cuda` the output is
//! PTX; compiled for the host the same source runs under an emulator that checks it.
//!
//! `simt` is the vocabulary that kernels speak, and its opening tells how to write, launch and test
//! one. Every other module is a kernel or a family of them. On the device there is `core` and
//! nothing else.

#![cfg_attr(target_arch = "nvptx64", no_std)]
#![cfg_attr(
    target_arch = "nvptx64",
    feature(
        abi_gpu_kernel,
        abi_unadjusted,
        asm_experimental_arch,
        link_llvm_intrinsics,
        stdarch_nvptx
    ),
    allow(internal_features)
)]

#[macro_use]
pub mod simt;

pub mod activation;
pub mod adamw;
pub mod aggregate;
pub mod attention;
pub mod clip;
pub mod compress;
pub mod cross_entropy;
pub mod elementwise;
pub mod embedding;
pub mod plain_attention;
pub mod ranks;
pub mod rms_norm;
pub mod rope;
pub mod rows;
pub mod sum_squares;
pub mod swiglu;
pub mod tile;

/// No kernel has a path that panics: `ptxas` refuses the call that one would leave behind.
#[cfg(target_arch = "nvptx64")]
#[panic_handler]
fn never(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
