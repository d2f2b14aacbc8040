//! `kernel!`: one declaration, an entry point on the device and a struct of arguments on the host.

/// Declares kernels. On the device each becomes an entry of its own name; on the host a struct
/// whose fields are the arguments, which implements `simt::Kernel` and is what both launchers take.
///
/// `bounds(threads, blocks)` after the arguments promises the most threads of a block and the
/// fewest blocks of a multiprocessor. `raise_registers` needs it, and so does a kernel that takes
/// more than 64 registers: without it a block may have 1,024 threads.
///
/// ```
/// # use kernels::{kernel, simt::*};
/// kernel! {
///     /// y[i] = a * x[i] + y[i], one value per thread.
///     pub fn axpy(a: f32, x: Global<f32>, y: Global<f32>, len: u32) bounds(256, 1) {
///         let i = block_idx() * block_dim() + thread_idx();
///         if i < len {
///             y.st(i as usize, fma(a, x.ld(i as usize), y.ld(i as usize)));
///         }
///     }
/// }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (x, y) = (Buffer::from(&[1.0_f32; 300]), Buffer::from(&[2.0_f32; 300]));
/// let kernel = axpy { a: 3.0, x: x.arg(), y: y.arg(), len: 300 };
/// emulate(&Launch::new(2, 256, 0), &kernel, &Emulation::default())?;
/// assert_eq!(y.to_vec(), [5.0; 300]);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! kernel {
    ($(
        $(#[$meta:meta])*
        pub fn $name:ident($($argument:ident : $type:ty),* $(,)?)
        $(bounds($threads:expr, $blocks:expr))? $body:block
    )*) => { $(
        #[cfg(target_arch = "nvptx64")]
        $(#[$meta])*
        #[unsafe(no_mangle)]
        #[allow(improper_gpu_kernel_arg)]
        pub unsafe extern "gpu-kernel" fn $name(
            $($argument: <$type as $crate::simt::Argument>::Raw),*
        ) {
            #[allow(non_camel_case_types, dead_code)]
            enum Position { $($argument),* }
            $(
                let $argument = <$type as $crate::simt::Argument>::from_raw($argument, || {
                    let address: u64;
                    // SAFETY: the address of this kernel's own parameter; nothing is read.
                    unsafe {
                        ::core::arch::asm!(
                            concat!("cvta.param.u64 {0}, ", stringify!($name), "_param_{1};"),
                            out(reg64) address,
                            const Position::$argument as u32,
                            options(pure, nomem, nostack)
                        );
                    }
                    address
                });
            )*
            $body
        }
        $(
            // A directive of ours; `ci/ptx` puts the bounds at the entry, where no attribute can.
            #[cfg(target_arch = "nvptx64")]
            ::core::arch::global_asm!(
                concat!(".bounds ", stringify!($name), ", {0}, {1};"),
                const $threads,
                const $blocks,
            );
        )?

        #[cfg(not(target_arch = "nvptx64"))]
        $(#[$meta])*
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name { $(pub $argument: $type),* }

        #[cfg(not(target_arch = "nvptx64"))]
        impl $crate::simt::Kernel for $name {
            const NAME: &'static str = stringify!($name);
            const PARAMETERS: &'static [$crate::simt::Parameter] =
                &[$(<$type as $crate::simt::Argument>::SHAPE.named(stringify!($argument))),*];
            $(const BOUNDS: Option<$crate::simt::Bounds> =
                Some($crate::simt::Bounds { threads_max: $threads, blocks_min: $blocks });)?

            fn arguments(&self) -> Vec<$crate::simt::Value> {
                vec![$($crate::simt::Argument::value(&self.$argument)),*]
            }

            #[inline(always)]
            fn run_lane(&self) {
                let &$name { $($argument),* } = self;
                $body
            }
        }
    )* };
}
