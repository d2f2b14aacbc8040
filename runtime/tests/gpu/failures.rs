//! What goes wrong on a GPU is said once, and nothing runs after it.

use runtime::ops::elementwise;
use runtime::{Device, GpuError, RuntimeError};

use crate::both::{plain, read};

#[test]
fn memory_that_does_not_suffice_is_said_with_what_is_needed_and_free() {
    let gpu = Device::emulated_with_memory(1 << 20).expect("threads");
    let mut small = plain(&gpu, &[1.0_f32; 1 << 16]);
    gpu.synchronise().expect("a quarter of the memory");
    let mut large = gpu.alloc::<f32>(1 << 18);
    elementwise::fill(&gpu, large.view_mut(), 2.0);
    elementwise::fill(&gpu, small.view_mut(), 2.0);
    let error = gpu.synchronise().expect_err("five quarters of the memory");
    let (needs_bytes, free_bytes, total_bytes) = (1 << 20, 3 << 18, 1 << 20);
    let expected = GpuError::OutOfMemory { needs_bytes, free_bytes, total_bytes };
    assert!(matches!(&error, RuntimeError::Gpu(found) if *found == expected), "{error}");
    assert!(error.to_string().contains("1048576 bytes more are needed, 786432 of 1048576"));
    assert_eq!(read(&small), [0.0; 1 << 16], "nothing comes from a device that has failed");
}

#[test]
fn memory_given_back_can_be_had_again() {
    let gpu = Device::emulated_with_memory(1 << 20).expect("threads");
    for _ in 0..8 {
        drop(gpu.alloc::<f32>(1 << 17));
    }
    gpu.synchronise().expect("never more than half of the memory");
}

#[test]
#[should_panic(expected = "in an operation on GPU")]
fn memory_of_one_gpu_does_not_reach_another() {
    let [one, other] = [(); 2].map(|()| Device::emulated().expect("threads"));
    let mut values = one.alloc(8);
    elementwise::fill(&other, values.view_mut(), 1.0);
}

#[test]
#[should_panic(expected = "in the memory of the host")]
fn memory_of_the_host_does_not_reach_a_gpu() {
    let gpu = Device::emulated().expect("threads");
    let mut values = [0.0_f32; 8];
    elementwise::fill(&gpu, (&mut values[..]).into(), 1.0);
}

#[test]
#[should_panic(expected = "in the memory of a GPU")]
fn memory_of_a_gpu_does_not_reach_the_cpu() {
    let gpu = Device::emulated().expect("threads");
    let mut values = gpu.alloc(8);
    elementwise::fill(&crate::oracle::device(), values.view_mut(), 1.0);
}

#[test]
#[should_panic(expected = "Split values")]
fn parameters_are_no_place_for_sums() {
    let gpu = Device::emulated().expect("threads");
    let mut params = gpu.alloc_params(8);
    elementwise::fill(&gpu, params.view_mut(), 1.0);
}
