//! What can go wrong with a GPU, each variant naming the next move.

/// An error of a GPU or of its driver. After the first, nothing runs on the device any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// No driver is installed, or not where libraries are looked for.
    #[error(
        "no NVIDIA driver: libcuda cannot be loaded; install the driver until nvidia-smi answers, \
         or use --device cpu"
    )]
    NoDriver,
    /// The driver is there, a library that comes with CUDA is not.
    #[error(
        "{library} cannot be loaded; install the CUDA {cuda} libraries, and name their folder in \
         LD_LIBRARY_PATH if they are in an unusual place"
    )]
    NoLibrary {
        /// Its name.
        library: &'static str,
        /// Major version of CUDA that has it.
        cuda: u32,
    },
    /// The driver does not know the PTX of the kernels.
    #[error(
        "the NVIDIA driver speaks CUDA {}.{}, the kernels for this GPU need {}.{}; update it to \
         {driver} or newer", has.0, has.1, needs.0, needs.1
    )]
    DriverTooOld {
        /// Version of CUDA that the driver speaks.
        has: (u32, u32),
        /// Version that the PTX needs.
        needs: (u32, u32),
        /// The first driver that speaks it.
        driver: &'static str,
    },
    /// The driver shows no GPU at all.
    #[error("the NVIDIA driver shows no GPU{}", visible_hint(visible))]
    NoDevice {
        /// `CUDA_VISIBLE_DEVICES`, if it is set.
        visible: Option<String>,
    },
    /// There are fewer GPUs than that.
    #[error("there is no GPU {ordinal}: the driver shows {count}, numbered from 0")]
    NoSuchDevice {
        /// The GPU asked for.
        ordinal: usize,
        /// GPUs that there are.
        count: usize,
    },
    /// A GPU for which there are no kernels.
    #[error(
        "GPU {ordinal} ({name}) has compute capability {}.{}, the kernels need 8.0 or newer; use \
         another GPU, or --device cpu", has.0, has.1
    )]
    Architecture {
        /// The GPU asked for.
        ordinal: usize,
        /// What it is called.
        name: String,
        /// Its compute capability.
        has: (u32, u32),
    },
    /// The memory of the GPU does not suffice.
    #[error(
        "GPU memory is full: {needs_bytes} bytes more are needed, {free_bytes} of {total_bytes} \
         are free; use fewer node.micro_batch_samples or a smaller --preset"
    )]
    OutOfMemory {
        /// Bytes of the allocation that failed.
        needs_bytes: u64,
        /// Bytes free at that time.
        free_bytes: u64,
        /// Bytes of the GPU.
        total_bytes: u64,
    },
    /// A kernel did not start, or failed while it ran.
    #[error("kernel {kernel} failed: {reason}; the last checkpoint is whole, go on with --resume")]
    Launch {
        /// Name of the kernel.
        kernel: &'static str,
        /// What the driver says.
        reason: String,
    },
    /// A call of the driver failed; work started before it may be the cause.
    #[error(
        "the GPU failed in {call}, some time after kernel {after} was started: {reason}; the last \
         checkpoint is whole, go on with --resume; CUDA_LAUNCH_BLOCKING=1 names the kernel that \
         fails"
    )]
    Driver {
        /// What was called.
        call: &'static str,
        /// The last kernel that was started before.
        after: &'static str,
        /// What the driver says.
        reason: String,
    },
}

impl GpuError {
    /// Whether the machine is not what the run needs; else the device failed while it ran.
    pub fn is_precondition(&self) -> bool {
        !matches!(self, GpuError::Launch { .. } | GpuError::Driver { .. })
    }
}

fn visible_hint(visible: &Option<String>) -> String {
    match visible {
        Some(value) => format!(
            ", because CUDA_VISIBLE_DEVICES is {value:?}; unset it, or name the GPUs to use in it"
        ),
        None => "; look at nvidia-smi, or use --device cpu".to_string(),
    }
}
