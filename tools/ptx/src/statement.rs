//! One statement of a PTX body: a brace, a label, a directive or an instruction.

/// A statement and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Line in the module, from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a statement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`: names declared from here on end at the matching brace.
    Open,
    /// `}`.
    Close,
    /// `name:`.
    Label(String),
    /// `.reg .b32 %r<9>;` and the like, without the semicolon.
    Directive(String),
    /// Everything that runs.
    Instruction(Instruction),
}

/// An instruction. Text is kept as written but for white space, which is single.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The predicate of `@p` or `@!p`, with its `!`.
    pub guard: Option<String>,
    /// With all its suffixes: `bar.sync`.
    pub opcode: String,
    /// Split at the commas outside brackets and braces.
    pub operands: Vec<String>,
}

impl Instruction {
    /// Reads an instruction without its semicolon.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut rest = text.trim();
        let mut guard = None;
        if let Some(guarded) = rest.strip_prefix('@') {
            let (name, after) = guarded.split_once(char::is_whitespace).unwrap_or((guarded, ""));
            guard = Some(name.to_string());
            rest = after.trim_start();
        }
        let (opcode, operands) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        Self { guard, opcode: opcode.to_string(), operands: split_operands(operands) }
    }

    /// Whether a dotted part of the opcode is `part`: `bar.sync` has `sync`.
    #[must_use]
    pub fn has(&self, part: &str) -> bool {
        self.opcode.split('.').any(|own| own == part)
    }

    /// The opcode up to its first dot.
    #[must_use]
    pub fn stem(&self) -> &str {
        self.opcode.split('.').next().unwrap_or_default()
    }
}

impl std::fmt::Display for Instruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(guard) = &self.guard {
            write!(f, "@{guard} ")?;
        }
        f.write_str(&self.opcode)?;
        if !self.operands.is_empty() {
            write!(f, " {}", self.operands.join(", "))?;
        }
        f.write_str(";")
    }
}

/// The names in an operand: registers, special registers and symbols, numbers aside.
pub(crate) fn names(operand: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '%' | '.');
    operand.split(move |c: char| !is_part(c)).filter(|word| {
        word.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '$' | '%'))
    })
}

fn split_operands(text: &str) -> Vec<String> {
    let mut operands = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                operands.push(single_spaced(&text[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    operands.push(single_spaced(&text[start..]));
    operands.retain(|operand| !operand.is_empty());
    operands
}

pub(crate) fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
