use super::*;
use crate::domain::http::finding::Response;

#[test]
fn the_defaults_are_allowed_and_every_analyzer_has_parameters() {
    let settings = Settings::default();
    assert_eq!(settings.validate(), []);
    for name in NAMES {
        let parameters = settings.parameters(name);
        assert!(parameters.len() >= 5, "{name}");
        assert!(parameters.iter().all(|parameter| parameter.value == parameter.default), "{name}");
    }
    assert!(settings.parameters("nothing").is_empty());
}

#[test]
fn the_defaults_are_what_is_promised() {
    let settings = Settings::default();
    for (analyzer, name, expected) in [
        ("response_time", "warning", "1"),
        ("response_time", "critical", "2"),
        ("error_rate", "warning", "0.05"),
        ("error_rate", "critical", "0.1"),
        ("error_rate", "window", "1h"),
        ("usage_spike", "warning", "2"),
        ("usage_spike", "critical", "3"),
        ("unauthorized_access", "threshold", "5"),
        ("unauthorized_access", "window", "1h"),
        ("brute_force", "threshold", "5"),
        ("brute_force", "window", "15m"),
        ("brute_force", "response", "deny 1h"),
        ("privilege_escalation", "threshold", "10"),
        ("privilege_escalation", "window", "1h"),
        ("rate_limit_abuse", "threshold", "3"),
        ("rate_limit_abuse", "window", "10m"),
        ("behaviour", "threshold", "0.7"),
        ("anomaly", "threshold", "0.7"),
        ("anomaly", "retrain", "1h"),
    ] {
        let parameters = settings.parameters(analyzer);
        let parameter = parameters.iter().find(|parameter| parameter.name == name).unwrap();
        assert_eq!(parameter.value, expected, "{analyzer}.{name}");
    }
}

#[track_caller]
fn check(analyzer: &str, key: &str, value: &Given, expected: Result<&str, &str>) {
    let mut settings = Settings::default();
    let got = settings.set(analyzer, key, value);
    match (got, expected) {
        (Ok(()), Ok(text)) => {
            let parameters = settings.parameters(analyzer);
            let parameter = parameters.iter().find(|parameter| parameter.name == key).unwrap();
            assert_eq!(parameter.value, text);
        }
        (Err(error), Err(text)) => {
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(settings, Settings::default());
        }
        (got, expected) => panic!("{analyzer}.{key} = {value:?}: {got:?}, wanted {expected:?}"),
    }
}

#[test]
fn parameters_are_set_by_name() {
    let text = |text: &str| Given::Text(text.to_owned());
    let list = |words: &[&str]| Given::List(words.iter().map(|word| (*word).to_owned()).collect());
    check("brute_force", "threshold", &Given::Number(7.0), Ok("7"));
    check("brute_force", "window", &text("30m"), Ok("30m"));
    check("brute_force", "window", &Given::Number(90.0), Ok("1m30s"));
    check("brute_force", "response", &text("deny 2h"), Ok("deny 2h"));
    check("brute_force", "response", &text("observe"), Ok("observe"));
    check("brute_force", "response_user", &text("deny_user"), Ok("deny_user 15m"));
    check("brute_force", "login_paths", &list(&["enter"]), Ok("enter"));
    check("error_rate", "statuses", &list(&["5xx"]), Ok("5xx"));
    check("anomaly", "enabled", &Given::Flag(false), Ok("false"));
}

#[test]
fn what_is_refused_is_named_with_the_way_out() {
    let text = |text: &str| Given::Text(text.to_owned());
    check("brute_forse", "threshold", &Given::Number(7.0), Err("use brute_force"));
    check("brute_force", "treshold", &Given::Number(7.0), Err("use threshold"));
    check("brute_force", "threshold", &Given::Number(0.0), Err("analyzers.brute_force.threshold: 0 is out of range"));
    check("brute_force", "threshold", &Given::Number(1.5), Err("a whole number"));
    check("brute_force", "threshold", &Given::Number(f64::NAN), Err("out of range"));
    check("brute_force", "threshold", &text("five"), Err("a whole number"));
    check("brute_force", "window", &text("15"), Err("a duration such as 15m"));
    check("brute_force", "window", &Given::Number(-1.0), Err("a duration such as 15m"));
    check("brute_force", "window", &text("400d"), Err("out of range"));
    check("brute_force", "response", &text("ban"), Err("observe, notify"));
    check("brute_force", "response", &text("observe 60m"), Err("observe, notify"));
    check("brute_force", "response", &text("deny 31d"), Err("observe, notify"));
    check("brute_force", "login_paths", &Given::List(vec![String::new()]), Err("at most 64 words"));
    check("error_rate", "statuses", &Given::List(vec!["600".to_owned()]), Err("\"600\" is no status"));
    check("error_rate", "warning", &Given::Number(5.0), Err("from 0 to 1"));
}

#[test]
fn levels_out_of_order_and_values_out_of_range_are_found() {
    let mut settings = Settings::default();
    settings.error_rate.critical = 0.05;
    settings.usage_spike.history_days = 8;
    settings.brute_force.response = Response::Deny { for_s: 0 };
    settings.behaviour.threshold = f64::NAN;
    let texts: Vec<String> = settings.validate().iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "analyzers.usage_spike.history_days: 8 is out of range; it may be from 1 to 7",
            "analyzers.brute_force.response: 0 is out of range; it may be from 1 to 2592000",
            "analyzers.behaviour.threshold: NaN is out of range; it may be from 0.01 to 1",
            "analyzers.error_rate.critical: 0.05 is not above the warning level of 0.05",
        ]
    );
}
