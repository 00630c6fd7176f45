//! Small clusters as plain values: up to three pools of up to three nodes. Never knows the kernel's types.

/// The first pool is the one that a step is made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    pub subject: Pool,
    pub others: Vec<Pool>,
}

/// A pool before the write that is under way on it, if one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pool {
    pub system: bool,
    pub state: State,
    /// `maxUnavailable`.
    pub unavailable: u8,
    /// ARM's count; more or fewer nodes may have joined.
    pub count: u8,
    /// The autoscaler's, if it is on.
    pub bounds: Option<Bounds>,
    pub nodes: Nodes,
    /// Held by ARM and carried by the nodes.
    pub taints: Taints,
    pub own: Option<Own>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Succeeded,
    Failed,
    /// The last operation took nodes away, or the pool, and failed.
    RemovalFailed,
    /// ARM blames an upgrade, and no node shows one.
    UpgradeFailed,
    /// An upgrade was aborted: another version was asked for than runs.
    HalfUpgraded,
    /// An upgrade failed: nodes of two versions run.
    Mixed,
    Stopped,
    /// A stop failed half-way: ARM calls the pool stopped, and nodes may be there still.
    StopFailed,
    /// Somebody else's operation.
    Busy(&'static str),
}

/// How many nodes there are of each kind; nodes of one kind are interchangeable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nodes {
    pub usable: u8,
    pub not_ready: u8,
    pub cordoned: u8,
    pub tainted: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Taints {
    None,
    /// `CriticalAddonsOnly`, which add-ons tolerate.
    Addons,
    NoSchedule,
    NoExecute,
}

/// The fewest and the most nodes that the autoscaler leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub min: u8,
    pub max: u8,
}

/// A write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    Demote,
    Promote,
    Scale(u8),
    Taints(Taints),
    Label,
    Repair,
    /// All nodes get a newer version.
    Upgrade,
    /// `maxUnavailable`.
    Unavailable(u8),
    /// The autoscaler is turned on or off, or gets other bounds.
    Autoscale(Option<Bounds>),
    Delete,
    /// All machines are stopped.
    Stop,
    /// The machines of a stopped pool are started.
    Start,
    /// So many usable nodes are cordoned, to be removed.
    Drain(u8),
    /// All nodes that are not yet are cordoned, before the pool is deleted.
    Empty,
}

/// A write of the operator's that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Own {
    pub write: Write,
    /// Whether ARM shows it already: the pool is busy and as it is to be. Otherwise ARM still shows what was.
    pub shown: bool,
}

pub const AT_REST: [State; 6] =
    [State::Succeeded, State::Failed, State::RemovalFailed, State::UpgradeFailed, State::HalfUpgraded, State::Mixed];
pub const FOREIGN: [State; 8] = [
    State::Stopped,
    State::StopFailed,
    State::Busy("Updating"),
    State::Busy("Scaling"),
    State::Busy("Upgrading"),
    State::Busy("Deleting"),
    State::Busy("Stopping"),
    State::Busy("Starting"),
];
const MOST: u8 = 3;
/// AKS takes no minimum below one for a system pool.
const BOUNDS: [Bounds; 3] = [Bounds { min: 1, max: 3 }, Bounds { min: 1, max: 2 }, Bounds { min: 2, max: 3 }];

impl Nodes {
    pub fn number(self) -> u8 {
        self.usable + self.not_ready + self.cordoned + self.tainted
    }

    /// All numbers of each kind, up to three nodes together.
    fn all() -> Vec<Self> {
        let upto = |left: u8| 0..=left;
        let mut all = vec![];
        for usable in upto(MOST) {
            for not_ready in upto(MOST - usable) {
                for cordoned in upto(MOST - usable - not_ready) {
                    let rest = upto(MOST - usable - not_ready - cordoned);
                    all.extend(rest.map(|tainted| Self { usable, not_ready, cordoned, tainted }));
                }
            }
        }
        all
    }
}

impl Taints {
    /// Whether they keep away pods that tolerate `CriticalAddonsOnly` only.
    pub fn repel(self) -> bool {
        matches!(self, Self::NoSchedule | Self::NoExecute)
    }
}

