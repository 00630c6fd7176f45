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

/// A write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    Demote,
    Promote,
    Scale(u8),
    Taints(Taints),
    Label,
    Repair,
    Delete,
    /// So many usable nodes are cordoned, to be removed.
    Drain(u8),
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
pub const FOREIGN: [State; 6] = [
    State::Stopped,
    State::Busy("Updating"),
    State::Busy("Scaling"),
    State::Busy("Upgrading"),
    State::Busy("Deleting"),
    State::Busy("Stopping"),
];
const MOST: u8 = 3;

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
    /// Whether somebody's operation runs on it or it has been stopped.
    pub fn is_free(&self) -> bool {
        AT_REST.contains(&self.state) && self.own.is_none()
    }

    /// Every pool with nothing of ours under way. `taints` are those that it may have.
    fn all(states: &[State], taints: &[Taints]) -> Vec<Self> {
        let mut all = vec![];
        for &state in states {
            let rolls = matches!(state, State::HalfUpgraded | State::UpgradeFailed | State::Mixed);
            for unavailable in 0..=u8::from(rolls) {
                for nodes in Nodes::all() {
                    for count in 0..=MOST {
                        for &taints in taints {
                            let of = |system| Self { system, state, unavailable, count, nodes, taints, own: None };
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
        Self::all(&AT_REST, &[Taints::None, Taints::Addons, Taints::NoSchedule])
    }

    /// Every pool that is busy by another hand, stopped, or has a write of ours under way.
    pub fn held() -> Vec<Self> {
        let taints = [Taints::None, Taints::NoSchedule];
        let written = Self::all(&AT_REST, &taints).into_iter().flat_map(Pool::with_writes);
        Self::all(&FOREIGN, &taints).into_iter().chain(written).collect()
    }

    /// Every pool that may stand beside the one that a step is made on.
    pub fn others() -> Vec<Self> {
        let mut all = Self::all(&AT_REST, &[Taints::None, Taints::NoSchedule]);
        all.extend(Self::held());
        all
    }

    /// The pool with each kind of write under way, not yet shown and shown.
    fn with_writes(self) -> impl Iterator<Item = Self> {
        let writes = self.writes().into_iter().filter(move |write| {
            // One taint that repels stands for the other, one count up for all, and user pools only gain or lose a mode.
            let gains_many = matches!(write, Write::Scale(to) if *to > self.count + 1);
            let plain = matches!(write, Write::Label | Write::Promote | Write::Repair | Write::Delete);
            // A cordon is made at once.
            let is_drain = matches!(write, Write::Drain(_));
            !is_drain && *write != Write::Taints(Taints::NoExecute) && !gains_many && (self.system || plain)
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
        let counts = (0..=MOST).filter(|to| *to != self.count).map(Write::Scale);
        let taints = [Taints::None, Taints::Addons, Taints::NoSchedule, Taints::NoExecute];
        let taints = taints.into_iter().filter(|to| *to != self.taints).map(Write::Taints);
        let failed = matches!(self.state, State::Failed | State::RemovalFailed | State::UpgradeFailed | State::Mixed);
        let rest = [Some(mode), Some(Write::Label), failed.then_some(Write::Repair)];
        let drains = (1..=self.nodes.usable.min(self.count)).map(Write::Drain);
        rest.into_iter().flatten().chain(counts).chain(taints).chain([Write::Delete]).chain(drains).collect()
    }
}
