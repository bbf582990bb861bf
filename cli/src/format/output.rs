//! One place that prints every list, by `--format` and `-q`.

use serde_json::{Map, Value};

use super::escape::escape;
use super::table;
use super::template::{Template, TemplateError};

/// A column: the field of a row and what stands above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The row's field, as templates name it: `ID`.
    pub field: &'static str,
    /// Its heading: `CONTAINER ID`.
    pub heading: &'static str,
}

impl Column {
    /// A column.
    pub const fn new(field: &'static str, heading: &'static str) -> Self {
        Self { field, heading }
    }
}

/// What a kind of list looks like.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// The field that `-q` prints.
    pub id: &'a str,
    /// The columns of the plain table, in order.
    pub columns: &'a [Column],
    /// Headings of fields that only a `table` template can ask for. A field of the rows that is in neither list gets a
    /// heading made from its name: `CreatedAt` gives `CREATED AT`.
    pub more: &'a [Column],
}

/// How a list is to be printed.
#[derive(Debug)]
pub enum Output {
    /// The plain table.
    Table,
    /// Ids only, one a line.
    Quiet,
    /// One JSON object a line.
    Json,
    /// A template for every row.
    Template(Template),
    /// A template for every row and the header, aligned in columns.
    TableTemplate(Template),
}

impl Output {
    /// Chooses by `--format` and `-q`. As in Docker, a template wins over `-q`.
    ///
    /// # Errors
    ///
    /// When the template cannot be parsed.
    pub fn new(format: Option<&str>, quiet: bool) -> Result<Self, TemplateError> {
        match format {
            None | Some("" | "table") if quiet => Ok(Self::Quiet),
            None | Some("" | "table") => Ok(Self::Table),
            Some("json") => Ok(Self::Json),
            Some(format) => match format.strip_prefix("table") {
                Some(template) => Template::parse_list(template).map(Self::TableTemplate),
                None => Template::parse_list(format).map(Self::Template),
            },
        }
    }

    /// What to print for `rows`, each a JSON object.
    ///
    /// # Errors
    ///
    /// When the template asks a row for what it does not have.
    pub fn print(&self, rows: &[Value], listing: &Listing<'_>) -> Result<String, TemplateError> {
        match self {
            Self::Table => {
                let headings: Vec<&str> = listing.columns.iter().map(|column| column.heading).collect();
                let cells: Vec<Vec<String>> = rows
                    .iter()
                    .map(|row| listing.columns.iter().map(|column| cell(row, column.field)).collect())
                    .collect();
                Ok(table::table(&headings, &cells))
            }
            Self::Quiet => Ok(lines(rows, |row| escape(&cell(row, listing.id)).into_owned())),
            Self::Json => Ok(lines(rows, Value::to_string)),
            Self::Template(template) => {
                rows.iter().map(|row| template.render(row).map(|line| line + "\n")).collect()
            }
            Self::TableTemplate(template) => {
                let mut text = template.render_header(&headings(rows, listing));
                text.push('\n');
                for row in rows {
                    text.push_str(&template.render(&harmless(row))?);
                    text.push('\n');
                }
                Ok(table::align(&text))
            }
        }
    }
}

fn lines(rows: &[Value], line: impl Fn(&Value) -> String) -> String {
    rows.iter().map(|row| line(row) + "\n").collect()
}

/// What an `inspect` prints: an indented JSON array, with `json` the same in one line, with a template a line for every
/// item.
///
/// # Errors
///
/// When the template cannot be parsed or asks an item for what it does not have.
pub fn inspect(items: &[Value], format: Option<&str>) -> Result<String, TemplateError> {
    match format {
        None | Some("") => Ok(indented(items)),
        Some("json") => Ok(format!("{}\n", Value::from(items))),
        Some(format) => {
            let template = Template::parse(format)?;
            items.iter().map(|item| template.render(item).map(|line| line + "\n")).collect()
        }
    }
}

/// Docker indents by four.
fn indented(items: &[Value]) -> String {
    let mut out = Vec::new();
    let style = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, style);
    // Writing plain values to memory has no way to fail.
    let _ = serde::Serialize::serialize(items, &mut serializer);
    out.push(b'\n');
    String::from_utf8(out).unwrap_or_default()
}

fn cell(row: &Value, field: &str) -> String {
    match row.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => super::template::display(value),
    }
}

/// The headings of all fields that rows have or the listing names.
fn headings(rows: &[Value], listing: &Listing<'_>) -> Value {
    let mut headings = Map::new();
    if let Some(Value::Object(row)) = rows.first() {
        for field in row.keys() {
            headings.insert(field.clone(), Value::from(heading(field)));
        }
    }
    for column in listing.columns.iter().chain(listing.more) {
        headings.insert(column.field.to_owned(), Value::from(column.heading.to_uppercase()));
    }
    Value::Object(headings)
}

