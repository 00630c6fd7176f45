//! The testbed proven on itself: a real control plane, real processes, real connections.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows tests by #[test], which these do not have"
)]

mod admission;
mod arm;
mod autoscaler;
mod cluster;
mod deallocation;
mod doors;
mod machines;
mod node_faults;
mod operator;
mod pools;
mod sign_in;
mod supervision;
mod upgrades;

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use testbed::Lanes;
use testbed::control_plane::Options;
use tokio::runtime::Runtime;

/// What a test gets: the control planes and the one runtime that their clients belong to.
#[derive(Clone)]
pub struct Bench {
    lanes: Lanes,
    runtime: Arc<Runtime>,
}

fn trial<F, S>(bench: &Bench, name: &str, story: S) -> Trial
where
    F: Future<Output = anyhow::Result<()>>,
    S: Fn(Lanes) -> F + Send + 'static,
{
    let bench = bench.clone();
    Trial::test(name, move || {
        bench.runtime.block_on(story(bench.lanes.clone())).map_err(|error| {
            bench.lanes.keep_logs();
            format!("{error:#}").into()
        })
    })
}

fn main() -> anyhow::Result<()> {
    testbed::supervise::run_if_asked();
    supervision::hold_a_component_if_asked();
    let bench = Bench { lanes: Lanes::from_environment(Options::default())?, runtime: Arc::new(Runtime::new()?) };
    let trials = vec![
        trial(&bench, "kube_system_runs_on_system_nodes", cluster::kube_system_runs_on_system_nodes),
        trial(&bench, "a_no_execute_taint_evicts", cluster::a_no_execute_taint_evicts),
        trial(&bench, "a_node_is_not_ready_and_comes_back", cluster::a_node_is_not_ready_and_comes_back),
        trial(&bench, "pods_move_off_nodes_as_budgets_allow", cluster::pods_move_off_nodes_as_budgets_allow),
        trial(&bench, "a_reset_leaves_nothing_behind", cluster::a_reset_leaves_nothing_behind),
        trial(&bench, "kubectl_and_the_issuer_are_real", cluster::kubectl_and_the_issuer_are_real),
        trial(
            &bench,
            "the_autoscaler_moves_a_pool_between_its_bounds",
            autoscaler::the_autoscaler_moves_a_pool_between_its_bounds,
        ),
        trial(
            &bench,
            "the_autoscaler_respects_what_keeps_a_node",
            autoscaler::the_autoscaler_respects_what_keeps_a_node,
        ),
        trial(
            &bench,
            "nodes_are_edited_through_their_pool_or_by_hand_but_not_both",
            admission::nodes_are_edited_through_their_pool_or_by_hand_but_not_both,
        ),
        trial(
            &bench,
            "nodes_that_never_become_ready_fail_their_operation",
            node_faults::nodes_that_never_become_ready_fail_their_operation,
        ),
        trial(&bench, "the_autoscaler_asks_budgets", autoscaler::the_autoscaler_asks_budgets),
        trial(&bench, "a_budget_stops_a_delete_that_drains", pools::a_budget_stops_a_delete_that_drains),
        trial(&bench, "a_delete_without_drain_asks_no_budget", pools::a_delete_without_drain_asks_no_budget),
        trial(&bench, "a_pool_stops_and_starts_with_its_nodes", pools::a_pool_stops_and_starts_with_its_nodes),
        trial(&bench, "labels_taints_and_mode_change_in_place", pools::labels_taints_and_mode_change_in_place),
        trial(&bench, "machines_run_out_after_some_nodes", node_faults::machines_run_out_after_some_nodes),
        trial(&bench, "nodes_lag_behind_their_pool", node_faults::nodes_lag_behind_their_pool),
        trial(&bench, "nodes_stop_to_report_and_come_back", node_faults::nodes_stop_to_report_and_come_back),
        trial(&bench, "deallocated_nodes_stay_and_start_first", deallocation::deallocated_nodes_stay_and_start_first),
        trial(&bench, "a_service_account_signs_in_to_arm", sign_in::a_service_account_signs_in_to_arm),
        trial(&bench, "tokens_that_do_not_match_are_refused", sign_in::tokens_that_do_not_match_are_refused),
        trial(
            &bench,
            "machines_go_without_a_drain_unless_add_ons_need_them",
            machines::machines_go_without_a_drain_unless_add_ons_need_them,
        ),
        trial(&bench, "a_stopped_cluster_has_no_nodes", machines::a_stopped_cluster_has_no_nodes),
        trial(&bench, "a_door_holds_and_releases", doors::a_door_holds_and_releases),
        trial(&bench, "a_door_cuts_before_and_after", doors::a_door_cuts_before_and_after),
        trial(&bench, "watches_stream_through_a_door", doors::watches_stream_through_a_door),
        trial(
            &bench,
            "the_operator_is_a_process_with_its_own_rights",
            operator::the_operator_is_a_process_with_its_own_rights,
        ),
        trial(&bench, "an_upgrade_asks_budgets", upgrades::an_upgrade_asks_budgets),
        trial(
            &bench,
            "a_drain_that_fails_leaves_two_versions_until_a_write",
            upgrades::a_drain_that_fails_leaves_two_versions_until_a_write,
        ),
        trial(&bench, "a_quarantined_node_waits_for_its_release", upgrades::a_quarantined_node_waits_for_its_release),
        trial(&bench, "an_upgrade_goes_on_after_a_restart", upgrades::an_upgrade_goes_on_after_a_restart),
        trial(&bench, "components_die_with_their_holder", supervision::components_die_with_their_holder),
        trial(&bench, "components_die_with_their_supervisor", supervision::components_die_with_their_supervisor),
        trial(&bench, "an_early_end_shows_the_log", supervision::an_early_end_shows_the_log),
    ];
    let mut arguments = Arguments::from_args();
    // More threads than control planes would only wait.
    arguments.test_threads = arguments.test_threads.or(Some(bench.lanes.count()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The control planes end here, which exiting would skip.
    drop(bench);
    std::process::exit(if conclusion.has_failed() { 101 } else { 0 });
}