impl Pool {
    /// Whether ARM takes the write: nobody's operation runs on the pool, and one whose machines do not run is started,
    /// stopped once more or deleted only.
    pub fn takes(&self, write: Write) -> bool {
        let fits = match self.state {
            State::Stopped => matches!(write, Write::Start | Write::Delete),
            State::StopFailed => matches!(write, Write::Start | Write::Stop | Write::Delete),
            State::Busy(_) => false,
            _ => write != Write::Start,
        };
        fits && self.own.is_none()
    }

    /// Whether an upgrade has stopped half-way, so that any write would go on with it.
    pub fn is_half_upgraded(&self) -> bool {
        matches!(self.state, State::HalfUpgraded | State::UpgradeFailed | State::Mixed)
    }

    /// Whether ARM says that its machines run.
    pub fn runs(&self) -> bool {
        !matches!(self.state, State::Stopped | State::StopFailed)
    }

    /// Every pool with nothing of ours under way. `taints` are those that it may have.
    fn all(states: &[State], taints: &[Taints]) -> Vec<Self> {
        let mut all = vec![];
        for &state in states {
            // What is upgraded, or was to be, takes nodes away at once or does not; `Succeeded` stands for what failed otherwise.
            let rolls = matches!(state, State::Succeeded | State::HalfUpgraded | State::UpgradeFailed | State::Mixed);
            for unavailable in 0..=u8::from(rolls) {
                for nodes in Nodes::all() {
                    for count in 0..=MOST {
                        for &taints in taints {
                            let of = |system| Self {
                                system,
                                state,
                                unavailable,
                                count,
                                bounds: None,
                                nodes,
                                taints,
                                own: None,
                            };
                            let possible = state != State::Mixed || nodes.number() > 1;
                            all.extend([true, false].map(of).into_iter().filter(|_| possible));
                        }
                    }
                }
            }
        }
        all
    }

    /// Every pool that a step can be made on.
    pub fn subjects() -> Vec<Self> {
        let mut all = Self::all(&AT_REST, &[Taints::None, Taints::Addons, Taints::NoSchedule]);
        // AKS shows a stopped pool without nodes; two of each number stand for the others.
        let is_plain = |pool: &Self| pool.nodes.cordoned + pool.nodes.tainted == 0 && pool.nodes.number() < 3;
        let stopped = Self::all(&[State::Stopped, State::StopFailed], &[Taints::None]);
        all.extend(stopped.into_iter().filter(|pool| is_plain(pool) && pool.count % 3 == 0));
        all.extend(Self::autoscaled(&[State::Succeeded, State::Failed, State::HalfUpgraded]));
        all
    }

    /// Whether it is a system pool that no taint keeps add-ons away from.
    pub fn is_open(&self) -> bool {
        self.system && !self.taints.repel()
    }

    /// Pools whose autoscaler is on. Taints and user pools of all kinds are among those without one.
    fn autoscaled(states: &[State]) -> Vec<Self> {
        let all = Self::all(states, &[Taints::None]).into_iter();
        let whole = all.filter(|pool| pool.count > 0 && pool.unavailable == 0);
        let is_told = |pool: &Self| pool.system || pool.state == State::Succeeded;
        whole.filter(is_told).flat_map(|pool| BOUNDS.map(|bounds| Self { bounds: Some(bounds), ..pool })).collect()
    }

    /// Every pool that is busy by another hand, stopped, or has a write of ours under way.
    pub fn held() -> Vec<Self> {
        let taints = [Taints::None, Taints::NoSchedule];
        let states = [&AT_REST[..], &[State::Stopped, State::StopFailed]].concat();
        let scaled = Self::autoscaled(&[State::Succeeded, State::Failed]);
        // What is worth nothing before a write is told of pools that are well otherwise.
        let is_told = |pool: &Self| pool.state == State::Succeeded || !pool.runs() || pool.is_open();
        let written = Self::all(&states, &taints).into_iter().chain(scaled).filter(is_told).flat_map(Pool::with_writes);
        let busy = Self::autoscaled(&[State::Busy("Scaling")]);
        Self::all(&FOREIGN, &taints).into_iter().chain(busy).chain(written).collect()
    }

