//! The rules for `kubeletConfig` and `linuxOSConfig` of a pool, by the service's manual; the texts of its refusals are not
//! recorded. Never changes one.

use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::state::text;

/// What the kubelet of a Windows node takes.
const OF_WINDOWS: [&str; 4] =
    ["containerLogMaxFiles", "containerLogMaxSizeMB", "imageGcHighThreshold", "imageGcLowThreshold"];

/// Settings of the kubelet, the least and the most that each may be.
const KUBELET: [(&str, i64, i64); 5] = [
    ("containerLogMaxFiles", 2, i64::MAX),
    ("containerLogMaxSizeMB", 1, i64::MAX),
    ("imageGcHighThreshold", 0, 100),
    ("imageGcLowThreshold", 0, 100),
    ("podMaxPids", -1, i64::MAX),
];

/// Settings of the kernel, the least and the most that each may be.
const SYSCTLS: [(&str, i64, i64); 26] = [
    ("fsAioMaxNr", 65_536, 6_553_500),
    ("fsFileMax", 8192, 12_000_500),
    ("fsInotifyMaxUserWatches", 781_250, 2_097_152),
    ("fsNrOpen", 8192, 20_000_500),
    ("kernelThreadsMax", 20, 513_785),
    ("netCoreNetdevMaxBacklog", 1000, 3_240_000),
    ("netCoreOptmemMax", 20_480, 4_194_304),
    ("netCoreRmemDefault", 212_992, 134_217_728),
    ("netCoreRmemMax", 212_992, 134_217_728),
    ("netCoreSomaxconn", 4096, 3_240_000),
    ("netCoreWmemDefault", 212_992, 134_217_728),
    ("netCoreWmemMax", 212_992, 134_217_728),
    ("netIpv4NeighDefaultGcThresh1", 128, 80_000),
    ("netIpv4NeighDefaultGcThresh2", 512, 90_000),
    ("netIpv4NeighDefaultGcThresh3", 1024, 100_000),
    ("netIpv4TcpFinTimeout", 5, 120),
    ("netIpv4TcpkeepaliveIntvl", 10, 90),
    ("netIpv4TcpKeepaliveProbes", 1, 15),
    ("netIpv4TcpKeepaliveTime", 30, 432_000),
    ("netIpv4TcpMaxSynBacklog", 128, 3_240_000),
    ("netIpv4TcpMaxTwBuckets", 8000, 1_440_000),
    ("netNetfilterNfConntrackBuckets", 65_536, 524_288),
    ("netNetfilterNfConntrackMax", 131_072, 2_097_152),
    ("vmMaxMapCount", 65_530, 262_144),
    ("vmSwappiness", 0, 100),
    ("vmVfsCachePressure", 1, 100),
];

/// Words that settings may be.
const WORDS: [(&str, &[&str]); 4] = [
    ("cpuManagerPolicy", &["none", "static"]),
    ("topologyManagerPolicy", &["none", "best-effort", "restricted", "single-numa-node"]),
    ("transparentHugePageDefrag", &["always", "defer", "defer+madvise", "madvise", "never"]),
    ("transparentHugePageEnabled", &["always", "madvise", "never"]),
];

