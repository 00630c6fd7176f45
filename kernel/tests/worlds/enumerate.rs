//! Which small worlds there are: all of them, with interchangeable pools taken once, or a sample. Never judges.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::judge::{Beside, Subject, Tally};
use crate::world::{Bounds, Nodes, Pool, State, Taints};

/// Worlds of a sample, of each number of pools.
const SAMPLED: u64 = 1500;

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let index = (mixed ^ (mixed >> 31)) % u64::try_from(all.len()).unwrap();
        &all[usize::try_from(index).unwrap()]
    }
}

/// A sample of worlds of one, two and three pools.
pub fn sample() -> Tally {
    let seed = std::env::var("NODEPOOL_WORLDS_SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let (subjects, held, others) = (Pool::subjects(), Pool::held(), Pool::others());
    // Of all pools beside a subject few would be worth anything if nothing were under way: the first is one.
    let worthy: Vec<Pool> = others.iter().filter(|pool| pool.is_open() && pool.nodes.usable > 0).copied().collect();
    let mut tally = Tally::default();
    for index in 0..SAMPLED {
        for beside in 0..3 {
            let subject = random.pick(if index % 20 == 0 { &held } else { &subjects });
            let mut pick = |index: u8| Beside::new(*random.pick(if index == 0 { &worthy } else { &others }));
            let others: Vec<Beside> = (0..beside).map(&mut pick).collect();
            tally.judge(&Subject::new(*subject), &others);
        }
    }
    tally
}

/// Every world.
///
/// Every pool is judged alone, and beside it each of a few telling subjects; pools beside which all steps get the same
/// verdicts and which may come to be worth the same are interchangeable. Then every subject is judged beside every one
/// of the pools that are not, and every system pool beside every two: a step on a user pool takes nothing from any.
pub fn everything() -> Tally {
    let mut tally = Tally::default();
    for held in Pool::held() {
        tally.judge(&Subject::new(held), &[]);
    }
    let (classes, told) = interchangeable();
    tally.add(told);
    let one: Vec<Vec<Beside>> = classes.iter().map(|first| vec![*first]).collect();
    let mut two: Vec<Vec<Beside>> = vec![];
    for (index, first) in classes.iter().enumerate() {
        two.extend(classes.iter().skip(index).map(|second| vec![*first, *second]));
    }
    tally.add(in_parallel(&Pool::subjects(), |pool, tally| {
        tally.judge(&Subject::new(*pool), &[]);
        let subject = Subject::beside_others(*pool);
        for others in one.iter().chain(two.iter().filter(|_| pool.system)) {
            tally.judge(&subject, others);
        }
    }));
    tally
}

/// One of each kind of pools that stand beside the subject.
fn interchangeable() -> (Vec<Beside>, Tally) {
    let subjects: Vec<Subject> = telling().into_iter().map(Subject::beside_others).collect();
    let others: Vec<(usize, Pool)> = Pool::others().into_iter().enumerate().collect();
    let found: Mutex<HashMap<_, (usize, Beside)>> = Mutex::new(HashMap::new());
    let tally = in_parallel(&others, |(index, pool), tally| {
        let other = Beside::new(*pool);
        let verdicts: Vec<Vec<u8>> = subjects.iter().map(|subject| tally.judge(subject, &[other])).collect();
        let mut found = found.lock().unwrap();
        let first = found.entry((verdicts, other.least)).or_insert((*index, other));
        // The first in order stands for its kind, whichever thread comes first.
        if *index < first.0 {
            *first = (*index, other);
        }
    });
    let mut classes: Vec<(usize, Beside)> = found.into_inner().unwrap().into_values().collect();
    classes.sort_by_key(|(index, _)| *index);
    (classes.into_iter().map(|(_, other)| other).collect(), tally)
}

/// Subjects whose verdicts depend on every number of nodes beside them.
fn telling() -> Vec<Pool> {
    let of = |state, usable, not_ready, unavailable| Pool {
        system: true,
        state,
        unavailable,
        count: usable + not_ready,
        bounds: None,
        nodes: Nodes { usable, not_ready, cordoned: 0, tainted: 0 },
        taints: Taints::None,
        own: None,
    };
    let surplus = Pool { count: 1, ..of(State::Failed, 2, 1, 0) };
    vec![
        of(State::Succeeded, 1, 0, 0),
        of(State::Succeeded, 2, 1, 0),
        of(State::Succeeded, 0, 1, 0),
        of(State::HalfUpgraded, 2, 0, 1),
        of(State::RemovalFailed, 2, 0, 0),
        Pool { system: false, ..of(State::Succeeded, 1, 0, 0) },
        surplus,
        Pool { bounds: Some(Bounds { min: 1, max: 3 }), ..of(State::Succeeded, 3, 0, 0) },
    ]
}

/// Does the work for each of `all`, by as many threads as there are processors.
fn in_parallel<T: Sync>(all: &[T], work: impl Fn(&T, &mut Tally) + Sync) -> Tally {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut total = Tally::default();
    std::thread::scope(|scope| {
        let shares = (0..threads).map(|thread| {
            let work = &work;
            scope.spawn(move || {
                let mut tally = Tally::default();
                // Neighbours take about as long, so that they are dealt out in turn.
                for each in all.iter().skip(thread).step_by(threads) {
                    work(each, &mut tally);
                }
                tally
            })
        });
        for thread in shares.collect::<Vec<_>>() {
            total.add(thread.join().unwrap());
        }
    });
    total
}
