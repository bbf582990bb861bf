//! One kind of plot, written as SVG by hand: a bar for every peer under every case, with the range over the rounds.

use std::fmt::Write as _;

use crate::report::{Results, Row, base, number};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 48.0;
const BAR: f64 = 18.0;
const GAP: f64 = 5.0;
const CASE: f64 = 30.0;
/// Pixels between lines of the note.
const LINE: f64 = 14.0;
/// Characters in a line of the note.
const NOTE: usize = 110;

/// Colours follow the reader's scheme; this switch stands out from its peers.
const STYLE: &str = "
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.note { font-size: 11px; fill: #59636e }
.peer { fill: #9aa4af }
.own { fill: #1668c7 }
.range { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .note { fill: #9198a1 }
  .peer { fill: #59636e }
  .own { fill: #4493f8 }
  .range { stroke: #e6edf3 }
}";

/// The plot of a suite's first figure.
pub(crate) fn svg(results: &Results, suite: &str) -> String {
    let mut cases: Vec<(&str, Vec<Row<'_>>)> =
        results.cases(suite).into_iter().map(|case| (case, results.rows(suite, case))).collect();
    let first = cases.iter().flat_map(|(_, rows)| rows).find_map(|row| row.figures.first());
    let (name, unit) = first.map_or(("", ""), |(name, unit, _)| (*name, *unit));
    // A case whose first figure is another would need a scale of its own.
    for (_, rows) in &mut cases {
        rows.retain(|row| row.figures.first().is_some_and(|(other, ..)| *other == name));
    }
    cases.retain(|(_, rows)| !rows.is_empty());
    let figures = cases.iter().flat_map(|(_, rows)| rows).filter_map(|row| row.figures.first());
    let largest = figures.map(|(.., spread)| spread.max).fold(0.0, f64::max);
    let scale = if largest > 0.0 { (WIDTH - LEFT - RIGHT) / largest } else { 0.0 };

    let mut body = String::new();
    let mut y = TOP;
    for (case, rows) in &cases {
        let _ = writeln!(body, r#"<text x="10" y="{:.0}">{}</text>"#, y + 14.0, escape(case));
        y += CASE - GAP;
        for row in rows {
            body += &bar(row, base(suite), y, scale);
            y += BAR + GAP;
        }
        y += GAP;
    }
    let title = escape(&format!("{suite}: {name}, {unit}"));
    let note = escape(&format!("{} Bars: medians; lines: smallest to largest.", results.circumstances()));
    let lines = wrapped(&note, NOTE);
    let height = y + LINE * f64::from(u32::try_from(lines.len()).unwrap_or(0)) + 10.0;
    for line in lines {
        y += LINE;
        let _ = writeln!(body, r#"<text class="note" x="10" y="{y:.0}">{line}</text>"#);
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0} {height:.0}" role="img" aria-label="{title}">
<style>{STYLE}
</style>
<text class="title" x="10" y="26">{title}</text>
{body}</svg>
"#
    )
}

fn bar(row: &Row<'_>, base: &str, y: f64, scale: f64) -> String {
    let Some((_, unit, spread)) = row.figures.first() else { return String::new() };
    let class = if row.peer.starts_with("vswitch") { "own" } else { "peer" };
    let x = |value: f64| LEFT + value * scale;
    let (middle, baseline) = (y + BAR / 2.0, y + BAR - 5.0);
    let mut label = format!("{} {unit}", number(spread.median));
    if let Some(ratio) = row.ratio {
        let _ = write!(label, ", {} x {base}", number(ratio.median));
    }
    format!(
        r#"<text x="{:.0}" y="{baseline:.0}" text-anchor="end">{}</text>
<rect class="{class}" x="{LEFT:.0}" y="{y:.0}" width="{:.1}" height="{BAR:.0}" rx="2"/>
<line class="range" x1="{:.1}" y1="{middle:.0}" x2="{:.1}" y2="{middle:.0}"/>
<text x="{:.1}" y="{baseline:.0}">{}</text>
"#,
        LEFT - 8.0,
        escape(row.peer),
        (spread.median * scale).max(1.0),
        x(spread.min),
        x(spread.max),
        x(spread.max) + 8.0,
        escape(&label),
    )
}

/// Breaks a text between words into lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn every_peer_has_a_bar_and_its_label() {
        let svg = svg(&sample(&[("bridge", &[10.0, 20.0]), ("vswitch", &[5.0, 10.0])]), "tcp");
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains("7.50 Gb/s, 0.50 x bridge"), "{svg}");
        assert!(svg.contains(r#"class="own""#));
        assert!(svg.contains("tcp: throughput, Gb/s"));
    }

    #[test]
    fn a_case_with_another_first_figure_has_no_bar() {
        let mut results = sample(&[("vswitch", &[5.0])]);
        results.measured("tcp", "stop", "vswitch", 0, vec![crate::report::Figure::new("stop", "s", 900.0)]);
        let svg = svg(&results, "tcp");
        assert_eq!(svg.matches("<rect").count(), 1);
        assert!(!svg.contains("stop"), "{svg}");
    }

    #[test]
    fn text_is_escaped_and_broken_between_words() {
        assert_eq!(escape(r#"a<b & "c""#), "a&lt;b &amp; &quot;c&quot;");
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("seventeen", 3), ["seventeen"]);
    }
}
