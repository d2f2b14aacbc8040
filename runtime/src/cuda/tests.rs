//! A kernel that fails is named, and nothing runs after it.

use kernels::kernel;
use kernels::simt::*;

use super::{Array, Gpu, GpuError, Stored, elementwise};

kernel! {
    /// Reads one value more than there are.
    pub fn reads_too_far(x: Global<f32>, y: Global<f32>, len: u32) {
        if thread_idx() <= len {
            y.st(0, x.ld(thread_idx() as usize));
        }
    }
}

#[test]
fn a_kernel_that_fails_is_named_and_is_the_last_that_runs() {
    let gpu = Gpu::emulated(1 << 20).unwrap();
    let array = |value: f32| {
        let mut array = Array::zeroed(&gpu, Stored::Plain, 8, 4);
        array.write(&[value; 8]);
        array
    };
    let (x, mut y) = (array(1.0), array(2.0));
    elementwise::add(&gpu, x.span(), y.span());
    gpu.synchronise().unwrap();
    let kernel = reads_too_far { x: x.span().plain(&gpu), y: y.span().plain(&gpu), len: 8 };
    gpu.launch(Launch::new(1, 32, 0), &kernel);
    y.write(&[5.0_f32; 8]);
    let mut values = [0.0_f32; 8];
    y.read(&mut values);
    assert_eq!(values, [0.0; 8], "nothing comes from a device that has failed");
    for _ in 0..2 {
        let error = gpu.synchronise().unwrap_err();
        assert!(!error.is_precondition());
        let GpuError::Launch { kernel, reason } = &error else { panic!("{error}") };
        assert_eq!(*kernel, "reads_too_far");
        assert!(reason.contains("8..9 of 8"), "{reason}");
        assert!(error.to_string().contains("the last checkpoint is whole"));
    }
}
