//! Taints and tolerations with the meaning that the scheduler and the taint manager give them. Never talks to either.

use std::fmt;
use std::str::FromStr;

/// Prefix of the label and taint keys that AKS keeps to itself.
pub const AKS_PREFIX: &str = "kubernetes.azure.com/";

/// The node label by which AKS marks the nodes of system pools (`system`) and of other pools (`user`).
pub const MODE_LABEL: &str = "kubernetes.azure.com/mode";

/// The taint key that AKS's own add-ons tolerate and that marks pools for them.
pub const CRITICAL_ADDONS_ONLY: &str = "CriticalAddonsOnly";

/// What a taint does to pods that do not tolerate it (`core/v1` `TaintEffect`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaintEffect {
    /// New pods are kept away.
    NoSchedule,
    /// New pods are kept away if there is another place.
    PreferNoSchedule,
    /// New pods are kept away and running ones are evicted, without asking disruption budgets.
    NoExecute,
}

/// A taint (`core/v1` `Taint` without `timeAdded`). Displays and parses in ARM's form `key=value:Effect`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taint {
    /// The key, for example `CriticalAddonsOnly`.
    pub key: String,
    /// The value; empty when there is none.
    pub value: String,
    /// What happens to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// Why a text is not a taint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaintError {
    text: String,
}

impl fmt::Display for TaintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "taint {:?} is not of the form key=value:Effect with effect NoSchedule, PreferNoSchedule or NoExecute",
            self.text
        )
    }
}

impl std::error::Error for TaintError {}

impl Taint {
    /// A taint of its three parts; an empty value means none.
    pub fn new(key: impl Into<String>, value: impl Into<String>, effect: TaintEffect) -> Self {
        Self { key: key.into(), value: value.into(), effect }
    }

    /// Whether AKS writes and keeps this taint itself (for example on spot pools); policies neither own nor drop it.
    #[must_use]
    pub fn belongs_to_aks(&self) -> bool {
        self.key.starts_with(AKS_PREFIX)
    }

    /// Whether AKS accepts the taint on a system pool: only `CriticalAddonsOnly`, or the effect `PreferNoSchedule`
    /// (error `SystemPoolHasRestrictedTaint`).
    #[must_use]
    pub fn allowed_on_system_pool(&self) -> bool {
        self.key == CRITICAL_ADDONS_ONLY || self.effect == TaintEffect::PreferNoSchedule || self.belongs_to_aks()
    }

    /// Whether the taint keeps away a pod that tolerates `CriticalAddonsOnly` and nothing else.
    #[must_use]
    pub fn repels_system_pods(&self) -> bool {
        self.key != CRITICAL_ADDONS_ONLY && self.effect != TaintEffect::PreferNoSchedule
    }

    /// Whether Kubernetes sets the taint while a node has a condition and removes it afterwards by itself.
    #[must_use]
    pub fn passes_by_itself(&self) -> bool {
        let lasts = ["node.kubernetes.io/unschedulable", "node.kubernetes.io/out-of-service"];
        let by_kubernetes = ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/"];
        by_kubernetes.iter().any(|prefix| self.key.starts_with(prefix)) && !lasts.contains(&self.key.as_str())
    }
}

impl fmt::Display for TaintEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        })
    }
}

impl FromStr for TaintEffect {
    type Err = TaintError;

    fn from_str(text: &str) -> Result<Self, TaintError> {
        [Self::NoSchedule, Self::PreferNoSchedule, Self::NoExecute]
            .into_iter()
            .find(|effect| effect.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| TaintError { text: text.to_owned() })
    }
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            write!(f, "{}:{}", self.key, self.effect)
        } else {
            write!(f, "{}={}:{}", self.key, self.value, self.effect)
        }
    }
}

impl FromStr for Taint {
    type Err = TaintError;

    fn from_str(text: &str) -> Result<Self, TaintError> {
        let malformed = || TaintError { text: text.to_owned() };
        let (pair, effect) = text.rsplit_once(':').ok_or_else(malformed)?;
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key.is_empty() {
            return Err(malformed());
        }
        Ok(Self::new(key, value, effect.parse().map_err(|_| malformed())?))
    }
}

/// How a toleration compares the value (`core/v1` `TolerationOperator`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TolerationOperator {
    /// The value must be equal.
    Equal,
    /// Any value matches.
    Exists,
    /// An operator that this version does not know; it tolerates nothing.
    Other(String),
}

