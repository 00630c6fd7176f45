//! What people read at a moment of a story, word by word: kubectl's columns, its description of the policy, and the events.
//! Held against `pages/NAME.snap`; `INSTA_UPDATE=always` writes them anew. Never looks at a moment that passes by itself.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use nodepool_operator::api::{NodePoolPolicy, condition};
use regex::Regex;
use testbed::wait_for;

use super::support::{DEADLINE, Scene, holds};

/// What differs from run to run, and what stands in its place.
static CHANCE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-01T12:00:00Z"),
        (r"(Resource Version: +)\d+", "${1}1000"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "00000000-0000-0000-0000-000000000000"),
        // Pods of Deployments.
        (r"\b([a-z][a-z-]+)-[0-9a-f]{8,10}-[0-9a-z]{5}\b", "${1}-5d78c9869d-x7k2p"),
        (r"(Hash: +|plan )[0-9a-f]{16}", "${1}3fa1c09b7d42e815"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:6443"),
    ]
    .into_iter()
    .filter_map(|(what, instead)| Some((Regex::new(what).ok()?, instead)))
    .collect()
});

impl Scene {
    /// Holds what people read about a policy now against the page of that name. The policy is at rest, or waits.
    pub async fn page(&self, name: &str, policy: &str) -> anyhow::Result<()> {
        self.looks_again().await?;
        let next = self.kubectl(&["get", "npp", policy, "-o", "jsonpath={.status.attempt.next}"]).await?;
        let soon = Timestamp::now().saturating_add(SignedDuration::from_mins(30))?;
        let is_near = !next.is_empty() && next.parse::<Timestamp>()? < soon;
        ensure!(!is_near, "page {name} would pass by itself with the next attempt: give --retry-seconds 3600");
        let mut shown = self.shown(policy).await?;
        wait_for(&format!("page {name} to stay as it is"), DEADLINE, async || {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let before = std::mem::replace(&mut shown, self.shown(policy).await?);
            Ok(if before == shown { Ok(()) } else { Err("it changes".to_owned()) })
        })
        .await?;
        hold(name, &shown);
        Ok(())
    }

    /// Holds no more than kubectl's columns against the page of that name, where the rest is up to the scheduler.
    pub async fn columns(&self, name: &str) -> anyhow::Result<()> {
        hold(name, self.columns_of(&["get", "npp"]).await?.trim_end());
        Ok(())
    }
}

fn hold(name: &str, shown: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("pages");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, shown));
}

fn without_chance(shown: &str) -> String {
    let replace = |text: String, (what, instead): &(Regex, &str)| what.replace_all(&text, *instead).into_owned();
    let shown = CHANCE.iter().fold(shown.to_owned(), replace);
    shown.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The same of a table, whose columns are as wide as what then stands in them.
fn columns_without_chance(table: &str) -> String {
    let lines: Vec<Vec<char>> = table.lines().map(|line| line.chars().collect()).collect();
    let header = lines.first().map(Vec::as_slice).unwrap_or_default();
    let begins =
        |at: &usize| header.get(*at) != Some(&' ') && at.checked_sub(1).is_none_or(|at| header.get(at) == Some(&' '));
    let starts: Vec<usize> = (0..header.len()).filter(begins).collect();
    let ends = || starts.iter().skip(1).copied().chain([usize::MAX]);
    let cells = |line: &Vec<char>| -> Vec<String> {
        let cell =
            |(start, end): (usize, usize)| line.iter().take(end).skip(start).collect::<String>().trim().to_owned();
        starts.iter().copied().zip(ends()).map(cell).map(|cell| without_chance(&cell)).collect()
    };
    let mut rows: Vec<Vec<String>> = lines.iter().map(cells).collect();
    let age = rows.first().and_then(|names| names.iter().position(|name| name == "AGE"));
    for cell in rows.iter_mut().skip(1).filter_map(|row| row.get_mut(age?)) {
        "1m".clone_into(cell);
    }
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..starts.len()).map(|column| width(column).unwrap_or(0)).collect();
    let padded = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(padded).collect::<Vec<_>>().join("\n")
}

impl Scene {
    /// All that is read about a policy, without what differs from run to run.
    async fn shown(&self, policy: &str) -> anyhow::Result<String> {
        let mut shown = self.columns_of(&["get", "npp"]).await?;
        shown.push_str(&self.columns_of(&["get", "npp", policy, "-o", "wide"]).await?);
        let describe = ["describe", "npp", policy, "--show-events=false"];
        let described = self.kubectl(&describe).await?;
        let events = self.events(policy).await?.join("\n");
        write!(
            shown,
            "{}",
            without_chance(&format!("$ kubectl {}\n{described}\nEvents:\n{events}", describe.join(" ")))
        )?;
        Ok(shown)
    }

    /// A table of kubectl with the command that prints it.
    async fn columns_of(&self, command: &[&str]) -> anyhow::Result<String> {
        Ok(format!("$ kubectl {}\n{}\n\n", command.join(" "), columns_without_chance(&self.kubectl(command).await?)))
    }

    /// What the real kubectl says.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.bed.control_plane().kubectl().args(arguments).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {arguments:?} failed: {said}");
        String::from_utf8(output.stdout).context("kubectl's output is no text")
    }

    /// Sees that `kubectl wait` takes every policy for Ready whose status says so.
    pub async fn kubectl_waits_for_none(&self, policies: Vec<NodePoolPolicy>) -> anyhow::Result<()> {
        let is_ready = |policy: &&NodePoolPolicy| {
            policy.status.as_ref().is_some_and(|status| {
                status.observed_generation == policy.metadata.generation && holds(status, condition::READY)
            })
        };
        let ready: Vec<String> = policies.iter().filter(is_ready).map(|it| format!("npp/{}", it.name_any())).collect();
        if !ready.is_empty() {
            let arguments = ["wait", "--for=condition=Ready", "--timeout=30s"].into_iter();
            self.kubectl(&arguments.chain(ready.iter().map(String::as_str)).collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// The events about a policy in their order, which kubectl's seconds do not tell.
    async fn events(&self, policy: &str) -> anyhow::Result<Vec<String>> {
        let events = Api::<Event>::all(self.bed.cluster.client()).list(&ListParams::default()).await?;
        let about = |event: &Event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(policy);
        let mut events: Vec<Event> = events.into_iter().filter(about).collect();
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        let told = |event: &Event| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("  {:<8} {:<22} {}", text(&event.type_), text(&event.reason), text(&event.note))
        };
        Ok(events.iter().map(told).collect())
    }
}
