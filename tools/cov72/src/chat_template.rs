//! Chat templates as models come with them: Jinja, in `tokenizer_config.json` or in a file of its
//! own.
//!
//! Templates are strangers' programs: they see the messages and two special tokens, reach no file,
//! and stop after so many instructions.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::failure::Failure;

/// Name of the template within its environment; nothing is escaped in one of this name.
const NAME: &str = "chat";
/// Longest file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Instructions that one rendering may take: a template is a stranger's program.
const FUEL: u64 = 10_000_000;

const SETTINGS_FILE: &str = "tokenizer_config.json";
/// Name of a template in a file of its own.
pub(crate) const TEMPLATE_FILE: &str = "chat_template.jinja";

/// What one side said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    /// `system`, `user` or `assistant`.
    pub(crate) role: String,
    /// What was said.
    pub(crate) content: String,
}

impl Message {
    pub(crate) fn new(role: &str, content: &str) -> Self {
        Self { role: role.to_string(), content: content.to_string() }
    }
}

/// A model's way to write a chat.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// The template of the model in `folder`; none where there is none.
    pub(crate) fn of(folder: &Path) -> Result<Option<Self>, Failure> {
        let (file, settings) = (folder.join(TEMPLATE_FILE), folder.join(SETTINGS_FILE));
        if file.exists() {
            return Self::load(&file).map(Some);
        }
        if !settings.exists() || template_in(&parse(&read(&settings)?, &settings)?).is_none() {
            return Ok(None);
        }
        Self::load(&settings).map(Some)
    }

    /// Reads a `tokenizer_config.json`, or a file that is a template, beside which there may be
    /// one with the names of tokens.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = read(path)?;
        if path.extension().is_some_and(|extension| extension == "json") {
            let config = parse(&text, path)?;
            let source = template_in(&config).ok_or_else(|| {
                Failure::precondition(format!(
                    "{shown} has no chat_template; name the model's chat_template.jinja"
                ))
            })?;
            return Self::new(source, &config, path);
        }
        let beside = path.with_file_name(SETTINGS_FILE);
        let config = match beside.exists() {
            true => parse(&read(&beside)?, &beside)?,
            false => Map::new(),
        };
        Self::new(text, &config, path)
    }

    fn new(source: String, config: &Map<String, Value>, path: &Path) -> Result<Self, Failure> {
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        let syntax = syntax.trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.expect("the usual delimiters"));
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, without_marks(&source)).map_err(|error| {
            let (path, why) = (path.display(), told(&error));
            Failure::precondition(format!(
                "the chat template of {path} does not read: {why}; fetch it anew"
            ))
        })?;
        let token = |key: &str| token_name(config.get(key)).unwrap_or_default().to_string();
        Ok(Self { environment, source, bos: token("bos_token"), eos: token("eos_token") })
    }

    /// The template as it came.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The conversation as text, with an invitation to answer behind it if that is asked for.
    ///
    /// # Errors
    /// The template refuses the messages, in one sentence.
    pub(crate) fn render(&self, messages: &[Message], invites: bool) -> Result<String, String> {
        let given = context! {
            messages => minijinja::value::Serde(messages),
            add_generation_prompt => invites,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => (),
            documents => (),
        };
        let rendered = self.environment.get_template(NAME).and_then(|chat| chat.render(given));
        rendered.map_err(|error| {
            format!(
                "the chat template refuses these messages: {}; see its model card",
                told(&error)
            )
        })
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let refuse = |why: String| {
        Failure::precondition(format!("cannot read {shown}: {why}; fetch the file anew"))
    };
    let bytes = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(refuse(format!("{bytes} bytes are more than the {FILE_BYTES_MAX} allowed")));
    }
    std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))
}

fn parse(text: &str, path: &Path) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::precondition(format!("{}: {error}; fetch the file anew", path.display()))
    })
}

/// `chat_template` is a template, or a list of templates by name.
fn template_in(config: &Map<String, Value>) -> Option<String> {
    let found = match config.get("chat_template")? {
        Value::Array(named) => {
            let is_default = |entry: &&Value| entry["name"] == "default";
            named.iter().find(is_default)?["template"].as_str()
        }
        one => one.as_str(),
    };
    found.map(str::to_string)
}

