//! Which algorithm each shape of product is done by, on disk: what was the fastest once stays, so
//! that a run that goes on after a restart ends with the same bits. A choice counts for one GPU and
//! one version of the library; it is the library's own 64 bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// An algorithm as the library writes it.
pub(super) type Choice = [u64; 8];

/// The choices of one GPU and version of the library.
#[derive(Debug)]
pub(super) struct Choices {
    /// None where there is no place for them: they last as long as the process.
    path: Option<PathBuf>,
    kept: Kept,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    gpu: String,
    library: usize,
    by_shape: BTreeMap<String, Choice>,
}

impl Choices {
    /// Those that were made before, in the user's folder for caches.
    pub(super) fn open(gpu: &str, library: usize) -> Self {
        let cache = std::env::var_os("COV72_CACHE").map(PathBuf::from).or_else(|| {
            let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
            let user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home);
            Some(user?.join("cov72"))
        });
        Self::open_in(cache.as_deref(), gpu, library)
    }

    fn open_in(folder: Option<&Path>, gpu: &str, library: usize) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name = gpu.chars().map(plain).collect::<String>();
        let path = folder.map(|folder| folder.join(format!("products-{name}-{library}.json")));
        let empty = Kept { gpu: gpu.to_string(), library, by_shape: BTreeMap::new() };
        let kept = path
            .as_deref()
            .and_then(read)
            .filter(|kept| (&kept.gpu, kept.library) == (&empty.gpu, empty.library));
        Self { path, kept: kept.unwrap_or(empty) }
    }

    /// What was chosen for a shape.
    pub(super) fn get(&self, shape: &str) -> Option<Choice> {
        self.kept.by_shape.get(shape).copied()
    }

    /// Forgets a choice that the library no longer takes.
    pub(super) fn forget(&mut self, shape: &str) {
        self.kept.by_shape.remove(shape);
    }

    /// Keeps a choice. A disk that takes none costs no more than choosing again.
    pub(super) fn keep(&mut self, shape: String, choice: Choice) {
        self.kept.by_shape.insert(shape, choice);
        if let Some(path) = &self.path
            && let Err(error) = write(path, &self.kept)
        {
            eprintln!(
                "cannot keep which products are fastest in {}: {error}; they are chosen anew at \
                 the next start",
                path.display()
            );
            self.path = None;
        }
    }
}

fn read(path: &Path) -> Option<Kept> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Under a temporary name first: two processes may write at once, and either result is whole.
fn write(path: &Path, kept: &Kept) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().expect("a file in a folder"))?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(serde_json::to_string_pretty(kept)?.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_found_again_by_the_same_gpu_and_library_only() {
        let folder = tempfile::tempdir().unwrap();
        let open = |gpu: &str, library| Choices::open_in(Some(folder.path()), gpu, library);
        open("GPU X/1", 120).keep("a".into(), [7; 8]);
        open("GPU X/1", 120).keep("b".into(), [u64::MAX; 8]);
        assert_eq!(open("GPU X/1", 120).get("a"), Some([7; 8]));
        assert_eq!(open("GPU X/1", 120).get("b"), Some([u64::MAX; 8]));
        assert_eq!(open("GPU X-1", 120).get("a"), None, "of another GPU with the same file");
        assert_eq!(open("GPU X/1", 121).get("a"), None);
    }

    #[test]
    fn what_is_damaged_or_cannot_be_kept_is_chosen_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut choices = Choices::open_in(Some(folder.path()), "X", 1);
        choices.keep("a".into(), [1; 8]);
        std::fs::write(choices.path.as_ref().unwrap(), "{").unwrap();
        assert_eq!(Choices::open_in(Some(folder.path()), "X", 1).get("a"), None);
        let mut nowhere = Choices::open_in(Some(Path::new("/proc/nothing")), "X", 1);
        nowhere.keep("a".into(), [2; 8]);
        assert_eq!(nowhere.get("a"), Some([2; 8]));
        nowhere.forget("a");
        assert_eq!(nowhere.get("a"), None);
    }
}
