use super::*;

#[test]
fn unknown_keys_are_named_with_their_place_and_the_nearest_known_one() {
    check(
        "\n[limits.source]\n  packets_per_sec = 5\n",
        "weir.toml:3:3: unknown key \"packets_per_sec\" in [limits.source]; did you mean \"packets_per_second\"?",
    );
    check("mod = \"auto\"", "weir.toml:1:1: unknown key \"mod\"; did you mean \"mode\"?");
    check("[limit.source]\n", "weir.toml:1:2: unknown key \"limit\"; did you mean \"limits\"?");
    check("[limits.sources]\n", "weir.toml:1:9: unknown key \"sources\" in [limits]; did you mean \"source\"?");
    check(
        "limits.source.brust = 1",
        "weir.toml:1:15: unknown key \"brust\" in [limits.source]; did you mean \"burst\"?",
    );
    check(
        "\u{e9}\u{e9} = 1",
        "weir.toml:1:1: invalid unquoted key, expected letters, numbers, `-`, `_`: \"\u{e9}\u{e9}\"",
    );
    check("[state]\n\"\u{e9}\" = 1", "weir.toml:2:1: unknown key \"\u{e9}\" in [state]");
    check(
        "[[lists]]\nname = \"a\"\n[[lists]]\nenforcment = \"observe\"\n",
        "weir.toml:4:1: unknown key \"enforcment\" in [[lists]]; did you mean \"enforcement\"?",
    );
    check("lists = [{ nam = \"a\" }]", "weir.toml:1:12: unknown key \"nam\" in [[lists]]; did you mean \"name\"?");
    // The first in the file, not the first by name.
    check("zzz = 1\naaa = 1\n", "weir.toml:1:1: unknown key \"zzz\"");
    // What does not exist yet is not mistaken for what does.
    check("[limits.source]\nconnections = 1", "weir.toml:2:1: unknown key \"connections\" in [limits.source]");
    check("[[filters]]\n", "weir.toml:1:3: unknown key \"filters\"");
    check("\"\\u001b[31m\" = 1", "weir.toml:1:1: unknown key \"\\u{1b}[31m\"");
}

#[test]
fn keys_in_the_wrong_section_are_sent_to_the_right_one() {
    check(
        "[state]\nmode = \"native\"\n",
        "weir.toml:2:1: unknown key \"mode\" in [state]; did you mean \"mode\" before the first [section]?",
    );
    check("burst = 5\n", "weir.toml:1:1: unknown key \"burst\"; did you mean \"burst\" in [limits.source]?");
    check(
        "[limits]\nburst = 5\n",
        "weir.toml:2:1: unknown key \"burst\" in [limits]; did you mean \"burst\" in [limits.source]?",
    );
    check(
        "login_sessions = true\n",
        "weir.toml:1:1: unknown key \"login_sessions\"; did you mean \"login_sessions\" in [protected]?",
    );
}

