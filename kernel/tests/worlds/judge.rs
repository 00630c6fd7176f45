//! Compares what the guard says with what the model says may happen. Never decides what to enumerate.

use std::collections::{BTreeMap, HashSet};

use nodepool_kernel::{Rule, Settings, guard};

use crate::model::{beside, guaranteed, guaranteed_beside, stepped};
use crate::show::subject_step;
use crate::world::{Pool, World, Write};

/// The floors that each step is judged with.
const FLOORS: [u32; 3] = [0, 1, 2];
const HIGHEST_FLOOR: u8 = 2;
/// Faults that are told in full.
const TOLD: usize = 3;

/// A pool that stands beside the subject, and the least that it may come to be worth.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    pub pool: Pool,
    pub least: Least,
}

/// What may be counted on at worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Least {
    usable: u8,
    /// Minimum or fixed count.
    guaranteed: u8,
}

impl Beside {
    pub fn new(pool: Pool) -> Self {
        // More than the highest floor makes no difference.
        let usable = beside(&pool).into_iter().min().unwrap().min(HIGHEST_FLOOR);
        Self { pool, least: Least { usable, guaranteed: guaranteed_beside(&pool).min(HIGHEST_FLOOR) } }
    }
}

/// What a step may do to its pool: what it is worth before, and during or after.
struct Outcomes {
    write: Write,
    as_is: Effect,
    /// The same, if the nodes that are out of order come back first.
    recovered: Effect,
}

struct Effect {
    usable: HashSet<(u8, u8)>,
    guaranteed: (u8, u8),
}

/// The pool that steps are made on.
pub struct Subject {
    pub pool: Pool,
    steps: Vec<Outcomes>,
}

impl Subject {
    /// With every step.
    pub fn new(pool: Pool) -> Self {
        Self::with(pool, pool.writes())
    }

    /// With every step whose verdict depends on what stands beside the pool. A label stands for the others: for all writes
    /// but an upgrade to a pool that is half upgraded, and for stops and taints that AKS takes on no system pool, all of
    /// which are refused; and for settings of upgrades that are not under way.
    pub fn beside_others(pool: Pool) -> Self {
        let depends = |write: &Write| match write {
            Write::Upgrade | Write::Delete | Write::Empty | Write::Drain(_) | Write::Label => true,
            Write::Stop | Write::Unavailable(_) => false,
            Write::Taints(to) => !to.repel() && !pool.is_half_upgraded(),
            _ => !pool.is_half_upgraded(),
        };
        Self::with(pool, pool.writes().into_iter().filter(depends).collect())
    }

    fn with(pool: Pool, writes: Vec<Write>) -> Self {
        let effect =
            |write, recovers| Effect { usable: stepped(&pool, write, recovers), guaranteed: guaranteed(&pool, write) };
        let outcomes = |write| Outcomes { write, as_is: effect(write, false), recovered: effect(write, true) };
        Self { pool, steps: writes.into_iter().map(outcomes).collect() }
    }
}

/// Why the guard refuses what could do no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strictness {
    /// Nodes of the pool that are out of order, or have not joined, may come back: then it would.
    MayComeBack,
    /// ARM counts no node in the pool.
    Empty,
    /// The autoscaler's maximum becomes less than there are nodes.
    Narrowed,
    /// The pool is stopped.
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
        let of = |least: fn(Least) -> u8| others.iter().map(|other| least(other.least)).sum();
        let beside = Least { usable: of(|least| least.usable), guaranteed: of(|least| least.guaranteed) };
        self.worlds += 1;
        let mut verdicts = vec![];
        for outcomes in &subject.steps {
            for floor in FLOORS {
                let required_add_ons = vec![];
                let settings = Settings { min_ready_system_nodes: floor, required_add_ons, ..Settings::default() };
                let refusal = guard(subject_step(&subject.pool, outcomes.write), &snapshot, &settings).err();
                // That the upgrade of a system pool asks for a node more than there are is no matter of capacity.
                let consents =
                    |rule: &Rule| outcomes.write != Write::Upgrade || *rule != Rule::SystemPodsWouldBeEvicted;
                let broken = refusal.iter().flat_map(|refusal| &refusal.broken).map(|broken| broken.rule);
                let rules: Vec<Rule> = broken.filter(consents).collect();
                self.steps += 1;
                self.compare(&world, outcomes, floor, beside, &rules);
                let named = |rule| u8::from(rules.contains(&rule));
                let capacity = named(Rule::LastHealthySystemPool) | named(Rule::SystemCapacityFloor) << 1;
                verdicts.push(capacity | u8::from(rules.is_empty()) << 2);
            }
        }
        verdicts
    }

    fn compare(&mut self, world: &World, outcomes: &Outcomes, floor: u32, beside: Least, rules: &[Rule]) {
        if rules.is_empty() {
            self.approved += 1;
            if !world.subject.takes(outcomes.write) {
                self.unsafe_approvals += 1;
                self.tell("a pool is written to that takes no such write", world, outcomes.write, floor, rules);
            } else if [leaves_none, leaves_too_few].iter().any(|harm| harm(&outcomes.as_is, beside, floor)) {
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
            if harm(&outcomes.as_is, beside, floor) {
                self.needed += 1;
                continue;
            }
            let kind = if harm(&outcomes.recovered, beside, floor) {
                Strictness::MayComeBack
            } else if narrows(&world.subject, outcomes.write) {
                Strictness::Narrowed
            } else if !world.subject.runs() {
                Strictness::Stopped
            } else if world.subject.count == 0 {
                Strictness::Empty
            } else {
                self.tell(&format!("refused by {rule:?}, and safe"), world, outcomes.write, floor, rules);
                Strictness::Unexplained
            };
            *self.strict.entry(kind).or_default() += 1;
        }
    }
}

/// Whether the autoscaler's maximum becomes less than the pool's count, and its minimum no less than it was.
fn narrows(pool: &Pool, write: Write) -> bool {
    let (Some(from), Write::Autoscale(Some(to))) = (pool.bounds, write) else { return false };
    to.max < pool.count && to.max < from.max && to.min >= from.min
}

type Harm = fn(&Effect, Least, u32) -> bool;

/// Whether a healthy system pool is there before and none during or after. A pool is healthy if it has a usable node.
fn leaves_none(effect: &Effect, beside: Least, _: u32) -> bool {
    effect.usable.iter().any(|(before, after)| beside.usable + before > 0 && beside.usable + after == 0)
}

/// Whether fewer usable nodes are left than the floor, and than there are before; or whether the counts come to less than
/// the floor, and than they do before.
fn leaves_too_few(effect: &Effect, beside: Least, floor: u32) -> bool {
    let is_low = |beside: u8, before: u8, after: u8| after < before && u32::from(beside + after) < floor;
    let (before, after) = effect.guaranteed;
    is_low(beside.guaranteed, before, after)
        || effect.usable.iter().any(|(before, after)| is_low(beside.usable, *before, *after))
}
