//! A note in the fields of a commitment: up to three raw pieces of up to 128 bytes, in order.
//!
//! The chain names a raw field by its length (`Raw0` to `Raw128`), and a commitment of four fields
//! makes its runtime trap instead of refusing. Newer runtimes also know `BigRaw`, of up to 512
//! bytes, which is read but not written, since older ones do not.

use subxt::dynamic::Value;
use subxt::ext::scale_value::{Composite, Primitive, ValueDef};

use crate::ChainError;

/// Most fields of a commitment.
pub const FIELDS_MAX: usize = 3;
/// Longest raw field.
pub const FIELD_BYTES_MAX: usize = 128;
/// Longest field of any kind that is read.
const BIG_FIELD_BYTES_MAX: usize = 512;

/// The fields that say `note`.
pub(super) fn of_note(note: &[u8]) -> Result<Value, ChainError> {
    let (bytes, bytes_max) = (note.len(), FIELDS_MAX * FIELD_BYTES_MAX);
    if bytes > bytes_max {
        return Err(ChainError::CommitmentTooLarge { bytes, bytes_max });
    }
    let raw = |piece: &[u8]| {
        Value::unnamed_variant(format!("Raw{}", piece.len()), [Value::from_bytes(piece)])
    };
    Ok(match note {
        [] => Value::unnamed_composite([raw(note)]),
        _ => Value::unnamed_composite(note.chunks(FIELD_BYTES_MAX).map(raw)),
    })
}

/// The note that a `CommitmentInfo` holds, as the chain's metadata decodes it: its raw fields, one
/// after the other. None if a field is no raw one, or there are more than may be.
///
/// A stranger wrote it; whoever gets the bytes parses them as such.
pub fn note_of<T>(info: &Value<T>) -> Option<Vec<u8>> {
    let ValueDef::Composite(Composite::Named(members)) = &info.value else { return None };
    let (_, fields) = members.iter().find(|(name, _)| name == "fields")?;
    let fields = elements(fields)?;
    if fields.len() > FIELDS_MAX {
        return None;
    }
    let mut note = Vec::new();
    for field in fields {
        note.extend(raw_bytes(field)?);
    }
    Some(note)
}

/// The bytes of a raw field.
fn raw_bytes<T>(field: &Value<T>) -> Option<Vec<u8>> {
    let ValueDef::Variant(variant) = &field.value else { return None };
    let length = variant.name.strip_prefix("Raw").and_then(|length| length.parse::<usize>().ok());
    if length.is_none() && variant.name != "BigRaw" {
        return None;
    }
    let mut content = variant.values.values();
    let bytes = match content.next() {
        Some(bytes) => bytes_of(bytes)?,
        None => Vec::new(),
    };
    let whole = length.is_none_or(|length| length == bytes.len());
    (whole && bytes.len() <= BIG_FIELD_BYTES_MAX).then_some(bytes)
}

/// The bytes of a list of numbers, through the wrappers of one member that bounded lists wear.
fn bytes_of<T>(value: &Value<T>) -> Option<Vec<u8>> {
    let byte = |value: &&Value<T>| match &value.value {
        ValueDef::Primitive(Primitive::U128(byte)) => u8::try_from(*byte).ok(),
        _ => None,
    };
    elements(value)?.iter().map(byte).collect()
}

/// The members of a list; a list that is the only member of a wrapper counts as that wrapper.
fn elements<T>(value: &Value<T>) -> Option<Vec<&Value<T>>> {
    let ValueDef::Composite(members) = &value.value else { return None };
    let members: Vec<_> = members.values().collect();
    match members[..] {
        [only] if matches!(only.value, ValueDef::Composite(_)) => elements(only),
        _ => Some(members),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(fields: Value) -> Value {
        Value::named_composite([("fields", fields)])
    }

    #[test]
    fn notes_of_every_length_read_back() {
        for bytes in 0..=FIELDS_MAX * FIELD_BYTES_MAX {
            let note: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
            assert_eq!(note_of(&info(of_note(&note).unwrap())), Some(note), "{bytes} bytes");
        }
    }

    #[test]
    fn one_byte_more_is_refused_with_both_numbers() {
        match of_note(&[0; 385]) {
            Err(ChainError::CommitmentTooLarge { bytes: 385, bytes_max: 384 }) => {}
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_holds_no_note_of_ours_is_none() {
        let list = |fields: Vec<Value>| info(Value::unnamed_composite(fields));
        let raw =
            |name: &str, bytes: &[u8]| Value::unnamed_variant(name, [Value::from_bytes(bytes)]);
        assert_eq!(note_of(&list(vec![raw("Raw2", b"ab"), raw("Raw1", b"c")])).unwrap(), b"abc");
        assert_eq!(note_of(&list(vec![raw("Sha256", &[7; 32])])), None);
        assert_eq!(note_of(&list(vec![raw("Raw3", b"ab")])), None, "a length that lies");
        assert_eq!(note_of(&list(vec![raw("Raw1", b"a"); 4])), None);
        assert_eq!(note_of(&list(vec![raw("BigRaw", &[1; 512])])), Some(vec![1; 512]));
        assert_eq!(note_of(&list(vec![raw("BigRaw", &[1; 513])])), None);
        let wide = Value::unnamed_composite([Value::u128(256), Value::u128(0)]);
        assert_eq!(note_of(&list(vec![Value::unnamed_variant("Raw2", [wide])])), None);
        assert_eq!(note_of(&Value::u128(1)), None);
    }
}