#[test]
fn values_of_another_type_are_refused_with_both_types() {
    let cases = [
        ("mode = 5", "1:8: \"mode\" must be text in quotes, and is a whole number"),
        ("mode = true", "1:8: \"mode\" must be text in quotes, and is true or false"),
        ("mode = 1979-05-27", "1:8: \"mode\" must be text in quotes, and is a date or time"),
        (
            "interfaces = \"eth0\"",
            "1:14: \"interfaces\" must be a list of texts, as in [\"one\", \"two\"], and is text",
        ),
        ("interfaces = [\"eth0\",\n 5]", "2:2: \"interfaces[1]\" must be text in quotes, and is a whole number"),
        ("state.max_sources = \"5\"", "1:21: \"state.max_sources\" must be a whole number, and is text"),
        (
            "state.max_sources = 5.0",
            "1:21: \"state.max_sources\" must be a whole number, and is a number with a fraction",
        ),
        (
            "protected.login_sessions = 1",
            "1:28: \"protected.login_sessions\" must be true or false, and is a whole number",
        ),
        ("limits = 5", "1:10: \"limits\" must be a section, [limits], and is a whole number"),
        ("limits = []", "1:10: \"limits\" must be a section, [limits], and is a list"),
        ("[[state]]", "1:1: \"state\" must be a section, [state], and is a list"),
        ("[mode]", "1:2: \"mode\" must be text in quotes, and is a section"),
        ("[lists]", "1:2: \"lists\" must be one or more [[lists]] sections, and is a section"),
        ("lists = [\"a\"]", "1:10: \"lists[0]\" must be a section, and is text"),
    ];
    for (text, message) in cases {
        check(text, &format!("weir.toml:{message}"));
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused_with_what_does() {
    let cases = [
        ("state.max_sources = 0", "1:21: \"state.max_sources\" is 0; it must be from 1 to 16777216"),
        ("state.max_addresses = 0", "1:23: \"state.max_addresses\" is 0; it must be from 1 to 67108864"),
        ("state.max_prefixes = 67108865", "1:22: \"state.max_prefixes\" is 67108865; it must be from 1 to 67108864"),
        ("samples.per_second = 1000001", "1:22: \"samples.per_second\" is 1000001; it must be from 0 to 1000000"),
        ("samples.per_second = -1", "1:22: \"samples.per_second\" is -1; it must be from 0 to 9223372036854775807"),
        (
            "limits.source.burst = 99999999999999999999",
            "1:23: \"limits.source.burst\" is 99999999999999999999; it must be from 0 to 9223372036854775807",
        ),
        (
            "[limits.source]\npackets_per_second = 10000\nburst = 10\n",
            "3:9: \"limits.source.burst\": a burst of 10 is too small for 10000 packets a second: the kernel's clock may \
             tick only every 10 ms, and what is earned from one tick to the next must fit into the burst; use 101 or \
             more",
        ),
        (
            "[limits.source]\npackets_per_second = 1\nburst = 3601\n",
            "3:9: \"limits.source.burst\": a burst of 3601 takes more than an hour to earn at 1 packets a second; use \
             3600 or less",
        ),
        (
            "[limits.source]\npackets_per_second = 100000001\n",
            "2:22: \"limits.source.packets_per_second\": 100000001 packets a second is beyond what is measured; the \
             most is 100000000",
        ),
    ];
    for (text, message) in cases {
        check(text, &format!("weir.toml:{message}"));
    }
}

#[test]
fn texts_that_make_no_sense_are_refused_with_what_does() {
    let long = format!("/{}", "x".repeat(107));
    let long_socket = format!("api.socket = \"{long}\"");
    let long_socket_message =
        format!("1:14: \"api.socket\" is \"{long}\": 108 bytes are too long; a socket's path has at most 107");
    let name = "no interface can have this name: 1 to 15 bytes, without white space, / and :";
    let list = "not a list's name: 1 to 64 of letters, digits, - _ and .";
    let address = "not an IPv4 or IPv6 address or prefix";
    let listen = "not an address and a port, as in \"127.0.0.1:9184\" or \"[::1]:9184\"";
    let cases = [
        (
            "mode = \"nativ\"",
            "1:8: \"mode\" is \"nativ\"; it must be one of auto, native, generic; did you mean \"native\"?",
        ),
        ("mode = \"\"", "1:8: \"mode\" is \"\"; it must be one of auto, native, generic"),
        (
            "mode = \"Native\"",
            "1:8: \"mode\" is \"Native\"; it must be one of auto, native, generic; did you mean \"native\"?",
        ),
        ("enforcement = \"off\"", "1:15: \"enforcement\" is \"off\"; it must be one of enforce, observe"),
        (
            "limits.source.enforcement = \"x\"",
            "1:29: \"limits.source.enforcement\" is \"x\"; it must be one of enforce, observe",
        ),
        ("headers.over_budget = \"x\"", "1:23: \"headers.over_budget\" is \"x\"; it must be one of drop, pass"),
        ("log.level = \"loud\"", "1:13: \"log.level\" is \"loud\"; it must be one of error, warn, info, debug, trace"),
        (
            "log.format = \"jsn\"",
            "1:14: \"log.format\" is \"jsn\"; it must be one of text, json; did you mean \"json\"?",
        ),
        ("interfaces = [\"eth0\", \"eth0\"]", "1:23: \"interfaces[1]\": \"eth0\" is named twice"),
        ("interfaces = [\"\"]", &format!("1:15: \"interfaces[0]\" is \"\": {name}")),
        ("interfaces = [\"a b\"]", &format!("1:15: \"interfaces[0]\" is \"a b\": {name}")),
        ("interfaces = [\"..\"]", &format!("1:15: \"interfaces[0]\" is \"..\": {name}")),
        ("interfaces = [\"sixteen-letters-\"]", &format!("1:15: \"interfaces[0]\" is \"sixteen-letters-\": {name}")),
        ("state.dir = \"weir\"", "1:13: \"state.dir\" is \"weir\": a path must be absolute, from / on"),
        ("state.dir = \"/a\\u0000\"", "1:13: \"state.dir\" is \"/a\\0\": a path holds no zero byte"),
        ("state.bpffs = \"bpf\"", "1:15: \"state.bpffs\" is \"bpf\": a path must be absolute, from / on"),
        ("api.socket = \"\"", "1:14: \"api.socket\" is \"\": a path must be absolute, from / on"),
        ("api.socket = \"/run/\"", "1:14: \"api.socket\" is \"/run/\": a socket is a file, and this names a folder"),
        (&long_socket, &long_socket_message),
        ("api.group = \"a b\"", "1:13: \"api.group\" is \"a b\": not the name of a group"),
        ("api.listen = \":9184\"", &format!("1:14: \"api.listen\" is \":9184\": {listen}")),
        ("api.listen = \"localhost:9184\"", &format!("1:14: \"api.listen\" is \"localhost:9184\": {listen}")),
        ("protected.addresses = [\"x\"]", &format!("1:24: \"protected.addresses[0]\" is \"x\": {address}")),
        (
            "never_block.addresses = [\"192.0.2.0/33\"]",
            "1:26: \"never_block.addresses[0]\" is \"192.0.2.0/33\": prefix length 33 exceeds 32",
        ),
        (
            "never_block.files = [\"/a\", \"b\"]",
            "1:28: \"never_block.files[1]\" is \"b\": a path must be absolute, from / on",
        ),
        (
            "[[lists]]\n\n[[lists]]\nname = \"a\"",
            "1:1: \"lists[0].name\" is missing: each [[lists]] section is about the list it names",
        ),
        ("[[lists]]\nname = \"a b\"", &format!("2:8: \"lists[0].name\" is \"a b\": {list}")),
        ("[[lists]]\nname = \"a\"\n[[lists]]\nname = \"a\"", "4:8: \"lists[1].name\": \"a\" is named twice"),
        (
            "[[lists]]\nname = \"a\"\nenforcement = \"on\"",
            "3:15: \"lists[0].enforcement\" is \"on\"; it must be one of enforce, observe, limit, off",
        ),
    ];
    for (text, message) in cases {
        check(text, &format!("weir.toml:{message}"));
    }
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_place() {
    check("mode = \"auto\"\n\nmode = \"auto\"\n", "weir.toml:3:1: duplicate key: \"mode\"");
    check("[state]\n[state]\n", "weir.toml:2:2: duplicate key: \"state\"");
    check("mode = auto\n", "weir.toml:1:8: string values must be quoted, expected literal string: \"auto\"");
    check("mode = \"auto\nx", "weir.toml:1:13: invalid basic string, expected `\"`");
    check("interfaces = [\n", "weir.toml:1:15: unclosed array, expected `]`");
    check("mode\n", "weir.toml:1:5: key with no value, expected `=`");
    check("m\0ode = 1\n", "weir.toml:1:2: invalid unquoted key, expected letters, numbers, `-`, `_`: \"\\0\"");
    check(
        &format!("interfaces = {}", "[".repeat(100_000)),
        "weir.toml:1:94: cannot recurse further; max recursion depth met: \"[\"",
    );
    check(&format!("[{}a]", "a.".repeat(100_000)), "weir.toml: recursion limit");
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let none = || std::iter::empty();
    let error = |bytes: &[u8]| parse_bytes(bytes, "weir.toml", none()).unwrap_err().to_string();
    assert_eq!(error(b"# x\n# \xc3\xa9 \xff\n"), "weir.toml:2:5: not UTF-8 from here on; save the file as UTF-8");
    let utf16 = "weir.toml: the file is UTF-16; save it as UTF-8";
    assert_eq!(error(b"\xff\xfem\0o\0d\0e\0"), utf16);
    assert_eq!(error(b"\xfe\xff\0m\0o\0d\0e"), utf16);
    let large = "weir.toml: 1048577 bytes are too many for a configuration; the most is 1048576";
    assert_eq!(error(&vec![b'#'; LARGEST + 1]), large);
    assert_eq!(load(&"#".repeat(LARGEST + 1), &[]).unwrap_err().to_string(), large);
    assert!(load(&"#".repeat(LARGEST), &[]).is_ok());
}
