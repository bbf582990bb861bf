//! `nat`.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::feed::Feed;
use crate::args::{Nat, NatCommand};
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};
use crate::format::{Column, Listing, Output, escape, units};
use crate::{stdout, time};

const FLOWS: Listing<'_> = Listing {
    id: "Inside",
    columns: &[
        Column::new("Container", "CONTAINER"),
        Column::new("Protocol", "PROTO"),
        Column::new("Inside", "INSIDE"),
        Column::new("Outside", "OUTSIDE"),
        Column::new("Remote", "REMOTE"),
        Column::new("State", "STATE"),
        Column::new("Age", "AGE"),
        Column::new("Idle", "IDLE"),
        Column::new("Out", "OUT"),
        Column::new("In", "IN"),
    ],
    more: &[
        Column::new("ContainerID", "CONTAINER ID"),
        Column::new("Direction", "DIRECTION"),
        Column::new("BytesOut", "BYTES OUT"),
        Column::new("BytesIn", "BYTES IN"),
        Column::new("PacketsOut", "PACKETS OUT"),
        Column::new("PacketsIn", "PACKETS IN"),
        Column::new("Event", "EVENT"),
        Column::new("Time", "TIME"),
    ],
};

fn row(flow: &Value) -> Value {
    let mut row = flow.clone();
    let moved = |way: &str| {
        let count = |what: &str| flow[format!("{what}{way}")].as_u64().unwrap_or(0);
        format!("{} / {}", units::human_size(count("Bytes")), count("Packets"))
    };
    let seconds = |key: &str| format!("{} s", flow[key].as_u64().unwrap_or(0));
    row["Out"] = json!(moved("Out"));
    row["In"] = json!(moved("In"));
    row["Age"] = json!(seconds("Age"));
    row["Idle"] = json!(seconds("Idle"));
    row
}

/// Least widths of what stands in a line about an event, which is printed before the next is known.
const WIDTHS: [usize; 10] = [35, 7, 11, 5, 21, 21, 21, 15, 12, 12];

/// A line about an event.
fn line(cells: [&str; 10]) -> String {
    let padded = cells.into_iter().zip(WIDTHS).map(|(cell, width)| format!("{:width$}", escape(cell)));
    let cells: Vec<String> = padded.collect();
    cells.join("   ").trim_end().to_owned() + "\n"
}

/// Prints events as they come.
struct Follower {
    output: Output,
    begun: bool,
}

impl Follower {
    fn new(output: Output) -> Self {
        Self { output, begun: false }
    }

    /// What to print for an event; what of it is for people alone comes second.
    fn print(&mut self, event: &Value, zone: &TimeZone) -> Result<(String, Option<String>), Failure> {
        if event["Event"] == "lost" && !matches!(self.output, Output::Json) {
            let lost = &event["Lost"];
            return Ok((
                String::new(),
                Some(format!("vswitch: {lost} events were lost, they came too fast")),
            ));
        }
        let first = !std::mem::replace(&mut self.begun, true);
        let text = match &self.output {
            Output::Json if event["Event"] == "lost" => format!("{event}\n"),
            Output::Table => {
                let mut row = row(event);
                let stamp = event["Time"].as_u64().and_then(|nanos| time::stamp(nanos.into(), zone.clone()));
                row["Time"] = json!(stamp.unwrap_or_default());
                let cell = |field: &str| row[field].as_str().unwrap_or_default();
                let fields =
                    ["Time", "Event", "Container", "Protocol", "Inside", "Outside", "Remote", "State"];
                let [a, b, c, d, e, f, g, h] = fields.map(cell);
                let header = line([
                    "TIME",
                    "EVENT",
                    "CONTAINER",
                    "PROTO",
                    "INSIDE",
                    "OUTSIDE",
                    "REMOTE",
                    "STATE",
                    "OUT",
                    "IN",
                ]);
                let line = line([a, b, c, d, e, f, g, h, cell("Out"), cell("In")]);
                if first { header + &line } else { line }
            }
            other => {
                let text = other.print(&[row(event)], &FLOWS)?;
                match (other, text.split_once('\n')) {
                    (Output::TableTemplate(_), Some((_, line))) if !first => line.to_owned(),
                    _ => text,
                }
            }
        };
        Ok((text, None))
    }
}

