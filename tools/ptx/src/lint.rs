//! What no kernel's PTX may hold.

use crate::convergence;
use crate::module::Module;
use crate::statement::Kind;
use crate::{Finding, PtxError};

/// Everything wrong in a module, by line.
///
/// # Errors
/// A kernel's control flow cannot be followed.
pub fn lint(module: &Module) -> Result<Vec<Finding>, PtxError> {
    let mut findings = Vec::new();
    for declaration in &module.declarations {
        if declaration.split_whitespace().any(|word| word == ".func") {
            let what =
                format!("`{declaration}` is called and nowhere defined: a panic, most often");
            findings.push(Finding { line: 1, kernel: String::new(), what });
        }
    }
    for function in &module.functions {
        let mut find = |line, what: String| {
            findings.push(Finding { line, kernel: function.name.clone(), what });
        };
        if !function.is_entry {
            find(function.line, "a function of its own: inline it into its kernels".into());
        }
        for (line, instruction) in function.instructions() {
            if instruction.stem() == "call" {
                let callee = instruction.operands.join(", ");
                find(line, format!("calls {callee}: a panic path, or a function not inlined"));
            }
        }
        for statement in &function.body {
            match &statement.kind {
                Kind::Directive(text) if text.starts_with(".local") => {
                    find(statement.line, format!("`{text}`: an array that is not in registers"));
                }
                _ => {}
            }
        }
        convergence::check(function, &mut findings)?;
    }
    findings.sort();
    Ok(findings)
}
