//! Trains from old parameters and claims the present ones, as a peer does that saves itself the
//! download. Caught by the loss: what it learned, others have learned since.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use runtime::Device;

use super::{Attack, Vector};
use crate::node::read;

/// Windows by which its parameters are behind.
const BEHIND: usize = 6;

#[derive(Default)]
pub(super) struct Stale {
    /// The newest at the back.
    past: VecDeque<Vector>,
}

impl Attack for Stale {
    fn parent(&mut self, shared: &Vector, device: &Device) -> Vector {
        let mut copy = device.alloc::<f32>(read(shared).len());
        copy.write(read(shared).as_host().expect("replicas live on the CPU"));
        self.past.push_back(Arc::new(RwLock::new(copy)));
        if self.past.len() > BEHIND + 1 {
            self.past.pop_front();
        }
        Arc::clone(&self.past[0])
    }
}
