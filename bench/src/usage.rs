//! What processes and the machine use: CPU time and memory, from /proc.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::error::{Doing, Result};

/// What a switch's processes hold in memory, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Memory {
    /// Resident set size in MiB, shared pages counted in every process.
    pub(crate) rss_mib: f64,
    /// Proportional set size in MiB, shared pages divided among those who share them.
    pub(crate) pss_mib: f64,
}

/// CPU seconds used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cpu {
    /// By the switch's processes (0 for a switch within the kernel).
    pub(crate) switch: f64,
    /// By all processes of the benchmark: the two ends and the switch, with the kernel's work on their account.
    pub(crate) run: f64,
    /// By the whole machine, whoever else works on it: everything but idle and waiting for I/O.
    pub(crate) machine: f64,
}

/// The memory of the processes `roots` and their descendants.
pub(crate) fn memory(roots: &[u32]) -> Result<Memory> {
    Ok(memory_of(&with_descendants(roots)?))
}

/// The memory of all processes there are but the benchmark's own.
pub(crate) fn memory_of_others() -> Result<Memory> {
    Ok(memory_of(&others()?))
}

/// The ids of all processes there are but the benchmark's own.
pub(crate) fn others() -> Result<Vec<u32>> {
    let own = std::process::id();
    Ok(processes()?.into_iter().filter(|id| *id != own && *id != FIRST).collect())
}

/// The id of the first process of the cage.
const FIRST: u32 = 1;

fn memory_of(processes: &[u32]) -> Memory {
    let mut sum = Memory::default();
    for id in processes {
        let Ok(rollup) = fs::read_to_string(format!("/proc/{id}/smaps_rollup")) else { continue };
        sum.rss_mib += field_kib(&rollup, "Rss:") / 1024.0;
        sum.pss_mib += field_kib(&rollup, "Pss:") / 1024.0;
    }
    sum
}

/// The CPU time of the processes `roots` and their descendants, of the benchmark, and of the machine.
pub(crate) fn cpu(roots: &[u32]) -> Result<Cpu> {
    let switch = with_descendants(roots)?.into_iter().map(on_cpu).sum();
    // The process namespace is the benchmark's own: /proc shows its processes and no others.
    let own = std::process::id();
    let living: f64 = processes()?.into_iter().filter(|id| *id != own).map(on_cpu).sum();
    let mut ended = 0.0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who).doing(|| "ask for CPU times".to_owned())?;
        ended += seconds(usage.user_time()) + seconds(usage.system_time());
    }
    let stat = fs::read_to_string("/proc/stat").doing(|| "read /proc/stat".to_owned())?;
    Ok(Cpu { switch, run: living + ended, machine: busy_ticks(&stat) / ticks_per_second() })
}

#[allow(clippy::cast_precision_loss)]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

/// Seconds that the threads of a process have run.
fn on_cpu(id: u32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { return 0.0 };
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let line = fs::read_to_string(task.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// The ids of all processes there are.
fn processes() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc").doing(|| "read /proc".to_owned())?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

impl Cpu {
    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            switch: self.switch - earlier.switch,
            run: self.run - earlier.run,
            machine: self.machine - earlier.machine,
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn ticks_per_second() -> f64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |ticks| ticks as f64)
}

/// Busy clock ticks of all processors in the text of /proc/stat: user, nice, system, irq, softirq.
fn busy_ticks(stat: &str) -> f64 {
    let fields: Vec<f64> = stat
        .lines()
        .find(|line| line.starts_with("cpu "))
        .map(|line| line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect())
        .unwrap_or_default();
    [0, 1, 2, 5, 6].iter().filter_map(|index| fields.get(*index)).sum()
}

/// The number of a line such as `Pss:   123 kB`.
fn field_kib(text: &str, name: &str) -> f64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

/// `roots` and all their descendants that live.
fn with_descendants(roots: &[u32]) -> Result<Vec<u32>> {
    let mut family = roots.to_vec();
    if roots.is_empty() {
        return Ok(family);
    }
    let mut parents = Vec::new();
    for id in processes()? {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        if let Some(parent) = parent_of(&stat) {
            parents.push((id, parent));
        }
    }
    let mut at = 0;
    while at < family.len() {
        let children = parents.iter().filter(|(_, parent)| *parent == family[at]).map(|(id, _)| *id);
        let new: Vec<u32> = children.filter(|id| !family.contains(id)).collect();
        family.extend(new);
        at += 1;
    }
    Ok(family)
}

/// The parent's id in the text of /proc/ID/stat; the command in it may hold spaces and parentheses.
fn parent_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use super::*;

    #[test]
    fn busy_ticks_leave_out_idle_and_io_wait() {
        let stat = "cpu  10 2 30 1000 500 4 5 6 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_ticks(stat), 51.0);
        assert_eq!(busy_ticks(""), 0.0);
    }

    #[test]
    fn a_command_with_parentheses_does_not_hide_the_parent() {
        assert_eq!(parent_of("42 (a) b) S 7 42 42 0"), Some(7));
        assert_eq!(parent_of(""), None);
    }

    #[test]
    fn memory_fields_are_read_by_name() {
        assert_eq!(field_kib("Rss:    2048 kB\nPss:  100 kB\nPss_Dirty: 7 kB\n", "Pss:"), 100.0);
        assert_eq!(field_kib("", "Pss:"), 0.0);
    }
}
