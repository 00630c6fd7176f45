//! What people read at a moment of a story, word by word: kubectl's columns, its description of the policy, and the events.
//! Held against `pages/NAME.snap`; `INSTA_UPDATE=always` writes them anew. Never looks at a moment that passes by itself.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use regex::Regex;
use testbed::wait_for;

use super::support::{DEADLINE, Scene};

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
        // The last column is the age, or comes before those of `-o wide`.
        (r"(?m)   (\d+m?\d*s|\d+m)$", "   1m"),
        (r"AGE +READY-NODES", "AGE   READY-NODES"),
        (r"   (\d+m?\d*s|\d+m) {3,}", "   1m    "),
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
        let command = ["get", "npp"];
        let shown = format!("$ kubectl {}\n{}", command.join(" "), self.kubectl(&command).await?);
        hold(name, &without_chance(&shown));
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

impl Scene {
    /// All that is read about a policy, without what differs from run to run.
    async fn shown(&self, policy: &str) -> anyhow::Result<String> {
        let commands = [
            vec!["get", "npp"],
            vec!["get", "npp", policy, "-o", "wide"],
            vec!["describe", "npp", policy, "--show-events=false"],
        ];
        let mut shown = String::new();
        for command in &commands {
            writeln!(shown, "$ kubectl {}\n{}", command.join(" "), self.kubectl(command).await?)?;
        }
        writeln!(shown, "Events:\n{}", self.events(policy).await?.join("\n"))?;
        Ok(without_chance(&shown))
    }

    /// What the real kubectl says.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.bed.control_plane().kubectl().args(arguments).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {arguments:?} failed: {said}");
        String::from_utf8(output.stdout).context("kubectl's output is no text")
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
