//! The run folder: what lies where, who holds it, and who this node is.
//!
//! config.toml, run.json (the signed run description), hotkey (secret seed), data/, bucket/,
//! chain.sqlite, checkpoints/, evidence/, windows.jsonl, steps.jsonl, loss.svg, doing, lock.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use wire::{Keypair, SignedRun};

use crate::config::Config;
use crate::failure::Failure;

/// A run folder held by this process; the lock goes with the process, however it ends.
pub(crate) struct RunFolder {
    dir: PathBuf,
    _lock: File,
}

/// The configuration a run was started with.
pub(super) fn config_path(dir: &Path) -> PathBuf {
    dir.join("config.toml")
}

impl RunFolder {
    /// Makes the folder if it is not there, and takes it for this process.
    pub(crate) fn claim(dir: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir).map_err(|error| Failure::io("make", dir, &error))?;
        let path = dir.join("lock");
        let open = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let mut lock = open.map_err(|error| Failure::io("open", &path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                return Err(Failure::precondition(format!(
                    "{} is in use by process {}; stop that one first, or use another --dir",
                    dir.display(),
                    holder.trim().chars().filter(char::is_ascii_digit).collect::<String>()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(Failure::io("lock", &path, &error)),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|error| Failure::io("write", &path, &error))?;
        Ok(Self { dir: dir.to_path_buf(), _lock: lock })
    }

    /// A file or folder of the run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a run was started here.
    pub(super) fn holds_a_run(&self) -> bool {
        self.path("run.json").exists()
    }

    /// Keeps the configuration that the run was started with, or goes on with.
    pub(super) fn keep_config(&self, config: &Config) -> Result<(), Failure> {
        self.replace("config.toml", config.to_toml().as_bytes())
    }

    /// Keeps the signed run description; from here on the folder holds a run.
    pub(crate) fn keep_run(&self, run: &SignedRun) -> Result<(), Failure> {
        self.replace("run.json", &run.to_bytes())
    }

    /// The signed run description that was kept.
    pub(super) fn run(&self) -> Result<SignedRun, Failure> {
        let path = self.path("run.json");
        let text = std::fs::read(&path).map_err(|error| Failure::io("read", &path, &error))?;
        SignedRun::parse(&text)
            .map_err(|error| Failure::damaged(format!("{}: {error}", path.display())))
    }

    /// This node's key, drawn when the folder is new.
    pub(crate) fn keypair(&self) -> Result<Keypair, Failure> {
        let path = self.path("hotkey");
        if !path.exists() {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)
                .map_err(|error| Failure::ours(format!("cannot draw a key: {error}")))?;
            self.replace("hotkey", wire::Digest(seed).to_string().as_bytes())?;
        }
        let text =
            std::fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))?;
        let seed: wire::Digest = text.trim().parse().map_err(|error| {
            Failure::damaged(format!("{} holds no key: {error}", path.display()))
        })?;
        Ok(Keypair::from_seed(seed.0))
    }

    /// The key that this node has in its network: of a wallet on Bittensor, else the folder's.
    pub(crate) fn key_in_network(&self, config: &Config) -> Result<Keypair, Failure> {
        config.wallet_key()?.map_or_else(|| self.keypair(), Ok)
    }

    /// Writes a file whole: under a temporary name, readable by its owner, synced, renamed.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        replace_file(&self.dir, name, bytes)
    }
}

/// Writes the file `name` of `dir` whole: under a temporary name, readable by its owner, synced,
/// renamed.
pub(crate) fn replace_file(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let (path, temporary) = (dir.join(name), dir.join(format!(".{name}.new")));
    let write = || -> std::io::Result<()> {
        let mut options = File::options();
        options.create(true).write(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|error| Failure::io("write", &path, &error))
}
