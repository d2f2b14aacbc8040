//! The one form in which PTX is committed: kernels by name, labels numbered within their kernel, no
//! comments, one statement a line. So a new kernel leaves the text of the others as it was.
//!
//! It also holds what the compiler cannot say: launch bounds, and the alignment of tensor maps.

use std::fmt::Write;

use crate::PtxError;
use crate::module::{Function, Module};
use crate::reach::keep_reached;
use crate::statement::{Instruction, Kind};
use crate::target::Target;

/// `kernel!` leaves `.bounds NAME, THREADS, BLOCKS;` at the top of the module.
const BOUNDS: &str = ".bounds ";
/// A tensor map: the compiler cannot align a parameter to more than 16 bytes, a copy engine wants
/// 64.
const MAP_BYTES: usize = 128;
const MAP_ALIGN: usize = 64;
/// Labels come as `$L__BB4_3` for the third of the fourth function.
const LABEL: &str = "$L__BB";

/// Brings a module as the compiler made it into the form that is committed.
///
/// # Errors
/// It is not for `target`, or bounds are given for a kernel that is not there.
pub fn normalise(module: Module, target: &Target) -> Result<Module, PtxError> {
    let mut module = module;
    if (module.version.as_str(), module.target.as_str()) != (target.version, target.name) {
        let what = format!(
            ".version {} for {}, expected {} for {}",
            module.version, module.target, target.version, target.name
        );
        return Err(PtxError::syntax(1, what));
    }
    let (bounds, declarations): (Vec<_>, Vec<_>) =
        module.declarations.into_iter().partition(|text| text.starts_with(BOUNDS));
    module.declarations = declarations;
    for text in bounds {
        bound(&mut module.functions, &text)?;
    }
    for function in &mut module.functions {
        for param in &mut function.params {
            if param.bytes == MAP_BYTES {
                let compiled = format!(".align {} ", param.align);
                param.text = param.text.replace(&compiled, &format!(".align {MAP_ALIGN} "));
                param.align = MAP_ALIGN;
            }
        }
        relabel(function);
    }
    keep_reached(&mut module);
    module.functions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(module)
}

/// The text of a module, `heading` as a comment on top.
#[must_use]
pub fn render(module: &Module, heading: &str) -> String {
    let mut text: String = heading.lines().map(|line| format!("// {line}\n")).collect();
    let Module { version, target, declarations, functions } = module;
    let _ = write!(text, ".version {version}\n.target {target}\n.address_size 64\n");
    for declaration in declarations {
        let _ = write!(text, "\n{declaration}\n");
    }
    for function in functions {
        render_function(&mut text, function);
    }
    text
}

fn render_function(text: &mut String, function: &Function) {
    let keyword = if function.is_entry { ".entry" } else { ".func" };
    let params = function.params.iter().map(|param| format!("\n\t{}", param.text));
    let params = params.collect::<Vec<_>>().join(",");
    let _ = write!(text, "\n.visible {keyword} {}({params}\n)\n", function.name);
    for directive in &function.directives {
        let _ = writeln!(text, "{directive}");
    }
    text.push_str("{\n");
    for statement in &function.body {
        let _ = match &statement.kind {
            Kind::Open => writeln!(text, "\t{{"),
            Kind::Close => writeln!(text, "\t}}"),
            Kind::Label(label) => writeln!(text, "{label}:"),
            Kind::Directive(directive) => writeln!(text, "\t{directive};"),
            Kind::Instruction(instruction) => writeln!(text, "\t{instruction}"),
        };
    }
    text.push_str("}\n");
}

fn bound(functions: &mut [Function], text: &str) -> Result<(), PtxError> {
    let words = text.trim_start_matches(BOUNDS).trim_end_matches(';').split(',');
    let words: Vec<&str> = words.map(str::trim).collect();
    let unmet = || PtxError::syntax(1, format!("`{text}` meets no kernel"));
    let &[name, threads, blocks] = words.as_slice() else { return Err(unmet()) };
    let function = functions.iter_mut().find(|function| function.name == name);
    let function = function.ok_or_else(unmet)?;
    function.directives.push(format!(".maxntid {threads}, 1, 1"));
    function.directives.push(format!(".minnctapersm {blocks}"));
    Ok(())
}

fn relabel(function: &mut Function) {
    for statement in &mut function.body {
        match &mut statement.kind {
            Kind::Label(label) => *label = relabelled(label),
            Kind::Directive(text) => *text = relabelled(text),
            Kind::Instruction(Instruction { operands, .. }) => {
                operands.iter_mut().for_each(|operand| *operand = relabelled(operand));
            }
            Kind::Open | Kind::Close => {}
        }
    }
}

fn relabelled(text: &str) -> String {
    let mut parts = text.split(LABEL);
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let number = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str("$L");
        out.push_str(number.strip_prefix('_').unwrap_or(number));
    }
    out
}
