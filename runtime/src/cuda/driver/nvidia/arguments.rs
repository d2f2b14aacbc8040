//! The arguments of a launch as the driver takes them: a pointer to each, in the order of the
//! entry.

use std::ffi::c_void;

use cudarc::driver::{DriverError, sys};
use kernels::simt::{Swizzle, TensorMap, Value};

/// Arguments in memory.
pub(super) struct Arguments {
    slots: Vec<Slot>,
}

enum Slot {
    /// A number or an address; one of 4 bytes is the lower half.
    Bits(u64),
    Map(Box<sys::CUtensorMap>),
}

impl Arguments {
    pub(super) fn new(values: &[Value]) -> Result<Self, DriverError> {
        let slot = |value: &Value| match value {
            Value::Bits32(bits) => Ok(Slot::Bits(u64::from(*bits))),
            Value::Bits64(bits) => Ok(Slot::Bits(*bits)),
            Value::Memory { address, .. } => Ok(Slot::Bits(*address)),
            Value::Map(map) => encode(map).map(|map| Slot::Map(Box::new(map))),
        };
        Ok(Self { slots: values.iter().map(slot).collect::<Result<_, _>>()? })
    }

    /// A pointer to each; they point into this value.
    pub(super) fn pointers(&mut self) -> Vec<*mut c_void> {
        let pointer = |slot: &mut Slot| match slot {
            Slot::Bits(bits) => (&raw mut *bits).cast(),
            Slot::Map(map) => (&raw mut **map).cast(),
        };
        self.slots.iter_mut().map(pointer).collect()
    }
}

fn encode(map: &TensorMap) -> Result<sys::CUtensorMap, DriverError> {
    use sys::CUtensorMapDataType_enum as Type;
    use sys::CUtensorMapSwizzle_enum as Mode;
    // What lies outside of the tensor becomes zeros, of floats as of whole numbers.
    let value_type = match map.value_bytes {
        1 => Type::CU_TENSOR_MAP_DATA_TYPE_UINT8,
        2 => Type::CU_TENSOR_MAP_DATA_TYPE_UINT16,
        4 => Type::CU_TENSOR_MAP_DATA_TYPE_UINT32,
        _ => Type::CU_TENSOR_MAP_DATA_TYPE_UINT64,
    };
    let swizzle = match map.swizzle {
        Swizzle::None => Mode::CU_TENSOR_MAP_SWIZZLE_NONE,
        Swizzle::B32 => Mode::CU_TENSOR_MAP_SWIZZLE_32B,
        Swizzle::B64 => Mode::CU_TENSOR_MAP_SWIZZLE_64B,
        Swizzle::B128 => Mode::CU_TENSOR_MAP_SWIZZLE_128B,
    };
    let extents = map.extents.map(u64::from);
    let every_value = [1_u32; 4];
    let mut encoded = sys::CUtensorMap { opaque: [0; 16] };
    // SAFETY: every list is as long as the rank, which is at most 4, and read before the return.
    unsafe {
        sys::cuTensorMapEncodeTiled(
            &mut encoded,
            value_type,
            map.rank as u32,
            super::pointer(map.address),
            extents.as_ptr(),
            map.strides_bytes.as_ptr(),
            map.box_extents.as_ptr(),
            every_value.as_ptr(),
            sys::CUtensorMapInterleave_enum::CU_TENSOR_MAP_INTERLEAVE_NONE,
            swizzle,
            sys::CUtensorMapL2promotion_enum::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            sys::CUtensorMapFloatOOBfill_enum::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    }
    .result()?;
    Ok(encoded)
}
