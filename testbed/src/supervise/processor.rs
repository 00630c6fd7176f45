//! The processor time that a process took, as the kernel counts it; never measures anything itself.

use std::time::Duration;

use anyhow::Context as _;

use super::about_child_of;

/// Of the only child of a process, all its threads together, since it began.
pub(super) fn time_of_child_of(parent: u32) -> anyhow::Result<Duration> {
    let ticks = parse(&about_child_of(parent, "stat")?)?;
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

/// User and system time in ticks. The name, which may hold anything, ends with the last parenthesis.
fn parse(stat: &str) -> anyhow::Result<u64> {
    let (_, fields) = stat.rsplit_once(')').context("there is no name")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || anyhow::Ok(times.next().context("there is no time")?.parse::<u64>()?);
    Ok(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_the_fourteenth_and_fifteenth_field() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 31 11 0 0 20 0 4 0 55 1 1";
        assert_eq!(parse(stat).unwrap(), 42);
        assert!(parse("7 (a) S 1").unwrap_err().to_string().contains("no time"));
    }
}
