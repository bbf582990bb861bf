//! The machine's description: without it a figure means nothing.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::congestion;

/// What a figure depends on, apart from the switch.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// The day, as YYYY-MM-DD (UTC).
    pub(crate) day: String,
    /// The processor's model.
    pub(crate) processor: String,
    /// Processors that can run at once.
    pub(crate) processors: usize,
    /// Whether it is a virtual machine, as far as the processor tells.
    pub(crate) is_virtual: bool,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The congestion control that TCP takes where nobody says which.
    pub(crate) congestion_control: String,
    /// Sockets in the namespaces made here are born with cubic.
    pub(crate) born_with_cubic: bool,
    /// The version of iperf3.
    pub(crate) iperf3: String,
}

impl Machine {
    /// This machine, today.
    pub(crate) fn describe() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let memory = field(&read("/proc/meminfo"), "MemTotal").split_whitespace().next().map(str::to_owned);
        let iperf3 = crate::process::output(crate::process::command("iperf3", ["--version"]), None);
        Self {
            day: day(SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs() / 86_400)),
            processor: field(&cpuinfo, "model name"),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            is_virtual: field(&cpuinfo, "flags").split_whitespace().any(|flag| flag == "hypervisor"),
            memory_mib: memory.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control").trim().to_owned(),
            born_with_cubic: congestion::is_cubic(),
            iperf3: iperf3.unwrap_or_default().lines().next().unwrap_or("not installed").trim().to_owned(),
        }
    }

    /// The description as one sentence.
    pub(crate) fn sentence(&self) -> String {
        format!(
            "{}: {} x {}{}, {} GiB, Linux {}, default congestion control {}{}, {}",
            self.day,
            self.processors,
            self.processor,
            if self.is_virtual { " (virtual)" } else { "" },
            self.memory_mib.div_ceil(1024),
            self.kernel,
            self.congestion_control,
            if self.born_with_cubic { " (cubic in the namespaces measured)" } else { "" },
            self.iperf3,
        )
    }
}

/// The value of a line `name : value` in one of /proc's files.
fn field(text: &str, name: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

/// The date of a day counted from 1970-01-01, as YYYY-MM-DD.
fn day(days: u64) -> String {
    // Years that start in March put the leap day last; 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(19_782), "2024-02-29");
        assert_eq!(day(20_453), "2025-12-31");
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 167\nmodel name\t: Some CPU\n";
        assert_eq!(field(text, "model name"), "Some CPU");
        assert_eq!(field(text, "absent"), "");
    }
}