/// A token is written as its text, or as an object that has it.
fn token_name(token: Option<&Value>) -> Option<&str> {
    let token = token?;
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// Some templates mark answers by a tag of their own, which does nothing here: it becomes one that
/// does nothing anywhere.
fn without_marks(source: &str) -> String {
    let mut rest = source;
    let mut out = String::with_capacity(source.len());
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let (before, tag) = (&rest[..start], &rest[start..start + length + 2]);
        out += before;
        out += &match tag.trim_matches(['{', '%', '}', '-', '+', ' ']) {
            "generation" => tag.replace("generation", "if true"),
            "endgeneration" => tag.replace("endgeneration", "endif"),
            _ => tag.to_string(),
        };
        rest = &rest[start + length + 2..];
    }
    out + rest
}

/// What the library says, in one line.
fn told(error: &Error) -> String {
    let line = error.line().map_or(String::new(), |line| format!(" in line {line}"));
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
    format!("{}{line}", what.chars().take(200).collect::<String>().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the manner of ChatML, with an invitation, marks around answers and a method of Python's.
    const CHAT: &str = "{{ bos_token }}{% for message in messages %}\n\
        {%- if message['role'] == 'narrator' %}{{ raise_exception('who speaks?') }}{% endif %}\n\
        {{- '<|im_start|>' + message.role + '\\n' }}\n\
        {%- if message.role == 'assistant' %}{%- generation -%}\n\
        {{ message.content.strip() }}{{ eos_token }}{%- endgeneration -%}\n\
        {% else %}{{- message.content.strip() + '<|im_end|>' }}{% endif %}\n\
        {{- '\\n' }}{% endfor %}\n\
        {%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

    fn load(chat: Value) -> Result<ChatTemplate, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SETTINGS_FILE);
        let config = serde_json::json!({
            "bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": chat,
        });
        std::fs::write(&path, config.to_string()).unwrap();
        ChatTemplate::load(&path)
    }

    fn messages(said: &[(&str, &str)]) -> Vec<Message> {
        said.iter().map(|(role, content)| Message::new(role, content)).collect()
    }

    #[test]
    fn a_list_of_templates_and_a_file_of_its_own_are_read() {
        let said = messages(&[("user", " Hi <b>"), ("assistant", "Yes & no."), ("user", "?")]);
        let text = "<s><|im_start|>user\nHi <b><|im_end|>\n<|im_start|>assistant\nYes & no.</s>\n\
                    <|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n";
        let list = serde_json::json!([
            {"name": "tool_use", "template": "{{ nothing }}"}, {"name": "default", "template": CHAT}
        ]);
        for chat in [CHAT.into(), list] {
            assert_eq!(load(chat).unwrap().render(&said, true).unwrap(), text);
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(ChatTemplate::of(dir.path()).unwrap().is_none());
        let settings = r#"{"bos_token": "<s>", "eos_token": "</s>"}"#;
        std::fs::write(dir.path().join(SETTINGS_FILE), settings).unwrap();
        assert!(ChatTemplate::of(dir.path()).unwrap().is_none());
        std::fs::write(dir.path().join(TEMPLATE_FILE), CHAT).unwrap();
        let found = ChatTemplate::of(dir.path()).unwrap().unwrap();
        assert_eq!(found.render(&said, true).unwrap(), text);
    }

    #[test]
    fn what_a_template_refuses_or_cannot_say_is_told() {
        let jinja = load(CHAT.into()).unwrap();
        let refused = jinja.render(&messages(&[("narrator", "x")]), true).unwrap_err();
        assert!(refused.contains("who speaks?"), "{refused}");
        let endless = load(
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}".into(),
        );
        assert!(endless.unwrap().render(&messages(&[]), true).unwrap_err().contains("fuel"));
        assert!(load("{% if %}".into()).unwrap_err().message.contains("does not read"));
        assert!(load(Value::Null).unwrap_err().message.contains("has no chat_template"));
    }
}
