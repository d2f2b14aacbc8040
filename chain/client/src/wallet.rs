//! A key in a file of Bittensor's layout: `WALLETS/NAME/hotkeys/HOTKEY` and `WALLETS/NAME/coldkey`,
//! JSON, for its owner only, with the public half in `..pub.txt` beside it.
//!
//! Hotkeys lie open in such files as a rule, coldkeys under a password. Keys that are written here
//! are hotkeys, and open.

mod root;
mod seal;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use subxt::utils::AccountId32;
use wire::{Digest, Hotkey, Keypair};

use crate::ChainError;
pub use root::Root;

/// More than any wallet file holds.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// The number of sr25519 among Bittensor's kinds of key.
const SR25519: u64 = 1;

/// Whoever is asked for the password of a file that needs one; none if nobody can tell.
pub type AskPassword<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// What is the matter with a wallet's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalletFault {
    /// There is none.
    #[error("is not there: correct the names of wallet and hotkey, or run cov72 wallet create")]
    Missing,
    /// There is one already.
    #[error("is there already, and no key is written over another: choose another name")]
    Exists,
    /// It needs a password, and there is none.
    #[error("is sealed: give its password in COV72_WALLET_PASSWORD, or at a terminal")]
    Locked,
    /// It needs another password, or is damaged.
    #[error("does not open with this password: try again, or restore it from a copy")]
    WrongPassword,
    /// It is sealed in a way that is not known here.
    #[error(
        "is sealed by {seal}, which cov72 cannot open: open it with Bittensor's own tool, which \
             seals it anew"
    )]
    Sealed {
        /// What sealed it.
        seal: &'static str,
    },
    /// It holds a key of another kind.
    #[error("holds a key that is not of sr25519, which subnets do not know: make another key")]
    OtherKind,
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
    #[error(
        "holds neither secretSeed nor secretPhrase: name the key's own file, not the one that ends \
             in pub.txt"
    )]
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
/// There is none, its password is another or missing, others may read it, or it is damaged.
pub fn read_key(path: &Path, password: AskPassword<'_>) -> Result<Keypair, ChainError> {
    let mut bytes = read_private(path)?;
    if seal::is_sealed(&bytes) {
        let password = password(path).ok_or_else(|| fault(path, WalletFault::Locked))?;
        let opened = seal::open(&bytes, &password);
        bytes = opened.ok_or_else(|| fault(path, WalletFault::WrongPassword))?;
    }
    key_of(&bytes).map_err(|found| fault(path, found))
}

/// The key that a file's open bytes hold.
fn key_of(bytes: &[u8]) -> Result<Keypair, WalletFault> {
    if let Some(seal) = seal::other_seal(bytes) {
        return Err(WalletFault::Sealed { seal });
    }
    let key: Value = serde_json::from_slice(bytes).map_err(|_| WalletFault::NotAKey)?;
    if !key.is_object() {
        return Err(WalletFault::NotAKey);
    }
    if key.get("cryptoType").and_then(Value::as_u64).is_some_and(|kind| kind != SR25519) {
        return Err(WalletFault::OtherKind);
    }
    let of_seed = bytes_in(&key, "secretSeed").map(Root::of_seed);
    let phrase = || Root::of_phrase(key.get("secretPhrase")?.as_str()?);
    let keypair = of_seed.or_else(phrase).ok_or(WalletFault::NoSeed)?.keypair();
    let hotkey = keypair.hotkey();
    let named = key.get("ss58Address").and_then(Value::as_str);
    let agrees = named.is_none_or(|named| named == ss58(hotkey))
        && bytes_in(&key, "publicKey").is_none_or(|bytes| bytes == hotkey.0);
    agrees.then_some(keypair).ok_or(WalletFault::OtherKey)
}

/// The public half of the key at `path`: from the file beside it, or if there is none from the key
/// itself, without a password.
///
/// # Errors
/// Neither is there or reads.
pub fn read_address(path: &Path) -> Result<Hotkey, ChainError> {
    let beside = public_path(path);
    let text = match File::open(&beside) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return read_key(path, &|_| None).map(|key| key.hotkey());
        }
        opened => read_bounded(&beside, opened.map_err(|error| io(&beside, &error))?)?,
    };
    let key: Option<Value> = serde_json::from_slice(&text).ok();
    let address = key.as_ref().and_then(|key| key.get("ss58Address")?.as_str()?.parse().ok());
    let address = address.map(|AccountId32(bytes)| Hotkey(bytes));
    address.ok_or_else(|| fault(&beside, WalletFault::NotAKey))
}

/// Writes the hotkey that grows from `root`, open, and beside it its public half.
///
/// # Errors
/// There is a key already, or the disk fails.
pub fn write_hotkey(path: &Path, root: &Root) -> Result<Hotkey, ChainError> {
    let public_file = public_path(path);
    if path.file_name().is_none() {
        return Err(fault(path, WalletFault::Name));
    }
    if public_file.exists() {
        return Err(fault(&public_file, WalletFault::Exists));
    }
    let hotkey = root.hotkey();
    let (account, address) = (format!("0x{hotkey}"), ss58(hotkey));
    let public = json!({ "accountId": account, "publicKey": account, "ss58Address": address });
    let mut secret = public.clone();
    secret["cryptoType"] = SR25519.into();
    secret["secretSeed"] = format!("0x{}", Digest(root.seed())).into();
    if let Some(phrase) = root.phrase() {
        secret["secretPhrase"] = phrase.into();
    }
    let folder = folder_of(path);
    std::fs::create_dir_all(folder).map_err(|error| io(folder, &error))?;
    place(path, &secret)?;
    place(&public_file, &public)?;
    Ok(hotkey)
}

/// Where the public half of the key at `path` lies.
fn public_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("pub.txt");
    path.with_file_name(name)
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
    read_bounded(path, file)
}

fn read_bounded(path: &Path, file: File) -> Result<Vec<u8>, ChainError> {
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
