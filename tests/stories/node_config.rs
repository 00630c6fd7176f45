//! Settings of kubelets and of operating systems: what a new pool's nodes get, what is told afterwards, and what is refused.

use aks_emulator::PoolSpec;
use nodepool_operator::api::condition;
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{Scene, Story, begin, message, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("a_new_pool_has_the_settings_of_its_nodes_and_keeps_them", new_pool),
        story("the_api_server_refuses_settings_of_nodes_that_aks_does_not_take", refused),
    ]
}

async fn cluster(lane: Lane) -> anyhow::Result<Scene> {
    begin(Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2))).await
}

fn with(kubelet: &Value, os: &Value) -> Value {
    let mut template = json!({"vmSize": "Standard_D4ds_v5"});
    for (field, part) in [("kubeletConfig", kubelet), ("linuxOSConfig", os)] {
        if !part.is_null() {
            template[field] = part.clone();
        }
    }
    json!({"count": 1, "template": template})
}

async fn new_pool(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let kubelet = json!({
        "cpuManagerPolicy": "static", "cpuCfsQuotaPeriod": "200ms", "imageGcHighThreshold": 90, "imageGcLowThreshold": 70,
        "allowedUnsafeSysctls": ["net.*", "kernel.msg*"], "failSwapOn": false, "podMaxPids": 500,
    });
    let os = json!({
        "transparentHugePageEnabled": "madvise", "swapFileSizeMB": 1500,
        "sysctls": {"netCoreSomaxconn": 163_849, "netIpv4TcpTwReuse": true, "netIpv4IpLocalPortRange": "32000 60000"},
    });
    scene.apply(policy("apps", with(&kubelet, &os))).await?;
    scene.ready("apps").await?;
    assert_eq!((scene.in_arm("apps", "kubeletConfig"), scene.in_arm("apps", "linuxOSConfig")), (kubelet.clone(), os));
    scene.is_quiet().await?;
    let writes = scene.writes().len();
    assert_eq!(writes, 1, "what was sent is what is there");

    // What is named otherwise later is told, and never changed; what means the same is no difference.
    let mut other = kubelet;
    (other["podMaxPids"], other["allowedUnsafeSysctls"]) = (json!(1000), json!(["kernel.msg*", "net.*"]));
    (other["topologyManagerPolicy"], other["containerLogMaxFiles"]) = (json!("none"), json!(9));
    scene.apply(policy("apps", with(&other, &json!({"sysctls": {"vmSwappiness": 10}})))).await?;
    let status = scene.ready("apps").await?;
    let fields: Vec<&str> = status.drift.iter().map(|drift| drift.field.as_str()).collect();
    let differ =
        ["kubeletConfig.containerLogMaxFiles", "kubeletConfig.podMaxPids", "linuxOSConfig.sysctls.vmSwappiness"];
    assert_eq!(fields, differ.map(|field| format!("template.{field}")));
    let said = message(&status, condition::IN_SYNC);
    assert!(said.contains("template.kubeletConfig.podMaxPids is 500, not 1000 (Replace)"), "{said}");
    assert!(said.contains("template.kubeletConfig.containerLogMaxFiles is 5, not 9 (Replace)"), "{said}");
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), writes);
    scene.apply(policy("apps", with(&Value::Null, &Value::Null))).await?;
    assert_eq!(scene.ready("apps").await?.drift, [], "what is not named is not compared");
    Ok(scene)
}

async fn refused(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let kubelet = |config: Value| with(&config, &Value::Null);
    let os = |config: Value| with(&Value::Null, &config);
    let sysctls = |all: Value| os(json!({"sysctls": all}));
    let windows = |mut spec: Value| {
        (spec["template"]["osType"], spec["poolName"]) = (json!("Windows"), json!("win"));
        spec
    };
    for (spec, named) in [
        (kubelet(json!({"cpuManagerPolicy": "dynamic"})), "kubeletConfig.cpuManagerPolicy"),
        (kubelet(json!({"cpuCfsQuotaPeriod": "1001ms"})), "kubeletConfig.cpuCfsQuotaPeriod"),
        (kubelet(json!({"imageGcHighThreshold": 101})), "kubeletConfig.imageGcHighThreshold"),
        (
            kubelet(json!({"imageGcHighThreshold": 60, "imageGcLowThreshold": 70})),
            "imageGcLowThreshold is above imageGcHighThreshold",
        ),
        (
            kubelet(json!({"imageGcLowThreshold": 86})),
            "imageGcHighThreshold, which is 85 where none is set: set it to at most that",
        ),
        (
            kubelet(json!({"imageGcHighThreshold": 79})),
            "imageGcHighThreshold is below imageGcLowThreshold, which is 80 where none is set",
        ),
        (kubelet(json!({"allowedUnsafeSysctls": ["vm.swappiness"]})), "kubeletConfig.allowedUnsafeSysctls"),
        (kubelet(json!({"containerLogMaxFiles": 1})), "kubeletConfig.containerLogMaxFiles"),
        (kubelet(json!({"podMaxPids": -2})), "kubeletConfig.podMaxPids"),
        (kubelet(json!({"maxPods": 30})), "kubeletConfig.maxPods"),
        (os(json!({"transparentHugePageDefrag": "yes"})), "linuxOSConfig.transparentHugePageDefrag"),
        (os(json!({"swapFileSizeMB": 1500})), "swapFileSizeMB needs a kubelet that runs with swap"),
        (sysctls(json!({"netCoreSomaxconn": 4095})), "linuxOSConfig.sysctls.netCoreSomaxconn"),
        (sysctls(json!({"vmMaxMapCount": 262_145})), "linuxOSConfig.sysctls.vmMaxMapCount"),
        (sysctls(json!({"netIpv4IpLocalPortRange": "32000"})), "linuxOSConfig.sysctls.netIpv4IpLocalPortRange"),
        (
            sysctls(json!({"netIpv4IpLocalPortRange": "1000 60000"})),
            "netIpv4IpLocalPortRange 1000 60000 does not begin",
        ),
        (sysctls(json!({"netIpv4IpLocalPortRange": "60000 40000"})), "netIpv4IpLocalPortRange 60000 40000 does not"),
        (windows(os(json!({"sysctls": {"vmSwappiness": 10}}))), "linuxOSConfig does not fit osType Windows"),
        (windows(kubelet(json!({"podMaxPids": 100}))), "kubeletConfig of osType Windows has imageGcHighThreshold"),
    ] {
        let Err(error) = scene.apply(policy("apps", spec.clone())).await else { anyhow::bail!("{spec} was accepted") };
        let text = format!("{error:#}");
        assert!(text.contains(named), "{spec}: {text}");
    }
    for spec in [
        kubelet(json!({"imageGcHighThreshold": 60, "imageGcLowThreshold": 60, "podMaxPids": -1})),
        with(&json!({"failSwapOn": false}), &json!({"swapFileSizeMB": 1})),
        sysctls(json!({"netIpv4IpLocalPortRange": "1024 32768", "netCoreSomaxconn": 4096, "vmMaxMapCount": 262_144})),
    ] {
        let mut observed = spec;
        observed["enforcement"] = json!("Observe");
        scene.apply(policy("apps", observed)).await?;
    }
    let mut fits = windows(kubelet(json!({"containerLogMaxFiles": 6, "imageGcHighThreshold": 90})));
    fits["enforcement"] = json!("Observe");
    scene.apply(policy("other", fits)).await?;
    assert_eq!(scene.writes(), []);
    Ok(scene)
}
