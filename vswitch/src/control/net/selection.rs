//! Which networks a list shows, and which `prune` removes.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::error::NetError;
use super::filters::{Filters, Matcher};
use super::record::NetworkRecord;
use super::timestamp;

/// The filters of `GET /networks`.
const LIST: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

/// The filters of `POST /networks/prune`.
const PRUNE: [&str; 3] = ["label", "label!", "until"];

/// Which networks `GET /networks` shows.
pub struct ListFilter {
    filters: Filters,
    name: Matcher,
    id: Matcher,
    dangling: Option<bool>,
    /// Predefined networks are shown, users' are.
    types: Option<BTreeSet<bool>>,
}

impl ListFilter {
    /// Reads the filters.
    ///
    /// # Errors
    /// [`NetError::Filter`] and [`NetError::FilterValue`], with Docker's sentences.
    pub fn new(filters: Filters) -> Result<Self, NetError> {
        filters.validate(&LIST)?;
        let dangling = match filters
            .single("dangling", "got more than one value for filter key \"dangling\"")?
        {
            None => None,
            Some("1" | "true") => Some(true),
            Some("0" | "false") => Some(false),
            Some(_) => {
                return Err(NetError::FilterValue(
                    "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")"
                        .into(),
                ));
            }
        };
        let builtin = |value: &str| match value {
            "builtin" => Ok(true),
            "custom" => Ok(false),
            other => Err(NetError::FilterValue(format!("invalid filter: 'type'='{other}'"))),
        };
        let types = filters.values("type").map(builtin).collect::<Result<BTreeSet<_>, _>>()?;
        let types = filters.contains("type").then_some(types);
        let (name, id) = (filters.matcher("name"), filters.matcher("id"));
        Ok(Self { filters, name, id, dangling, types })
    }

    /// The network is shown. It is in use while a container is on it.
    pub fn accepts(&self, network: &NetworkRecord, in_use: bool) -> bool {
        let dangling = !network.is_predefined() && !in_use;
        self.filters.exact("driver", &network.driver)
            && self.filters.exact("scope", network.scope().as_str())
            && self.filters.labels("label", &network.labels)
            && self.name.matches(&network.name)
            && self.id.matches(&network.id)
            && self.dangling.is_none_or(|wanted| wanted == dangling)
            && self.types.as_ref().is_none_or(|types| types.contains(&network.is_predefined()))
    }
}

/// Which networks `POST /networks/prune` removes.
pub struct PruneFilter {
    filters: Filters,
    until: Option<u64>,
}

impl PruneFilter {
    /// Reads the filters. `now` is in nanoseconds since 1970; a date without a zone is in `zone`.
    ///
    /// # Errors
    /// [`NetError::Filter`] and [`NetError::FilterValue`], with Docker's sentences.
    pub fn new(filters: Filters, now: u64, zone: &TimeZone) -> Result<Self, NetError> {
        filters.validate(&PRUNE)?;
        let until = match filters.single("until", "more than one until filter specified")? {
            None => None,
            Some(value) => Some(timestamp::parse(value, now, zone).ok_or_else(|| {
                NetError::FilterValue(format!("failed to parse value as time or duration: {value:?}"))
            })?),
        };
        Ok(Self { filters, until })
    }

