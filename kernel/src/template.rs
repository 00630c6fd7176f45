//! What a pool is made from and what can't be changed at will afterwards: the fields of `spec.template`, as data. Never
//! asks for a change of a pool that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::mutability::Mutability;

/// A field of the template.
#[derive(Debug, PartialEq, Eq)]
pub struct TemplateField {
    /// Its name in `spec.template`.
    pub name: &'static str,
    /// The property of an agent pool in ARM; dots lead into objects.
    pub property: &'static str,
    /// What its values are.
    pub kind: FieldKind,
    /// What ARM means where it does not show the property; `None` if that is unknown.
    unset: Option<&'static str>,
}

/// What the values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A text, compared whatever its case.
    Text,
    /// A whole number.
    Number,
    /// A decimal number; a text in the policy, a number in ARM.
    Decimal,
    /// Yes or no.
    Flag,
    /// Texts in any order.
    List,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A decimal number as it is written.
    Decimal(String),
    /// Yes or no.
    Flag(bool),
    /// Texts in any order.
    List(Vec<String>),
}

const fn field(
    name: &'static str,
    property: &'static str,
    kind: FieldKind,
    unset: Option<&'static str>,
) -> TemplateField {
    TemplateField { name, property, kind, unset }
}

/// Every field, by name. Source of what is unset: recorded pools, which do not show `Regular`, `-1` and `Delete`, nor
/// switches that are off; and what the manual of node configurations names as defaults.
pub const TEMPLATE_FIELDS: [TemplateField; 65] = [
    field("capacityReservationGroupID", "capacityReservationGroupID", FieldKind::Text, None),
    field("enableEncryptionAtHost", "enableEncryptionAtHost", FieldKind::Flag, Some("false")),
    field("enableFIPS", "enableFIPS", FieldKind::Flag, Some("false")),
    field("enableNodePublicIP", "enableNodePublicIP", FieldKind::Flag, Some("false")),
    field("enableUltraSSD", "enableUltraSSD", FieldKind::Flag, Some("false")),
    field("evictionPolicy", "scaleSetEvictionPolicy", FieldKind::Text, Some("Delete")),
    field("gpuInstanceProfile", "gpuInstanceProfile", FieldKind::Text, None),
    field("hostGroupID", "hostGroupID", FieldKind::Text, None),
    field("kubeletConfig.allowedUnsafeSysctls", "kubeletConfig.allowedUnsafeSysctls", FieldKind::List, None),
    field("kubeletConfig.containerLogMaxFiles", "kubeletConfig.containerLogMaxFiles", FieldKind::Number, Some("5")),
    field("kubeletConfig.containerLogMaxSizeMB", "kubeletConfig.containerLogMaxSizeMB", FieldKind::Number, None),
    field("kubeletConfig.cpuCfsQuota", "kubeletConfig.cpuCfsQuota", FieldKind::Flag, Some("true")),
    field("kubeletConfig.cpuCfsQuotaPeriod", "kubeletConfig.cpuCfsQuotaPeriod", FieldKind::Text, Some("100ms")),
    field("kubeletConfig.cpuManagerPolicy", "kubeletConfig.cpuManagerPolicy", FieldKind::Text, Some("none")),
    field("kubeletConfig.failSwapOn", "kubeletConfig.failSwapOn", FieldKind::Flag, Some("true")),
    field("kubeletConfig.imageGcHighThreshold", "kubeletConfig.imageGcHighThreshold", FieldKind::Number, Some("85")),
    field("kubeletConfig.imageGcLowThreshold", "kubeletConfig.imageGcLowThreshold", FieldKind::Number, Some("80")),
    field("kubeletConfig.podMaxPids", "kubeletConfig.podMaxPids", FieldKind::Number, Some("-1")),
    field("kubeletConfig.topologyManagerPolicy", "kubeletConfig.topologyManagerPolicy", FieldKind::Text, Some("none")),
    field("kubeletDiskType", "kubeletDiskType", FieldKind::Text, None),
    field("linuxOSConfig.swapFileSizeMB", "linuxOSConfig.swapFileSizeMB", FieldKind::Number, None),
    field("linuxOSConfig.sysctls.fsAioMaxNr", "linuxOSConfig.sysctls.fsAioMaxNr", FieldKind::Number, None),
    field("linuxOSConfig.sysctls.fsFileMax", "linuxOSConfig.sysctls.fsFileMax", FieldKind::Number, None),
    field(
        "linuxOSConfig.sysctls.fsInotifyMaxUserWatches",
        "linuxOSConfig.sysctls.fsInotifyMaxUserWatches",
        FieldKind::Number,
        None,
    ),
    field("linuxOSConfig.sysctls.fsNrOpen", "linuxOSConfig.sysctls.fsNrOpen", FieldKind::Number, None),
    field("linuxOSConfig.sysctls.kernelThreadsMax", "linuxOSConfig.sysctls.kernelThreadsMax", FieldKind::Number, None),
    field(
        "linuxOSConfig.sysctls.netCoreNetdevMaxBacklog",
        "linuxOSConfig.sysctls.netCoreNetdevMaxBacklog",
        FieldKind::Number,
        None,
    ),
    field("linuxOSConfig.sysctls.netCoreOptmemMax", "linuxOSConfig.sysctls.netCoreOptmemMax", FieldKind::Number, None),
    field(
        "linuxOSConfig.sysctls.netCoreRmemDefault",
        "linuxOSConfig.sysctls.netCoreRmemDefault",
        FieldKind::Number,
        None,
    ),
    field("linuxOSConfig.sysctls.netCoreRmemMax", "linuxOSConfig.sysctls.netCoreRmemMax", FieldKind::Number, None),
    field("linuxOSConfig.sysctls.netCoreSomaxconn", "linuxOSConfig.sysctls.netCoreSomaxconn", FieldKind::Number, None),
    field(
        "linuxOSConfig.sysctls.netCoreWmemDefault",
        "linuxOSConfig.sysctls.netCoreWmemDefault",
        FieldKind::Number,
        None,
    ),
    field("linuxOSConfig.sysctls.netCoreWmemMax", "linuxOSConfig.sysctls.netCoreWmemMax", FieldKind::Number, None),
    field(
        "linuxOSConfig.sysctls.netIpv4IpLocalPortRange",
        "linuxOSConfig.sysctls.netIpv4IpLocalPortRange",
        FieldKind::Text,
        None,
    ),
    field(
        "linuxOSConfig.sysctls.netIpv4NeighDefaultGcThresh1",
        "linuxOSConfig.sysctls.netIpv4NeighDefaultGcThresh1",
        FieldKind::Number,
        None,
    ),
    field(
        "linuxOSConfig.sysctls.netIpv4NeighDefaultGcThresh2",
        "linuxOSConfig.sysctls.netIpv4NeighDefaultGcThresh2",
        FieldKind::Number,
        None,
    ),
    field(
        "linuxOSConfig.sysctls.netIpv4NeighDefaultGcThresh3",
        "linuxOSConfig.sysctls.netIpv4NeighDefaultGcThresh3",
        FieldKind::Number,
        None,
    ),
    field(
        "linuxOSConfig.sysctls.netIpv4TcpFinTimeout",
        "linuxOSConfig.sysctls.netIpv4TcpFinTimeout",
        FieldKind::Number,
        None,
    ),
    field(
        "linuxOSConfig.sysctls.netIpv4TcpkeepaliveIntvl",
        "linuxOSConfig.sysctls.netIpv4TcpkeepaliveIntvl",
        FieldKind::Number,
        None,
    ),
    field(
        "linuxOSConfig.sysctls.netIpv4TcpKeepaliveProbes",
        "linuxOSConfig.sysctls.netIpv4TcpKeepaliveProbes",
        FieldKind::Number,
        None,
    ),
    field(
        "linuxOSConfig.sysctls.netIpv4TcpKeepaliveTime",
        "linuxOSConfig.sysctls.netIpv4TcpKeepaliveTime",
        FieldKind::Number,
        None,
    ),
    field(
        "linuxOSConfig.sysctls.netIpv4TcpMaxSynBacklog",
        "linuxOSConfig.sysctls.netIpv4TcpMaxSynBacklog",
        FieldKind::Number,
        None,
    ),
    field(
        "linuxOSConfig.sysctls.netIpv4TcpMaxTwBuckets",
        "linuxOSConfig.sysctls.netIpv4TcpMaxTwBuckets",
        FieldKind::Number,
        None,
    ),
    field("linuxOSConfig.sysctls.netIpv4TcpTwReuse", "linuxOSConfig.sysctls.netIpv4TcpTwReuse", FieldKind::Flag, None),
    field(
        "linuxOSConfig.sysctls.netNetfilterNfConntrackBuckets",
        "linuxOSConfig.sysctls.netNetfilterNfConntrackBuckets",
        FieldKind::Number,
        None,
    ),
    field(
        "linuxOSConfig.sysctls.netNetfilterNfConntrackMax",
        "linuxOSConfig.sysctls.netNetfilterNfConntrackMax",
        FieldKind::Number,
        None,
    ),
    field("linuxOSConfig.sysctls.vmMaxMapCount", "linuxOSConfig.sysctls.vmMaxMapCount", FieldKind::Number, None),
    field("linuxOSConfig.sysctls.vmSwappiness", "linuxOSConfig.sysctls.vmSwappiness", FieldKind::Number, None),
    field(
        "linuxOSConfig.sysctls.vmVfsCachePressure",
        "linuxOSConfig.sysctls.vmVfsCachePressure",
        FieldKind::Number,
        None,
    ),
    field("linuxOSConfig.transparentHugePageDefrag", "linuxOSConfig.transparentHugePageDefrag", FieldKind::Text, None),
    field(
        "linuxOSConfig.transparentHugePageEnabled",
        "linuxOSConfig.transparentHugePageEnabled",
        FieldKind::Text,
        None,
    ),
    field("maxPods", "maxPods", FieldKind::Number, None),
    field("nodePublicIPPrefixID", "nodePublicIPPrefixID", FieldKind::Text, None),
    field("osDiskSizeGB", "osDiskSizeGB", FieldKind::Number, None),
    field("osDiskType", "osDiskType", FieldKind::Text, None),
    field("osSKU", "osSKU", FieldKind::Text, None),
    field("osType", "osType", FieldKind::Text, None),
    field("podSubnetID", "podSubnetID", FieldKind::Text, None),
    field("priority", "scaleSetPriority", FieldKind::Text, Some("Regular")),
    field("proximityPlacementGroupID", "proximityPlacementGroupID", FieldKind::Text, None),
    field("scaleDownMode", "scaleDownMode", FieldKind::Text, Some("Delete")),
    field("spotMaxPrice", "spotMaxPrice", FieldKind::Decimal, Some("-1")),
    field("vmSize", "vmSize", FieldKind::Text, None),
    field("vnetSubnetID", "vnetSubnetID", FieldKind::Text, None),
    field("zones", "availabilityZones", FieldKind::List, Some("")),
];

