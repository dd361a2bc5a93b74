use super::*;

#[test]
fn the_environment_goes_before_the_file() {
    let env = [
        ("WEIR_MODE", "generic"),
        ("WEIR_INTERFACES", "eth1, eth2,"),
        ("WEIR_LIMITS__SOURCE__PACKETS_PER_SECOND", "100"),
        ("WEIR_PROTECTED__LOGIN_SESSIONS", "false"),
        ("WEIR_NEVER_BLOCK__ADDRESSES", ""),
        ("WEIR_API__GROUP", "1000"),
        ("PATH", "/bin"),
        ("WEIR", "x"),
    ];
    let file = "mode = \"native\"\ninterfaces = [\"a b\"]\n[never_block]\naddresses = [\"192.0.2.1\"]\n";
    let config = load(file, &env).unwrap().config;
    assert_eq!(config.mode, Mode::Generic);
    assert_eq!(config.interfaces.iter().map(InterfaceName::as_str).collect::<Vec<_>>(), ["eth1", "eth2"]);
    assert_eq!(config.floods.source.map(|limit| rates(&limit)), Some(vec![(Dimension::Packets, 100, 100)]));
    assert!(!config.protected.login_sessions);
    assert_eq!(config.never_block.addresses, []);
    assert_eq!(config.api.group.as_deref(), Some("1000"));
}

#[test]
fn every_settings_variable_can_be_set() {
    let defaults = load("", &[]).unwrap();
    for setting in defaults.settings.iter().filter(|setting| !LISTS.contains(&setting.key.as_str())) {
        let name = format!("WEIR_{}", setting.key.replace('.', "__").to_uppercase());
        // A list is shown as TOML has it, and is said without quotes in a variable.
        let value = setting.value.trim_matches(['[', ']']).replace('"', "");
        let loaded = load("", &[(&name, &value)]).unwrap();
        assert_eq!(loaded.config, defaults.config, "{name}");
        let source = loaded.settings.iter().find(|s| s.key == setting.key).map(|s| s.source.clone());
        assert_eq!(source, Some(Source::Env(name)));
    }
}

#[test]
fn variables_that_set_nothing_are_refused() {
    let cases = [
        ("WEIR_MOD", "auto", "no setting has this name; did you mean WEIR_MODE?"),
        ("WEIR_LIMITS_SOURCE_BURST", "5", "no setting has this name; did you mean WEIR_LIMITS__SOURCE__BURST?"),
        ("WEIR_Mode", "auto", "no setting has this name; did you mean WEIR_MODE?"),
        ("WEIR_REDIS__URL", "x", "no setting has this name"),
        ("WEIR_", "x", "no setting has this name"),
        (
            "WEIR_LIMITS__SOURCE",
            "x",
            "this is a section; its keys are set one by one, as in WEIR_LIMITS__SOURCE__BURST",
        ),
        ("WEIR_LISTS", "x", "[[lists]] can only be given in the file"),
        ("WEIR_LISTS__NAME", "x", "[[lists]] can only be given in the file"),
        ("WEIR_PORTS", "22", "[[ports]] can only be given in the file"),
        ("WEIR_LIMITS__PROFILES", "x", "[[limits.profiles]] can only be given in the file"),
        ("WEIR_LIMITS__PORTS__SYN_PER_SECOND", "1", "[[limits.ports]] can only be given in the file"),
        ("WEIR_MODE", "fast", "\"mode\" is \"fast\"; it must be one of auto, native, generic"),
        (
            "WEIR_INTERFACES",
            "eth0,a b",
            "\"interfaces[1]\" is \"a b\": no interface can have this name: 1 to 15 bytes, without white space, / and :",
        ),
        ("WEIR_STATE__MAX_SOURCES", "many", "\"state.max_sources\" must be a whole number, and is \"many\""),
        ("WEIR_STATE__MAX_SOURCES", "", "\"state.max_sources\" must be a whole number, and is empty"),
        ("WEIR_STATE__MAX_SOURCES", "-5", "\"state.max_sources\" is -5; it must be from 0 to 9223372036854775807"),
        (
            "WEIR_STATE__MAX_SOURCES",
            "99999999999999999999",
            "\"state.max_sources\" is 99999999999999999999; it must be from 0 to 9223372036854775807",
        ),
        ("WEIR_STATE__MAX_SOURCES", "0", "\"state.max_sources\" is 0; it must be from 1 to 16777216"),
        ("WEIR_PROTECTED__LOGIN_SESSIONS", "yes", "\"protected.login_sessions\" must be true or false, and is \"yes\""),
    ];
    for (name, value, message) in cases {
        // An error of a value given there must not be blamed on the file's own.
        let file = "interfaces = [\"eth0\", \"eth1\"]\n";
        check_env(file, &[(name, value)], &format!("{name}: {message}"));
    }
}

#[test]
fn variables_of_the_command_line_and_the_tests_are_left_alone() {
    let theirs = super::super::environment::NOT_SETTINGS;
    assert!(load("", &theirs.map(|name| (name, "x"))).is_ok());
}
