//! Names that say nothing are no names for crates, folders, files or modules.

use syn::visit::{self, Visit};

use crate::Finding;
use crate::manifest::Manifest;
use crate::source::Source;

const BANNED: [&str; 8] =
    ["utils", "common", "helpers", "manager", "misc", "types", "base", "core"];

pub(crate) fn check_source(source: &Source, findings: &mut Vec<Finding>) {
    for part in source.path.split('/') {
        let name = part.strip_suffix(".rs").unwrap_or(part);
        if BANNED.contains(&name) {
            let what = format!("`{name}` in the path says nothing; name the idea");
            findings.push(source.finding(1, "name", what));
        }
    }
    Modules { source, findings }.visit_file(&source.syntax);
}

pub(crate) fn check_manifests(manifests: &[Manifest], findings: &mut Vec<Finding>) {
    for manifest in manifests.iter().filter(|manifest| BANNED.contains(&&*manifest.name)) {
        let what = format!("`{}` as a crate says nothing; name the boundary", manifest.name);
        findings.push(manifest.finding("name", "name", what));
    }
}

struct Modules<'a> {
    source: &'a Source,
    findings: &'a mut Vec<Finding>,
}

impl<'ast> Visit<'ast> for Modules<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if BANNED.iter().any(|banned| module.ident == banned) {
            let line = module.ident.span().start().line;
            let what = format!("`{}` as a module says nothing; name the idea", module.ident);
            self.findings.push(self.source.finding(line, "name", what));
        }
        visit::visit_item_mod(self, module);
    }
}