/// The fields that have a value: those that a policy asks for, or those that a pool has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    values: BTreeMap<&'static str, FieldValue>,
}

/// A field in which a pool is another than its policy's template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateDrift {
    /// The field's name in `spec.template`.
    pub field: &'static str,
    /// What the template says.
    pub wanted: String,
    /// What the pool has; `none` if it has nothing.
    pub actual: String,
    /// How AKS would take the change; `None` if that is not known.
    pub mutability: Option<Mutability>,
}

impl TemplateField {
    /// The property of an agent pool that is, or holds, the field's.
    #[must_use]
    pub fn top_property(&self) -> &'static str {
        self.property.split_once('.').map_or(self.property, |(top, _)| top)
    }
}

impl Template {
    /// The template of what `read` finds for each field.
    pub fn from_fields(read: impl Fn(&'static TemplateField) -> Option<FieldValue>) -> Self {
        const FIELDS: &[TemplateField] = &TEMPLATE_FIELDS;
        Self { values: FIELDS.iter().filter_map(|field| Some((field.name, read(field)?))).collect() }
    }

    /// The fields that have a value.
    pub fn values(&self) -> impl Iterator<Item = (&'static TemplateField, &FieldValue)> {
        const FIELDS: &[TemplateField] = &TEMPLATE_FIELDS;
        FIELDS.iter().filter_map(|field| Some((field, self.values.get(field.name)?)))
    }

    /// The text of a field, empty if it has none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(FieldValue::Text(text)) => text,
            _ => "",
        }
    }

    /// The whole number of a field.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.values.get(name) {
            Some(FieldValue::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.values.get(name) == Some(&FieldValue::Flag(true))
    }

    /// Whether the machines are Azure's spare ones, which it may take back.
    #[must_use]
    pub fn is_spot(&self) -> bool {
        self.text("priority").eq_ignore_ascii_case("Spot")
    }

    /// In which of the template's fields `pool` is another, and how a change of each would be taken in this api-version. Fields
    /// that the template leaves out are not compared.
    #[must_use]
    pub fn drift(&self, pool: &Self, api_version: &str) -> Vec<TemplateDrift> {
        let differs = |(field, wanted): (&'static TemplateField, &FieldValue)| {
            let actual = match pool.values.get(field.name) {
                Some(actual) if wanted.is_same(actual) => return None,
                Some(actual) => actual.to_string(),
                None if field.unset.is_some_and(|unset| wanted.to_string().eq_ignore_ascii_case(unset)) => return None,
                None => field.unset.unwrap_or_default().to_owned(),
            };
            let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
            Some(TemplateDrift {
                field: field.name,
                wanted: or_none(wanted.to_string()),
                actual: or_none(actual),
                mutability: Mutability::of(field.top_property(), api_version),
            })
        };
        self.values().filter_map(differs).collect()
    }
}

