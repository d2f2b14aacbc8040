//! Data to stdout, buffered. A reader that has seen enough, such as `head`, is no failure.

use std::io::{self, BufWriter, Write};

use crate::failure::Failure;

/// Lets `write` write to stdout, and flushes.
///
/// # Errors
/// Stdout cannot be written, other than for a reader that went away.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::precondition(format!("cannot write to stdout: {e}; check where it goes")))
        }
        _ => Ok(()),
    }
}

/// One JSON object on one line.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print(|out| {
        serde_json::to_writer(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

/// Text at once, as it comes. False when the reader went away.
///
/// # Errors
/// As [`print()`].
pub(crate) fn stream(text: &str) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => {
            Err(Failure::precondition(format!("cannot write to stdout: {e}; check where it goes")))
        }
    }
}
