//! Device memory: a `Buffer` owns it, a `View` borrows a range of it. Lengths count values, not
//! bytes.

use std::ops::Range;

/// What a buffer can hold: plain bits, zero being a value.
pub trait Element: bytemuck::Pod + Send + Sync {}
impl<T: bytemuck::Pod + Send + Sync> Element for T {}

/// Owned memory of one device.
#[derive(Debug, Default)]
pub struct Buffer<T> {
    host: Vec<T>,
}

impl<T: Element> Buffer<T> {
    pub(crate) fn host(len: usize) -> Self {
        // Zeroed pages come lazily from the operating system: untouched memory costs nothing.
        Self { host: bytemuck::zeroed_vec(len) }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.host.len()
    }

    /// Whether it holds no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.len() * size_of::<T>()
    }

    /// Everything, to read.
    pub fn view(&self) -> View<'_, T> {
        View { host: &self.host }
    }

    /// Everything, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_, T> {
        ViewMut { host: &mut self.host }
    }

    /// A range, to read.
    pub fn slice(&self, range: Range<usize>) -> View<'_, T> {
        View { host: &self.host[range] }
    }

    /// A range, to write.
    pub fn slice_mut(&mut self, range: Range<usize>) -> ViewMut<'_, T> {
        ViewMut { host: &mut self.host[range] }
    }

    /// The values, where the memory is the host's own; `None` on an accelerator.
    pub fn as_host(&self) -> Option<&[T]> {
        Some(&self.host)
    }

    /// The values to write, where the memory is the host's own; `None` on an accelerator.
    pub fn as_host_mut(&mut self) -> Option<&mut [T]> {
        Some(&mut self.host)
    }

    /// Copies values in, from the start.
    ///
    /// # Panics
    /// `values` is not exactly as long as the buffer.
    pub fn write(&mut self, values: &[T]) {
        self.host.copy_from_slice(values);
    }

    /// Copies all values out.
    ///
    /// # Panics
    /// `values` is not exactly as long as the buffer.
    pub fn read(&self, values: &mut [T]) {
        values.copy_from_slice(&self.host);
    }
}

/// A borrowed range of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    host: &'a [T],
}

impl<'a, T: Element> View<'a, T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.host.len()
    }

    /// Whether it holds no values.
    pub fn is_empty(&self) -> bool {
        self.host.is_empty()
    }

    /// A range of this range.
    pub fn slice(&self, range: Range<usize>) -> View<'a, T> {
        View { host: &self.host[range] }
    }

    pub(crate) fn on_host(self) -> &'a [T] {
        self.host
    }
}

impl<'a, T: Element> From<&'a [T]> for View<'a, T> {
    /// Host memory as a view, for operations on the CPU.
    fn from(host: &'a [T]) -> Self {
        View { host }
    }
}

/// A range of a buffer borrowed for writing.
#[derive(Debug)]
pub struct ViewMut<'a, T> {
    host: &'a mut [T],
}

impl<'a, T: Element> ViewMut<'a, T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.host.len()
    }

    /// Whether it holds no values.
    pub fn is_empty(&self) -> bool {
        self.host.is_empty()
    }

    /// The same range, borrowed for less long.
    pub fn reborrow(&mut self) -> ViewMut<'_, T> {
        ViewMut { host: self.host }
    }

    /// The same range, to read.
    pub fn as_view(&self) -> View<'_, T> {
        View { host: self.host }
    }

    /// A range of this range.
    pub fn slice(self, range: Range<usize>) -> ViewMut<'a, T> {
        ViewMut { host: &mut self.host[range] }
    }

    /// The first `mid` values and the rest.
    pub fn split_at(self, mid: usize) -> (ViewMut<'a, T>, ViewMut<'a, T>) {
        let (left, right) = self.host.split_at_mut(mid);
        (ViewMut { host: left }, ViewMut { host: right })
    }

    pub(crate) fn on_host(self) -> &'a mut [T] {
        self.host
    }
}

impl<'a, T: Element> From<&'a mut [T]> for ViewMut<'a, T> {
    /// Host memory as a view, for operations on the CPU.
    fn from(host: &'a mut [T]) -> Self {
        ViewMut { host }
    }
}