/// `CreatedAt` as `CREATED AT`.
fn heading(field: &str) -> String {
    let mut out = String::new();
    let mut lower = false;
    for c in field.chars() {
        if lower && c.is_uppercase() {
            out.push(' ');
        }
        lower = c.is_lowercase() || c.is_ascii_digit();
        out.extend(c.to_uppercase());
    }
    escape(&out).into_owned()
}

/// The row with every text escaped, so that no name can break a table or drive the terminal.
fn harmless(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(escape(text).into_owned()),
        Value::Array(items) => Value::Array(items.iter().map(harmless).collect()),
        Value::Object(map) => {
            map.iter().map(|(name, item)| (escape(name).into_owned(), harmless(item))).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NETWORKS: Listing<'static> = Listing {
        id: "ID",
        columns: &[
            Column::new("ID", "NETWORK ID"),
            Column::new("Name", "NAME"),
            Column::new("Driver", "DRIVER"),
            Column::new("Scope", "SCOPE"),
        ],
        more: &[Column::new("IPv6", "IPV6")],
    };

    fn rows() -> Vec<Value> {
        vec![
            json!({"ID": "b94d7c0f3a1d", "Name": "bridge", "Driver": "bridge", "Scope": "local", "IPv6": "false",
                   "CreatedAt": "today", "Labels": "a=b,com.example.tier=front"}),
            json!({"ID": "7fca4eb8c647", "Name": "no\u{1b}[31mne", "Driver": "null", "Scope": "local", "IPv6": "true",
                   "CreatedAt": "now", "Labels": ""}),
        ]
    }

    fn print(format: Option<&str>, quiet: bool) -> String {
        Output::new(format, quiet)
            .and_then(|output| output.print(&rows(), &NETWORKS))
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn the_plain_table() {
        let expected = "NETWORK ID     NAME           DRIVER    SCOPE\n\
                        b94d7c0f3a1d   bridge         bridge    local\n\
                        7fca4eb8c647   no\\x1b[31mne   null      local\n";
        assert_eq!(print(None, false), expected);
        assert_eq!(print(Some("table"), false), expected);
    }

    #[test]
    fn ids_only() {
        assert_eq!(print(None, true), "b94d7c0f3a1d\n7fca4eb8c647\n");
        assert_eq!(print(Some("table"), true), "b94d7c0f3a1d\n7fca4eb8c647\n");
        assert_eq!(print(Some("{{.Driver}}"), true), "bridge\nnull\n");
    }

    #[test]
    fn one_json_object_a_line() {
        let text = print(Some("json"), false);
        let parsed: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(parsed, rows());
    }

    #[test]
    fn a_line_a_row() {
        assert_eq!(print(Some(r"{{.ID}}\t{{.Driver}}"), false), "b94d7c0f3a1d\tbridge\n7fca4eb8c647\tnull\n");
        assert_eq!(print(Some(r#"{{.Label "com.example.tier"}}"#), false), "front\n\n");
    }

    #[test]
    fn a_table_of_ones_own() {
        assert_eq!(
            print(Some(r"table {{.Name}}\t{{upper .Driver}}\t{{truncate .ID 4}}\t{{.CreatedAt}}"), false),
            "NAME           DRIVER    NETWORK ID   CREATED AT\n\
             bridge         BRIDGE    b94d         today\n\
             no\\x1b[31mne   NULL      7fca         now\n"
        );
        assert_eq!(
            print(Some(r#"table {{.Driver}}\t{{.Label "com.example.tier"}}"#), false),
            "DRIVER    tier\nbridge    front\nnull\n"
        );
    }

    #[test]
    fn a_table_without_rows_has_its_header() {
        let printed =
            Output::new(Some(r"table {{.ID}}\t{{.IPv6}}"), false).and_then(|o| o.print(&[], &NETWORKS));
        assert_eq!(printed.as_deref(), Ok("NETWORK ID   IPV6\n"));
    }

    #[test]
    fn an_unknown_field() {
        let expected = "template parsing error: template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\"";
        assert_eq!(print(Some("{{.Foo}}"), false), expected);
        assert_eq!(print(Some("table {{.Foo}}"), false), expected);
    }

    #[test]
    fn headings_from_names() {
        assert_eq!(heading("CreatedAt"), "CREATED AT");
        assert_eq!(heading("IPv4Address"), "IPV4 ADDRESS");
        assert_eq!(heading("ID"), "ID");
    }

    #[test]
    fn inspecting_keeps_the_order_of_the_answer() {
        let items = [json!({"Name": "a", "Labels": {}})];
        assert_eq!(
            inspect(&items, None).as_deref(),
            Ok("[\n    {\n        \"Name\": \"a\",\n        \"Labels\": {}\n    }\n]\n")
        );
        assert_eq!(inspect(&[], None).as_deref(), Ok("[]\n"));
        assert_eq!(inspect(&items, Some("json")).as_deref(), Ok("[{\"Name\":\"a\",\"Labels\":{}}]\n"));
        assert_eq!(inspect(&items, Some(r"{{.Name}}\n")).as_deref(), Ok("a\\n\n"));
    }
}
