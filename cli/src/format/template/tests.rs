//! What Docker's own command line prints, template by template, and what nothing may break.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Template;

fn container() -> Value {
    json!({
        "Id": "abc",
        "Name": "/web",
        "State": {"Status": "running", "Running": true, "Pid": 42},
        "Config": {
            "Labels": {"com.x": "v", "b": "w"},
            "Cmd": ["sh", "-c", "ls"],
            "Hostname": "h<>&"
        },
        "NetworkSettings": {
            "IPAddress": "172.17.0.2",
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "90/tcp": null},
            "Networks": {"bridge": {"IPAddress": "172.17.0.2", "IPPrefixLen": 16, "Aliases": null}}
        }
    })
}

fn render(template: &str) -> String {
    Template::parse(template)
        .and_then(|template| template.render(&container()))
        .unwrap_or_else(|error| error.to_string())
}

fn all(cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        assert_eq!(render(template), *expected, "{template}");
    }
}

/// The part of an error that differs.
fn errors(cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        let expected = format!("template parsing error: template: :{expected}");
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn fields_and_values() {
    all(&[
        ("plain text", "plain text"),
        ("{{.Id}} {{ .State.Pid }}", "abc 42"),
        ("{{.State}}", "map[Pid:42 Running:true Status:running]"),
        ("{{.Config.Cmd}}", "[sh -c ls]"),
        (
            "{{.NetworkSettings.Networks}}",
            "map[bridge:map[Aliases:<nil> IPAddress:172.17.0.2 IPPrefixLen:16]]",
        ),
        ("{{.NetworkSettings.Networks.bridge.Aliases}}", "<no value>"),
        ("{{(.Config).Hostname}} {{(index .Config.Cmd 0)}}", "h<>& sh"),
        ("{{with .Config}}{{$.Id}}{{end}}", "abc"),
        ("{{.Id}}\\n", "abc\\n"),
        ("{{1.5}} {{0x1F}} {{017}} {{1_000}} {{-5}} {{true}} {{'a'}}", "1.5 31 15 1000 -5 true 97"),
        (r#"{{"quoted\t\"x\" \u00e9"}} {{`raw\t`}}"#, "quoted\t\"x\" é raw\\t"),
    ]);
}

#[test]
fn labels_are_a_map_and_the_rest_are_structs() {
    all(&[
        ("{{.Config.Labels.nope}}", "<no value>"),
        ("{{.NetworkSettings.Networks.foo.IPAddress}}", "<no value>"),
        ("{{if .NetworkSettings.Networks.foo}}a{{else}}b{{end}}", "b"),
        (r#"{{index .Config.Labels "com.x"}},{{index .Config.Labels "nope"}},"#, "v,,"),
        (r#"{{.Config.Label "com.x"}},{{.Config.Label "nope"}},{{"b" | .Config.Label}}"#, "v,,w"),
    ]);
    errors(&[
        ("{{.Foo}}", "1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\""),
        ("x\n {{.Foo}}", "2:3: executing \"\" at <.Foo>: map has no entry for key \"Foo\""),
        ("{{.State.Foo}}", "1:8: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\""),
        ("{{if or .Foo .Id}}{{end}}", "1:8: executing \"\" at <.Foo>: map has no entry for key \"Foo\""),
        ("{{.Id.Bar}}", "1:5: executing \"\" at <.Id.Bar>: can't evaluate field Bar in type interface {}"),
        (
            "{{.NetworkSettings.Networks.bridge.Aliases.X}}",
            "1:18: executing \"\" at <.NetworkSettings.Networks.bridge.Aliases.X>: \
             nil pointer evaluating interface {}.X",
        ),
        ("{{.Nope 1}}", "1:2: executing \"\" at <.Nope>: Nope is not a method but has arguments"),
    ]);
}

#[test]
fn branches() {
    all(&[
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        (r#"{{if eq .Id "x"}}x{{else if eq .State.Status "running"}}r{{else}}n{{end}}"#, "r"),
        ("{{if not .State.Running}}a{{end}}", ""),
        ("{{with .State}}{{.Status}}{{end}}", "running"),
        (
            "{{with .NetworkSettings.Networks.bridge.Aliases}}a{{else with $.Config}}{{.Hostname}}{{else}}c{{end}}",
            "h<>&",
        ),
        ("{{range .Config.Cmd}}{{.}},{{end}}", "sh,-c,ls,"),
        ("{{range $i, $v := .Config.Cmd}}{{$i}}={{$v}} {{end}}", "0=sh 1=-c 2=ls "),
        ("{{range $v := .Config.Cmd}}{{$v}}{{end}}", "sh-cls"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "b=w com.x=v "),
        (
            "{{range $p, $c := .NetworkSettings.Ports}}{{$p}}{{if $c}} -> {{(index $c 0).HostPort}}{{end}}\n{{end}}",
            "80/tcp -> 8080\n90/tcp\n",
        ),
        ("{{range .NetworkSettings.Networks.bridge.Aliases}}x{{else}}none{{end}}", "none"),
        ("{{range .Config.Cmd}}{{.}}{{break}}{{end}}", "sh"),
        (r#"{{range .Config.Cmd}}{{if eq . "-c"}}{{continue}}{{end}}{{.}}{{end}}"#, "shls"),
        ("{{range 3}}{{.}}{{end}}{{range $i := 2}}{{$i}}{{end}}", "01201"),
        (
            r#"{{define "a"}}[{{.}}]{{end}}{{template "a" .Id}}{{block "b" .Name}}<{{.}}>{{end}}"#,
            "[abc]</web>",
        ),
    ]);
    errors(&[
        ("{{range .Id}}x{{end}}", "1:8: executing \"\" at <.Id>: range can't iterate over abc"),
        (
            r#"{{define "a"}}{{.Foo}}{{end}}{{template "a" .}}"#,
            "1:16: executing \"a\" at <.Foo>: map has no entry for key \"Foo\"",
        ),
    ]);
}

#[test]
fn variables() {
    all(&[
        ("{{$x := .Id}}{{$x}}{{$y := .State}}{{$y.Pid}}", "abc42"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"),
        ("{{$x := 0}}{{range $i, $v := .Config.Cmd}}{{$x = $i}}{{end}}{{$x}}", "2"),
        ("{{with $x := .Id}}{{$x}}{{end}}", "abc"),
    ]);
    errors(&[
        ("{{$x}}", "1: undefined variable \"$x\""),
        ("{{$x = 1}}", "1: undefined variable \"$x\""),
        ("{{if $x := .Id}}{{$x}}{{end}}{{$x}}", "1: undefined variable \"$x\""),
        ("{{$a, $b := .Id}}", "1: too many declarations in command"),
        ("{{range $a, $b, $c := .Id}}{{end}}", "1: too many declarations in range"),
    ]);
}

#[test]
fn docker_functions() {
    all(&[
        ("{{json .Config.Hostname}} {{json .Config.Labels}}", r#""h<>&" {"com.x":"v","b":"w"}"#),
        ("{{json nil}} {{json (split .Id \"b\")}}", r#"null ["a","c"]"#),
        (r#"{{join .Config.Cmd ","}}"#, "sh,-c,ls"),
        (
            r#"{{.Id | upper}} {{lower "ABC"}} {{title "hello wOrld-foo bar_baz it's"}}"#,
            "ABC abc Hello WOrld-Foo Bar_baz It'S",
        ),
        ("{{truncate .Id 2}} {{truncate .Id 10}}", "ab abc"),
        (r#"{{pad .Id 2 3}}|{{pad "" 2 3}}|"#, "  abc   ||"),
    ]);
    errors(&[
        (
            "{{truncate . 10}}",
            "1:11: executing \"\" at <.>: wrong type for value; expected string; got map[string]interface {}",
        ),
        ("{{upper 1}}", "1:8: executing \"\" at <1>: expected string; found 1"),
        ("{{upper nil}}", "1:8: executing \"\" at <nil>: cannot assign nil to string"),
        ("{{truncate .Id \"x\"}}", "1:15: executing \"\" at <\"x\">: expected integer; found \"x\""),
        ("{{upper}}", "1:2: executing \"\" at <upper>: wrong number of args for upper: want 1 got 0"),
        (
            "{{truncate .Id -1}}",
            "1:2: executing \"\" at <truncate .Id -1>: error calling truncate: the length to truncate to is negative",
        ),
    ]);
}

#[test]
fn go_functions() {
    all(&[
        ("{{len .Config.Cmd}} {{len .Id}} {{len .Config.Labels}}", "3 3 2"),
        (r#"{{index .NetworkSettings.Ports "80/tcp" 0}}"#, "map[HostIp:0.0.0.0 HostPort:8080]"),
        ("{{slice .Id 1 2}} {{slice .Config.Cmd 1}}", "b [-c ls]"),
        (r#"{{println "a" 1 2}}{{print "a" 1 2 "b" "c" 3}}"#, "a 1 2\na1 2bc3"),
        (
            r#"{{eq 1 1}} {{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge "b" "a"}}"#,
            "true true true true true false true",
        ),
        (r#"{{and 1 0}} {{or 0 "x"}} {{not true}} {{eq nil nil}} {{1 | and 2}}"#, "0 x false true 1"),
    ]);
    errors(&[
        (
            "{{index .Config.Cmd 5}}",
            "1:2: executing \"\" at <index .Config.Cmd 5>: error calling index: index out of range: 5",
        ),
        (
            "{{eq 1 \"a\"}}",
            "1:2: executing \"\" at <eq 1 \"a\">: error calling eq: incompatible types for comparison",
        ),
        ("{{len 3}}", "1:2: executing \"\" at <len 3>: error calling len: len of type int"),
        ("{{nil}}", "1:2: executing \"\" at <nil>: nil is not a command"),
        ("{{1 2}}", "1:2: executing \"\" at <1>: can't give argument to non-function 1"),
    ]);
}

#[test]
fn printf() {
    all(&[
        (
            r#"{{printf "%s|%5s|%-5s|%q|%x|%t|%%|%d|%05d|%v" .Id .Id .Id .Id .Id true 42 42 .Config.Cmd}}"#,
            "abc|  abc|abc  |\"abc\"|616263|true|%|42|00042|[sh -c ls]",
        ),
        (
            r#"{{printf "%d" "x"}} {{printf "%s"}} {{printf "%s" 1 2}}"#,
            "%!d(string=x) %!s(MISSING) %!s(int=1)%!(EXTRA int=2)",
        ),
        (r#"{{printf "%z" 1}} {{printf "%"}} {{printf "%s" nil}}"#, "%!z(int=1) %!(NOVERB) %!s(<nil>)"),
        (
            r#"{{printf "%6.2f|%e|%8.3g|%+d|%#x|%o|%b|%c|%X" 3.14159 1234.5 0.00001234 5 255 8 5 65 255}}"#,
            "  3.14|1.234500e+03|1.23e-05|+5|0xff|10|101|A|FF",
        ),
        (
            r#"{{printf "%[2]s %[1]s" "a" "b"}} {{printf "%*d" 5 42}} {{printf "%.2s" "héllo"}} {{printf "%-4s|" "é"}}"#,
            "b a    42 hé é   |",
        ),
        (
            r#"{{printf "%q" .Config.Cmd}} {{printf "%x" "hi"}} {{.Id | printf "%s-%s" "x"}}"#,
            r#"["sh" "-c" "ls"] 6869 x-abc"#,
        ),
    ]);
}

#[test]
fn blanks_and_comments() {
    all(&[
        ("a {{- /* c */ -}} b", "ab"),
        ("a {{/* c */}} b", "a  b"),
        ("a \n {{- \" x \" -}} \t b", "a x b"),
        ("{{ .Id \n}}", "abc"),
        ("{{- .Id}}", "abc"),
    ]);
}

#[test]
fn what_is_no_template() {
    errors(&[
        ("{{.Id", "1: unclosed action"),
        ("\n\n{{.Id", "3: unclosed action"),
        ("{{\"abc}}", "1: unterminated quoted string"),
        ("{{`abc}}", "1: unterminated raw quoted string"),
        ("{{/* c }}", "1: unclosed comment"),
        ("{{/* c */ }}", "1: comment ends before closing delimiter"),
        ("{{(.Id}}", "1: unclosed left paren"),
        ("{{.Id)}}", "1: unexpected right paren"),
        ("{{}}", "1: missing value for command"),
        ("{{if}}a{{end}}", "1: missing value for if"),
        ("{{if .Id}}a", "1: unexpected EOF"),
        ("a{{end}}b", "1: unexpected {{end}}"),
        ("a{{else}}b", "1: unexpected {{else}}"),
        ("{{if .Id}}a{{else}}b{{else}}c{{end}}", "1: expected end; found {{else}}"),
        ("{{range .Config.Cmd}}{{else if}}{{end}}", "1: unexpected <if> in input"),
        ("{{foo}}", "1: function \"foo\" not defined"),
        ("{{| .Id}}", "1: unexpected \"|\" in command"),
        ("{{.Id | \"x\"}}", "1: non executable command in pipeline stage 2"),
        ("{{break}}", "1: {{break}} outside {{range}}"),
        ("{{template zz}}", "1: unexpected \"zz\" in template clause"),
        ("{{.Id@}}", "1: bad character U+0040 '@'"),
        ("{{@}}", "1: unexpected \"@\" in command"),
        ("{{☃}}", "1: unrecognized character in action: U+2603 '☃'"),
        ("{{1a}}", "1: bad number syntax: \"1a\""),
        ("{{true.Id}}", "1: unexpected . after term \"true\""),
        ("{{\"bad \\q\"}}", "1: invalid syntax"),
    ]);
}

#[test]
fn neither_stack_nor_memory_can_be_used_up() {
    let deep = "{{if 1}}".repeat(5000) + &"{{end}}".repeat(5000);
    assert!(render(&deep).contains("nested deeper than"));
    let chain = format!("{{{{if 0}}}}{}{{{{end}}}}", "{{else if 0}}".repeat(5000));
    assert!(render(&chain).contains("nested deeper than"));
    let parens = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(render(&parens).contains("nested deeper than"));
    let parens = format!("{{{{{}1{}}}}}", "(".repeat(90), ")".repeat(90));
    assert_eq!(render(&parens), "1");
    assert!(
        render(r#"{{define "a"}}{{template "a"}}{{end}}{{template "a"}}"#).contains("maximum template depth")
    );
    let inner = "{{if 1}}".repeat(90) + "{{template \"a\"}}" + &"{{end}}".repeat(90);
    let both = format!("{{{{define \"a\"}}}}{inner}{{{{end}}}}{{{{template \"a\"}}}}");
    assert!(render(&both).contains("maximum template depth"));
    assert!(render("{{range 1000000000000}}{{end}}").contains("rounds of range"));
    assert!(render(r#"{{$x := "aaaa"}}{{range 60}}{{$x = print $x $x}}{{end}}"#).contains("too long"));
    assert!(render(r#"{{printf "%65001d" 1}}"#).contains("BADWIDTH"));
    assert_eq!(
        render(r#"{{printf "%65000.65000g%65000e%-65000.65000s%.65000f" 0.0001 1 "" 1.5 | len}}"#),
        "260002"
    );
    let wide = format!("{{{{printf \"{}\" 1}}}}", "%65000[1]d".repeat(4000));
    assert!(render(&wide).contains("too long"));
    assert!(render(r#"{{range 100000}}{{printf "%60000d" 1}}{{end}}"#).contains("too long"));
    let list = format!("{{{{printf \"%65000s\" (split \"{}\" \"\")}}}}", "x".repeat(100_000));
    assert!(render(&list).contains("too long"));
    assert!(render("{{pad .Id 9000000000 1}}").contains("too long"));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[A-Ca-c.]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Pieces that make up templates which often parse.
fn templates() -> impl Strategy<Value = String> {
    let operand = prop_oneof![
        prop::sample::select(vec![
            ".",
            "nil",
            "true",
            "0",
            "-1",
            "1.5",
            "99",
            "$",
            "\"%d %s %-9.3q\"",
            "\"%65000.64999g %[1]*.[2]*e %x\"",
            "\"\\u00e9\"",
            "`a`",
            ".A",
            ".A.B",
            ".a",
            "$.A",
            "$v",
            "(.A)",
            "(len .)",
            "(index . 0)",
            "(index . \"A\")",
            "(json .)",
            "'x'",
        ])
        .prop_map(str::to_owned),
        "[-+.0-9a-fx_]{1,6}",
    ];
    let function = prop::sample::select(vec![
        "", "and", "or", "not", "len", "index", "slice", "print", "println", "printf", "eq", "ne", "lt",
        "le", "gt", "ge", "json", "upper", "lower", "title", "truncate", "join", "split", "pad", ".Label",
    ]);
    let command = (function, prop::collection::vec(operand, 0..4))
        .prop_map(|(function, operands)| format!("{function} {}", operands.join(" ")));
    let pipe = prop::collection::vec(command, 1..3).prop_map(|commands| commands.join(" | "));
    let action = (pipe, 0_usize..8, ".{0,3}").prop_map(|(pipe, form, text)| match form {
        0 => format!("{{{{if {pipe}}}}}{text}{{{{else}}}}{{{{.}}}}{{{{end}}}}"),
        1 => format!("{{{{range $k, $v := {pipe}}}}}{text}{{{{.}}}}{{{{end}}}}"),
        2 => format!("{{{{with {pipe}}}}}{text}{{{{.}}}}{{{{end}}}}"),
        3 => format!("{{{{$v := {pipe}}}}}{text}"),
        4 => format!("{{{{- {pipe} -}}}}{text}"),
        _ => format!("{text}{{{{{pipe}}}}}"),
    });
    prop::collection::vec(action, 1..5).prop_map(|actions| actions.concat())
}

proptest! {
    #[test]
    fn any_text_over_any_value(source in "\\PC*", value in values()) {
        let _ = Template::parse(&source).map(|template| (template.render(&value), template.render_header(&value)));
    }

    #[test]
    fn any_action_over_any_value(
        source in "(\\{\\{[-a-z.$|()\"'`0-9 :=/*%\\\\,é\n]{0,16}(\\}\\})?|[a-z ]{0,3}){0,6}",
        value in values(),
    ) {
        let _ = Template::parse(&source).map(|template| (template.render(&value), template.render_header(&value)));
    }

    #[test]
    fn likely_templates_over_any_value(source in templates(), value in values()) {
        let _ = Template::parse(&source).map(|template| (template.render(&value), template.render_header(&value)));
    }

    #[test]
    fn text_without_actions_is_copied(source in "[^{}]*") {
        let copied = Template::parse(&source).and_then(|template| template.render(&Value::Null));
        prop_assert_eq!(copied, Ok(source));
    }

    #[test]
    fn quoting_is_undone_by_a_literal(text in ".*") {
        let source = format!("{{{{{}}}}}", super::value::quote(&text));
        let read = Template::parse(&source).and_then(|template| template.render(&Value::Null));
        prop_assert_eq!(read, Ok(text));
    }

    #[test]
    fn json_survives(value in values()) {
        let text = Template::parse("{{json .}}").and_then(|template| template.render(&value));
        prop_assert_eq!(text, Ok(value.to_string()));
    }
}
