//! A file is one idea, a function fits one screen, a line fits one window.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::Finding;
use crate::source::Source;

/// Lines of code in a file: neither blank, nor comment, nor in a module for tests.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Characters of a line.
const LINE_WIDTH_MAX: usize = 100;

pub(crate) fn check(source: &Source, findings: &mut Vec<Finding>) {
    check_file(source, findings);
    for (at, line) in source.text.lines().enumerate() {
        let width = line.chars().count();
        if width > LINE_WIDTH_MAX {
            let what = format!("{width} characters, at most {LINE_WIDTH_MAX}");
            findings.push(source.finding(at + 1, "line width", what));
        }
    }
    let mut functions = Functions { source, findings };
    functions.visit_file(&source.syntax);
}

fn check_file(source: &Source, findings: &mut Vec<Finding>) {
    let test_lines = source.test_lines();
    let is_code = |(at, line): &(usize, &str)| {
        let line = line.trim_start();
        !line.is_empty()
            && !line.starts_with("//")
            && !test_lines.iter().any(|lines| lines.contains(&(at + 1)))
    };
    let code = source.text.lines().enumerate().filter(is_code).count();
    if code > FILE_LINES_MAX {
        let what = format!("{code} lines of code, at most {FILE_LINES_MAX}");
        findings.push(source.finding(1, "file length", what));
    }
}

struct Functions<'a> {
    source: &'a Source,
    findings: &'a mut Vec<Finding>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, end: Span) {
        let first = signature.span().start().line;
        let lines = end.end().line + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            let what = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}");
            self.findings.push(self.source.finding(first, "function length", what));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig, item.block.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig, item.block.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block.span());
        }
        visit::visit_trait_item_fn(self, item);
    }
}
