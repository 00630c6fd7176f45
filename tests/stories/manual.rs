//! Pages of the documentation, followed word by word. Never does a step that the page does not say.

use std::collections::BTreeSet;
use std::path::Path;

use aks_emulator::PoolSpec;
use anyhow::{Context, bail};
use nodepool_operator::api::FINALIZER;
use serde_json::{Value, json};
use testbed::{Lane, Testbed};

use super::drains::{evicted_by_operator, evicted_once, homes, protected_on};
use super::support::{Scene, Story, begin, story};

pub fn stories() -> Vec<Story> {
    vec![story("replace_the_default_system_pool_as_the_page_says", replace)]
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

/// Does what the line would do, and bails out if that is not known.
async fn type_line(scene: &Scene, line: &str) -> anyhow::Result<()> {
    let words: Vec<&str> = line.split(' ').collect();
    let policy = |word: &&str| word.strip_prefix("npp/").map(str::to_owned);
    let named = || words.iter().find_map(policy).context("the line names no policy");
    match &words[..] {
        ["kubectl", "get", ..] => {}
        ["kubectl", "wait", "--for=condition=Ready", ..] => drop(scene.ready(&named()?).await?),
        ["kubectl", "wait", finalizers, ..] if finalizers.contains(".metadata.finalizers[0]") => {
            anyhow::ensure!(finalizers.ends_with(FINALIZER), "the page waits for another finalizer");
            scene.has_finalizers(&named()?, &[FINALIZER]).await?;
        }
        ["kubectl", "delete", "npp", name] => scene.delete(name).await?,
        _ => bail!("the page says to type what this story does not know: {line}"),
    }
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
