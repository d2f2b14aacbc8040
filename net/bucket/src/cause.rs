//! From what a storage reports to what the caller does next: the one place that reads the errors of
//! the storage library, of the HTTP client and of the operating system.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use object_store::client::{HttpError, HttpErrorKind};

use crate::answer::Refusal;
use crate::{BucketError, ObjectKey, Place};

/// Characters of a cause that an error shows.
const CAUSE_CHARS_MAX: usize = 200;

/// What was attempted when access was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Getting an object or its size.
    Read,
    /// Putting or deleting an object.
    Write,
    /// Enumerating objects.
    List,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::List => "list",
        })
    }
}

impl BucketError {
    /// The next move for an error of the storage; `key` is the object it happened to.
    pub(crate) fn of_storage(
        source: object_store::Error,
        place: &Place,
        action: Action,
        key: Option<&ObjectKey>,
    ) -> Self {
        let place = place.clone();
        if let Some(refusal) = find::<Refusal>(&source) {
            let refusal = refusal.clone();
            return of_refusal(&refusal, place, action, source);
        }
        if let Some(error) = find::<HttpError>(&source) {
            return of_connection(error.kind(), place, source);
        }
        match (&source, key) {
            (object_store::Error::NotFound { .. }, Some(key)) => {
                Self::NotFound { place, key: *key }
            }
            (object_store::Error::AlreadyExists { .. }, Some(key)) => {
                Self::Exists { place, key: *key }
            }
            (object_store::Error::PermissionDenied { .. }, _) => Self::Permission { place, action },
            (object_store::Error::Unauthenticated { .. }, _) => Self::WrongKey { place },
            _ => match find::<io::Error>(&source).map(io::Error::kind) {
                Some(kind) => of_io(kind, place, action, source),
                None => storage(place, source),
            },
        }
    }
}

fn of_refusal(
    refusal: &Refusal,
    place: Place,
    action: Action,
    source: object_store::Error,
) -> BucketError {
    let names_key = refusal.message.as_str().to_ascii_lowercase().contains("access key");
    match (refusal.status, refusal.code.as_str()) {
        (_, "RequestTimeTooSkewed" | "RequestExpired") => BucketError::ClockSkew { place },
        (_, "NoSuchBucket") => BucketError::NoBucket { place },
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "NotSignedUp")
        | (_, "InvalidToken" | "ExpiredToken") => BucketError::WrongKey { place },
        // R2 says so of a key that has not the length of its own.
        (400, "InvalidArgument") if names_key => BucketError::WrongKey { place },
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect") | (301, _) => {
            BucketError::Region { place }
        }
        (507, _) | (_, "QuotaExceeded") => BucketError::DiskFull { place },
        (408 | 429 | 500 | 502..=599, _)
        | (_, "InternalError" | "SlowDown" | "RequestTimeout" | "OperationAborted")
        | (_, "ConditionalRequestConflict" | "BadDigest" | "XAmzContentSHA256Mismatch") => {
            let answer = refusal.to_string().trim_end().to_string();
            BucketError::Unavailable { place, answer, retry_after: refusal.retry_after }
        }
        (401, _) => BucketError::WrongKey { place },
        (403, _) => BucketError::Permission { place, action },
        _ => storage(place, source),
    }
}

fn of_connection(kind: HttpErrorKind, place: Place, source: object_store::Error) -> BucketError {
    let what = match kind {
        HttpErrorKind::Timeout => "no answer in time".to_string(),
        _ => innermost(&source),
    };
    match kind {
        HttpErrorKind::Decode => storage(place, source),
        _ => BucketError::Unreachable { place, what },
    }
}

fn of_io(
    kind: ErrorKind,
    place: Place,
    action: Action,
    source: object_store::Error,
) -> BucketError {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => BucketError::DiskFull { place },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            BucketError::Permission { place, action }
        }
        ErrorKind::NotADirectory => BucketError::NoFolder { place },
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => {
            BucketError::Unreachable { place, what: innermost(&source) }
        }
        _ => storage(place, source),
    }
}

fn storage(place: Place, source: object_store::Error) -> BucketError {
    BucketError::Storage { place, what: innermost(&source), source: Box::new(source) }
}

/// The first error of type `E` in the chain below `error`.
fn find<E: Error + 'static>(error: &object_store::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// What the last error of the chain says, harmless: it may quote a stranger's server.
fn innermost(error: &object_store::Error) -> String {
    let mut last: &dyn Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let text = last.to_string();
    let printable = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().take(CAUSE_CHARS_MAX).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wire::ForeignText;

    use super::*;

    fn of(source: Box<dyn Error + Send + Sync>) -> BucketError {
        let source = object_store::Error::Generic { store: "test", source };
        BucketError::of_storage(source, &Place::Folder("/b".into()), Action::Read, None)
    }

    fn refused(status: u16, code: &str) -> BucketError {
        let (code, message) = (ForeignText::new(code), ForeignText::new(""));
        of(Box::new(Refusal { status, code, message, retry_after: Some(Duration::from_secs(3)) }))
    }

    #[test]
    fn a_full_disk_and_a_missing_permission_are_told_apart() {
        let of_io = |kind| of(Box::new(io::Error::from(kind)));
        assert!(matches!(of_io(ErrorKind::StorageFull), BucketError::DiskFull { .. }));
        assert!(matches!(of_io(ErrorKind::QuotaExceeded), BucketError::DiskFull { .. }));
        assert!(matches!(of_io(ErrorKind::PermissionDenied), BucketError::Permission { .. }));
        assert!(matches!(of_io(ErrorKind::BrokenPipe), BucketError::Storage { .. }));
    }

    #[test]
    fn each_refusal_has_its_own_next_move() {
        use BucketError as E;
        let skewed = refused(403, "RequestTimeTooSkewed");
        assert!(matches!(skewed, E::ClockSkew { .. }), "{skewed}");
        assert!(matches!(refused(403, "InvalidAccessKeyId"), E::WrongKey { .. }));
        assert!(matches!(refused(403, "SignatureDoesNotMatch"), E::WrongKey { .. }));
        assert!(matches!(refused(401, ""), E::WrongKey { .. }));
        assert!(matches!(refused(403, "AccessDenied"), E::Permission { .. }));
        assert!(matches!(refused(403, ""), E::Permission { .. }));
        assert!(matches!(refused(404, "NoSuchBucket"), E::NoBucket { .. }));
        assert!(matches!(refused(301, "PermanentRedirect"), E::Region { .. }));
        assert!(matches!(refused(507, ""), E::DiskFull { .. }));
        assert!(matches!(refused(501, "NotImplemented"), E::Storage { .. }));
        for (status, code) in
            [(429, ""), (500, "InternalError"), (503, "SlowDown"), (400, "BadDigest")]
        {
            let error = refused(status, code);
            assert!(error.is_transient(), "{error}");
            assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
        }
    }
}
