//! What two replicas, their lease, the network and ARM can do, one small thing at a time. Never judges a step by itself: that is
//! the guard's.

use nodepool_kernel::{Settings, guard};
use stateright::{Model, Property};

use crate::show::subject_step;
use crate::world::{Nodes, Own, Pool, State as Shown, Taints, World, Write};

/// The property that the floor holds.
pub const FLOOR: &str = "the floor of usable system nodes holds";
/// The property that never two replicas lead.
pub const ONE_LEADER: &str = "never two replicas lead";

const POOLS: usize = 3;
/// Each pool has one node.
const LEAST: usize = 1;

/// The model: what may go wrong, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas {
    /// Whether ARM rejects a write for a version of the pool that is not its present one.
    pub etags: bool,
    pub crashes: u8,
    /// Requests and answers that are lost, and answers that come too late.
    pub losses: u8,
    /// Operations that fail.
    pub failures: u8,
    /// What is left out of the protocol.
    pub flaw: Option<Flaw>,
}

/// A part of the protocol that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Another replica takes the lease while its holder may still write.
    TakenTooEarly,
    /// What was sent may be handled after the lease has run out.
    LateBeyondTheLease,
    /// The lease is given back while a write may still be handled.
    ReleasedWithAnUnknownOutcome,
    /// A process that begins anew under the same name does not wait for the lease to run out.
    OneThatCrashedGoesOnAtOnce,
    /// What was given up may be handled after the pool was looked at again. This is none of the protocol's doing: that a request
    /// is handled by then, or never, is taken for granted.
    HandledAfterTheNextLook,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pools: [Arm; POOLS],
    lease: Lease,
    replicas: [Replica; 2],
    /// Requests on their way.
    network: Vec<Request>,
    crashes: u8,
    losses: u8,
    failures: u8,
}

/// A pool in ARM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Arm {
    system: bool,
    wish: Write,
    /// Whether the wish is being carried out.
    busy: bool,
    done: bool,
    version: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lease {
    Free,
    /// The time of the holder has not run out, however it fares.
    Held(usize),
    /// It has.
    RunOut(usize),
}

/// A replica's memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Replica {
    leads: bool,
    /// Pools that it has written, without having seen what came of it.
    unseen: [bool; POOLS],
    /// The step that was approved on the last look, with the version of its pool.
    approved: Option<(usize, u8)>,
    /// The pool whose write it waits for.
    waits: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    from: usize,
    pool: usize,
    version: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The holder's time is over: it has renewed its lease too late, or not at all.
    RunOut,
    Take(usize),
    GiveBack(usize),
    Crash(usize),
    /// Reads ARM, and asks the guard about the wish for a pool.
    Look(usize, usize),
    Send(usize),
    /// ARM handles a request; its answer arrives, or is lost.
    Handle(Request, bool),
    Lose(Request),
    GiveUpWaiting(usize),
    /// The replica looks at a pool that it has written: nothing of its write is under way any more.
    See(usize, usize),
    Finish(usize, bool),
}

impl Arm {
    /// Whether its node counts as a usable system node at worst.
    fn is_worth(self) -> bool {
        self.system && !(self.busy && self.wish == Write::Demote)
    }

    /// As a replica sees it.
    fn seen(self, unseen: bool) -> Pool {
        let own = |shown| Some(Own { write: self.wish, shown });
        let (state, own) = match (self.busy, unseen) {
            (true, true) => (Shown::Succeeded, own(true)),
            (true, false) => (Shown::Busy("Updating"), None),
            (false, true) if !self.done => (Shown::Succeeded, own(false)),
            (false, _) => (Shown::Succeeded, None),
        };
        // Somebody else's operation shows the mode that is to be; nodes carry that of a system pool only when it is done.
        let system = if own.is_some() { self.system } else { self.is_worth() };
        let nodes = Nodes { usable: 1, not_ready: 0, cordoned: 0, tainted: 0 };
        Pool { system, state, unavailable: 0, count: 1, bounds: None, nodes, taints: Taints::None, own }
    }
}

impl State {
    fn usable(&self) -> usize {
        self.pools.iter().filter(|pool| pool.is_worth()).count()
    }

    /// Whether the guard approves the wish for the pool on what the replica sees.
    fn is_approved(&self, replica: &Replica, pool: usize) -> bool {
        let seen = |index: usize| self.pools[index].seen(replica.unseen[index]);
        let others = (0..POOLS).filter(|other| *other != pool).map(seen).collect();
        let world = World { subject: seen(pool), others };
        let settings = Settings { min_ready_system_nodes: 1, required_add_ons: vec![], ..Settings::default() };
        guard(subject_step(&world.subject, self.pools[pool].wish), &world.snapshot(), &settings).is_ok()
    }

    fn forget(&mut self, replica: usize) {
        self.replicas[replica] = Replica::default();
    }

    /// ARM handles a request; tells whether it began an operation.
    fn handle(&mut self, request: Request, etags: bool) -> bool {
        let pool = &mut self.pools[request.pool];
        if pool.busy || pool.done || etags && pool.version != request.version {
            return false;
        }
        pool.busy = true;
        pool.version += 1;
        true
    }
}

