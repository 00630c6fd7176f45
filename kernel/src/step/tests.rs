use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn steps_read_as_sentences() {
    let change = Change::Labels { from: labels(&[("a", "1"), ("b", "1")]), to: labels(&[("a", "2"), ("c", "3")]) };
    assert_eq!(change.to_string(), "set the labels a=2, c=3 and remove b");
    assert_eq!(change.changed_labels(), ["a", "c", "b"]);
    let from = labels(&[("Owner", "a"), ("cost", "1"), ("gone", "")]);
    let tags = Change::Tags { from: from.clone(), to: labels(&[("cost", "1"), ("owner", "b")]) };
    assert_eq!(
        (tags.to_string(), tags.purpose().to_string()),
        ("set the tags owner=b and remove gone".into(), "tags".into())
    );
    assert_eq!(Change::Tags { from, to: labels(&[]) }.to_string(), "remove the tags Owner, cost, gone");
    let step = Step { policy: "p".into(), pool: "apps".into(), change: Change::Count { from: 2, to: 3 } };
    assert_eq!(step.to_string(), "pool apps: scale from 2 to 3 nodes");
    let taints = Change::Taints { from: vec![], to: vec!["b=1:NoSchedule".parse().unwrap()] };
    assert_eq!(taints.to_string(), "change the taints from [none] to [b=1:NoSchedule]");
    assert_eq!(taints.purpose().to_string(), "taints");
    let repair = |code: &str| Change::Repair { code: code.into() };
    assert_eq!(repair("QuotaExceeded").to_string(), "try again what has failed (QuotaExceeded)");
    assert_eq!(repair("").to_string(), "try again what has failed");
    assert_eq!(repair("").purpose().to_string(), "repair");
    assert_eq!(
        (Change::Delete.to_string(), Change::Delete.purpose().to_string()),
        ("delete the pool".into(), "deletionPolicy".into())
    );
}

#[test]
fn a_change_is_made_when_the_pool_is_as_it_would_have_it() {
    let pool = crate::testing::pool("apps", Mode::User, 3);
    let taints = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Taint>>();
    let tainted = AgentPool { taints: taints(&["a=1:NoSchedule", "b=1:NoSchedule"]), ..pool.clone() };
    let failed = AgentPool { state: ProvisioningState::Failed, ..pool.clone() };
    let put = |texts: &[&str]| Change::Taints { from: vec![], to: taints(texts) };
    let tagged = AgentPool { tags: labels(&[("Owner", "shop")]), ..pool.clone() };
    let put_labels = |to| Change::Labels { from: labels(&[]), to };
    let put_tags = |pairs| Change::Tags { from: labels(&[]), to: labels(pairs) };
    let repair = Change::Repair { code: String::new() };
    for (change, pool, made) in [
        (Change::Count { from: 2, to: 3 }, &pool, true),
        (Change::Count { from: 3, to: 2 }, &pool, false),
        (Change::Mode { from: Mode::System, to: Mode::User }, &pool, true),
        (Change::Mode { from: Mode::User, to: Mode::System }, &pool, false),
        (put(&["b=1:NoSchedule", "a=1:NoSchedule"]), &tainted, true),
        (put(&["a=1:NoSchedule"]), &tainted, false),
        (put_labels(labels(&[])), &pool, true),
        (put_labels(labels(&[("a", "1")])), &pool, false),
        (repair.clone(), &pool, true),
        (repair, &failed, false),
        (Change::Delete, &pool, false),
        (put_tags(&[("owner", "shop")]), &tagged, true),
        (put_tags(&[("owner", "Shop")]), &tagged, false),
        (put_tags(&[]), &tagged, false),
    ] {
        assert_eq!(change.is_made(pool), made, "{change}");
    }
}

#[test]
fn what_is_found_and_wanted_is_told_as_short_as_the_field_allows() {
    let told = |change: Change| {
        let (found, wanted) = change.found_and_wanted();
        format!("{found} | {wanted}")
    };
    let from = labels(&[("a", "1"), ("b", "1"), ("same", "x")]);
    let to = labels(&[("a", "2"), ("c", "3"), ("same", "x")]);
    let taint = |text: &str| vec![text.parse::<Taint>().unwrap()];
    let bounds = Some(Autoscaling { min: 1, max: 5 });
    for (change, expected) in [
        (Change::Mode { from: Mode::System, to: Mode::User }, "System | User"),
        (Change::Count { from: 2, to: 3 }, "2 | 3"),
        (Change::Labels { from: from.clone(), to }, "a=1, b=1 | a=2, c=3"),
        (Change::Labels { from, to: labels(&[("same", "x")]) }, "a=1, b=1 | none"),
        (Change::Tags { from: labels(&[("Owner", "a")]), to: labels(&[("owner", "b")]) }, "Owner=a | owner=b"),
        (Change::Taints { from: vec![], to: taint("a=1:NoSchedule") }, "none | a=1:NoSchedule"),
        (Change::Repair { code: "QuotaExceeded".into() }, "Failed (QuotaExceeded) | Succeeded"),
        (Change::Repair { code: String::new() }, "Failed | Succeeded"),
        (Change::Delete, "a pool | no pool"),
        (Change::Stop, "Running | Stopped"),
        (Change::Start, "Stopped | Running"),
        (Change::Autoscaling { from: None, to: bounds }, "off | 1 to 5 nodes"),
        (Change::Autoscaling { from: bounds, to: None }, "1 to 5 nodes | off"),
        (Change::Version { from: None, to: Version::parse("1.34").unwrap() }, "unknown | 1.34"),
        (Change::NodeImage { from: "image-1".into() }, "image-1 | the latest"),
    ] {
        assert_eq!(told(change), expected);
    }
    let new = NewPool::new(Mode::User, 2, crate::testing::template(&[("vmSize", "Standard_D4ds_v5")]));
    assert_eq!(told(Change::Create(Box::new(new))), "no pool | a User pool with 2 nodes of Standard_D4ds_v5");
}
