//! Small random clusters with every kind of constraint that placement models. Never two worlds that see each other: each
//! has labels, topology keys and claims of its own.

use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// The CSI driver of the volumes.
pub const DRIVER: &str = "disk.test.dev";

/// A storage class whose volumes are bound when a pod needs them.
pub const LATE_CLASS: &str = "late.test.dev";

/// Objects of one world, as they are created, and pods to be placed one after the other.
pub struct Plan {
    pub name: String,
    pub nodes: Vec<Value>,
    pub csi_nodes: Vec<Value>,
    pub volumes: Vec<Value>,
    pub claims: Vec<Value>,
    /// Pods that run, each with a node.
    pub running: Vec<Value>,
    pub pending: Vec<Value>,
}

struct Generator {
    dice: Dice,
    plan: Plan,
    namespaces: [String; 2],
    counter: usize,
    /// Whether there is room on all nodes, so that the other constraints decide.
    roomy: bool,
}

/// The world of that number.
pub fn plan(seed: u64, world: u64, namespaces: [String; 2]) -> Plan {
    let name = format!("w{world}");
    let empty = Plan {
        name,
        nodes: vec![],
        csi_nodes: vec![],
        volumes: vec![],
        claims: vec![],
        running: vec![],
        pending: vec![],
    };
    let mut dice = Dice::new(seed, world);
    let roomy = dice.chance(50);
    let mut generator = Generator { dice, plan: empty, namespaces, counter: 0, roomy };
    for index in 0..generator.dice.between(2, 5) {
        generator.node(index);
    }
    for _ in 0..generator.dice.between(0, 6) {
        let pod = generator.running();
        generator.plan.running.push(pod);
    }
    for _ in 0..generator.dice.between(8, 12) {
        let pod = generator.pending();
        generator.plan.pending.push(pod);
    }
    generator.plan
}

impl Generator {
    fn key(&self, kind: &str) -> String {
        format!("test.dev/{kind}-{}", self.plan.name)
    }

    fn node_name(&mut self) -> String {
        let node = self.dice.pick(&self.plan.nodes);
        node["metadata"]["name"].as_str().unwrap_or_default().to_owned()
    }

