//! Chat templates as models of others come with them: Jinja, in `tokenizer_config.json` or in a
//! file of its own.
//!
//! Such a template says how to write a conversation, not where its answers are. An answer is what
//! it writes between its invitation to answer and the next message: the conversation up to there is
//! written with the invitation, then with the answer, and the second must begin with the first.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};
use serde_json::{Map, Value};

use super::row::Message;
use super::template::Rendered;
use crate::failure::Failure;

/// Name of the template within its environment; nothing is escaped in one of this name.
const NAME: &str = "chat";
/// Longest file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Instructions that one rendering may take: a template is a stranger's program.
const FUEL: u64 = 10_000_000;

/// A chat template.
#[derive(Debug)]
pub(super) struct Jinja {
    environment: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
}

impl Jinja {
    /// Reads a `tokenizer_config.json`, or a file that is a template, beside which there may be
    /// one with the names of tokens.
    pub(super) fn load(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = read(path)?;
        if path.extension().is_some_and(|extension| extension == "json") {
            let config = parse(&text, path)?;
            let source = template_in(&config).ok_or_else(|| {
                Failure::precondition(format!(
                    "{shown} has no chat_template; name the model's chat_template.jinja, or use \
                     --template plain"
                ))
            })?;
            return Self::new(source, &config, path);
        }
        let beside = path.with_file_name("tokenizer_config.json");
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
                "the chat template of {path} does not read: {why}; use --template plain"
            ))
        })?;
        let token = |key: &str| token_name(config.get(key)).unwrap_or_default().to_string();
        Ok(Self { environment, source, bos: token("bos_token"), eos: token("eos_token") })
    }

    /// The template as it came.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Writes a conversation down.
    pub(super) fn render(&self, messages: &[Message]) -> Result<Rendered, String> {
        let text = self.text(messages, false)?;
        let (mut answers, mut from) = (Vec::new(), 0);
        for (at, _) in messages.iter().enumerate().filter(|(_, message)| message.is_answer()) {
            let asked = self.text(&messages[..at], true)?;
            let answered = self.text(&messages[..=at], false)?;
            let follows = answered.starts_with(&asked) && text.starts_with(&answered);
            // White space behind the end of a turn is the template's, not the answer's.
            let end = answered.trim_end().len();
            if !follows || asked.len() < from || end <= asked.len() {
                return Err(format!(
                    "the chat template writes a conversation differently once message {} follows, \
                     so that its answer cannot be told from the prompt; use --template plain",
                    at + 1
                ));
            }
            from = end;
            answers.push(asked.len()..end);
        }
        Ok(Rendered { text, answers, is_plain: false })
    }

    fn text(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, String> {
        let given = context! {
            messages => minijinja::value::Serde(messages),
            add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => (),
            documents => (),
        };
        let rendered = self.environment.get_template(NAME).and_then(|chat| chat.render(given));
        rendered.map_err(|error| {
            format!("the chat template refuses it: {}; use --template plain", told(&error))
        })
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let refuse = |why: String| {
        Failure::precondition(format!("cannot read {shown}: {why}; check --template"))
    };
    let bytes = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(refuse(format!("{bytes} bytes are more than the {FILE_BYTES_MAX} allowed")));
    }
    std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))
}

fn parse(text: &str, path: &Path) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::precondition(format!("{}: {error}; check --template", path.display()))
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

    fn load(chat: Value) -> Result<Jinja, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer_config.json");
        let config = serde_json::json!({
            "bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": chat,
        });
        std::fs::write(&path, config.to_string()).unwrap();
        Jinja::load(&path)
    }

    fn messages(said: &[(&str, &str)]) -> Vec<Message> {
        let message = |(role, content): &(&str, &str)| Message {
            role: role.to_string(),
            content: content.to_string(),
        };
        said.iter().map(message).collect()
    }

    #[test]
    fn answers_are_found_between_invitation_and_next_message() {
        let jinja = load(CHAT.into()).unwrap();
        let said =
            [("user", " Hi <b>"), ("assistant", "Yes & no."), ("user", "?"), ("assistant", "!")];
        let rendered = jinja.render(&messages(&said)).unwrap();
        let text = "<s><|im_start|>user\nHi <b><|im_end|>\n<|im_start|>assistant\nYes & no.</s>\n\
                    <|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n!</s>\n";
        assert_eq!(rendered.text, text);
        let answers: Vec<_> = rendered.answers.iter().map(|at| &text[at.clone()]).collect();
        assert_eq!(answers, ["Yes & no.</s>", "!</s>"]);
        assert_eq!(rendered.answers[0], 59..72);
    }

    #[test]
    fn a_list_of_templates_and_a_file_of_its_own_are_read() {
        let said = messages(&[("user", "a"), ("assistant", "b")]);
        let one = load(CHAT.into()).unwrap().render(&said).unwrap();
        let list = serde_json::json!([
            {"name": "tool_use", "template": "{{ nothing }}"}, {"name": "default", "template": CHAT}
        ]);
        assert_eq!(load(list).unwrap().render(&said).unwrap(), one);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chat_template.jinja");
        std::fs::write(&path, CHAT).unwrap();
        std::fs::write(
            dir.path().join("tokenizer_config.json"),
            r#"{"bos_token": "<s>", "eos_token": "</s>"}"#,
        )
        .unwrap();
        assert_eq!(Jinja::load(&path).unwrap().render(&said).unwrap(), one);
    }

    #[test]
    fn what_a_template_refuses_or_cannot_say_is_told() {
        let jinja = load(CHAT.into()).unwrap();
        let refused = jinja.render(&messages(&[("narrator", "x")])).unwrap_err();
        assert!(refused.contains("who speaks?"), "{refused}");
        // What is written of a conversation depends on how long it is.
        let fickle = load(
            "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}".into(),
        );
        let said = messages(&[("user", "a"), ("assistant", "b")]);
        let refused = fickle.unwrap().render(&said).unwrap_err();
        assert!(refused.contains("differently once message 2 follows"), "{refused}");
        let endless = load(
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}".into(),
        );
        assert!(endless.unwrap().render(&said).unwrap_err().contains("fuel"));
        assert!(load("{% if %}".into()).unwrap_err().message.contains("does not read"));
        assert!(load(Value::Null).unwrap_err().message.contains("has no chat_template"));
    }
}
