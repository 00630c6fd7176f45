//! What a VM size has: CPUs and memory, read from its name. Never a price or a quota.

/// Virtual CPUs and GiB of memory of a size, or `None` if its name says nothing.
///
/// Sizes are named `Standard_<family><cpus>[features][_v<n>]`, and the family fixes the memory for each CPU. The first
/// generation (`DS2_v2`) numbers its sizes instead; those that AKS tests use are listed.
pub(crate) fn size(name: &str) -> Option<(u64, u64)> {
    let lower = name.to_ascii_lowercase();
    let short = lower.strip_prefix("standard_").unwrap_or(&lower);
    let old = match short {
        "ds1_v2" | "d1_v2" => Some((1, 3)),
        "ds2_v2" | "d2_v2" => Some((2, 7)),
        "ds3_v2" | "d3_v2" => Some((4, 14)),
        "ds4_v2" | "d4_v2" => Some((8, 28)),
        "ds5_v2" | "d5_v2" => Some((16, 56)),
        "b1s" => Some((1, 1)),
        "b1ms" | "a1_v2" => Some((1, 2)),
        "b2s" | "b2ls_v2" | "b2als_v2" | "b2pls_v2" | "a2_v2" => Some((2, 4)),
        _ => None,
    };
    old.or_else(|| by_family(short))
}

/// The family of a size, on which its quota is: `StandardDdsv5` of `Standard_D4ds_v5`.
pub(crate) fn family(name: &str) -> String {
    let mut family = String::new();
    let mut of_cpus = true;
    for part in name.split('_') {
        // The first digits after the first letters say how large a machine is, and not of which family.
        let sized = of_cpus && part.bytes().any(|byte| byte.is_ascii_digit());
        family.extend(part.chars().filter(|letter| !(sized && letter.is_ascii_digit())));
        of_cpus = of_cpus && !sized;
    }
    family
}

fn by_family(short: &str) -> Option<(u64, u64)> {
    let digits = short.find(|letter: char| letter.is_ascii_digit())?;
    let (family, rest) = short.split_at(digits);
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let cpus: u64 = rest.get(..end)?.parse().ok()?;
    let gibibytes_each = match family {
        "d" | "dc" | "b" | "nc" | "nd" | "nv" => 4,
        "e" | "ec" | "l" | "m" => 8,
        "f" | "fx" => 2,
        _ => return None,
    };
    (cpus > 0).then_some((cpus, cpus * gibibytes_each))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_family_differ_by_their_number() {
        for (name, expected) in [
            ("Standard_D4ds_v5", "StandardDdsv5"),
            ("Standard_D96ds_v5", "StandardDdsv5"),
            ("Standard_D2as_v7", "StandardDasv7"),
            ("Standard_B2ms", "StandardBms"),
        ] {
            assert_eq!(family(name), expected);
        }
    }

    #[test]
    fn sizes_are_read_from_their_names() {
        for (name, expected) in [
            ("Standard_D4ds_v5", Some((4, 16))),
            ("Standard_DS2_v2", Some((2, 7))),
            ("Standard_E8as_v5", Some((8, 64))),
            ("Standard_F16s_v2", Some((16, 32))),
            ("Standard_B2ms", Some((2, 8))),
            ("Standard_B1s", Some((1, 1))),
            ("standard_d2s_v3", Some((2, 8))),
            ("Standard_X7", None),
            ("", None),
        ] {
            assert_eq!(size(name), expected, "{name}");
        }
    }
}
