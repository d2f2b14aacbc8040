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
        }
    }
}
