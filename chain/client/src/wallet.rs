//! A hotkey in a file of Bittensor's layout: `WALLETS/NAME/hotkeys/HOTKEY`, JSON, for its owner
//! only.
//!
//! Hotkeys lie open in such files as a rule; sealed ones are told apart and refused. The coldkey is
//! never read: a node has no use for it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use subxt::utils::AccountId32;
use wire::{Digest, Hotkey, Keypair};

use crate::ChainError;

/// More than any wallet file holds.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// How sealed files begin, and what sealed them.
const SEALS: [(&[u8], &str); 3] =
    [(b"$NACL", "NaCl"), (b"$ANSIBLE_VAULT", "Ansible Vault"), (b"gAAAAA", "Fernet")];

/// What is the matter with a wallet's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalletFault {
    /// There is none.
    #[error("is not there: correct the names of wallet and hotkey, or make the key first")]
    Missing,
    /// There is one already, whose key would be lost.
    #[error("is there already and its key would be lost: choose another name")]
    Exists,
    /// It needs a password.
    #[error(
        "is sealed by {seal}, which cov72 cannot open: give this node a hotkey without password"
    )]
    Sealed {
        /// What sealed it.
        seal: &'static str,
    },
    /// Other users of the machine may read it.
    #[error(
        "may be read by others (mode {mode:o}), who could act as this node: run chmod 600 on it"
    )]
    Open {
        /// Its permissions.
        mode: u32,
    },
    /// It is something else.
    #[error("is no key of a Bittensor wallet: name a file under hotkeys/")]
    NotAKey,
    /// It holds the public half only, or a form of the secret that does not grow from 32 bytes.
    #[error("holds no secretSeed: name the hotkey's own file, not the one that ends in pub.txt")]
    NoSeed,
    /// Its parts contradict each other.
    #[error("holds a seed of another key than the one it names: restore it from a copy")]
    OtherKey,
    /// Not a name of a file.
    #[error("is no place for a key: use names of letters, digits, dot, dash and underscore")]
    Name,
    /// Anything that the disk reports.
    #[error("failed: {0}; mend that, then try again")]
    Io(String),
}

/// The file of a hotkey below the folder of all wallets.
///
/// # Errors
/// A name that would lead elsewhere.
pub fn hotkey_path(wallets: &Path, wallet: &str, hotkey: &str) -> Result<PathBuf, ChainError> {
    let path = wallets.join(wallet).join("hotkeys").join(hotkey);
    let plain = |name: &str| {
        let allowed = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
        name.starts_with(|char: char| char != '.') && name.chars().all(allowed)
    };
    match plain(wallet) && plain(hotkey) {
        true => Ok(path),
        false => Err(fault(&path, WalletFault::Name)),
    }
}

/// The key in the file at `path`.
///
/// # Errors
/// There is none, it needs a password, others may read it, or it is damaged.
pub fn read_hotkey(path: &Path) -> Result<Keypair, ChainError> {
    let bytes = read_private(path)?;
    if let Some(&(_, seal)) = SEALS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Err(fault(path, WalletFault::Sealed { seal }));
    }
    let key: Value =
        serde_json::from_slice(&bytes).map_err(|_| fault(path, WalletFault::NotAKey))?;
    if !key.is_object() {
        return Err(fault(path, WalletFault::NotAKey));
    }
    let seed = bytes_in(&key, "secretSeed").ok_or_else(|| fault(path, WalletFault::NoSeed))?;
    let keypair = Keypair::from_seed(seed);
    let hotkey = keypair.hotkey();
    let named = key.get("ss58Address").and_then(Value::as_str);
    let agrees = named.is_none_or(|named| named == ss58(hotkey))
        && bytes_in(&key, "publicKey").is_none_or(|bytes| bytes == hotkey.0);
    agrees.then_some(keypair).ok_or_else(|| fault(path, WalletFault::OtherKey))
}

/// Writes the key that grows from `seed`, and beside it its public half.
///
/// # Errors
/// There is a key already, or the disk fails.
pub fn write_hotkey(path: &Path, seed: [u8; 32]) -> Result<Hotkey, ChainError> {
    let hotkey = Keypair::from_seed(seed).hotkey();
    let (account, address) = (format!("0x{hotkey}"), ss58(hotkey));
    let public = json!({ "accountId": account, "publicKey": account, "ss58Address": address });
    let mut secret = public.clone();
    secret["secretSeed"] = format!("0x{}", Digest(seed)).into();
    let name = path.file_name().ok_or_else(|| fault(path, WalletFault::Name))?;
    let folder = folder_of(path);
    std::fs::create_dir_all(folder).map_err(|error| io(folder, &error))?;
    place(path, &secret)?;
    let mut public_name = name.to_owned();
    public_name.push("pub.txt");
    place(&path.with_file_name(public_name), &public)?;
    Ok(hotkey)
}

/// The address of a key as wallets show it.
pub fn ss58(hotkey: Hotkey) -> String {
    AccountId32::from(hotkey.0).to_string()
}

/// The file's bytes, if only its owner may read them.
fn read_private(path: &Path) -> Result<Vec<u8>, ChainError> {
    let file = File::open(path).map_err(|error| io(path, &error))?;
    let mode = file.metadata().map_err(|error| io(path, &error))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(fault(path, WalletFault::Open { mode }));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| io(path, &error))?;
    match bytes.len() as u64 <= FILE_BYTES_MAX {
        true => Ok(bytes),
        false => Err(fault(path, WalletFault::NotAKey)),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts a whole file in its place, unless one is there.
fn place(path: &Path, content: &Value) -> Result<(), ChainError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let draft = path.with_file_name(name);
    let written = || {
        let _ = std::fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(content.to_string().as_bytes())?;
        file.sync_all()?;
        // A link, unlike a rename, never takes the place of another key.
        std::fs::hard_link(&draft, path)?;
        File::open(folder_of(path))?.sync_all()
    };
    let done = written();
    let _ = std::fs::remove_file(&draft);
    done.map_err(|error| io(path, &error))
}

/// The 32 bytes that a member spells.
fn bytes_in(key: &Value, member: &str) -> Option<[u8; 32]> {
    let text = key.get(member)?.as_str()?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    digits.parse().ok().map(|Digest(bytes)| bytes)
}

fn fault(path: &Path, fault: WalletFault) -> ChainError {
    ChainError::Wallet { path: path.to_path_buf(), fault }
}

fn io(path: &Path, error: &std::io::Error) -> ChainError {
    fault(
        path,
        match error.kind() {
            ErrorKind::NotFound => WalletFault::Missing,
            ErrorKind::AlreadyExists => WalletFault::Exists,
            _ => WalletFault::Io(error.to_string()),
        },
    )
}
