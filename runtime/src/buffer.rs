//! Device memory: a `Buffer` owns it, a `View` borrows a range of it. Lengths count values, not
//! bytes. Where the memory is that of a GPU, only operations on that GPU can reach it.

use std::ops::Range;

use crate::Device;
use crate::cuda::{Array, Span};

/// What a buffer can hold: plain bits, zero being a value.
pub trait Element: bytemuck::Pod + Send + Sync {}
impl<T: bytemuck::Pod + Send + Sync> Element for T {}

/// Owned memory of one device.
#[derive(Debug)]
pub struct Buffer<T> {
    memory: Memory<T>,
}

#[derive(Debug)]
enum Memory<T> {
    Host(Vec<T>),
    Gpu(Array),
}

impl<T> Default for Buffer<T> {
    /// No values, on the host.
    fn default() -> Self {
        Self { memory: Memory::Host(Vec::new()) }
    }
}

impl<T: Element> Buffer<T> {
    pub(crate) fn host(len: usize) -> Self {
        // Zeroed pages come lazily from the operating system: untouched memory costs nothing.
        Self { memory: Memory::Host(bytemuck::zeroed_vec(len)) }
    }

    pub(crate) fn gpu(array: Array) -> Self {
        Self { memory: Memory::Gpu(array) }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match &self.memory {
            Memory::Host(values) => values.len(),
            Memory::Gpu(array) => array.len(),
        }
    }

    /// Whether it holds no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        match &self.memory {
            Memory::Host(values) => size_of_val(values.as_slice()),
            Memory::Gpu(array) => array.bytes(),
        }
    }

    /// Everything, to read.
    pub fn view(&self) -> View<'_, T> {
        match &self.memory {
            Memory::Host(values) => View { place: Place::Host(values) },
            Memory::Gpu(array) => View { place: Place::Gpu(array.span()) },
        }
    }

    /// Everything, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_, T> {
        match &mut self.memory {
            Memory::Host(values) => ViewMut { place: PlaceMut::Host(values) },
            Memory::Gpu(array) => ViewMut { place: PlaceMut::Gpu(array.span()) },
        }
    }

    /// A range, to read.
    pub fn slice(&self, range: Range<usize>) -> View<'_, T> {
        self.view().slice(range)
    }

    /// A range, to write.
    pub fn slice_mut(&mut self, range: Range<usize>) -> ViewMut<'_, T> {
        self.view_mut().slice(range)
    }

    /// The values, where the memory is the host's own; `None` on a GPU.
    pub fn as_host(&self) -> Option<&[T]> {
        match &self.memory {
            Memory::Host(values) => Some(values),
            Memory::Gpu(_) => None,
        }
    }

    /// The values to write, where the memory is the host's own; `None` on a GPU.
    pub fn as_host_mut(&mut self) -> Option<&mut [T]> {
        match &mut self.memory {
            Memory::Host(values) => Some(values),
            Memory::Gpu(_) => None,
        }
    }

    /// Copies values in, from the start, rounding them where they are stored rounded.
    ///
    /// # Panics
    /// `values` is not exactly as long as the buffer.
    pub fn write(&mut self, values: &[T]) {
        match &mut self.memory {
            Memory::Host(to) => to.copy_from_slice(values),
            Memory::Gpu(array) => array.write(values),
        }
    }

    /// Copies all values out. From a GPU that has failed comes nothing; `Device::synchronise` says
    /// why.
    ///
    /// # Panics
    /// `values` is not exactly as long as the buffer.
    pub fn read(&self, values: &mut [T]) {
        match &self.memory {
            Memory::Host(from) => values.copy_from_slice(from),
            Memory::Gpu(array) => array.read(values),
        }
    }
}

/// A borrowed range of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    place: Place<'a, T>,
}

