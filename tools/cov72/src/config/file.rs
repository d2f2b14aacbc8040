//! Laying a TOML file over a configuration, with a line for everything that does not fit.

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::Config;

/// What is wrong, and in which line of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) line: usize,
    pub(super) what: String,
}

/// `config` with the values of `text` in place of its own.
pub(super) fn overlay(config: Config, text: &str) -> Result<Config, Finding> {
    let line_at = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
    let parsed = DeTable::parse(text).map_err(|error| Finding {
        line: line_at(error.span().map_or(0, |span| span.start)),
        what: error.message().to_string(),
    })?;
    let mut merged = Table::try_from(&config).expect("a configuration is plain data");
    merge(&mut merged, parsed.get_ref(), "")
        .map_err(|(offset, what)| Finding { line: line_at(offset), what })?;
    Config::deserialize(Value::Table(merged))
        .map_err(|error| Finding { line: 1, what: error.to_string().trim().replace('\n', " ") })
}

/// Puts the values of `from` into `into`; an error is the offset of the culprit and what it is.
fn merge(into: &mut Table, from: &DeTable<'_>, path: &str) -> Result<(), (usize, String)> {
    for (key, value) in from.iter() {
        let (name, offset) = (key.get_ref().as_ref(), key.span().start);
        let full = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        let Some(known) = into.get_mut(name) else {
            let near = nearest(name, into.keys());
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            return Err((offset, format!("unknown key {full}{hint}")));
        };
        match (known, value.get_ref()) {
            (Value::Table(known), DeValue::Table(given))
                if full == "chain" || same_kind(known, given) =>
            {
                merge(known, given, &full)?;
            }
            (known, given) => {
                let given =
                    plain(value, given).map_err(|what| (offset, format!("{full} {what}")))?;
                *known =
                    fitting(known, given).map_err(|what| (offset, format!("{full} {what}")))?;
            }
        }
    }
    Ok(())
}

/// Whether two tables may be merged key by key: not if they are different cases of one choice, but
/// for `chain`, whose keys are the same in each case.
fn same_kind(known: &Table, given: &DeTable<'_>) -> bool {
    let (Some(known), Some(given)) = (known.get("kind"), given.get("kind")) else { return true };
    known.as_str() == given.get_ref().as_str()
}

fn plain(spanned: &Spanned<DeValue<'_>>, _: &DeValue<'_>) -> Result<Value, String> {
    Value::deserialize(toml::de::ValueDeserializer::from(spanned.clone()))
        .map_err(|error| format!("does not read: {}", error.message()))
}

/// `given` as the kind of value that `known` is; whole numbers count as numbers.
fn fitting(known: &Value, given: Value) -> Result<Value, String> {
    match (known, given) {
        (Value::Float(_), Value::Integer(number)) => Ok(Value::Float(number as f64)),
        (known, given) if known.same_type(&given) => Ok(given),
        (known, given) => {
            Err(format!("is a {}, but it must be a {}", given.type_str(), known.type_str()))
        }
    }
}

/// The key of `keys` that `name` is most likely a misspelling of.
fn nearest<'a>(name: &str, keys: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    keys.map(|key| (strsim::damerau_levenshtein(name, key), key))
        .filter(|(distance, key)| *distance <= 1 + key.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(text: &str) -> Result<Config, Finding> {
        overlay(Config::named("nano").unwrap(), text)
    }

    #[test]
    fn values_of_the_file_take_the_place_of_the_preset() {
        let config = over("seed = 7\n[inner]\nsteps = 15\nclip_norm = 2\n").unwrap();
        assert_eq!((config.seed, config.inner.steps), (7, 15));
        assert_eq!(config.inner.clip_norm, 2.0);
        assert_eq!(config.inner.batch_samples, 1);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_what_was_meant() {
        let finding = over("seed = 1\n\n[outer]\nalhpa = 0.5\n").unwrap_err();
        assert_eq!(finding.line, 4);
        assert_eq!(finding.what, "unknown key outer.alhpa; did you mean alpha?");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named_with_its_line() {
        let finding = over("[inner]\nsteps = \"many\"\n").unwrap_err();
        assert_eq!(finding.line, 2);
        assert_eq!(finding.what, "inner.steps is a string, but it must be a integer");
    }

    #[test]
    fn another_schedule_replaces_the_presets_as_a_whole() {
        let text = "[inner.schedule]\nkind = \"constant\"\n";
        assert_eq!(over(text).unwrap().inner.schedule, wire::Schedule::Constant {});
        assert!(over("[inner.schedule]\nkind = \"sawtooth\"\n").is_err());
    }

    #[test]
    fn text_that_is_not_toml_is_refused_with_its_line() {
        assert_eq!(over("seed = 1\nwhat is this\n").unwrap_err().line, 2);
    }

    #[test]
    fn a_configuration_written_out_reads_back() {
        let config = Config::named("72b").unwrap();
        assert_eq!(toml::from_str::<Config>(&config.to_toml()).unwrap(), config);
    }
}
