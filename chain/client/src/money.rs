//! TAO in texts, RAO in numbers: 10^9 RAO are a TAO, and no amount is ever rounded.

/// RAO in a TAO.
const RAO: u64 = 1_000_000_000;

/// `rao` as people write it: `0.5 TAO`.
pub fn tao(rao: u64) -> String {
    let (whole, rest) = (rao / RAO, rao % RAO);
    let digits = format!("{rest:09}");
    match digits.trim_end_matches('0') {
        "" => format!("{whole} TAO"),
        digits => format!("{whole}.{digits} TAO"),
    }
}

/// The RAO in an amount of TAO such as `0.5`; none if it is no such amount, or there are more than
/// nine decimals.
pub fn rao_of(tao: &str) -> Option<u64> {
    let (whole, rest) = tao.split_once('.').unwrap_or((tao, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(rest) || rest.len() > 9 {
        return None;
    }
    let rest: u64 = format!("{rest:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(RAO)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rao_shows() {
        for (rao, text) in [
            (0, "0 TAO"),
            (1, "0.000000001 TAO"),
            (500_000_000, "0.5 TAO"),
            (3_000_000_000, "3 TAO"),
            (u64::MAX, "18446744073.709551615 TAO"),
        ] {
            assert_eq!(tao(rao), text);
            assert_eq!(rao_of(text.strip_suffix(" TAO").unwrap()), Some(rao));
        }
    }

    #[test]
    fn what_is_no_amount_is_none() {
        assert_eq!(rao_of("0.50"), Some(500_000_000));
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0.0000000001", "18446744073.71"] {
            assert_eq!(rao_of(text), None, "{text}");
        }
    }
}
