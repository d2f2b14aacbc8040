//! One Rust file: its text, its tokens and its syntax tree.

use std::ops::RangeInclusive;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::{Finding, TidyError};

/// A parsed Rust file.
pub(crate) struct Source {
    /// Path relative to the root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: TokenStream,
    pub(crate) syntax: syn::File,
}

impl Source {
    pub(crate) fn parse(path: String, text: String) -> Result<Self, TidyError> {
        let refuse = |path: &str, span: Span, what: String| TidyError::Syntax {
            path: path.to_string(),
            line: span.start().line,
            what,
        };
        let tokens: TokenStream = text
            .parse()
            .map_err(|e: proc_macro2::LexError| refuse(&path, e.span(), e.to_string()))?;
        let syntax = syn::parse_file(&text).map_err(|e| refuse(&path, e.span(), e.to_string()))?;
        Ok(Self { path, text, tokens, syntax })
    }

    pub(crate) fn finding(&self, line: usize, rule: &'static str, what: String) -> Finding {
        Finding { path: self.path.clone(), line, rule, what }
    }

    /// Calls `see` with every token of the file, groups before their content, and what follows it
    /// on its level.
    pub(crate) fn each_token(&self, mut see: impl FnMut(&TokenTree, Option<&TokenTree>)) {
        each_token(self.tokens.clone(), &mut see);
    }

    /// Lines of the modules that only tests compile.
    pub(crate) fn test_lines(&self) -> Vec<RangeInclusive<usize>> {
        let mut modules = TestModules(Vec::new());
        modules.visit_file(&self.syntax);
        modules.0
    }
}

fn each_token(tokens: TokenStream, see: &mut impl FnMut(&TokenTree, Option<&TokenTree>)) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        see(&token, tokens.peek());
        if let TokenTree::Group(group) = token {
            each_token(group.stream(), see);
        }
    }
}

struct TestModules(Vec<RangeInclusive<usize>>);

impl<'ast> Visit<'ast> for TestModules {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() && module.attrs.iter().any(is_cfg_test) {
            self.0.push(module.span().start().line..=module.span().end().line);
        } else {
            visit::visit_item_mod(self, module);
        }
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    let only = attribute.parse_args::<syn::Ident>();
    attribute.path().is_ident("cfg") && only.is_ok_and(|only| only == "test")
}