    fn node(&mut self, index: u64) {
        let name = format!("{}-n{index}", self.plan.name);
        let mut labels = Map::new();
        labels.insert("world".into(), json!(self.plan.name));
        labels.insert(self.key("host"), json!(name));
        let (zone_key, rack_key) = (self.key("zone"), self.key("rack"));
        if self.dice.chance(85) {
            labels.insert(zone_key, json!(self.dice.pick(&["z1", "z2", "z3"])));
        }
        if self.dice.chance(70) {
            labels.insert(rack_key, json!(self.dice.pick(&["r1", "r2"])));
        }
        if self.dice.chance(70) {
            labels.insert("topology.kubernetes.io/zone".into(), json!(self.dice.pick(&["z1", "z2"])));
        }
        for (key, values) in [("disk", ["ssd", "hdd"]), ("size", ["5", "12"])] {
            if self.dice.chance(60) {
                labels.insert(key.into(), json!(self.dice.pick(&values)));
            }
        }
        let (amounts, taints) = (self.amounts(), self.taints());
        self.plan.nodes.push(json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"unschedulable": self.dice.chance(6), "taints": taints},
            "status": {
                "capacity": amounts, "allocatable": amounts,
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}]
            }
        }));
        let limit = if self.dice.chance(70) { json!({"count": self.dice.between(1, 3)}) } else { Value::Null };
        let drivers = if self.dice.rarely(10) {
            json!([])
        } else {
            json!([{"name": DRIVER, "nodeID": name, "allocatable": limit}])
        };
        self.plan.csi_nodes.push(json!({
            "metadata": {"name": name, "labels": {"world": self.plan.name}}, "spec": {"drivers": drivers}
        }));
    }

    fn amounts(&mut self) -> Value {
        if self.roomy {
            return json!({"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110", "test.dev/gpu": "16", "hugepages-2Mi": "1Gi"});
        }
        let mut amounts = json!({
            "cpu": self.dice.pick(&["1", "1500m", "2", "3.5"]),
            "memory": self.dice.pick(&["1Gi", "2G", "2560Mi"]),
            "ephemeral-storage": self.dice.pick(&["1Gi", "10Gi"]),
            "pods": self.dice.pick(&["3", "6", "110"]),
        });
        if self.dice.chance(50) {
            amounts["test.dev/gpu"] = json!(self.dice.pick(&["1", "2"]));
        }
        if self.dice.chance(30) {
            amounts["hugepages-2Mi"] = json!("8Mi");
        }
        amounts
    }

    fn taints(&mut self) -> Value {
        let mut taints = Vec::new();
        if self.roomy && self.dice.chance(60) {
            return json!(taints);
        }
        for (percent, key, effect) in
            [(15, "team", "NoSchedule"), (6, "drain", "NoExecute"), (10, "soft", "PreferNoSchedule")]
        {
            if self.dice.chance(percent) {
                taints.push(json!({"key": key, "value": self.dice.pick(&["x", "y", ""]), "effect": effect}));
            }
        }
        json!(taints)
    }

    /// A pod with labels, requests and what else it may ask of its place.
    fn pod(&mut self) -> Value {
        self.counter += 1;
        let name = format!("{}-p{}", self.plan.name, self.counter);
        let namespace = self.dice.pick(&self.namespaces).clone();
        let mut labels = json!({"world": self.plan.name, "differential": "true", "app": self.dice.pick(&["a", "b"])});
        for key in ["version", "track"] {
            if self.dice.chance(60) {
                labels[key] = json!(self.dice.pick(&["1", "2"]));
            }
        }
        let mut spec = json!({
            "terminationGracePeriodSeconds": 0,
            "containers": [self.container("main")],
        });
        if self.dice.chance(12) {
            spec["containers"] = json!([self.container("main"), self.container("other")]);
        }
        if self.dice.chance(15) {
            let mut container = self.container("init");
            if self.dice.chance(50) {
                container["restartPolicy"] = json!("Always");
            }
            spec["initContainers"] = json!([container, self.container("last")]);
        }
        if self.dice.chance(6) {
            spec["resources"] = json!({"requests": {"cpu": "900m", "memory": "700Mi"}});
            spec["containers"] = json!([{"name": "main", "image": "none"}]);
            spec.as_object_mut().map(|spec| spec.remove("initContainers"));
        }
        self.host_ports(&mut spec);
        if self.dice.chance(25) {
            let apart = self.pod_term();
            spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([apart]);
        }
        json!({"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec})
    }

    fn container(&mut self, name: &str) -> Value {
        let mut requests = Map::new();
        for (percent, resource, amounts) in [
            (80, "cpu", ["100m", "0.3", "700m", "1"]),
            (60, "memory", ["100Mi", "300M", "0.5Gi", "1e9"]),
            (10, "ephemeral-storage", ["100Mi", "1Gi", "2Gi", "3Gi"]),
            (10, "test.dev/gpu", ["1", "1", "1", "2"]),
        ] {
            if self.dice.chance(percent) {
                requests.insert(resource.into(), json!(self.dice.pick(&amounts)));
            }
        }
        let mut limits = Map::new();
        if let Some(gpu) = requests.get("test.dev/gpu") {
            limits.insert("test.dev/gpu".into(), gpu.clone());
        }
        if self.dice.chance(4) {
            for resource in ["hugepages-2Mi", "memory"] {
                limits.insert(resource.into(), json!("2Mi"));
                requests.insert(resource.into(), json!("2Mi"));
            }
        }
        json!({"name": name, "image": "none", "resources": {"requests": requests, "limits": limits}})
    }

    fn host_ports(&mut self, spec: &mut Value) {
        if self.dice.chance(15) {
            let mut port = json!({
                "containerPort": 80, "hostPort": self.dice.pick(&[8080, 8081]), "protocol": self.dice.pick(&["TCP", "UDP"])
            });
            if self.dice.chance(40) {
                port["hostIP"] = json!(self.dice.pick(&["127.0.0.1", "127.0.0.2", "0.0.0.0"]));
            }
            spec["containers"][0]["ports"] = json!([port]);
        }
    }

    fn selector(&mut self) -> Value {
        match self.dice.between(1, 6) {
            1 => json!({}),
            2 => json!({"matchExpressions": [{"key": "version", "operator": "DoesNotExist"}]}),
            3 => json!({"matchExpressions": [{"key": "version", "operator": "NotIn", "values": ["1"]}]}),
            _ => json!({"matchLabels": {"app": self.dice.pick(&["a", "b"])}}),
        }
    }

    fn topology_key(&mut self) -> String {
        let kind = *self.dice.pick(&["host", "zone", "zone", "rack"]);
        self.key(kind)
    }

    fn pod_term(&mut self) -> Value {
        let mut term = json!({"topologyKey": self.topology_key()});
        if !self.dice.chance(4) {
            term["labelSelector"] = self.selector();
        }
        match self.dice.between(1, 8) {
            1 => term["namespaces"] = json!(self.namespaces),
            2 => term["namespaceSelector"] = json!({}),
            3 => term["namespaceSelector"] = json!({"matchLabels": {"team": self.dice.pick(&["a", "b"])}}),
            _ => {}
        }
        if term.get("labelSelector").is_some() {
            match self.dice.between(1, 10) {
                1 => term["matchLabelKeys"] = json!(["track"]),
                2 => term["mismatchLabelKeys"] = json!(["track"]),
                _ => {}
            }
        }
        term
    }

    /// A pod that runs already, wherever it is, and is evicted by no taint.
    fn running(&mut self) -> Value {
        let mut pod = self.pod();
        pod["spec"]["nodeName"] = json!(self.node_name());
        pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        if self.dice.chance(12) {
            self.claim(&mut pod);
        }
        if self.dice.chance(6) {
            // It stays while it is being deleted.
            pod["metadata"]["finalizers"] = json!(["test.dev/stays"]);
        }
        pod
    }

    fn pending(&mut self) -> Value {
        let mut pod = self.pod();
        pod["spec"]["nodeSelector"] = json!({"world": self.plan.name});
        if self.dice.chance(10) {
            pod["spec"]["nodeSelector"]["disk"] = json!(self.dice.pick(&["ssd", "hdd"]));
        }
        pod["spec"]["tolerations"] = self.tolerations();
        if self.dice.chance(25) {
            let terms: Vec<Value> = (0..self.dice.between(1, 2)).map(|_| self.node_term()).collect();
            pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!({"nodeSelectorTerms": terms});
        }
        if self.dice.chance(20) {
            let terms: Vec<Value> = (0..self.dice.between(1, 2)).map(|_| self.pod_term()).collect();
            pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!(terms);
        }
        if self.dice.chance(45) {
            let first = self.spread();
            let second = self.spread();
            let same = first["topologyKey"] == second["topologyKey"];
            let both = !same && self.dice.chance(30);
            pod["spec"]["topologySpreadConstraints"] = if both { json!([first, second]) } else { json!([first]) };
        }
        for _ in 0..self.dice.between(1, 2) {
            if self.dice.chance(15) {
                self.claim(&mut pod);
            }
        }
        if self.dice.rarely(10) {
            pod["spec"]["schedulingGates"] = json!([{"name": "test.dev/wait"}]);
        }
        pod
    }

    fn tolerations(&mut self) -> Value {
        let mut tolerations = Vec::new();
        for (percent, key) in [(60, "team"), (50, "drain"), (40, "node.kubernetes.io/unschedulable")] {
            if self.dice.chance(percent) {
                let mut toleration = json!({"key": key, "operator": "Exists"});
                if self.dice.chance(40) {
                    toleration = json!({"key": key, "value": self.dice.pick(&["x", "y", ""])});
                }
                if self.dice.chance(50) {
                    toleration["effect"] = json!(self.dice.pick(&["NoSchedule", "NoExecute", "PreferNoSchedule"]));
                }
                tolerations.push(toleration);
            }
        }
        if self.dice.chance(5) {
            tolerations.push(json!({"operator": "Exists"}));
        }
        json!(tolerations)
    }

    fn node_term(&mut self) -> Value {
        if self.dice.chance(25) {
            let operator = if self.dice.chance(75) { "In" } else { "NotIn" };
            return json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": [self.node_name()]}]});
        }
        let zone = self.key("zone");
        let expressions = [
            json!({"key": zone, "operator": "In", "values": ["z1", "z2"]}),
            json!({"key": zone, "operator": "NotIn", "values": ["z1"]}),
            json!({"key": "disk", "operator": "Exists"}),
            json!({"key": "disk", "operator": "DoesNotExist"}),
            json!({"key": "size", "operator": "Gt", "values": ["5"]}),
            json!({"key": "size", "operator": "Lt", "values": ["12"]}),
            json!({"key": "size", "operator": "Gt", "values": ["many"]}),
            json!({"key": "disk", "operator": "NotIn", "values": ["hdd"]}),
        ];
        let chosen: Vec<&Value> = (0..self.dice.between(1, 2)).map(|_| self.dice.pick(&expressions)).collect();
        json!({"matchExpressions": chosen})
    }

    fn spread(&mut self) -> Value {
        let mut spread = json!({
            "topologyKey": self.topology_key(), "maxSkew": self.dice.between(1, 2),
            "whenUnsatisfiable": if self.dice.chance(90) { "DoNotSchedule" } else { "ScheduleAnyway" },
        });
        if !self.dice.chance(4) {
            spread["labelSelector"] = self.selector();
            if self.dice.chance(20) {
                spread["matchLabelKeys"] = json!(["track"]);
            }
        }
        if spread["whenUnsatisfiable"] == "DoNotSchedule" && self.dice.chance(25) {
            spread["minDomains"] = json!(self.dice.between(1, 4));
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if self.dice.chance(50) {
                spread[policy] = json!(self.dice.pick(&["Honor", "Ignore"]));
            }
        }
        spread
    }

    /// Gives the pod a volume: mostly one that is bound.
    fn claim(&mut self, pod: &mut Value) {
        self.counter += 1;
        let name = format!("{}-v{}", self.plan.name, self.counter);
        let runs = pod["spec"].get("nodeName").is_some();
        let missing = !runs && self.dice.rarely(25);
        let late = !runs && self.dice.rarely(12);
        let shared = self.shared_claim(pod).filter(|_| self.dice.chance(25));
        if shared.is_none() && !missing {
            self.volume(&name, pod, late);
        }
        let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let claim = shared.unwrap_or_else(|| name.clone());
        let volume = json!({"name": format!("v{}", self.counter), "persistentVolumeClaim": {"claimName": claim}});
        pod["spec"]["volumes"] = json!(volumes.into_iter().chain([volume]).collect::<Vec<_>>());
    }

    /// A claim of the pod's namespace that another pod may use as well.
    fn shared_claim(&mut self, pod: &Value) -> Option<String> {
        let namespace = &pod["metadata"]["namespace"];
        let claims: Vec<&Value> =
            self.plan.claims.iter().filter(|claim| claim["metadata"]["namespace"] == *namespace).collect();
        let claim = if claims.is_empty() { return None } else { self.dice.pick(&claims) };
        claim["metadata"]["name"].as_str().map(str::to_owned)
    }

    fn volume(&mut self, name: &str, pod: &Value, late: bool) {
        let namespace = &pod["metadata"]["namespace"];
        let labels = json!({"world": self.plan.name});
        let mode = if self.dice.chance(20) { "ReadWriteOncePod" } else { "ReadWriteOnce" };
        let class = if late { LATE_CLASS } else { "" };
        let mut volume = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": [mode], "storageClassName": class,
                "persistentVolumeReclaimPolicy": "Retain",
            }
        });
        if self.dice.chance(75) {
            volume["spec"]["csi"] = json!({"driver": DRIVER, "volumeHandle": name});
        } else {
            volume["spec"]["nfs"] = json!({"server": "nowhere", "path": "/"});
        }
        if self.dice.chance(40) {
            let zone = json!({"key": self.key("zone"), "operator": "In", "values": [self.dice.pick(&["z1", "z2"])]});
            volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}});
        }
        if self.dice.chance(30) {
            volume["metadata"]["labels"]["topology.kubernetes.io/zone"] =
                json!(self.dice.pick(&["z1", "z2", "z1__z2"]));
        }
        let mut claim = json!({
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"accessModes": [mode], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}
        });
        if !late {
            volume["spec"]["claimRef"] =
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name});
            claim["spec"]["volumeName"] = json!(name);
        }
        self.plan.volumes.push(volume);
        self.plan.claims.push(claim);
    }
}
