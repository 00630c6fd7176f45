//! Names of scale sets, instances and machines, as AKS and Azure give them. Never talks to anyone.

use super::NodePool;

/// FNV-1a, 64 bit: a number that is always the same for a text.
pub(crate) fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The scale set of a pool: `aks-<pool>-<8 digits>-vmss`.
pub(crate) fn scale_set(cluster_id: &str, pool: &str) -> String {
    let digits = digest(&format!("{cluster_id}/{pool}").to_ascii_lowercase()) % 90_000_000;
    format!("aks-{pool}-{}-vmss", digits + 10_000_000)
}

/// The node name of an instance: the scale set's name and six digits in base 36.
pub(crate) fn node(scale_set: &str, number: u64) -> String {
    format!("{scale_set}{:0>6}", base36(number))
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).unwrap_or_default();
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().collect()
}

/// The provider id of an instance.
pub(crate) fn provider_id(pool: &NodePool, number: u64) -> String {
    format!(
        "azure:///subscriptions/{}/resourceGroups/{}/providers/Microsoft.Compute/virtualMachineScaleSets/{}/virtualMachines/{number}",
        pool.subscription,
        // The cloud provider writes the group in lower case, whatever its name.
        pool.node_resource_group.to_ascii_lowercase(),
        pool.scale_set
    )
}

/// The number at the end of a provider id.
pub(crate) fn instance_number(provider_id: &str) -> Option<u64> {
    provider_id.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_end_in_six_digits_of_base_36() {
        for (number, end) in [(0, "000000"), (10, "00000a"), (36, "000010"), (1_295, "0000zz")] {
            assert_eq!(node("aks-a-12345678-vmss", number), format!("aks-a-12345678-vmss{end}"));
        }
    }

    #[test]
    fn a_scale_set_is_the_same_for_an_id_in_any_case_and_differs_by_pool() {
        let name = scale_set("/subscriptions/S/c", "apps");
        assert_eq!(name, scale_set("/SUBSCRIPTIONS/s/C", "apps"));
        assert_eq!(name.len(), "aks-apps-12345678-vmss".len());
        assert_ne!(scale_set("/c", "apps").replace("apps", ""), scale_set("/c", "jobs").replace("jobs", ""));
    }

    #[test]
    fn the_number_is_read_back_from_a_provider_id() {
        assert_eq!(instance_number("azure:///a/virtualMachineScaleSets/b/virtualMachines/17"), Some(17));
        assert_eq!(instance_number("azure:///a/virtualMachines/vm-x"), None);
    }
}