/// A pod's toleration (`core/v1` `Toleration`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Toleration {
    /// The key; `None` with `Exists` matches every taint.
    pub key: Option<String>,
    /// How the value is compared.
    pub operator: TolerationOperator,
    /// The value for `Equal`.
    pub value: String,
    /// The effect; `None` matches every effect.
    pub effect: Option<TaintEffect>,
    /// Whether `NoExecute` is tolerated only for some seconds (`tolerationSeconds`).
    pub limited: bool,
}

impl Toleration {
    /// Whether the toleration matches the taint (upstream `Toleration.ToleratesTaint`).
    #[must_use]
    pub fn matches(&self, taint: &Taint) -> bool {
        let effect = self.effect.is_none_or(|effect| effect == taint.effect);
        let key = match self.key.as_deref() {
            None | Some("") => self.operator == TolerationOperator::Exists,
            Some(key) => key == taint.key,
        };
        let value = match self.operator {
            TolerationOperator::Exists => true,
            TolerationOperator::Equal => self.value == taint.value,
            TolerationOperator::Other(_) => false,
        };
        effect && key && value
    }

    /// Whether a running pod with this toleration stays for good: a match with `tolerationSeconds` is evicted later.
    #[must_use]
    pub fn stays_under(&self, taint: &Taint) -> bool {
        self.matches(taint) && !(self.limited && taint.effect == TaintEffect::NoExecute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toleration(key: Option<&str>, operator: TolerationOperator, value: &str) -> Toleration {
        Toleration { key: key.map(str::to_owned), operator, value: value.to_owned(), effect: None, limited: false }
    }

    #[test]
    fn taints_parse_and_print_in_the_form_of_arm() {
        for text in ["team=apps:NoSchedule", "teamcity/server:NoSchedule", "a=b=c:PreferNoSchedule"] {
            assert_eq!(text.parse::<Taint>().unwrap().to_string(), text);
        }
        assert_eq!("k=:noexecute".parse::<Taint>().unwrap(), Taint::new("k", "", TaintEffect::NoExecute));
        for text in ["", "k", "k=v", "k=v:Never", "=v:NoSchedule", ":NoSchedule"] {
            let error = text.parse::<Taint>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("taint {text:?} is not of the form key=value:Effect")), "{error}");
        }
    }

    #[test]
    fn tolerations_match_as_the_scheduler_does() {
        let taint = Taint::new("k", "v", TaintEffect::NoExecute);
        assert!(toleration(Some("k"), TolerationOperator::Equal, "v").matches(&taint));
        assert!(!toleration(Some("k"), TolerationOperator::Equal, "w").matches(&taint));
        assert!(toleration(Some("k"), TolerationOperator::Exists, "").matches(&taint));
        assert!(toleration(None, TolerationOperator::Exists, "").matches(&taint));
        assert!(!toleration(None, TolerationOperator::Equal, "v").matches(&taint));
        assert!(!toleration(Some("k"), TolerationOperator::Other("Lt".into()), "v").matches(&taint));
        let other_effect =
            Toleration { effect: Some(TaintEffect::NoSchedule), ..toleration(None, TolerationOperator::Exists, "") };
        assert!(!other_effect.matches(&taint));
    }

    #[test]
    fn a_toleration_for_some_seconds_does_not_let_a_pod_stay() {
        let taint = Taint::new("k", "v", TaintEffect::NoExecute);
        let limited = Toleration { limited: true, ..toleration(Some("k"), TolerationOperator::Exists, "") };
        assert!(limited.matches(&taint) && !limited.stays_under(&taint));
    }

    #[test]
    fn only_critical_addons_and_soft_taints_are_allowed_on_system_pools() {
        for (text, allowed) in [
            ("CriticalAddonsOnly=true:NoSchedule", true),
            ("CriticalAddonsOnly=true:NoExecute", true),
            ("team=apps:PreferNoSchedule", true),
            ("team=apps:NoSchedule", false),
            ("team=apps:NoExecute", false),
        ] {
            let taint: Taint = text.parse().unwrap();
            assert_eq!(taint.allowed_on_system_pool(), allowed, "{text}");
            assert_eq!(taint.repels_system_pods(), !allowed, "{text}");
        }
    }
}
