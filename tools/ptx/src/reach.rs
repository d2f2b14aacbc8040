//! What no kernel reaches is not committed: the handler of panics, and functions that are compiled
//! for their own sake because they are public. What a kernel reaches stays, for the lint to see.

use std::collections::HashSet;

use crate::module::{Function, Module};
use crate::statement::{Kind, names};

/// Drops every function and declaration that no kernel mentions, however indirectly.
pub(crate) fn keep_reached(module: &mut Module) {
    let mut reached: HashSet<String> = HashSet::new();
    loop {
        let before = reached.len();
        let functions = module.functions.iter();
        let bodies =
            functions.filter(|function| function.is_entry || reached.contains(&function.name));
        let mut found: HashSet<String> = bodies.flat_map(mentioned).map(str::to_string).collect();
        let declarations = module.declarations.iter().filter(|text| is_reached(text, &reached));
        found.extend(declarations.flat_map(|text| names(text)).map(str::to_string));
        reached.extend(found);
        if reached.len() == before {
            break;
        }
    }
    module.functions.retain(|function| function.is_entry || reached.contains(&function.name));
    module.declarations.retain(|text| is_reached(text, &reached));
}

fn mentioned(function: &Function) -> impl Iterator<Item = &str> {
    let operands = function.body.iter().filter_map(|statement| match &statement.kind {
        Kind::Instruction(instruction) => Some(&instruction.operands),
        _ => None,
    });
    operands.flatten().flat_map(|operand| names(operand))
}

/// The first name of a declaration is the one it declares.
fn is_reached(declaration: &str, reached: &HashSet<String>) -> bool {
    names(declaration).next().is_some_and(|name| reached.contains(name))
}
