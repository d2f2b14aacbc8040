//! Messages to text, by the Jinja template that lies with a model.
//!
//! Templates are strangers' programs: they see the messages and two special tokens, reach no file,
//! and stop after so many instructions.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};
use serde_json::Value;

use crate::failure::Failure;

/// Largest file that is read for a template.
const TEMPLATE_BYTES_MAX: u64 = 1 << 20;
/// Instructions of one rendering.
const FUEL: u64 = 10_000_000;
const SETTINGS: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";

/// One turn of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// `system`, `user` or `assistant`.
    pub(crate) role: String,
    /// What was said.
    pub(crate) content: String,
}

impl Message {
    pub(crate) fn new(role: &str, content: String) -> Self {
        Self { role: role.to_string(), content }
    }
}

/// A model's way to write a chat.
#[derive(Clone, Debug)]
pub(crate) struct ChatTemplate {
    source: String,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// The template of the model in `folder`; none where there is none.
    pub(crate) fn of(folder: &Path) -> Result<Option<Self>, Failure> {
        let settings: Value = match read(&folder.join(SETTINGS))? {
            Some(text) => serde_json::from_str(&text).map_err(|error| {
                Failure::damaged(format!(
                    "{} cannot be read: {error}; fetch it anew",
                    folder.join(SETTINGS).display()
                ))
            })?,
            None => Value::Null,
        };
        let source = match read(&folder.join(TEMPLATE))? {
            Some(source) => Some(source),
            None => template_in(&settings["chat_template"]),
        };
        // A token is its text, or an object that holds it.
        let token = |key: &str| {
            let found = &settings[key];
            found.as_str().or(found["content"].as_str()).unwrap_or_default().to_string()
        };
        let (bos, eos) = (token("bos_token"), token("eos_token"));
        Ok(source.map(|source| Self { source, bos, eos }))
    }

    /// The chat as text, up to where the answer begins.
    ///
    /// # Errors
    /// The template refuses the messages, or cannot be read, in one sentence.
    pub(crate) fn render(&self, messages: &[Message]) -> Result<String, String> {
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        env.set_syntax(syntax.map_err(|error| error.to_string())?);
        env.set_fuel(Some(FUEL));
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        let messages = messages.iter().map(|message| {
            context! { role => message.role.as_str(), content => message.content.as_str() }
        });
        let context = context! {
            messages => messages.collect::<Vec<minijinja::Value>>(),
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        env.render_str(&self.source, context).map_err(|error| {
            let told = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
            let told: String = told.chars().take(200).map(visible).collect();
            format!("the model's chat template refuses these messages: {told}; see its model card")
        })
    }
}

/// A stranger's text in a sentence of ours.
fn visible(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

/// The template itself, or the one called `default` among several.
fn template_in(value: &Value) -> Option<String> {
    if let Value::Array(several) = value {
        let default = several.iter().find(|one| one["name"] == "default").or(several.first())?;
        return default["template"].as_str().map(str::to_string);
    }
    value.as_str().map(str::to_string)
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    let Ok(about) = std::fs::metadata(path) else { return Ok(None) };
    if about.len() > TEMPLATE_BYTES_MAX {
        return Err(Failure::damaged(format!(
            "{} has {} bytes, which is no template; fetch it anew",
            path.display(),
            about.len()
        )));
    }
    std::fs::read_to_string(path).map(Some).map_err(|error| Failure::io("read", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the manner of chat templates: a loop over messages, methods of Python, a refusal.
    const JINJA: &str = "{{ bos_token }}
{%- for message in messages %}
    {%- if message['role'] not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('no role ' + message.role) }}
    {%- endif %}
    {{- '<|' + message['role'] + '|>' + message['content'].strip() + eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

    fn folder(settings: &Value) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(SETTINGS), settings.to_string()).unwrap();
        dir
    }

    fn messages() -> Vec<Message> {
        vec![Message::new("system", "be brief".into()), Message::new("user", " hi\n".into())]
    }

    #[test]
    fn a_chat_is_written_as_the_template_says() {
        let expected = "<s><|system|>be brief</s><|user|>hi</s><|assistant|>";
        let eos = serde_json::json!({ "content": "</s>", "lstrip": false });
        let of = |template: Value| {
            folder(&serde_json::json!({
                "chat_template": template, "bos_token": "<s>", "eos_token": eos,
            }))
        };
        let named = serde_json::json!([
            { "name": "tool_use", "template": "no" }, { "name": "default", "template": JINJA },
        ]);
        for dir in [of(JINJA.into()), of(named)] {
            let template = ChatTemplate::of(dir.path()).unwrap().unwrap();
            assert_eq!(template.render(&messages()).unwrap(), expected);
        }
        // A file of its own comes before.
        let dir = of("no".into());
        std::fs::write(dir.path().join(TEMPLATE), JINJA).unwrap();
        let template = ChatTemplate::of(dir.path()).unwrap().unwrap();
        assert_eq!(template.render(&messages()).unwrap(), expected);
    }

    #[test]
    fn a_folder_without_a_template_has_none() {
        assert!(ChatTemplate::of(tempfile::tempdir().unwrap().path()).unwrap().is_none());
        let dir = folder(&serde_json::json!({ "eos_token": "</s>" }));
        assert!(ChatTemplate::of(dir.path()).unwrap().is_none());
    }

    #[test]
    fn what_a_template_refuses_or_never_ends_is_told() {
        let template = |source: &str| ChatTemplate {
            source: source.to_string(),
            bos: String::new(),
            eos: String::new(),
        };
        let told = template(JINJA).render(&[Message::new("oracle", "?".into())]).unwrap_err();
        assert!(told.contains("no role oracle"), "{told}");
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        let told = template(endless).render(&messages()).unwrap_err();
        assert!(told.contains("refuses"), "{told}");
        assert!(template("{% if %}").render(&messages()).is_err());
    }
}
