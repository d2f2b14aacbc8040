//! Where two texts part.

/// Lines shown of each text.
const SHOWN: usize = 4;

/// The first lines in which `made` differs from `committed`, each under its sign; `None` if the
/// texts are equal.
#[must_use]
pub fn difference(committed: &str, made: &str) -> Option<String> {
    if committed == made {
        return None;
    }
    let same = committed.lines().zip(made.lines()).take_while(|(a, b)| a == b).count();
    let lines = |sign: &str, text: &str| -> String {
        text.lines().skip(same).take(SHOWN).map(|line| format!("{sign} {line}\n")).collect()
    };
    let counts = (committed.lines().count(), made.lines().count());
    Some(format!(
        "line {}, of {} committed and {} made:\n{}{}",
        same + 1,
        counts.0,
        counts.1,
        lines("-", committed),
        lines("+", made)
    ))
}