    /// Every pool that may stand beside the one that a step is made on.
    pub fn others() -> Vec<Self> {
        let mut all = Self::all(&AT_REST, &[Taints::None, Taints::NoSchedule]);
        all.extend(Self::autoscaled(&AT_REST));
        all.extend(Self::held());
        all
    }

    /// The pool with each kind of write under way, not yet shown and shown.
    fn with_writes(self) -> impl Iterator<Item = Self> {
        let writes = self.writes().into_iter().filter(move |write| {
            // One taint that repels stands for the other, one count up for all, and user pools only gain or lose a mode.
            let gains_many = matches!(write, Write::Scale(to) if *to > self.count + 1);
            let plain = matches!(write, Write::Label | Write::Promote | Write::Repair | Write::Delete | Write::Stop);
            // What is beyond a maximum goes no further than to the minimum.
            let is_narrow = matches!(write, Write::Autoscale(Some(to)) if self.bounds.is_none() && to.max < MOST);
            // An upgrade on another pool counts as all nodes at once.
            let is_told = matches!(write, Write::Upgrade | Write::Unavailable(_)) && self.unavailable > 0;
            // `maxUnavailable` is for upgrades only.
            let is_same = self.state == State::Succeeded && self.unavailable > 0;
            // A cordon is made at once.
            let is_drain = matches!(write, Write::Drain(_) | Write::Empty);
            // ARM takes nothing else for a pool that does not run, and what is deleted or stopped does not come back.
            let may_be_under_way = if self.runs() { *write != Write::Start } else { *write == Write::Start };
            may_be_under_way
                && !is_narrow
                && !is_told
                && !is_same
                && !is_drain
                && *write != Write::Taints(Taints::NoExecute)
                && !gains_many
                && (self.system || plain)
        });
        let each = writes.flat_map(|write| [true, false].map(|shown| Own { write, shown }));
        each.filter(move |own| !self.hides(*own)).map(move |own| Self { own: Some(own), ..self })
    }

    /// Whether ARM, once it shows the write, shows no more that the pool's last operation was a removal of everything or
    /// an upgrade that failed: nobody could know.
    fn hides(self, own: Own) -> bool {
        own.shown && matches!(self.state, State::RemovalFailed | State::UpgradeFailed)
    }

    /// Every write that changes something.
    pub fn writes(&self) -> Vec<Write> {
        let mode = if self.system { Write::Demote } else { Write::Promote };
        // The number of nodes of an autoscaled pool is the autoscaler's.
        let is_fixed = self.bounds.is_none();
        let counts = (0..=MOST).filter(|to| is_fixed && *to != self.count).map(Write::Scale);
        let bounds = BOUNDS.map(Some).into_iter().chain([None]).filter(|to| *to != self.bounds).map(Write::Autoscale);
        let taints = [Taints::None, Taints::Addons, Taints::NoSchedule, Taints::NoExecute];
        let taints = taints.into_iter().filter(|to| *to != self.taints).map(Write::Taints);
        let failed = matches!(self.state, State::Failed | State::RemovalFailed | State::UpgradeFailed | State::Mixed);
        let may_stop = self.runs() || self.state == State::StopFailed;
        let power = [may_stop.then_some(Write::Stop), (!self.runs()).then_some(Write::Start)];
        let upgrade = self.runs().then_some([Write::Upgrade, Write::Unavailable(1 - self.unavailable)]);
        let rest = [Some(mode), Some(Write::Label), failed.then_some(Write::Repair)].into_iter().chain(power);
        let rest = rest.chain(upgrade.into_iter().flatten().map(Some));
        let drains = (1..=self.nodes.usable.min(self.count)).filter(|_| is_fixed).map(Write::Drain);
        let may_empty = is_fixed && self.runs() && self.nodes.number() > self.nodes.cordoned;
        let deletion = [Some(Write::Delete), may_empty.then_some(Write::Empty)].into_iter().flatten();
        rest.flatten().chain(counts).chain(taints).chain(deletion).chain(drains).chain(bounds).collect()
    }
}
