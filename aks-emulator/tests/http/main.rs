//! The emulator over real HTTP, each test on its own port and without Kubernetes.

#[cfg(test)]
mod azure_cli;
#[cfg(test)]
mod budgets;
#[cfg(test)]
mod catalogue;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod description;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod machines;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod overview;
mod permissions;
#[cfg(test)]
mod power;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod retry_after;
#[cfg(test)]
mod rolling;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod staged;
#[cfg(test)]
mod state;
#[cfg(test)]
mod support;
#[cfg(test)]
mod surface;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod wire;
