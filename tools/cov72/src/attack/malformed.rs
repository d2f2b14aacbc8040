//! Puts an object as long as a contribution whose header is sound and whose body is not the one
//! that was signed. Refused before anything is decoded.

use bucket::Bytes;

use super::Attack;

pub(super) struct Malformed;

impl Attack for Malformed {
    fn object(&mut self, object: Bytes) -> Bytes {
        let mut bytes = object.to_vec();
        for byte in bytes.iter_mut().skip(wire::contribution::HEADER_BYTES).step_by(97) {
            *byte = !*byte;
        }
        bytes.into()
    }
}
