//! An operator's settings, changed so far that a drill can run under them and touch nothing of the operator's.

use toml::{Table, Value};

/// Sections that reach out of the machine, or into the machine's logs: not in a drill.
const REACH_OUT: [&str; 5] = ["crowdsec", "fleet", "logs", "notify", "redis"];

/// Where a drill's daemon has its own things.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The state folder.
    pub state: &'a str,
    /// The BPF filesystem.
    pub bpffs: &'a str,
    /// The API's socket.
    pub socket: &'a str,
}

/// Settings for a drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Private {
    /// As a configuration.
    pub text: String,
    /// What of the operator's does not hold in the drill, in words.
    pub left_out: Vec<String>,
}

/// Why settings cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// They are no TOML.
    #[error("the configuration cannot be read")]
    Syntax(#[from] toml::de::Error),
    /// They cannot be written again.
    #[error("the configuration cannot be written anew")]
    Write(#[from] toml::ser::Error),
    /// A variable of the environment stands for a key that cannot be set.
    #[error("{key}, given in the environment, cannot be set: {value:?} is no value, or {key} stands in no section")]
    Override {
        /// The key.
        key: String,
        /// The value, as TOML writes it.
        value: String,
    },
}

/// Changes a configuration. `overrides` are keys that were given outside of it, in the environment, and their values as
/// TOML writes them: they stand in the result, which is read without that environment.
///
/// Limits, lists, shape, countries, protection and all else that judges packets stays as it is. Feeds stay too: their
/// kept copies are in force, and the drill's namespaces lead nowhere, so that nothing is asked.
///
/// # Errors
/// [`SettingsError`].
pub fn private(text: &str, overrides: &[(String, String)], places: Places<'_>) -> Result<Private, SettingsError> {
    let mut table: Table = text.strip_prefix('\u{feff}').unwrap_or(text).parse()?;
    for (key, value) in overrides {
        let bad = || SettingsError::Override { key: key.clone(), value: value.clone() };
        let read = format!("value = {value}").parse::<Table>().ok().and_then(|mut read| read.remove("value"));
        set(&mut table, key, read.ok_or_else(bad)?).ok_or_else(bad)?;
    }
    let mut left_out = Vec::new();
    for section in REACH_OUT {
        if table.remove(section).is_some_and(|value| is_on(&value)) {
            left_out.push(format!("[{section}] is off"));
        }
    }
    if table.get("feeds").and_then(Value::as_array).is_some_and(|feeds| !feeds.is_empty()) {
        left_out.push("feeds are not asked; their last kept answers are in force".to_owned());
    }
    if let Some(interfaces) = table.remove("interfaces").filter(is_on) {
        left_out.push(format!("interfaces {interfaces} are replaced by the drill's own"));
    }
    if table.get("mode").is_some_and(|mode| mode.as_str() == Some("generic")) {
        left_out.push("mode \"generic\" is native in the drill".to_owned());
    }
    table.insert("mode".to_owned(), Value::from("native"));
    let api = table.remove("api");
    if api.as_ref().and_then(|api| api.get("listen")).is_some() {
        left_out.push("[api] listen is off".to_owned());
    }
    for (key, value) in [("state.dir", places.state), ("state.bpffs", places.bpffs), ("api.socket", places.socket)] {
        let bad = || SettingsError::Override { key: key.to_owned(), value: value.to_owned() };
        set(&mut table, key, Value::from(value)).ok_or_else(bad)?;
    }
    Ok(Private { text: toml::to_string(&table)?, left_out })
}

/// Whether a section or value that was left out did anything.
fn is_on(value: &Value) -> bool {
    match value {
        Value::Table(section) => section.get("enabled").and_then(Value::as_bool).unwrap_or(!section.is_empty()),
        Value::Array(elements) => !elements.is_empty(),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => true,
    }
}

/// Sets a key such as `limits.source.burst`; `None` where a part of its way is no section.
fn set(table: &mut Table, key: &str, value: Value) -> Option<()> {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            set(inner.as_table_mut()?, rest, value)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places<'_> = Places { state: "/d/state", bpffs: "/d/bpf", socket: "/d/weir.sock" };

    fn read(text: &str, overrides: &[(&str, &str)]) -> (Table, Vec<String>) {
        let overrides: Vec<_> = overrides.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let private = private(text, &overrides, PLACES).unwrap();
        (private.text.parse().unwrap(), private.left_out)
    }

    #[test]
    fn places_are_private_and_what_judges_stays() {
        let text = "interfaces = [\"eth0\"]\nmode = \"generic\"\n[state]\ndir = \"/var/lib/weir\"\nmax_sources = 9\n\
            [api]\nsocket = \"/run/weir/weir.sock\"\nlisten = \"0.0.0.0:9\"\ngroup = \"weir\"\n\
            [limits.source]\npackets_per_second = 7\n[[lists]]\nname = \"x\"\n[crowdsec]\nenabled = true\n";
        let (table, left_out) = read(text, &[]);
        let expected = "mode = \"native\"\nstate = { dir = \"/d/state\", bpffs = \"/d/bpf\", max_sources = 9 }\n\
            api.socket = \"/d/weir.sock\"\nlimits.source.packets_per_second = 7\n[[lists]]\nname = \"x\"\n";
        assert_eq!(table, expected.parse::<Table>().unwrap());
        assert_eq!(
            left_out,
            [
                "[crowdsec] is off",
                "interfaces [\"eth0\"] are replaced by the drill's own",
                "mode \"generic\" is native in the drill",
                "[api] listen is off",
            ]
        );
    }

    #[test]
    fn nothing_given_leaves_nothing_out() {
        for text in ["", "interfaces = []\n[crowdsec]\nenabled = false\n"] {
            let (table, left_out) = read(text, &[]);
            assert_eq!(left_out, Vec::<String>::new());
            assert_eq!(table["state"]["dir"].as_str(), Some("/d/state"));
        }
    }

    #[test]
    fn what_the_environment_gave_stands_in_the_text_and_cannot_lead_outside() {
        let overrides =
            [("limits.source.burst", "12"), ("state.dir", "\"/var/lib/weir\""), ("enforcement", "\"observe\"")];
        let (table, _) = read("[limits.source]\nburst = 3\npackets_per_second = 1\n", &overrides);
        assert_eq!(table["limits"]["source"]["burst"].as_integer(), Some(12));
        assert_eq!(table["enforcement"].as_str(), Some("observe"));
        assert_eq!(table["state"]["dir"].as_str(), Some("/d/state"));
        let bad = private("", &[("a".to_owned(), "=".to_owned())], PLACES).unwrap_err();
        assert!(bad.to_string().starts_with("a, given in the environment"), "{bad}");
        assert!(private("a = 1", &[("a.b".to_owned(), "1".to_owned())], PLACES).is_err());
        assert!(private("= 3", &[], PLACES).is_err());
    }

    #[test]
    fn feeds_stay_and_it_is_said_that_they_are_not_asked() {
        let (table, left_out) = read("[[feeds]]\npreset = \"spamhaus-drop\"\n", &[]);
        assert_eq!(table["feeds"].as_array().map(Vec::len), Some(1));
        assert_eq!(left_out, ["feeds are not asked; their last kept answers are in force"]);
    }
}
