//! `events`.

use jiff::Zoned;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::feed::Feed;
use crate::args::{Events, filters};
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};
use crate::format::{Template, escape};
use crate::{stdout, time};

/// Watches what happens, until interrupted or until `--until`.
///
/// # Errors
/// The daemon's own sentence, or that a time or the format makes no sense.
pub fn run(client: &Client, args: &Events) -> Outcome {
    let style = Style::new(args.format.as_deref())?;
    let path = path(args, &Zoned::now())?;
    let mut events = Feed::new(client.stream(&path)?);
    while let Some(event) = events.next()? {
        if !stdout::put(&style.print(&event, &TimeZone::system())?)? {
            break;
        }
    }
    Ok(0)
}

fn path(args: &Events, now: &Zoned) -> Result<String, Failure> {
    let mut query = Vec::new();
    for (key, word) in [("since", &args.since), ("until", &args.until)] {
        if let Some(word) = word {
            query.push(format!("{key}={}", time::point(word, now).map_err(Failure::usage)?));
        }
    }
    query.extend(filters(&args.filter).map(|filters| format!("filters={}", quote(&filters))));
    Ok(if query.is_empty() { "/events".to_owned() } else { format!("/events?{}", query.join("&")) })
}

/// How events are printed.
enum Style {
    Text,
    Json,
    Template(Template),
}

impl Style {
    fn new(format: Option<&str>) -> Result<Self, Failure> {
        let bare: Option<String> = format.map(|f| f.split_whitespace().collect());
        Ok(match (bare.as_deref(), format) {
            (None | Some(""), _) | (_, None) => Self::Text,
            // What Go makes of an event is what the daemon sent.
            (Some("json" | "{{json.}}"), _) => Self::Json,
            (_, Some(format)) => Self::Template(Template::parse_list(format)?),
        })
    }

    fn print(&self, event: &Value, zone: &TimeZone) -> Result<String, Failure> {
        Ok(match self {
            Self::Text => text(event, zone),
            Self::Json => format!("{event}\n"),
            Self::Template(template) => template.render(&fields(event))? + "\n",
        })
    }
}

/// An event under the names that Docker's templates know.
fn fields(event: &Value) -> Value {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let number = |key: &str| event[key].as_i64().unwrap_or(0);
    json!({
        "Status": text("status"),
        "ID": text("id"),
        "From": text("from"),
        "Type": text("Type"),
        "Action": text("Action"),
        "Actor": {"ID": event["Actor"]["ID"], "Attributes": event["Actor"]["Attributes"]},
        "Scope": text("scope"),
        "Time": number("time"),
        "TimeNano": number("timeNano"),
    })
}

/// `2025-11-21T08:46:00.123456789Z network connect ID (container=ID, name=my, type=bridge)`
fn text(event: &Value, zone: &TimeZone) -> String {
    let word = |value: &Value| escape(value.as_str().unwrap_or_default()).into_owned();
    let nanos = event["timeNano"].as_i64().filter(|nanos| *nanos != 0).map(i128::from);
    let nanos = nanos.or_else(|| Some(i128::from(event["time"].as_i64()?) * 1_000_000_000));
    let stamp = nanos.filter(|nanos| *nanos != 0).and_then(|nanos| time::stamp(nanos, zone.clone()));
    let mut words: Vec<String> = stamp.into_iter().collect();
    words.extend([&event["Type"], &event["Action"], &event["Actor"]["ID"]].map(word));
    let attributes = event["Actor"]["Attributes"].as_object();
    let mut attributes: Vec<(&String, &Value)> = attributes.into_iter().flatten().collect();
    attributes.sort_by_key(|(key, _)| *key);
    let attributes: Vec<String> =
        attributes.into_iter().map(|(key, value)| format!("{}={}", escape(key), word(value))).collect();
    if !attributes.is_empty() {
        words.push(format!("({})", attributes.join(", ")));
    }
    words.join(" ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::filter;

    fn event() -> Value {
        json!({
            "Type": "network", "Action": "connect",
            "Actor": {"ID": "n1", "Attributes": {"type": "bridge", "container": "c1", "name": "my\u{1b}[2J"}},
            "scope": "local", "time": 1_763_714_760, "timeNano": 1_763_714_760_123_456_000_i64,
        })
    }

    fn print(format: Option<&str>, event: &Value) -> String {
        let style = Style::new(format).and_then(|style| style.print(event, &TimeZone::UTC));
        style.unwrap_or_else(|failure| failure.to_string())
    }

    #[test]
    fn the_plain_form_is_dockers() {
        assert_eq!(
            print(None, &event()),
            "2025-11-21T08:46:00.123456000Z network connect n1 (container=c1, name=my\\x1b[2J, type=bridge)\n"
        );
        let mut bare = event();
        bare["timeNano"] = json!(0);
        bare["Actor"]["Attributes"] = json!({});
        assert_eq!(print(None, &bare), "2025-11-21T08:46:00.000000000Z network connect n1\n");
    }

    #[test]
    fn json_is_what_the_daemon_sent() {
        for format in ["json", "{{json .}}", "{{ json . }}"] {
            assert_eq!(print(Some(format), &event()), format!("{}\n", event()));
        }
    }

    #[test]
    fn templates_know_the_fields_by_dockers_names() {
        let format = r"{{.Type}}\t{{.Action}} {{.Status}} {{.TimeNano}} {{.Actor.Attributes.container}} {{json .Actor.ID}}";
        assert_eq!(print(Some(format), &event()), "network\tconnect  1763714760123456000 c1 \"n1\"\n");
        assert!(print(Some("{{.Nothing}}"), &event()).contains("Nothing"));
        assert!(print(Some("{{.Type"), &event()).starts_with("template parsing error"));
    }

    #[test]
    fn times_and_filters_go_to_the_daemon() {
        let now = "2025-11-21T08:46:00Z".parse::<jiff::Timestamp>().unwrap().to_zoned(TimeZone::UTC);
        let args = |since: Option<&str>, until: Option<&str>, filters: &[&str]| Events {
            since: since.map(str::to_owned),
            until: until.map(str::to_owned),
            filter: filters.iter().map(|f| filter(f).unwrap()).collect(),
            format: None,
        };
        let asked = |args: &Events| path(args, &now).map_err(|f| f.code);
        assert_eq!(asked(&args(None, None, &[])).as_deref(), Ok("/events"));
        assert_eq!(
            asked(&args(Some("10m"), Some("2025-11-21T08:45"), &["type=network"])),
            Ok(format!(
                "/events?since=1763714160&until=1763714700.000000000&filters={}",
                quote(r#"{"type":{"network":true}}"#)
            ))
        );
        assert_eq!(asked(&args(Some("yesterday"), None, &[])), Err(2));
    }
}
