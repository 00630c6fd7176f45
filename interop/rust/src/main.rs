//! Drives node pools with the Rust crate `azure_mgmt_containerservice`, and measures what the crate cannot do; ends at
//! the first difference. Never stands in for what the crate lacks: it has no poller, so the pool itself is read.

mod connection;
mod crate_pools;
mod lost;
mod pools;
mod wire;

use std::error::Error;
use std::fmt::Debug;
use std::process::ExitCode;

use crate_pools::Pools;
use wire::Wire;

type Problem = Box<dyn Error + Send + Sync>;
type Outcome = Result<(), Problem>;

/// Runs one step after the other, and tells how each ended.
macro_rules! steps {
    ($($name:literal => $step:expr),+ $(,)?) => {
        $(if let Err(problem) = $step.await {
            println!("FAILED rust: {}", $name);
            return Err(problem);
        }
        println!("ok rust: {}", $name);)+
    };
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("retired") => retired().await,
        _ => all().await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn retired() -> Outcome {
    let pools = Pools::connect()?;
    steps! {
        "the crate's newest api-version is refused, as it is retired" => pools::retired(&pools),
    }
    Ok(())
}

async fn all() -> Outcome {
    let (pools, wire) = (Pools::connect()?, Wire::new()?);
    steps! {
        "list clusters of the subscription and of the resource group" => pools::list_clusters(&pools),
        "list pools, page after page" => pools::list(&pools),
        "create pool blue and read it until it is there" => pools::create(&pools),
        "get pool blue, with the service's defaults" => pools::get(&pools),
        "update labels and taints of pool blue by read, change, write" => pools::update(&pools),
        "scale pool blue out and in" => pools::scale(&pools, &wire),
        "read what pool old could be upgraded to" => pools::versions(&pools),
        "upgrade the version of pool old" => pools::upgrade(&pools),
        "upgrade the node image of pool apps" => pools::upgrade_image(&pools),
        "read a refusal of the resource provider, 400 SystemPoolHasRestrictedTaint" => pools::refusal(&pools),
        "read 404 of the gateway for a cluster and of the resource provider for a pool" => pools::absent(&pools),
        "read 409 OperationNotAllowed of a busy pool, and abort what runs on it" => pools::abort(&pools, &wire),
        "see that an operation failed, though not why" => pools::failure(&pools, &wire),
        "try again after 429 Throttled, sooner than it asks" => pools::throttled(&pools, &wire),
        "delete pool blue, which is then absent" => pools::delete(&pools),
        "a read-change-write lacks what the model does not know" => lost::write_back(&pools, &wire),
        "a write cannot clear the taints" => lost::taints_stay(&pools, &wire),
        "a write takes back what somebody else changed meanwhile" => lost::overwrites(&pools, &wire),
        "a write whose answer is lost is sent again" => lost::sent_twice(&pools, &wire),
        "a pool made from another as the model has it is not the same" => lost::copy(&pools, &wire),
    }
    Ok(())
}

/// Fails with both values if they differ.
fn same<T: PartialEq + Debug + ?Sized>(what: &str, expected: &T, got: &T) -> Outcome {
    if expected == got {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {got:?}").into())
}
