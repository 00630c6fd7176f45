//! Stories on a real control plane: somebody does something, the operator follows, ARM and the nodes show it. One file
//! a theme; `cargo test --test stories -- NAME` tells the stories whose names contain NAME.

#![expect(clippy::indexing_slicing, reason = "an absent field of a JSON value fails the story that looks at it")]
#![expect(clippy::needless_pass_by_value, reason = "specs are written in place, where a reference would only be noise")]

mod applied;
mod autoscaler;
mod bad_input;
mod break_glass;
mod capacity;
mod chart;
mod commits;
mod complaints;
mod crashes;
mod create;
mod create_steps;
mod deletion;
mod deletion_drains;
mod drain_hands;
mod drains;
mod drift;
mod eviction;
mod failures;
mod faults;
mod foreign;
mod foreign_hands;
mod fuse;
mod health;
mod identity;
mod image;
mod inventory;
mod inventory_findings;
mod kubectl;
mod lifecycle;
mod machine;
mod manual;
mod metrics;
mod moments;
mod node_config;
mod node_image;
mod occupancy;
#[path = "../arm/options.rs"]
#[expect(clippy::unwrap_used, reason = "written for the tests of the ARM client")]
mod options;
mod ordinary_days;
mod overlay;
mod pages;
mod parts;
mod pause;
mod placement;
mod power;
mod previous;
mod probes;
mod relocate;
mod relocate_crashes;
mod relocate_trouble;
mod replicas;
mod replicas_clocks;
mod replicas_faults;
mod replicas_seeds;
mod rights;
#[path = "../arm/server.rs"]
#[expect(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "written for the tests of the ARM client")]
mod server;
mod sign_in;
mod steady;
mod steps;
mod story;
mod support;
mod system;
mod table;
mod taken_away;
mod taken_away_at_once;
mod taken_away_on_the_way;
mod upgrade;
mod upgrade_steps;
mod upgrade_trouble;
mod user_pool;
mod watched;

use std::sync::Arc;

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use support::Story;
use testbed::Lanes;
use testbed::control_plane::Options;

fn main() -> anyhow::Result<()> {
    testbed::supervise::run_if_asked();
    let mut arguments = Arguments::from_args();
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?);
    let lanes = Lanes::from_environment(Options::default())?;
    arguments.test_threads.get_or_insert(lanes.count());
    let trials = all()
        .into_iter()
        .map(|story| {
            let (runtime, lanes, is_ignored) = (Arc::clone(&runtime), lanes.clone(), story.is_ignored());
            let trial = Trial::test(story.name(), move || {
                runtime.block_on(story.tell(lanes.clone())).map_err(|error| {
                    lanes.keep_logs();
                    Failed::from(format!("{error:#}"))
                })
            });
            trial.with_ignored_flag(is_ignored)
        })
        .collect();
    let conclusion: Conclusion = libtest_mimic::run(&arguments, trials);
    // The control planes end here and not with the process, so that their folders go too.
    drop(lanes);
    table::print_counts()?;
    if conclusion.num_filtered_out == 0 && !conclusion.has_failed() {
        rights::were_all_needed()?;
    }
    conclusion.exit()
}

/// Every story.
fn all() -> Vec<Story> {
    let mut stories = Vec::new();
    stories.extend(user_pool::stories());
    stories.extend(autoscaler::stories());
    stories.extend(create::stories());
    stories.extend(system::stories());
    stories.extend(capacity::stories());
    stories.extend(commits::stories());
    stories.extend(complaints::stories());
    stories.extend(eviction::stories());
    stories.extend(identity::stories());
    stories.extend(foreign::stories());
    stories.extend(drift::stories());
    stories.extend(chart::stories());
    stories.extend(image::stories());
    stories.extend(overlay::stories());
    stories.extend(kubectl::stories());
    stories.extend(lifecycle::stories());
    stories.extend(bad_input::stories());
    stories.extend(break_glass::stories());
    stories.extend(sign_in::stories());
    stories.extend(machine::stories());
    stories.extend(failures::stories());
    stories.extend(metrics::stories());
    stories.extend(moments::stories());
    stories.extend(faults::stories());
    stories.extend(crashes::stories());
    stories.extend(steady::stories());
    stories.extend(deletion::stories());
    stories.extend(deletion_drains::stories());
    stories.extend(placement::stories());
    stories.extend(power::stories());
    stories.extend(previous::stories());
    stories.extend(probes::stories());
    stories.extend(fuse::stories());
    stories.extend(relocate::stories());
    stories.extend(relocate_crashes::stories());
    stories.extend(relocate_trouble::stories());
    stories.extend(replicas_faults::stories());
    stories.extend(replicas_clocks::stories());
    stories.extend(replicas_seeds::stories());
    stories.extend(foreign_hands::stories());
    stories.extend(ordinary_days::stories());
    stories.extend(drain_hands::stories());
    stories.extend(manual::stories());
    stories.extend(occupancy::stories());
    stories.extend(parts::stories());
    stories.extend(inventory::stories());
    stories.extend(inventory_findings::stories());
    stories.extend(pause::stories());
    stories.extend(upgrade::stories());
    stories.extend(upgrade_trouble::stories());
    stories.extend(node_image::stories());
    stories.extend(node_config::stories());
    stories.extend(taken_away::stories());
    stories
}
