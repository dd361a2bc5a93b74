//! What may be said, and what is refused with which words.
use super::*;

fn read(line: &str) -> Result<Cli, clap::Error> {
    Cli::read(line.split(' ').map(OsString::from))
}

#[track_caller]
fn refused(line: &str, with: &str) {
    let error = read(line).expect_err("to be refused");
    let text = error.render().to_string();
    assert!(error.use_stderr() && error.exit_code() == 2, "{line}: {text}");
    assert!(text.contains(with), "{line}: {text}");
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn global_options_stand_before_and_after_the_noun() {
    for line in [
        "weir -o json --socket /s -c /c block list",
        "weir block -o json --socket /s -c /c list",
        "weir block list --output json --socket=/s --config=/c",
    ] {
        let cli = read(line).unwrap();
        assert_eq!(cli.global.output, Output::Json, "{line}");
        assert_eq!(cli.global.socket.as_deref(), Some(Path::new("/s")), "{line}");
        assert_eq!(cli.global.config_path(), Path::new("/c"), "{line}");
        assert!(cli.global.config_on_line, "{line}");
    }
    let cli = read("weir status").unwrap();
    assert_eq!(cli.global.output, Output::Text);
    assert_eq!(cli.global.config_path(), Path::new(DEFAULT_FILE));
    assert!(!cli.global.config_on_line);
}

#[test]
fn every_command_of_the_contract_is_read() {
    for line in [
        "run",
        "run -i eth0",
        "run -i eth0 eth1 -i eth2 --netns blue --mode generic --observe",
        "status",
        "top",
        "top -n 5 --by drops --once",
        "top --by bytes",
        "doctor",
        "doctor -i eth0",
        "block add 192.0.2.1",
        "block add 192.0.2.1 2001:db8::/32 --for 15m --reason scanner --origin fail2ban --observe --force --dry-run",
        "block add -- 192.0.2.1",
        "alerts list --severity warning --since 7d",
        "alerts show 0192f0c1-7e2a-7c3b-9d4e-5f6a7b8c9d0e",
        "alerts stats",
        "rules list",
        "rules show sqli",
        "rules check a.yml folder",
        "rules create - --dry-run",
        "rules update sqli --response deny_user --for 15m",
        "block add -",
        "block remove 192.0.2.1 --origin operator --dry-run",
        "block list",
        "block import list.txt --format ipsum --name ipsum --skip-bad --dry-run",
        "block import - --format plain",
        "block import list.csv --format csv --column ip --least-score 3",
        "block import fail2ban.sqlite3 --format fail2ban --jail sshd --origin fail2ban-sshd --skip-bad",
        "block export",
        "block export --format nft",
        "feeds list",
        "feeds refresh",
        "feeds refresh ipsum --force --dry-run",
        "feeds check ipsum.txt --format ipsum --least-score 3",
        "feeds check https://lists.example.org/x --allow-private --column ip",
        "feeds presets",
        "allow add 192.0.2.1 --for 7d --reason office --origin operator --dry-run",
        "allow remove 192.0.2.1",
        "allow list",
        "allow import list.txt --format auto",
        "allow export",
        "explain 192.0.2.1",
        "explain 2001:db8::1",
        "capture -w drops.pcapng",
        "capture -w - -n 5 --verdict bogon --verdict feed --list ipsum",
        "logs analyze access.log",
        "logs analyze access.log access.log.1.gz - --format combined --trusted-proxy 192.0.2.0/24 --rules /etc/rules",
        "logs analyze x.log --format grok --pattern %{IP:c-ip} --zone Europe/Berlin --without rules --without analyzers",
        "simulate file.pcap",
        "simulate file.pcap --config other.toml",
        "drill",
        "drill syn udp --profile --seconds 2 --rate 100 -o json",
        "drill --list",
        "drill --show-profile",
        "enforcement enforce",
        "enforcement observe --dry-run",
        "config check",
        "config show",
        "config reload --dry-run",
        "config apply --confirm 60s --dry-run",
        "config confirm",
        "config rollback",
        "bypass on --dry-run",
        "bypass off",
        "detach --dry-run",
        "completions bash",
    ] {
        if let Err(error) = read(&format!("weir {line}")) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn durations_and_interfaces_arrive_as_values() {
    let Command::Block(Block::Add(add)) = read("weir block add 192.0.2.1 --for 1h30m").unwrap().command else {
        panic!("another command");
    };
    assert_eq!(add.add.for_s, Some(5_400));
    let Command::Run(run) = read("weir run -i eth0 eth1 -i eth2").unwrap().command else { panic!("another command") };
    let names: Vec<_> = run.interfaces.iter().map(InterfaceName::as_str).collect();
    assert_eq!(names, ["eth0", "eth1", "eth2"]);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error_that_names_it() {
    refused("weir block add 192.0.2.0/33", "192.0.2.0/33");
    refused("weir block add 192.0.2.1 example.org", "example.org");
    refused("weir block add", "PREFIX");
    refused("weir block add 192.0.2.1 --for 5", "5 of what?");
    refused("weir block add 192.0.2.1 --for=-5m", "-5m");
    refused("weir block add 192.0.2.1 --origin crowdsec", "given by weir itself");
    refused("weir allow add 192.0.2.1 --force", "--force");
    refused("weir allow add 192.0.2.1 --observe", "--observe");
    refused("weir block import list.txt --format xml", "xml");
    refused("weir block import list.txt --observe", "--observe");
    refused("weir explain example.org", "example.org");
    refused("weir explain 192.0.2.0/24", "192.0.2.0/24");
    refused("weir top -n 0", "0");
    refused("weir top --by country", "country");
    refused("weir run -i a/b", "a/b");
    refused("weir run --mode fast", "fast");
    refused("weir config apply", "--confirm");
    refused("weir enforcement", "enforce");
    refused("weir bypass maybe", "maybe");
    refused("weir status -o yaml", "yaml");
    refused("weir staus", "status");
    refused("weir completions tcsh", "tcsh");
}

#[test]
fn help_and_version_are_no_errors() {
    for line in ["weir --help", "weir --version", "weir block add --help"] {
        let error = read(line).expect_err("clap answers itself");
        assert!(!error.use_stderr() && error.exit_code() == 0, "{line}");
    }
    assert!(read("weir").expect_err("no command").use_stderr());
}

#[test]
fn only_verdicts_that_drop_can_be_captured() {
    let Command::Capture(args) = read("weir capture -w x --verdict bogon --verdict feed").unwrap().command else {
        panic!("another command");
    };
    assert_eq!(args.verdicts.iter().map(|verdict| verdict.name()).collect::<Vec<_>>(), ["bogon", "feed"]);
    refused("weir capture -w x --verdict bogn", "'bogon'");
    refused("weir capture -w x --verdict pass", "only drops are sampled");
    refused("weir capture -w x --verdict bypassed", "only drops are sampled");
    refused("weir capture -w x -n 0", "0");
    refused("weir capture", "--write");
}