/// Refuses settings of nodes that the service would not have.
pub(crate) fn check(properties: &Map<String, Value>) -> Result<(), Refusal> {
    let part =
        |of: &Map<String, Value>, name: &str| of.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let (kubelet, os) = (part(properties, "kubeletConfig"), part(properties, "linuxOSConfig"));
    if text(properties, "osType") == "Windows" {
        if !os.is_empty() {
            return Err(refused("linuxOSConfig", "it is not supported for OS type Windows."));
        }
        let other = kubelet.iter().find(|(name, value)| !value.is_null() && !OF_WINDOWS.contains(&name.as_str()));
        if let Some((name, _)) = other {
            return Err(refused(&format!("kubeletConfig.{name}"), "it is not supported for OS type Windows."));
        }
    }
    within("kubeletConfig", &kubelet, &KUBELET)?;
    within("linuxOSConfig.sysctls", &part(&os, "sysctls"), &SYSCTLS)?;
    within("linuxOSConfig", &os, &[("swapFileSizeMB", 1, i64::MAX)])?;
    for (of, all) in [("kubeletConfig", &kubelet), ("linuxOSConfig", &os)] {
        for (name, words) in WORDS {
            if let Some(word) = all.get(name).and_then(Value::as_str).filter(|word| !words.contains(word)) {
                return Err(refused(&format!("{of}.{name}"), &format!("{word} is none of {}.", words.join(", "))));
            }
        }
    }
    let threshold = |name: &str, default| kubelet.get(name).and_then(Value::as_i64).unwrap_or(default);
    if threshold("imageGcLowThreshold", 80) > threshold("imageGcHighThreshold", 85) {
        return Err(refused("kubeletConfig.imageGcLowThreshold", "it must be no higher than imageGcHighThreshold."));
    }
    let swaps = os.get("swapFileSizeMB").is_some_and(|size| !size.is_null());
    if swaps && kubelet.get("failSwapOn") != Some(&Value::Bool(false)) {
        return Err(refused("kubeletConfig.failSwapOn", "it must be false when swapFileSizeMB is set."));
    }
    Ok(())
}

fn within(of: &str, all: &Map<String, Value>, limits: &[(&str, i64, i64)]) -> Result<(), Refusal> {
    for (name, least, most) in limits {
        match all.get(*name) {
            None | Some(Value::Null) => {}
            Some(value) if value.as_i64().is_some_and(|number| (*least..=*most).contains(&number)) => {}
            Some(value) => {
                return Err(refused(&format!("{of}.{name}"), &format!("{value} is not between {least} and {most}.")));
            }
        }
    }
    Ok(())
}

fn refused(parameter: &str, why: &str) -> Refusal {
    Refusal::invalid(&format!("agentPoolProfile.{parameter}"), Some(why))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_outside_of_the_manual_are_refused() {
        let linux =
            |kubelet: &Value, os: &Value| json!({"osType": "Linux", "kubeletConfig": kubelet, "linuxOSConfig": os});
        let windows =
            |kubelet: &Value, os: &Value| json!({"osType": "Windows", "kubeletConfig": kubelet, "linuxOSConfig": os});
        let (none, swap) = (Value::Null, json!({"swapFileSizeMB": 1500}));
        for (pool, names) in [
            (linux(&none, &none), ""),
            (linux(&json!({"imageGcHighThreshold": 90, "imageGcLowThreshold": 70, "podMaxPids": -1}), &none), ""),
            (linux(&json!({"imageGcLowThreshold": 86}), &none), "kubeletConfig.imageGcLowThreshold"),
            (linux(&json!({"imageGcHighThreshold": 101}), &none), "kubeletConfig.imageGcHighThreshold"),
            (linux(&json!({"cpuManagerPolicy": "dynamic"}), &none), "kubeletConfig.cpuManagerPolicy"),
            (linux(&json!({"containerLogMaxFiles": 1}), &none), "kubeletConfig.containerLogMaxFiles"),
            (linux(&none, &json!({"sysctls": {"netCoreSomaxconn": 4095}})), "linuxOSConfig.sysctls.netCoreSomaxconn"),
            (linux(&none, &json!({"sysctls": {"netCoreSomaxconn": 4096}})), ""),
            (linux(&none, &json!({"sysctls": {"netCoreSomaxconn": "many"}})), "linuxOSConfig.sysctls.netCoreSomaxconn"),
            (linux(&none, &json!({"transparentHugePageEnabled": "yes"})), "linuxOSConfig.transparentHugePageEnabled"),
            (linux(&none, &swap), "kubeletConfig.failSwapOn"),
            (linux(&json!({"failSwapOn": false}), &swap), ""),
            (windows(&json!({"imageGcHighThreshold": 90, "podMaxPids": null}), &none), ""),
            (windows(&json!({"podMaxPids": 100}), &none), "kubeletConfig.podMaxPids"),
            (windows(&none, &swap), "linuxOSConfig"),
        ] {
            let refused =
                check(pool.as_object().unwrap()).err().map(|refusal| format!("{refusal:?}")).unwrap_or_default();
            assert!(refused.is_empty() == names.is_empty() && refused.contains(names), "{pool}: {refused}");
        }
    }
}
