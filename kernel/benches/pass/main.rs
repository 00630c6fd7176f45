//! How long the kernel takes to plan and decide, and what it allocates, by the size of the cluster: 100 pools with a
//! policy each, 8 protected pods a node. Never fails for being slow.

mod cluster;
mod drains;

use std::hint::black_box;

use cluster::{Asked, settings, snapshot};
use divan::Bencher;
use drains::Drained;
use nodepool_kernel::{Snapshot, decide, plan};

/// Counts what is allocated, for the table.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

const NODES: [usize; 3] = [500, 2000, 5000];

fn main() {
    divan::main();
}

fn measure(bencher: Bencher<'_, '_>, nodes: usize, asked: Asked) {
    measure_pass(bencher, &snapshot(nodes, asked));
}

fn measure_pass(bencher: Bencher<'_, '_>, snapshot: &Snapshot) {
    let settings = settings();
    bencher.bench_local(|| {
        let plan = plan(black_box(snapshot), &settings);
        decide(&plan, snapshot, &settings)
    });
}

/// Every pool is as its policy asks.
#[divan::bench(args = NODES)]
fn a_reached_state(bencher: Bencher<'_, '_>, nodes: usize) {
    measure(bencher, nodes, Asked::Nothing);
}

/// Every policy asks for a new label: ten steps are approved, the others wait.
#[divan::bench(args = NODES)]
fn b_labels_everywhere(bencher: Bencher<'_, '_>, nodes: usize) {
    measure(bencher, nodes, Asked::Label);
}

/// One policy asks for a demotion, which is refused with every pod on the pool.
#[divan::bench(args = NODES)]
fn c_refused_demotion(bencher: Bencher<'_, '_>, nodes: usize) {
    measure(bencher, nodes, Asked::Demotion);
}

/// All policies of user pools ask for a taint that evicts: each is refused, with every pod of the cluster between them.
#[divan::bench(args = NODES)]
fn d_evictions_everywhere(bencher: Bencher<'_, '_>, nodes: usize) {
    measure(bencher, nodes, Asked::Eviction);
}

/// One policy permits that protected pods are moved and asks for a fifth fewer nodes: they may be cordoned.
#[divan::bench(args = NODES)]
fn e_drain_begins(bencher: Bencher<'_, '_>, nodes: usize) {
    measure_pass(bencher, &drains::snapshot(nodes, Drained::Nothing));
}

/// The same with the nodes cordoned: the first pods may be evicted.
#[divan::bench(args = NODES)]
fn f_drain_goes_on(bencher: Bencher<'_, '_>, nodes: usize) {
    measure_pass(bencher, &drains::snapshot(nodes, Drained::Cordoned));
}

/// The evictions of `d_evictions_everywhere` when it is known where pods could run: every pod that would have to move is
/// placed anew.
#[divan::bench(args = NODES)]
fn g_evictions_placed(bencher: Bencher<'_, '_>, nodes: usize) {
    measure_pass(bencher, &drains::evictions(nodes));
}