#[derive(Clone, Copy, Debug)]
enum Place<'a, T> {
    Host(&'a [T]),
    Gpu(Span<'a>),
}

impl<'a, T: Element> View<'a, T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match &self.place {
            Place::Host(values) => values.len(),
            Place::Gpu(span) => span.len(),
        }
    }

    /// Whether it holds no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A range of this range.
    pub fn slice(&self, range: Range<usize>) -> View<'a, T> {
        match self.place {
            Place::Host(values) => View { place: Place::Host(&values[range]) },
            Place::Gpu(span) => View { place: Place::Gpu(span.slice(range)) },
        }
    }

    /// Copies the values out; from a GPU that has failed comes nothing.
    ///
    /// # Panics
    /// `values` is not exactly as long as the view, or the view is of another device's memory.
    pub fn read(self, device: &Device, values: &mut [T]) {
        match (self.place, device) {
            (Place::Host(from), _) => values.copy_from_slice(from),
            (Place::Gpu(span), Device::Gpu(gpu)) => span.read(gpu, values),
            (Place::Gpu(span), Device::Cpu(_)) => refuse_on_host(span),
        }
    }

    #[track_caller]
    pub(crate) fn on_host(self) -> &'a [T] {
        match self.place {
            Place::Host(values) => values,
            Place::Gpu(span) => refuse_on_host(span),
        }
    }

    #[track_caller]
    pub(crate) fn on_gpu(self) -> Span<'a> {
        match self.place {
            Place::Host(values) => refuse_on_gpu(values.len()),
            Place::Gpu(span) => span,
        }
    }
}

impl<'a, T: Element> From<&'a [T]> for View<'a, T> {
    /// Host memory as a view, for operations on the CPU.
    fn from(values: &'a [T]) -> Self {
        View { place: Place::Host(values) }
    }
}

/// A range of a buffer borrowed for writing.
#[derive(Debug)]
pub struct ViewMut<'a, T> {
    place: PlaceMut<'a, T>,
}

#[derive(Debug)]
enum PlaceMut<'a, T> {
    Host(&'a mut [T]),
    /// Not to be copied, though a span can be.
    Gpu(Span<'a>),
}

impl<'a, T: Element> ViewMut<'a, T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.as_view().len()
    }

    /// Whether it holds no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same range, borrowed for less long.
    pub fn reborrow(&mut self) -> ViewMut<'_, T> {
        match &mut self.place {
            PlaceMut::Host(values) => ViewMut { place: PlaceMut::Host(values) },
            PlaceMut::Gpu(span) => ViewMut { place: PlaceMut::Gpu(*span) },
        }
    }

    /// The same range, to read.
    pub fn as_view(&self) -> View<'_, T> {
        match &self.place {
            PlaceMut::Host(values) => View { place: Place::Host(values) },
            PlaceMut::Gpu(span) => View { place: Place::Gpu(*span) },
        }
    }

    /// A range of this range.
    pub fn slice(self, range: Range<usize>) -> ViewMut<'a, T> {
        match self.place {
            PlaceMut::Host(values) => ViewMut { place: PlaceMut::Host(&mut values[range]) },
            PlaceMut::Gpu(span) => ViewMut { place: PlaceMut::Gpu(span.slice(range)) },
        }
    }

    /// The first `mid` values and the rest.
    pub fn split_at(self, mid: usize) -> (ViewMut<'a, T>, ViewMut<'a, T>) {
        match self.place {
            PlaceMut::Host(values) => {
                let (left, right) = values.split_at_mut(mid);
                (ViewMut { place: PlaceMut::Host(left) }, ViewMut { place: PlaceMut::Host(right) })
            }
            PlaceMut::Gpu(span) => {
                let [left, right] = [0..mid, mid..span.len()].map(|range| span.slice(range));
                (ViewMut { place: PlaceMut::Gpu(left) }, ViewMut { place: PlaceMut::Gpu(right) })
            }
        }
    }

    #[track_caller]
    pub(crate) fn on_host(self) -> &'a mut [T] {
        match self.place {
            PlaceMut::Host(values) => values,
            PlaceMut::Gpu(span) => refuse_on_host(span),
        }
    }

    #[track_caller]
    pub(crate) fn on_gpu(self) -> Span<'a> {
        match self.place {
            PlaceMut::Host(values) => refuse_on_gpu(values.len()),
            PlaceMut::Gpu(span) => span,
        }
    }
}

impl<'a, T: Element> From<&'a mut [T]> for ViewMut<'a, T> {
    /// Host memory as a view, for operations on the CPU.
    fn from(values: &'a mut [T]) -> Self {
        ViewMut { place: PlaceMut::Host(values) }
    }
}

#[track_caller]
fn refuse_on_host(span: Span<'_>) -> ! {
    panic!("{} values in the memory of a GPU, in an operation on the CPU", span.len())
}

#[track_caller]
fn refuse_on_gpu(len: usize) -> ! {
    panic!("{len} values in the memory of the host, in an operation on a GPU")
}
