//! The tests of the kernels, on the first GPU of this machine instead of under the emulator: the
//! same values, shapes and oracles. Those that leave out a barrier have nothing to leave out here.
//!
//! Every launch copies what its arguments lie in to the device and back, so that a test finds its
//! results where the emulator would have left them.

#[path = "../../../kernels/tests/adamw.rs"]
mod adamw;
#[path = "../../../kernels/tests/aggregate.rs"]
mod aggregate;
#[path = "../../../kernels/tests/attention/main.rs"]
mod attention;
#[path = "../../../kernels/tests/clip.rs"]
mod clip;
#[path = "../../../kernels/tests/compress.rs"]
mod compress;
#[path = "../../../kernels/tests/cross_entropy.rs"]
mod cross_entropy;
#[path = "../../../kernels/tests/elementwise.rs"]
mod elementwise;
#[path = "../../../kernels/tests/embedding.rs"]
mod embedding;
#[path = "../../../kernels/tests/plain_attention.rs"]
mod plain_attention;
#[path = "../../../kernels/tests/ranks.rs"]
mod ranks;
#[path = "../../../kernels/tests/rms_norm.rs"]
mod rms_norm;
#[path = "../../../kernels/tests/rope.rs"]
mod rope;
#[path = "../../../kernels/tests/sum_squares.rs"]
mod sum_squares;
#[path = "../../../kernels/tests/swiglu.rs"]
mod swiglu;

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use kernels::simt::{Emulation, Fault, Launch, Value, emulate_elsewhere, memory_around};

use super::driver::nvidia::Nvidia;
use super::driver::{Driver, Launchable};

/// Before any test runs.
#[used]
#[unsafe(link_section = ".init_array")]
static SETUP: extern "C" fn() = {
    extern "C" fn setup() {
        emulate_elsewhere(Box::new(run));
    }
    setup
};

static GPU: LazyLock<Mutex<Nvidia>> = LazyLock::new(|| match Nvidia::open(0) {
    Ok(gpu) => Mutex::new(gpu),
    Err(error) => panic!("{error}"),
});

/// A kernel by its name.
struct Named {
    name: &'static str,
    arguments: Vec<Value>,
}

impl Launchable for Named {
    fn name(&self) -> &'static str {
        self.name
    }

    fn arguments(&self) -> Vec<Value> {
        self.arguments.clone()
    }

    fn emulate(&self, _: &Launch, _: &Emulation) -> Result<(), Fault> {
        unreachable!("a GPU emulates nothing")
    }

    fn to_owned(&self) -> Box<dyn Launchable + Send> {
        Box::new(Named { name: self.name, arguments: self.arguments.clone() })
    }
}

/// Where memory of the host is on the device, by where it begins.
type Places = BTreeMap<u64, (u64, usize)>;

fn run(launch: &Launch, name: &'static str, arguments: &[Value]) -> Result<(), String> {
    let gpu = GPU.lock().unwrap_or_else(PoisonError::into_inner);
    let mut places = Places::new();
    let ran = copy_and_run(&gpu, &mut places, launch, name, arguments);
    for (address, bytes) in places.into_values() {
        gpu.free(address, bytes);
    }
    ran.map_err(|error| error.to_string())
}

fn copy_and_run(
    gpu: &Nvidia,
    places: &mut Places,
    launch: &Launch,
    name: &'static str,
    arguments: &[Value],
) -> Result<(), super::GpuError> {
    let mut place = |address: u64, bytes: u64| {
        let (start, len) = memory_around(address, bytes).expect("memory of a buffer");
        let there = match places.get(&start) {
            Some((there, _)) => *there,
            None => {
                let there = gpu.allocate(len)?;
                places.insert(start, (there, len));
                gpu.upload(host(start, len), there)?;
                there
            }
        };
        Ok(there + (address - start))
    };
    let moved = arguments.iter().map(|value| {
        Ok(match *value {
            Value::Memory { address, bytes } => {
                Value::Memory { address: place(address, bytes)?, bytes }
            }
            Value::Map(mut map) => {
                map.address = place(map.address, map.bytes)?;
                Value::Map(map)
            }
            number => number,
        })
    });
    let arguments = moved.collect::<Result<Vec<_>, super::GpuError>>()?;
    gpu.launch(launch, &Named { name, arguments })?;
    gpu.synchronise()?;
    for (start, (there, len)) in places.iter() {
        gpu.download(*there, host(*start, *len))?;
    }
    Ok(())
}

/// The bytes of a buffer.
fn host<'a>(start: u64, len: usize) -> &'a mut [u8] {
    // SAFETY: the range is a live buffer of the test that launches, which waits meanwhile and whose
    // address is exposed.
    unsafe {
        std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(start as usize), len)
    }
}
