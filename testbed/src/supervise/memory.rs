//! What a process keeps in memory, as the kernel counts it; never measures anything itself.

use anyhow::Context as _;

use super::about_child_of;

/// Resident memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Now (`VmRSS`).
    pub now: u64,
    /// The most since it began (`VmHWM`).
    pub peak: u64,
}

impl Memory {
    /// Of the only child of a process.
    pub(super) fn of_child_of(parent: u32) -> anyhow::Result<Self> {
        Self::parse(&about_child_of(parent, "status")?)
    }

    fn parse(status: &str) -> anyhow::Result<Self> {
        let bytes = |field: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_suffix(" kB"));
            let kibibytes: u64 = value.with_context(|| format!("there is no {field}"))?.trim().parse()?;
            anyhow::Ok(kibibytes * 1024)
        };
        Ok(Self { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_kilobytes_are_kibibytes() {
        let status = "Name:\tx\nVmHWM:\t   20 kB\nVmRSS:\t    3 kB\n";
        assert_eq!(Memory::parse(status).unwrap(), Memory { now: 3072, peak: 20480 });
        assert!(Memory::parse("Name:\tx\n").unwrap_err().to_string().contains("VmRSS"));
    }
}
