//! One row of a file of conversations, in any of the three forms that such files have.

use serde_json::{Map, Value};

use crate::chat_template::Message;

/// Who answers.
pub(super) const ASSISTANT: &str = "assistant";
/// Longest name of a role, in bytes.
const ROLE_BYTES_MAX: usize = 32;

/// Whether it is something to learn.
pub(super) fn is_answer(message: &Message) -> bool {
    message.role == ASSISTANT
}

/// The messages of a row, or what is wrong with it.
pub(super) fn messages(row: &Map<String, Value>) -> Result<Vec<Message>, String> {
    if let Some(messages) = row.get("messages") {
        let messages = messages.as_array().ok_or("messages is no list")?;
        return messages.iter().map(message).collect();
    }
    if row.contains_key("prompt") || row.contains_key("completion") {
        return Ok(turns(text(row, "prompt")?, text(row, "completion")?));
    }
    if row.contains_key("instruction") || row.contains_key("output") {
        let (instruction, output) = (text(row, "instruction")?, text(row, "output")?);
        let input = if row.contains_key("input") { text(row, "input")? } else { "" };
        return Ok(match input {
            "" => turns(instruction, output),
            input => turns(&format!("{instruction}\n\n{input}"), output),
        });
    }
    let keys: Vec<_> = row.keys().map(|key| key.escape_debug().to_string()).take(5).collect();
    Err(format!(
        "it has the keys [{}], but must have messages, or prompt and completion, or instruction \
         and output",
        keys.join(", ")
    ))
}

fn turns(asked: &str, answered: &str) -> Vec<Message> {
    vec![Message::new("user", asked), Message::new(ASSISTANT, answered)]
}

fn message(value: &Value) -> Result<Message, String> {
    let row = value.as_object().ok_or("a message is no object with role and content")?;
    let (role, content) = (text(row, "role")?, text(row, "content")?);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if role.is_empty() || role.len() > ROLE_BYTES_MAX || !role.bytes().all(is_name) {
        return Err(format!(
            "the role {:?} is no name of at most {ROLE_BYTES_MAX} letters; use system, user or \
             assistant",
            role.chars().take(ROLE_BYTES_MAX).collect::<String>()
        ));
    }
    Ok(Message::new(role, content))
}

fn text<'a>(row: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    let value = row.get(key).ok_or_else(|| format!("{key} is missing"))?;
    value.as_str().ok_or_else(|| format!("{key} is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_forms_say_the_same() {
        let same = [
            r#"{"messages": [{"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"}]}"#,
            r#"{"prompt": "a", "completion": "b", "id": 7}"#,
            r#"{"instruction": "a", "output": "b"}"#,
        ];
        for line in same {
            assert_eq!(
                messages(&serde_json::from_str(line).unwrap()).unwrap(),
                turns("a", "b"),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_missing_or_of_another_kind_is_named() {
        for (line, what) in [
            (r#"{"text": "a"}"#, "it has the keys [text], but must have messages"),
            (r#"{"prompt": "a"}"#, "completion is missing"),
            (r#"{"instruction": 1, "output": "b"}"#, "instruction is no text"),
            (r#"{"messages": {}}"#, "messages is no list"),
            (r#"{"messages": ["a"]}"#, "no object with role and content"),
            (r#"{"messages": [{"role": "user", "content": null}]}"#, "content is no text"),
            (r#"{"messages": [{"role": "a\nb", "content": "c"}]}"#, "the role \"a\\nb\" is no"),
        ] {
            let refused = messages(&serde_json::from_str(line).unwrap()).unwrap_err();
            assert!(refused.contains(what), "{line}: {refused}");
        }
    }
}
