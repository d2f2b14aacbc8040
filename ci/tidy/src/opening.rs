//! Every file opens with `//!`, so that a reader knows what it is before the first `use`.

use crate::Finding;
use crate::source::Source;

pub(crate) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").unwrap_or_default().trim();
    if says.is_empty() {
        let what = "the first line is no `//!` sentence".to_string();
        findings.push(source.finding(1, "opening", what));
    }
}
