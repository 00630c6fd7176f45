//! Which replica may write, and until when. Never compares clocks of two machines, and never lets a write begin that could
//! outlast the lease.

mod election;
mod gate;
mod permit;
mod record;
mod terms;

pub use election::{Election, Ended};
pub use gate::WriteGate;
pub use permit::{Leadership, NotLeading, Permit, TooLate};
pub use terms::{Terms, TermsError};