fn follow(client: &Client, path: &str, output: Output) -> Outcome {
    let mut follower = Follower::new(output);
    let mut events = Feed::new(client.stream(path)?);
    while let Some(event) = events.next()? {
        let (text, said) = follower.print(&event, &TimeZone::system())?;
        if let Some(said) = said {
            eprintln!("{said}");
        }
        if !stdout::put(&text)? {
            break;
        }
    }
    Ok(0)
}

/// Prints the live flows, and with `-w` what becomes of flows until interrupted.
///
/// # Errors
/// The daemon's own sentence, or that the format makes no sense.
pub fn run(client: &Client, args: &Nat) -> Outcome {
    let NatCommand::Ls { container, watch, format } = &args.command;
    let output = Output::new(format.format.as_deref(), false)?;
    let of = container.as_deref().map(|name| format!("?container={}", quote(name))).unwrap_or_default();
    if *watch {
        return follow(client, &format!("/vswitch/nat/events{of}"), output);
    }
    let answer = client.get(&format!("/vswitch/nat{of}"))?;
    let rows: Vec<Value> = answer["Flows"].as_array().into_iter().flatten().map(row).collect();
    stdout::put(&output.print(&rows, &FLOWS)?)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str) -> Value {
        json!({
            "Event": kind, "Time": 1_763_714_760_123_456_000_u64, "Container": "c\u{1b}1", "Protocol": "udp",
            "Inside": "172.17.0.2:7", "Outside": "198.51.100.1:7", "Remote": "192.0.2.1:53", "State": "REPLIED",
            "Age": 1, "Idle": 0, "BytesOut": 3, "BytesIn": 2000, "PacketsOut": 1, "PacketsIn": 2,
        })
    }

    fn print(format: Option<&str>, events: &[Value]) -> (String, Vec<String>) {
        let mut follower = Follower::new(Output::new(format, false).unwrap());
        let (mut text, mut said) = (String::new(), Vec::new());
        for event in events {
            let (more, notice) = follower.print(event, &TimeZone::UTC).unwrap();
            text += &more;
            said.extend(notice);
        }
        (text, said)
    }

    #[test]
    fn each_event_is_a_line_below_one_header() {
        let (text, said) = print(None, &[event("new"), event("gone")]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0][..4], ["TIME", "EVENT", "CONTAINER", "PROTO"]);
        let expected = "2025-11-21T08:46:00.123456000Z gone c\\x1b1 udp 172.17.0.2:7 198.51.100.1:7 192.0.2.1:53 \
                        REPLIED 3B / 1 2kB / 2";
        assert_eq!(lines[2].join(" "), expected);
        assert!(said.is_empty());
    }

    #[test]
    fn losses_are_said_where_they_are_no_json() {
        let lost = json!({"Event": "lost", "Lost": 7});
        for format in [None, Some("{{.Event}}"), Some("table {{.Event}}")] {
            let (text, said) = print(format, std::slice::from_ref(&lost));
            assert_eq!((text.as_str(), said.len()), ("", 1), "{format:?}");
            assert!(said[0].contains(" 7 events"), "{said:?}");
        }
        assert_eq!(print(Some("json"), std::slice::from_ref(&lost)), (format!("{lost}\n"), vec![]));
    }

    #[test]
    fn a_format_has_its_header_once() {
        let events = [event("new"), event("changed")];
        assert_eq!(print(Some("{{.Event}} {{.State}}"), &events).0, "new REPLIED\nchanged REPLIED\n");
        assert_eq!(print(Some("table {{.Event}}"), &events).0, "EVENT\nnew\nchanged\n");
        let (text, _) = print(Some("json"), &events);
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((&first["Event"], &first["Age"]), (&json!("new"), &json!("1 s")));
    }
}
