//! `unsafe` lives in the crates that touch devices and maps, and nowhere else, not even in a macro.

use proc_macro2::TokenTree;

use crate::Finding;
use crate::source::Source;

const ALLOWED: [&str; 2] = ["kernels/", "runtime/"];

pub(crate) fn check(source: &Source, findings: &mut Vec<Finding>) {
    if ALLOWED.iter().any(|dir| source.path.starts_with(dir)) {
        return;
    }
    source.each_token(|token, _| {
        if matches!(token, TokenTree::Ident(name) if name == "unsafe") {
            let what = format!("only {} may hold it", ALLOWED.join(" and "));
            findings.push(source.finding(token.span().start().line, "unsafe", what));
        }
    });
}
