//! A folder of shards for one job at a time: a lock on the folder itself, which leaves no file and
//! goes with the process that holds it, however that ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::failure::Failure;

/// Makes the folder where it is not there, and holds it until the claim is dropped. A file system
/// that knows no locks on folders keeps nobody apart.
pub(super) fn claim(dir: &Path) -> Result<Option<File>, Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::io("make", dir, &error))?;
    let Ok(folder) = File::open(dir) else { return Ok(None) };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(Failure::precondition(format!(
            "another job writes into {}; wait until it has ended, or name another --out",
            dir.display()
        ))),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}