    /// The network is removed: a user's, unused, as old as asked for, with and without certain labels.
    /// It is in use while a container is on it.
    pub fn accepts(&self, network: &NetworkRecord, in_use: bool) -> bool {
        let excluded = self.filters.contains("label!") && self.filters.labels("label!", &network.labels);
        !in_use
            && !network.is_predefined()
            && !network.config_only
            && self.until.is_none_or(|until| network.created <= until)
            && self.filters.labels("label", &network.labels)
            && !excluded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn network(name: &str, labels: &[(&str, &str)]) -> NetworkRecord {
        let mut record = NetworkRecord::default_bridge(format!("{name:f<64}"), 100 * SECOND);
        record.name = name.into();
        record.labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        record
    }

    fn list(filters: &str) -> Vec<String> {
        let filter = ListFilter::new(Filters::parse(filters).unwrap()).unwrap();
        let all = [
            (network("bridge", &[]), true),
            (NetworkRecord::host("0".repeat(64), 0), false),
            (NetworkRecord::none("1".repeat(64), 0), false),
            (network("web", &[("tier", "front")]), true),
            (network("my-web", &[("tier", "back")]), false),
        ];
        all.iter().filter(|(n, in_use)| filter.accepts(n, *in_use)).map(|(n, _)| n.name.clone()).collect()
    }

    #[test]
    fn lists_are_narrowed_down_as_docker_does() {
        for (filters, names) in [
            ("", &["bridge", "host", "none", "web", "my-web"][..]),
            (r#"{"driver":["bridge"]}"#, &["bridge", "web", "my-web"]),
            (r#"{"driver":["host","null"]}"#, &["host", "none"]),
            (r#"{"driver":["brid"]}"#, &[]),
            (r#"{"name":["web"]}"#, &["web", "my-web"]),
            (r#"{"name":["^web$"]}"#, &["web"]),
            (r#"{"id":["^0000"]}"#, &["host"]),
            (r#"{"id":["webfff"]}"#, &["web", "my-web"]),
            (r#"{"label":["tier"]}"#, &["web", "my-web"]),
            (r#"{"label":["tier=back"]}"#, &["my-web"]),
            (r#"{"scope":["local"]}"#, &["bridge", "host", "none", "web", "my-web"]),
            (r#"{"scope":["global"]}"#, &[]),
            (r#"{"type":["custom"]}"#, &["web", "my-web"]),
            (r#"{"type":["builtin"]}"#, &["bridge", "host", "none"]),
            (r#"{"type":["builtin","custom"]}"#, &["bridge", "host", "none", "web", "my-web"]),
            (r#"{"dangling":["true"]}"#, &["my-web"]),
            (r#"{"dangling":["0"]}"#, &["bridge", "host", "none", "web"]),
            (r#"{"driver":["bridge"],"type":["custom"],"dangling":["1"]}"#, &["my-web"]),
        ] {
            assert_eq!(list(filters), names, "{filters}");
        }
    }

    #[test]
    fn list_filters_that_make_no_sense_are_refused_in_dockers_words() {
        for (filters, sentence) in [
            (r#"{"x":["y"]}"#, "Invalid filter 'x'"),
            (r#"{"until":["1h"]}"#, "Invalid filter 'until'"),
            (r#"{"type":["x"]}"#, "invalid filter: 'type'='x'"),
            (r#"{"dangling":["1","true"]}"#, "got more than one value for filter key \"dangling\""),
            (
                r#"{"dangling":["maybe"]}"#,
                "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")",
            ),
        ] {
            let refused = ListFilter::new(Filters::parse(filters).unwrap()).err().map(|e| e.to_string());
            assert_eq!(refused.as_deref(), Some(sentence), "{filters}");
        }
    }

    fn prune(filters: &str) -> Result<PruneFilter, NetError> {
        PruneFilter::new(Filters::parse(filters).unwrap(), 1000 * SECOND, &TimeZone::UTC)
    }

    #[test]
    fn prune_takes_what_nobody_uses_and_never_what_is_predefined() {
        let all = prune("").unwrap();
        assert!(all.accepts(&network("web", &[]), false) && !all.accepts(&network("web", &[]), true));
        assert!(!all.accepts(&network("bridge", &[]), false));
        assert!(!all.accepts(&NetworkRecord::none(String::new(), 0), false));
        let config = NetworkRecord { config_only: true, ..network("conf", &[]) };
        assert!(!all.accepts(&config, false));
    }

    #[test]
    fn prune_takes_only_what_is_old_enough_and_has_the_labels() {
        let front = network("web", &[("tier", "front"), ("keep", "")]);
        for (filters, removed) in [
            (r#"{"until":["15m"]}"#, true),
            (r#"{"until":["900s"]}"#, true),
            (r#"{"until":["901s"]}"#, false),
            (r#"{"until":["100"]}"#, true),
            (r#"{"until":["99.999999999"]}"#, false),
            (r#"{"until":["1970-01-01T00:02:00Z"]}"#, true),
            (r#"{"label":["tier=front"]}"#, true),
            (r#"{"label":["tier=back"]}"#, false),
            (r#"{"label!":["keep"]}"#, false),
            (r#"{"label!":["other"]}"#, true),
            (r#"{"label!":["keep","other"]}"#, true),
        ] {
            assert_eq!(prune(filters).unwrap().accepts(&front, false), removed, "{filters}");
        }
    }

    #[test]
    fn prune_filters_that_make_no_sense_are_refused_in_dockers_words() {
        for (filters, sentence) in [
            (r#"{"name":["y"]}"#, "Invalid filter 'name'"),
            (r#"{"until":["1h","2h"]}"#, "more than one until filter specified"),
            (r#"{"until":["soon"]}"#, "failed to parse value as time or duration: \"soon\""),
        ] {
            assert_eq!(prune(filters).err().map(|e| e.to_string()).as_deref(), Some(sentence), "{filters}");
        }
    }
}