impl FieldValue {
    /// Whether the two mean the same to Azure.
    fn is_same(&self, other: &Self) -> bool {
        let number = |text: &str| text.parse::<f64>().ok();
        let set = |list: &[String]| list.iter().map(|text| text.to_ascii_lowercase()).collect::<BTreeSet<_>>();
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.eq_ignore_ascii_case(b),
            (Self::Decimal(a), Self::Decimal(b)) => number(a).zip(number(b)).is_some_and(|(a, b)| (a - b).abs() < 1e-9),
            (Self::List(a), Self::List(b)) => set(a) == set(b),
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Decimal(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(list) => f.write_str(&list.join(", ")),
        }
    }
}

impl fmt::Display for TemplateDrift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, not {}", self.field, self.actual, self.wanted)?;
        self.mutability.map_or(Ok(()), |mutability| write!(f, " ({mutability})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(values: &[(&str, FieldValue)]) -> Template {
        Template::from_fields(|field| {
            values.iter().find(|(name, _)| *name == field.name).map(|(_, value)| value.clone())
        })
    }

    fn text(value: &str) -> FieldValue {
        FieldValue::Text(value.into())
    }

    #[test]
    fn fields_are_sorted_and_named_once() {
        assert!(TEMPLATE_FIELDS.is_sorted_by(|a, b| a.name.to_ascii_lowercase() < b.name.to_ascii_lowercase()));
    }

    #[test]
    fn what_means_the_same_to_azure_is_no_drift() {
        let list = |zones: &[&str]| FieldValue::List(zones.iter().map(|zone| (*zone).to_owned()).collect());
        let decimal = |text: &str| FieldValue::Decimal(text.into());
        for (name, wanted, actual, drift) in [
            ("osSKU", text("azurelinux"), Some(text("AzureLinux")), None),
            (
                "vmSize",
                text("Standard_D4"),
                Some(text("Standard_D2")),
                Some("vmSize is Standard_D2, not Standard_D4 (Replace)"),
            ),
            ("zones", list(&["2", "1"]), Some(list(&["1", "2"])), None),
            ("zones", list(&[]), None, None),
            ("zones", list(&["1"]), None, Some("zones is none, not 1 (Replace)")),
            ("zones", list(&[]), Some(list(&["1", "3"])), Some("zones is 1, 3, not none (Replace)")),
            ("priority", text("Regular"), None, None),
            ("priority", text("Spot"), None, Some("priority is Regular, not Spot (Replace)")),
            ("spotMaxPrice", decimal("-1"), None, None),
            ("spotMaxPrice", decimal("0.50"), Some(decimal("0.5")), None),
            ("spotMaxPrice", decimal("0.5"), Some(decimal("0.6")), Some("spotMaxPrice is 0.6, not 0.5 (Replace)")),
            ("enableFIPS", FieldValue::Flag(false), None, None),
            ("enableFIPS", FieldValue::Flag(true), None, Some("enableFIPS is false, not true (Rolling)")),
            (
                "maxPods",
                FieldValue::Number(30),
                Some(FieldValue::Number(110)),
                Some("maxPods is 110, not 30 (Replace)"),
            ),
            ("hostGroupID", text("/h"), None, Some("hostGroupID is none, not /h (Replace)")),
        ] {
            let pool = template(&actual.map(|actual| (name, actual)).into_iter().collect::<Vec<_>>());
            let found = template(&[(name, wanted)]).drift(&pool, "2025-10-01");
            assert_eq!(found.first().map(ToString::to_string).as_deref(), drift, "{name}");
        }
    }

    #[test]
    fn a_field_that_the_template_leaves_out_is_not_compared() {
        let pool = template(&[("vmSize", text("Standard_D4")), ("enableFIPS", FieldValue::Flag(true))]);
        assert_eq!(template(&[("vmSize", text("standard_d4"))]).drift(&pool, "2025-10-01"), []);
        assert!(pool.is_on("enableFIPS") && !pool.is_on("enableUltraSSD"));
        assert_eq!((pool.text("vmSize"), pool.text("osSKU")), ("Standard_D4", ""));
    }
}
