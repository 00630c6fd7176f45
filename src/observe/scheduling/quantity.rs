//! Quantities as Kubernetes writes them (`resource.Quantity`). Never rounds before the end: sums are exact.

use nodepool_kernel::placement::Amount;

/// An exact quantity, in billionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quantity(i128);

const BILLION: i128 = 1_000_000_000;

/// The largest quantity there is; Kubernetes caps what is larger.
const LARGEST: i128 = i64::MAX as i128 * BILLION;

impl Quantity {
    /// The largest there is: what a request counts that can't be read.
    pub(super) const MAX: Self = Self(LARGEST);

    /// Reads a quantity: a decimal number with a suffix (`n u m k M G T P E`, `Ki` to `Ei`) or an exponent (`e3`, `E-3`).
    ///
    /// Digits finer than a billionth are rounded up, values that are too large are capped, as Kubernetes does. `None` for
    /// anything else, and for numbers too long to be meant.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        let (number, suffix) = digits.split_at_checked(end)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) || number.len() > 30 {
            return None;
        }
        let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
        let (base, exponent) = scale(suffix)?;
        // In billionths: the number times ten to this power, times the binary base.
        let exponent = exponent.checked_add(9)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let signed = if negative { -mantissa } else { mantissa };
        Some(Self(raise(signed, base, exponent)))
    }

    /// The sum, at most the largest quantity twice over and over: it does not overflow for any pod.
    pub(super) const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// In thousandths, rounded up.
    pub(super) fn thousandths_up(self) -> Amount {
        divide_up(self.0, BILLION / 1000)
    }

    /// In whole units, rounded up.
    pub(super) fn units_up(self) -> Amount {
        divide_up(self.0, BILLION)
    }

    /// In thousandths, rounded down.
    pub(super) const fn thousandths_down(self) -> Amount {
        self.0.div_euclid(BILLION / 1000)
    }

    /// In whole units, rounded down.
    pub(super) const fn units_down(self) -> Amount {
        self.0.div_euclid(BILLION)
    }
}

fn divide_up(value: i128, by: i128) -> i128 {
    value.div_euclid(by).saturating_add(i128::from(value.rem_euclid(by) > 0))
}

/// What a suffix multiplies with: a power of two, and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    let exponent = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => return binary(suffix).or_else(|| exponential(suffix)),
    };
    Some((1, exponent))
}

fn binary(suffix: &str) -> Option<(i128, i32)> {
    let power = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|name| *name == suffix)?;
    let shift = u32::try_from(power).ok()?.checked_add(1)?.checked_mul(10)?;
    Some((1_i128.checked_shl(shift)?, 0))
}

fn exponential(suffix: &str) -> Option<(i128, i32)> {
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((1, exponent))
}

/// `mantissa * base * 10^exponent`, rounded up and capped.
fn raise(mantissa: i128, base: i128, exponent: i32) -> i128 {
    let capped = if mantissa < 0 { -LARGEST } else { LARGEST };
    if mantissa == 0 {
        return 0;
    }
    let Some(product) = mantissa.checked_mul(base) else { return capped };
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    let value = match (exponent >= 0, power) {
        (true, Some(power)) => product.checked_mul(power).unwrap_or(capped),
        (true, None) => capped,
        (false, Some(power)) => divide_up(product, power),
        // Finer than anything that counts.
        (false, None) => i128::from(mantissa > 0),
    };
    value.clamp(-LARGEST, LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thousandths(text: &str) -> Option<Amount> {
        Quantity::parse(text).map(Quantity::thousandths_up)
    }

    #[test]
    fn every_suffix_multiplies() {
        for (text, expected) in [
            ("0", 0),
            ("1", 1_000),
            ("+1", 1_000),
            ("-1", -1_000),
            ("100m", 100),
            ("1.5", 1_500),
            (".5", 500),
            ("1.", 1_000),
            ("1k", 1_000_000),
            ("1M", 1_000_000_000),
            ("2G", 2_000_000_000_000),
            ("1T", 1_000_000_000_000_000),
            ("1P", 1_000_000_000_000_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("1Ei", 1_152_921_504_606_846_976_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("1e+3", 1_000_000),
            ("12e-3", 12),
            ("007", 7_000),
        ] {
            assert_eq!(thousandths(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_finer_is_rounded_up_for_requests_and_down_for_what_is_there() {
        let tiny = Quantity::parse("1n").unwrap();
        assert_eq!((tiny.thousandths_up(), tiny.units_up(), tiny.thousandths_down(), tiny.units_down()), (1, 1, 0, 0));
        assert_eq!(Quantity::parse("0.1n"), Some(Quantity(1)), "finer than a billionth counts as one");
        assert_eq!(Quantity::parse("1e-40"), Some(Quantity(1)));
        let negative = Quantity::parse("-1500m").unwrap();
        assert_eq!((negative.units_up(), negative.units_down()), (-1, -2));
    }

    #[test]
    fn what_is_too_large_is_capped() {
        for text in
            ["9223372036854775807", "9223372036854775808", "1e30", "100E", "9999999999999999999Ei", "1e2000000000"]
        {
            assert_eq!(Quantity::parse(text), Some(Quantity::MAX), "{text}");
        }
        assert_eq!(Quantity::parse("-1e30").map(Quantity::units_up), Some(-i128::from(i64::MAX)));
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "m",
            "1 ",
            " 1",
            "1mm",
            "1ki",
            "1KiB",
            "1e",
            "1e1.5",
            "1.2.3",
            "one",
            "1_000",
            "0x1",
            "--1",
            "1e99999999999",
            "ä",
            "1ä",
        ] {
            assert_eq!(Quantity::parse(text), None, "{text:?}");
        }
        assert_eq!(Quantity::parse(&"1".repeat(31)), None);
    }
}
