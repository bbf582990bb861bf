//! How much of what the process may have is for flows.

use nat::config::Limits;

/// The most descriptors that are kept for everything else: the API, containers that start, names.
const KEPT: usize = 8192;

/// The limits where the process may have so many descriptors. A quarter, or [`KEPT`], are for
/// everything else; of the rest one container may have half, so that none can starve all others.
#[must_use]
pub fn limits(descriptors: u64) -> Limits {
    let all = usize::try_from(descriptors).unwrap_or(usize::MAX);
    let ours = all - (all / 4).min(KEPT);
    let usual = Limits::default();
    Limits { descriptors: ours, flows_per_inside: usual.flows_per_inside.min(ours / 2), ..usual }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_leave_descriptors_for_the_rest_and_containers_for_each_other() {
        for (descriptors, ours, each) in
            [(1024, 768, 384), (20_000, 15_000, 7500), (1 << 20, (1 << 20) - KEPT, 32_768), (0, 0, 0)]
        {
            let limits = limits(descriptors);
            assert_eq!((limits.descriptors, limits.flows_per_inside), (ours, each), "{descriptors}");
        }
    }
}
