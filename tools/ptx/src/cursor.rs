//! A place in PTX text that knows its line.

use crate::PtxError;

pub(crate) struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// Moves to the next character that is no white space; its line, or `None` at the end.
    pub(crate) fn skip_space(&mut self) -> Option<usize> {
        let at = self.rest.find(|c: char| !c.is_whitespace()).unwrap_or(self.rest.len());
        self.advance(at);
        (!self.rest.is_empty()).then_some(self.line)
    }

    /// Takes `c` if it comes next.
    pub(crate) fn take(&mut self, c: char) -> bool {
        let comes = self.rest.starts_with(c);
        if comes {
            self.advance(c.len_utf8());
        }
        comes
    }

    /// Takes `name:` if it comes next; the name.
    pub(crate) fn take_label(&mut self) -> Option<String> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let end = self.rest.find(|c: char| !is_part(c))?;
        if end == 0 || !self.rest[end..].starts_with(':') {
            return None;
        }
        Some(self.advance(end + 1).trim_end_matches(':').to_string())
    }

    /// The word behind a keyword that comes next, the keyword taken too.
    pub(crate) fn word_after(&mut self, keyword: &str) -> String {
        self.advance(keyword.len());
        self.skip_space();
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        self.advance(end).to_string()
    }

    /// Text up to, not including, the first of `ends`.
    pub(crate) fn take_until(&mut self, ends: &[char]) -> Result<&'a str, PtxError> {
        match self.rest.find(ends) {
            Some(at) => Ok(self.advance(at)),
            None => Err(PtxError::syntax(self.line, format!("none of {ends:?} follows"))),
        }
    }

    /// Text up to and including the next semicolon.
    pub(crate) fn take_past_semicolon(&mut self) -> Result<&'a str, PtxError> {
        match self.rest.find(';') {
            Some(at) => Ok(self.advance(at + 1)),
            None => Err(PtxError::syntax(self.line, "no semicolon follows".into())),
        }
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}
