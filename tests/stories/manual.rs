//! Pages of the documentation, followed word by word. Never does a step that the page does not say.

use std::collections::BTreeSet;
use std::path::Path;

use aks_emulator::PoolSpec;
use anyhow::{Context, bail};
use kube::Api;
use kube::api::{Patch, PatchParams, ValidationDirective};
use nodepool_operator::api::NodePoolPolicy;
use serde_json::{Value, json};
use testbed::{Lane, Testbed};

use super::applied::GITOPS;
use super::drains::{evicted_by_operator, evicted_once, homes, protected_on};
use super::support::{Scene, Story, begin, plain_cluster, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("replace_the_default_system_pool_as_the_page_says", replace),
        story("the_api_server_takes_every_manifest_of_the_pages", manifests),
    ]
}

/// One thing that a page says to do.
#[derive(Debug)]
enum Instruction {
    /// Apply these manifests together.
    Apply(Vec<Value>),
    /// Type this line.
    Type(String),
}

/// What the page says to do, in its order: every block of YAML and every line of a shell.
fn instructions(page: &str) -> anyhow::Result<Vec<Instruction>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page))?;
    let mut found = Vec::new();
    for block in text.split("\n```").filter_map(|block| block.split_once('\n')) {
        match block {
            ("yaml", yaml) => found.push(Instruction::Apply(serde_saphyr::from_multiple(yaml)?)),
            ("sh", lines) => found.extend(lines.lines().map(|line| Instruction::Type(line.to_owned()))),
            _ => {}
        }
    }
    Ok(found)
}

/// Types the line, which a shell would only free of its quotes.
async fn type_line(scene: &Scene, line: &str) -> anyhow::Result<()> {
    let line = line.replace('\'', "");
    let Some(("kubectl", arguments)) = line.split_once(' ') else {
        bail!("the page says to type what this story does not know")
    };
    // Who watches ends it himself.
    let arguments: Vec<&str> = arguments.split(' ').filter(|argument| *argument != "--watch").collect();
    scene.kubectl(&arguments).await?;
    Ok(())
}

async fn replace(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 3));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1))).await?;
    let homes = homes(&scene, "system").await?;
    let (mut manifests_applied, mut lines_typed) = (0, 0);
    for instruction in instructions("docs/replace-system-pool.md")? {
        match instruction {
            Instruction::Apply(manifests) => {
                for manifest in manifests {
                    manifests_applied += 1;
                    scene.apply(manifest).await?;
                }
            }
            Instruction::Type(command) => {
                lines_typed += 1;
                type_line(&scene, &command).await.context(command)?;
            }
        }
    }
    assert_eq!((manifests_applied, lines_typed), (3, 7), "the page has other instructions than this story expects");
    let pools = ["system", "system2", "apps"].map(|pool| scene.in_arm(pool, "mode"));
    assert_eq!(pools, [Value::Null, json!("System"), json!("User")]);
    evicted_once(&scene, &homes, &homes.keys().cloned().collect());
    let there: BTreeSet<String> = scene.node_names("system2").await?.into_iter().collect();
    assert_eq!(protected_on(&scene, &there).await?.len(), evicted_by_operator(&scene)?.len(), "all have moved there");
    Ok(scene)
}

async fn manifests(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let policies: Api<NodePoolPolicy> = Api::all(scene.bed.cluster.client());
    // As kubectl does by default: a field that there is not is an error.
    let strictly = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::apply(GITOPS) };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs"))?.flatten().map(|entry| entry.path());
    let pages = docs.chain([root.join("README.md")]).filter(|page| page.extension().is_some_and(|it| it == "md"));
    let mut taken = 0;
    for page in pages {
        let page = page.strip_prefix(root)?.to_string_lossy();
        let applied = instructions(&page)?.into_iter().filter_map(|instruction| match instruction {
            Instruction::Apply(manifests) => Some(manifests),
            Instruction::Type(_) => None,
        });
        for manifest in applied.flatten().filter(|manifest| manifest["kind"] == "NodePoolPolicy") {
            let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let answer = policies.patch(&name, &strictly.clone().dry_run(), &Patch::Apply(manifest)).await;
            answer.with_context(|| format!("policy {name} of {page}"))?;
            taken += 1;
        }
    }
    assert!(taken > 5, "only {taken} policies were found");
    Ok(scene)
}
