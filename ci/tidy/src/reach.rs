//! Every source file of a crate is reached from one of its targets; a file that no `mod` or
//! `include!` names is dead, and the compiler never says so.

use std::collections::{HashMap, HashSet};

use proc_macro2::TokenTree;
use syn::visit::{self, Visit};

use crate::Finding;
use crate::source::Source;
use crate::tree::Tree;

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let sources: HashMap<&str, &Source> =
        tree.sources.iter().map(|source| (source.path.as_str(), source)).collect();
    let mut reached = HashSet::new();
    for path in roots(tree) {
        walk(&sources, &path, true, &mut reached);
    }
    for source in &tree.sources {
        if !reached.contains(&source.path) {
            let what = "no target of a crate reaches this file".to_string();
            findings.push(source.finding(1, "dead file", what));
        }
    }
}

/// Files that cargo starts from.
fn roots(tree: &Tree) -> HashSet<String> {
    let mut roots = HashSet::new();
    for manifest in &tree.manifests {
        let dir = &manifest.dir;
        roots.extend(manifest.target_paths().into_iter().map(|path| format!("{dir}{path}")));
        roots.extend(["src/lib.rs", "src/main.rs", "build.rs"].map(|path| format!("{dir}{path}")));
        for targets in ["src/bin/", "tests/", "benches/", "examples/"] {
            let targets = format!("{dir}{targets}");
            let is_target = |path: &&str| {
                let rest = path.strip_prefix(&targets).unwrap_or("/");
                rest.split_once('/').is_none_or(|(_, file)| file == "main.rs")
            };
            let paths = tree.sources.iter().map(|source| source.path.as_str());
            roots.extend(paths.filter(is_target).map(str::to_string));
        }
    }
    roots
}

/// Marks the file at `path` and all that its modules reach.
fn walk(
    sources: &HashMap<&str, &Source>,
    path: &str,
    is_root: bool,
    reached: &mut HashSet<String>,
) {
    let Some(source) = sources.get(path) else { return };
    if !reached.insert(path.to_string()) {
        return;
    }
    let (dir, file) = path.rsplit_once('/').map_or(("", path), |(dir, file)| (dir, file));
    let own = match file {
        "mod.rs" => dir.to_string(),
        _ if is_root => dir.to_string(),
        _ => join(dir, file.strip_suffix(".rs").unwrap_or(file)),
    };
    let mut modules = Modules { dir: dir.to_string(), own, inline: 0, paths: Vec::new() };
    modules.visit_file(&source.syntax);
    modules.paths.extend(included(source).into_iter().map(|path| (join(dir, &path), false)));
    for (path, is_named) in modules.paths {
        walk(sources, &path, is_named, reached);
    }
}

/// Collects where the modules of one file may lie.
struct Modules {
    /// Folder of the file, from which `#[path]` counts outside inline modules.
    dir: String,
    /// Folder in which the modules of the current scope lie.
    own: String,
    inline: usize,
    /// Each with whether `#[path]` names it: modules of such a file lie beside it, as those of a
    /// root do.
    paths: Vec<(String, bool)>,
}

impl<'ast> Visit<'ast> for Modules {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        let name = name.strip_prefix("r#").unwrap_or(&name);
        if module.content.is_some() {
            let outer = std::mem::take(&mut self.own);
            self.own = join(&outer, name);
            self.inline += 1;
            visit::visit_item_mod(self, module);
            self.inline -= 1;
            self.own = outer;
            return;
        }
        let named = module.attrs.iter().flat_map(path_attributes);
        let from = if self.inline == 0 { &self.dir } else { &self.own };
        self.paths.extend(named.map(|path| (join(from, &path), true)));
        self.paths.push((join(&self.own, &format!("{name}.rs")), false));
        self.paths.push((join(&self.own, &format!("{name}/mod.rs")), false));
    }
}

/// The files that `#[path = "..."]` names, be it within `cfg_attr`.
fn path_attributes(attribute: &syn::Attribute) -> Vec<String> {
    let tokens = match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => {
            return literal(&pair.value).into_iter().collect();
        }
        syn::Meta::List(list) if list.path.is_ident("cfg_attr") => list.tokens.clone(),
        _ => return Vec::new(),
    };
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let named = tokens.windows(3).filter(|window| {
        matches!(&window[0], TokenTree::Ident(name) if name == "path")
            && matches!(&window[1], TokenTree::Punct(equals) if equals.as_char() == '=')
    });
    named.filter_map(|window| text(&window[2])).collect()
}

fn literal(value: &syn::Expr) -> Option<String> {
    match value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

fn text(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    syn::parse_str::<syn::LitStr>(&literal.to_string()).ok().map(|text| text.value())
}

/// Files that `include!("...")` names.
fn included(source: &Source) -> Vec<String> {
    let mut paths = Vec::new();
    let mut after_include = false;
    source.each_token(|token, next| match token {
        TokenTree::Ident(name) if name == "include" => {
            after_include = matches!(next, Some(TokenTree::Punct(mark)) if mark.as_char() == '!');
        }
        TokenTree::Group(group) if after_include => {
            after_include = false;
            paths.extend(group.stream().into_iter().next().as_ref().and_then(text));
        }
        _ => {}
    });
    paths
}

/// `dir/path`, with `..` taken back.
fn join(dir: &str, path: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