impl Replicas {
    fn actions_of(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let replica = &state.replicas[index];
        if !replica.leads {
            let may = match state.lease {
                Lease::Free | Lease::RunOut(_) => true,
                Lease::Held(holder) if holder == index => self.flaw == Some(Flaw::OneThatCrashedGoesOnAtOnce),
                Lease::Held(_) => self.flaw == Some(Flaw::TakenTooEarly),
            };
            actions.extend(may.then_some(Action::Take(index)));
            return;
        }
        actions.extend((state.crashes > 0).then_some(Action::Crash(index)));
        for pool in (0..POOLS).filter(|pool| replica.unseen[*pool]) {
            actions.extend((!state.pools[pool].busy).then_some(Action::See(index, pool)));
        }
        if replica.waits.is_some() {
            actions.extend((state.losses > 0).then_some(Action::GiveUpWaiting(index)));
            return;
        }
        if replica.approved.is_some() {
            actions.push(Action::Send(index));
            return;
        }
        let is_clean = replica.unseen == [false; POOLS];
        let may = is_clean || self.flaw == Some(Flaw::ReleasedWithAnUnknownOutcome);
        actions.extend(may.then_some(Action::GiveBack(index)));
        let open = (0..POOLS).filter(|pool| !state.pools[*pool].done && !state.pools[*pool].busy);
        actions.extend(open.filter(|pool| !replica.unseen[*pool]).map(|pool| Action::Look(index, pool)));
    }
}

impl Model for Replicas {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let pool = |system, wish| Arm { system, wish, busy: false, done: false, version: 0 };
        let pools = [pool(true, Write::Demote), pool(true, Write::Demote), pool(false, Write::Promote)];
        vec![State {
            pools,
            lease: Lease::Free,
            replicas: [Replica::default(); 2],
            network: vec![],
            crashes: self.crashes,
            losses: self.losses,
            failures: self.failures,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if matches!(state.lease, Lease::Held(_)) {
            actions.push(Action::RunOut);
        }
        for index in 0..2 {
            self.actions_of(state, index, actions);
        }
        for request in &state.network {
            actions.push(Action::Handle(*request, true));
            if state.losses > 0 {
                actions.extend([Action::Handle(*request, false), Action::Lose(*request)]);
            }
        }
        for (pool, _) in state.pools.iter().enumerate().filter(|(_, pool)| pool.busy) {
            actions.push(Action::Finish(pool, true));
            actions.extend((state.failures > 0).then_some(Action::Finish(pool, false)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::RunOut => {
                let Lease::Held(holder) = state.lease else { return None };
                state.lease = Lease::RunOut(holder);
                state.forget(holder);
                if self.flaw != Some(Flaw::LateBeyondTheLease) {
                    state.network.retain(|request| request.from != holder);
                }
            }
            Action::Take(replica) => {
                state.lease = Lease::Held(replica);
                state.forget(replica);
                state.replicas[replica].leads = true;
            }
            Action::GiveBack(replica) => {
                state.lease = Lease::Free;
                state.forget(replica);
            }
            Action::Crash(replica) => {
                state.crashes -= 1;
                state.forget(replica);
            }
            Action::Look(replica, pool) => {
                if !state.is_approved(&state.replicas[replica], pool) {
                    return None;
                }
                state.replicas[replica].approved = Some((pool, state.pools[pool].version));
            }
            Action::Send(from) => {
                let (pool, version) = state.replicas[from].approved.take()?;
                state.replicas[from].waits = Some(pool);
                state.network.push(Request { from, pool, version });
                state.network.sort_unstable();
            }
            Action::Handle(request, is_answered) => {
                let position = state.network.iter().position(|it| *it == request)?;
                state.network.remove(position);
                let began = state.handle(request, self.etags);
                let sender = &mut state.replicas[request.from];
                if is_answered && sender.waits == Some(request.pool) {
                    sender.waits = None;
                    sender.unseen[request.pool] |= began;
                }
                state.losses -= u8::from(!is_answered);
            }
            Action::Lose(request) => {
                state.network.retain(|it| *it != request);
                state.losses -= 1;
            }
            Action::GiveUpWaiting(replica) => {
                let pool = state.replicas[replica].waits.take()?;
                state.replicas[replica].unseen[pool] = true;
                state.losses -= 1;
            }
            Action::See(replica, pool) => {
                state.replicas[replica].unseen[pool] = false;
                if self.flaw != Some(Flaw::HandledAfterTheNextLook) {
                    state.network.retain(|request| (request.from, request.pool) != (replica, pool));
                }
            }
            Action::Finish(pool, succeeds) => {
                let pool = &mut state.pools[pool];
                (pool.busy, pool.done) = (false, succeeds);
                pool.system = if succeeds { pool.wish == Write::Promote } else { pool.system };
                pool.version += 1;
                state.failures -= u8::from(!succeeds);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(FLOOR, |_, state: &State| state.usable() >= LEAST),
            Property::always(ONE_LEADER, |_, state: &State| !state.replicas.iter().all(|replica| replica.leads)),
            Property::sometimes("what can be done is done", |_, state: &State| {
                state.pools.iter().all(|pool| pool.done)
            }),
            Property::sometimes("the second replica goes on with what the first began", |_, state: &State| {
                state.pools[0].busy && state.replicas[1].leads && state.replicas[1].unseen[1]
            }),
        ]
    }
}
