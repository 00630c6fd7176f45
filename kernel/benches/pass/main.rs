//! How long the kernel takes to plan and decide, and what it allocates, by the size of the cluster: 100 pools with a
//! policy each, 8 protected pods a node. Never fails for being slow.

mod cluster;

use std::hint::black_box;

use cluster::{Asked, settings, snapshot};
use divan::Bencher;
use nodepool_kernel::{decide, plan};

/// Counts what is allocated, for the table.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

const NODES: [usize; 3] = [500, 2000, 5000];

fn main() {
    divan::main();
}

fn measure(bencher: Bencher<'_, '_>, nodes: usize, asked: Asked) {
    let (snapshot, settings) = (snapshot(nodes, asked), settings());
    bencher.bench_local(|| {
        let plan = plan(black_box(&snapshot), &settings);
        decide(&plan, &snapshot, &settings)
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
