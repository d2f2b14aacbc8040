//! The key pair that opens a bucket, and the wrapper that keeps its secret half out of every text.
//!
//! A key comes from the environment or from a file that only its owner can read, never from a
//! place: places are printed, logged and published.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::BucketError;

/// Longest key that is taken, in bytes; those of storage services have 20 to 64.
pub(crate) const KEY_BYTES_MAX: usize = 128;
/// Where each half is looked for, in this order.
const ACCESS_NAMES: [&str; 2] = ["COV72_S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID"];
const SECRET_NAMES: [&str; 2] = ["COV72_S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"];

/// A value that no text shows: it has no `Display`, and its `Debug` is a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A key pair of an S3 service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    access_key: Secret<String>,
    secret: Secret<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    access_key: String,
    secret_key: String,
}

impl Credentials {
    /// A pair that is at hand.
    ///
    /// # Errors
    /// A half is empty, longer than 128 bytes, or holds something else than visible ASCII.
    pub fn new(access_key: &str, secret: &str) -> Result<Self, BucketError> {
        if !is_key(access_key) || !is_key(secret) {
            return Err(BucketError::Key { from: "the key pair".to_string() });
        }
        let wrap = |text: &str| Secret::new(text.to_string());
        Ok(Self { access_key: wrap(access_key), secret: wrap(secret) })
    }

    /// `COV72_S3_ACCESS_KEY` and `COV72_S3_SECRET_KEY`, or else `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY`; `None` when neither is set.
    ///
    /// # Errors
    /// One half is set and the other is not, or a half is no key.
    pub fn from_env() -> Result<Option<Self>, BucketError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, BucketError> {
        for (access, secret) in ACCESS_NAMES.into_iter().zip(SECRET_NAMES) {
            let from = || BucketError::Key { from: format!("{access} with {secret}") };
            match (variable(access), variable(secret)) {
                (None, None) => {}
                (Some(key), Some(secret)) => {
                    return Self::new(&key, &secret).map(Some).map_err(|_| from());
                }
                _ => return Err(from()),
            }
        }
        Ok(None)
    }

    /// A TOML file with `access_key` and `secret_key`, which nobody but its owner may read.
    ///
    /// # Errors
    /// The file is absent, readable for others, or holds something else.
    pub fn from_file(path: &Path) -> Result<Self, BucketError> {
        let refuse = |what: String| BucketError::KeyFile { path: path.to_path_buf(), what };
        let meta = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
        if is_open_to_others(&meta) {
            let what = format!("others may read it; run chmod 600 {}", path.display());
            return Err(refuse(what));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        // The parser's message would quote the line, and with it the secret.
        let shape = || refuse("it needs access_key = \"..\" and secret_key = \"..\"".to_string());
        let file: File = toml::from_str(&text).map_err(|_| shape())?;
        Self::new(&file.access_key, &file.secret_key).map_err(|_| shape())
    }

    /// The half that names the key.
    pub fn access_key(&self) -> &str {
        self.access_key.reveal()
    }

    /// The half that signs.
    pub fn secret(&self) -> &Secret<String> {
        &self.secret
    }
}

fn is_key(text: &str) -> bool {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    visible && (1..=KEY_BYTES_MAX).contains(&text.len())
}

#[cfg(unix)]
fn is_open_to_others(meta: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t-half-of-the-pair";

    fn env(set: &[(&str, &str)]) -> Result<Option<Credentials>, BucketError> {
        let set: Vec<_> =
            set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Credentials::from_variables(|wanted| {
            set.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn the_own_variables_come_before_those_of_aws() {
        let aws = [("AWS_ACCESS_KEY_ID", "aws"), ("AWS_SECRET_ACCESS_KEY", "a")];
        let own = [("COV72_S3_ACCESS_KEY", "own"), ("COV72_S3_SECRET_KEY", "o")];
        assert_eq!(env(&[]).unwrap(), None);
        assert_eq!(env(&aws).unwrap().unwrap().access_key(), "aws");
        assert_eq!(env(&[aws, own].concat()).unwrap().unwrap().access_key(), "own");
    }

    #[test]
    fn half_a_pair_is_named_by_its_variables() {
        let error = env(&[("COV72_S3_SECRET_KEY", SECRET)]).unwrap_err();
        assert!(error.to_string().contains("COV72_S3_ACCESS_KEY"), "{error}");
        assert!(!error.to_string().contains(SECRET));
        assert!(env(&[("COV72_S3_ACCESS_KEY", ""), ("COV72_S3_SECRET_KEY", SECRET)]).is_err());
    }

    #[test]
    fn debug_shows_neither_half() {
        let text = format!("{:?}", Credentials::new("AKIATHEKEY", SECRET).unwrap());
        assert!(!text.contains(SECRET) && !text.contains("AKIATHEKEY"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.toml");
        let text = format!("access_key = \"own\"\nsecret_key = \"{SECRET}\"\n");
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        std::fs::write(&path, &text).unwrap();
        mode(0o644);
        let error = Credentials::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        mode(0o600);
        assert_eq!(Credentials::from_file(&path).unwrap().secret().reveal(), SECRET);
        std::fs::write(&path, format!("{text}token = 1\n")).unwrap();
        let error = Credentials::from_file(&path).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    }
}
