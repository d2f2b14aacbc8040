//! Nothing unfinished: no macro in place of code, no test switched off, no note to self.

use proc_macro2::TokenTree;

use crate::Finding;
use crate::source::Source;

const MACROS: [&str; 2] = ["todo", "unimplemented"];
/// Spelled in halves so that this file does not contain them.
const NOTES: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

pub(crate) fn check(source: &Source, findings: &mut Vec<Finding>) {
    source.each_token(|token, next| {
        let (what, span) = match (token, next) {
            (TokenTree::Ident(name), Some(TokenTree::Punct(mark)))
                if mark.as_char() == '!' && MACROS.iter().any(|banned| name == banned) =>
            {
                (format!("`{name}!` stands where code is missing"), name.span())
            }
            (TokenTree::Punct(hash), Some(TokenTree::Group(attribute)))
                if hash.as_char() == '#' && is_ignore(attribute) =>
            {
                ("a test is switched off".to_string(), hash.span())
            }
            _ => return,
        };
        findings.push(source.finding(span.start().line, "marker", what));
    });
    for (at, line) in source.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(note) = words.find(|word| NOTES.contains(word)) {
            findings.push(source.finding(at + 1, "marker", format!("a note `{note}` was left")));
        }
    }
}

fn is_ignore(attribute: &proc_macro2::Group) -> bool {
    let first = attribute.stream().into_iter().next();
    matches!(first, Some(TokenTree::Ident(name)) if name == "ignore")
}
