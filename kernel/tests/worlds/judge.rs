//! Compares what the guard says with what the model says may happen. Never decides what to enumerate.

use std::collections::{BTreeMap, HashSet};

use nodepool_kernel::{Rule, Settings, guard};

use crate::model::{beside, stepped};
use crate::show::subject_step;
use crate::world::{Pool, State, World, Write};

/// The floors that each step is judged with.
const FLOORS: [u32; 3] = [0, 1, 2];
/// Faults that are told in full.
const TOLD: usize = 3;

/// A pool that stands beside the subject, and the least that it may come to be worth.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    pub pool: Pool,
    pub least: u8,
}

impl Beside {
    pub fn new(pool: Pool) -> Self {
        Self { pool, least: beside(&pool).into_iter().min().unwrap() }
    }
}

/// What a step may do to its pool: what it is worth before, and during or after.
struct Outcomes {
    write: Write,
    pairs: HashSet<(u8, u8)>,
    /// The same, if the nodes that are out of order come back first.
    recovered: HashSet<(u8, u8)>,
}

/// The pool that steps are made on.
pub struct Subject {
    pub pool: Pool,
    steps: Vec<Outcomes>,
}

impl Subject {
    pub fn new(pool: Pool) -> Self {
        let outcomes =
            |write| Outcomes { write, pairs: stepped(&pool, write, false), recovered: stepped(&pool, write, true) };
        Self { pool, steps: pool.writes().into_iter().map(outcomes).collect() }
    }
}

/// Why the guard refuses what could do no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strictness {
    /// Nodes of the pool that are out of order, or have not joined, may come back: then it would.
    MayComeBack,
    /// ARM counts no node in the pool.
    Empty,
    /// The pool to be deleted is stopped.
    Stopped,
    /// Nobody has said why.
    Unexplained,
}

/// What was judged, and what came of it.
#[derive(Debug, Default)]
pub struct Tally {
    pub worlds: u64,
    pub steps: u64,
    pub approved: u64,
    /// Refused by the two rules and no other.
    pub refused: u64,
    /// Refused by other rules, alone or with these.
    pub otherwise: u64,
    /// Of these, by how many rules that would be broken indeed.
    pub needed: u64,
    pub strict: BTreeMap<Strictness, u64>,
    pub unsafe_approvals: u64,
    /// The first examples of each fault.
    pub told: BTreeMap<String, Vec<String>>,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.steps += other.steps;
        self.approved += other.approved;
        self.refused += other.refused;
        self.otherwise += other.otherwise;
        self.needed += other.needed;
        self.unsafe_approvals += other.unsafe_approvals;
        for (kind, number) in other.strict {
            *self.strict.entry(kind).or_default() += number;
        }
        for (what, examples) in other.told {
            let told = self.told.entry(what).or_default();
            told.extend(examples);
            told.truncate(TOLD);
        }
    }

    fn tell(&mut self, what: &str, world: &World, write: Write, floor: u32, rules: &[Rule]) {
        let told = self.told.entry(what.to_owned()).or_default();
        if told.len() < TOLD {
            told.push(format!("{write:?} with floor {floor}, refused by {rules:?} in {world:?}"));
        }
    }

    /// Judges every step on the subject beside these pools. The answer tells verdicts apart.
    pub fn judge(&mut self, subject: &Subject, others: &[Beside]) -> Vec<u8> {
        let world = World { subject: subject.pool, others: others.iter().map(|other| other.pool).collect() };
        let snapshot = world.snapshot();
        let beside: u8 = others.iter().map(|other| other.least).sum();
        self.worlds += 1;
        let mut verdicts = vec![];
        for outcomes in &subject.steps {
            for floor in FLOORS {
                let required_add_ons = vec![];
                let settings = Settings { min_ready_system_nodes: floor, required_add_ons, ..Settings::default() };
                let refusal = guard(subject_step(&subject.pool, outcomes.write), &snapshot, &settings).err();
                let rules: Vec<Rule> =
                    refusal.iter().flat_map(|refusal| &refusal.broken).map(|broken| broken.rule).collect();
                self.steps += 1;
                self.compare(&world, outcomes, floor, beside, &rules);
                let named = |rule| u8::from(rules.contains(&rule));
                let capacity = named(Rule::LastHealthySystemPool) | named(Rule::SystemCapacityFloor) << 1;
                verdicts.push(capacity | u8::from(rules.is_empty()) << 2);
            }
        }
        verdicts
    }

    fn compare(&mut self, world: &World, outcomes: &Outcomes, floor: u32, beside: u8, rules: &[Rule]) {
        if rules.is_empty() {
            self.approved += 1;
            let may_be_deleted = world.subject.state == State::Stopped && outcomes.write == Write::Delete;
            if !world.subject.is_free() && !may_be_deleted {
                self.unsafe_approvals += 1;
                self.tell("a busy pool is written to", world, outcomes.write, floor, rules);
            } else if [leaves_none, leaves_too_few].iter().any(|harm| harm(&outcomes.pairs, beside, floor)) {
                self.unsafe_approvals += 1;
                self.tell("approved, and not safe", world, outcomes.write, floor, rules);
            }
            return;
        }
        let harms = [(Rule::LastHealthySystemPool, leaves_none as Harm), (Rule::SystemCapacityFloor, leaves_too_few)];
        if !rules.iter().all(|rule| harms.iter().any(|(capacity, _)| capacity == rule)) {
            self.otherwise += 1;
            return;
        }
        self.refused += 1;
        for (rule, harm) in harms.iter().filter(|(rule, _)| rules.contains(rule)) {
            if harm(&outcomes.pairs, beside, floor) {
                self.needed += 1;
                continue;
            }
            let kind = if harm(&outcomes.recovered, beside, floor) {
                Strictness::MayComeBack
            } else if world.subject.count == 0 {
                Strictness::Empty
            } else if world.subject.state == State::Stopped && outcomes.write == Write::Delete {
                Strictness::Stopped
            } else {
                self.tell(&format!("refused by {rule:?}, and safe"), world, outcomes.write, floor, rules);
                Strictness::Unexplained
            };
            *self.strict.entry(kind).or_default() += 1;
        }
    }
}

type Harm = fn(&HashSet<(u8, u8)>, u8, u32) -> bool;

/// Whether a healthy system pool is there before and none during or after. A pool is healthy if it has a usable node.
fn leaves_none(pairs: &HashSet<(u8, u8)>, beside: u8, _: u32) -> bool {
    pairs.iter().any(|(before, after)| beside + before > 0 && beside + after == 0)
}

/// Whether fewer usable nodes are left than the floor, and than there are before.
fn leaves_too_few(pairs: &HashSet<(u8, u8)>, beside: u8, floor: u32) -> bool {
    pairs.iter().any(|(before, after)| after < before && u32::from(beside + after) < floor)
}
