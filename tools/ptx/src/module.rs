//! A PTX module as data: its heading, its declarations, its functions and their statements.

use crate::PtxError;
use crate::cursor::Cursor;
use crate::statement::{Instruction, Kind, Statement, single_spaced};

/// A module. Comments are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// What `.version` says.
    pub version: String,
    /// What `.target` says.
    pub target: String,
    /// Everything at the top that is no function, each with its semicolon.
    pub declarations: Vec<String>,
    /// In the order of the text.
    pub functions: Vec<Function>,
}

/// A kernel (`.entry`) or a function that kernels call (`.func`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Line of its heading, from 1.
    pub line: usize,
    /// Whether the host can launch it.
    pub is_entry: bool,
    /// The symbol.
    pub name: String,
    /// In order.
    pub params: Vec<Param>,
    /// Between the parameters and the body: `.maxntid 384, 1, 1` and the like.
    pub directives: Vec<String>,
    /// The body without its outer braces.
    pub body: Vec<Statement>,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// As declared, single-spaced: `.param .u32 add_param_0`.
    pub text: String,
    /// Bytes that it holds.
    pub bytes: usize,
    /// Alignment in bytes, its size unless it says another.
    pub align: usize,
}

impl Module {
    /// Reads a module.
    ///
    /// # Errors
    /// The text is no PTX, or holds a form that is not understood here: a lint must not pass what
    /// it cannot read.
    pub fn parse(text: &str) -> Result<Self, PtxError> {
        let text = without_comments(text);
        let mut cursor = Cursor::new(&text);
        let (mut version, mut target) = (String::new(), String::new());
        let (mut declarations, mut functions) = (Vec::new(), Vec::new());
        while let Some(line) = cursor.skip_space() {
            let rest = cursor.rest();
            if rest.starts_with(".version") {
                version = cursor.word_after(".version");
            } else if rest.starts_with(".target") {
                target = cursor.word_after(".target");
            } else if rest.starts_with(".address_size") {
                cursor.word_after(".address_size");
            } else {
                let heading = cursor.take_until(&['{', ';', '='])?;
                if heading.split_whitespace().any(|word| word == ".entry" || word == ".func")
                    && cursor.rest().starts_with('{')
                {
                    functions.push(function(line, heading, &mut cursor)?);
                } else {
                    let tail = cursor.take_past_semicolon()?;
                    declarations.push(single_spaced(&format!("{heading}{tail}")));
                }
            }
        }
        if version.is_empty() || target.is_empty() {
            return Err(PtxError::syntax(1, "no .version or no .target".into()));
        }
        Ok(Self { version, target, declarations, functions })
    }

    /// The kernels.
    pub fn entries(&self) -> impl Iterator<Item = &Function> {
        self.functions.iter().filter(|function| function.is_entry)
    }
}

impl Function {
    /// The instructions of the body with their lines.
    pub fn instructions(&self) -> impl Iterator<Item = (usize, &Instruction)> {
        self.body.iter().filter_map(|statement| match &statement.kind {
            Kind::Instruction(instruction) => Some((statement.line, instruction)),
            _ => None,
        })
    }
}

/// The text with each comment blanked; lines keep their numbers.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("//").into_iter().chain(rest.find("/*")).min() {
        out.push_str(&rest[..at]);
        let comment = &rest[at..];
        let length = if comment.starts_with("//") {
            comment.find('\n').unwrap_or(comment.len())
        } else {
            comment.find("*/").map_or(comment.len(), |end| end + 2)
        };
        out.extend(comment[..length].chars().filter(|c| *c == '\n'));
        rest = &comment[length..];
    }
    out.push_str(rest);
    out
}

fn function(line: usize, heading: &str, cursor: &mut Cursor<'_>) -> Result<Function, PtxError> {
    let unread = |what: &str| PtxError::syntax(line, format!("{what} in `{}`", heading.trim()));
    let is_entry = heading.split_whitespace().any(|word| word == ".entry");
    let keyword = if is_entry { ".entry" } else { ".func" };
    let mut after = heading.split_once(keyword).map_or("", |(_, after)| after).trim_start();
    if after.starts_with('(') {
        after = after.split_once(')').ok_or_else(|| unread("an open parenthesis"))?.1.trim_start();
    }
    let end = after.find(|c: char| c == '(' || c.is_whitespace()).unwrap_or(after.len());
    let (name, after) = (&after[..end], after[end..].trim_start());
    let (params, directives) = match after.strip_prefix('(') {
        Some(list) => list.split_once(')').ok_or_else(|| unread("an open parenthesis"))?,
        None => ("", after),
    };
    let params = params.split(',').map(single_spaced).filter(|param| !param.is_empty());
    let params =
        params.map(|text| param(text).ok_or_else(|| unread("a parameter of unknown width")));
    Ok(Function {
        line,
        is_entry,
        name: name.to_string(),
        params: params.collect::<Result<_, _>>()?,
        directives: directives.lines().map(single_spaced).filter(|d| !d.is_empty()).collect(),
        body: body(cursor)?,
    })
}

/// Reads `.param .u32 x` or `.param .align 16 .b8 x[128]`.
fn param(text: String) -> Option<Param> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_type = |word: &&&str| {
        matches!(word.as_bytes(), [b'.', b'u' | b's' | b'b' | b'f', d, ..]
        if d.is_ascii_digit())
    };
    let bits: usize = words.iter().find(is_type)?[2..].parse().ok()?;
    let count = match text.split_once('[') {
        Some((_, count)) => count.strip_suffix(']')?.parse().ok()?,
        None => 1,
    };
    let bytes = bits / 8 * count;
    // In `.param .u64 .ptr .align 1 x` the alignment is that of what x points to.
    let align = match words[..] {
        [_, ".align", align, ..] => align.parse().ok()?,
        _ => bits / 8,
    };
    Some(Param { text, bytes, align })
}

/// Statements up to the brace that closes the body.
fn body(cursor: &mut Cursor<'_>) -> Result<Vec<Statement>, PtxError> {
    let mut statements = Vec::new();
    let mut depth = 0usize;
    while let Some(line) = cursor.skip_space() {
        let kind = if cursor.take('{') {
            depth += 1;
            if depth == 1 {
                continue;
            }
            Kind::Open
        } else if cursor.take('}') {
            depth -= 1;
            if depth == 0 {
                return Ok(statements);
            }
            Kind::Close
        } else if let Some(label) = cursor.take_label() {
            Kind::Label(label)
        } else {
            let text = cursor.take_past_semicolon()?;
            let text = text.trim_end_matches(';');
            if text.starts_with('.') {
                Kind::Directive(single_spaced(text))
            } else {
                Kind::Instruction(Instruction::parse(text))
            }
        };
        statements.push(Statement { line, kind });
    }
    Err(PtxError::syntax(cursor.line(), "the text ends inside a function".into()))
}
