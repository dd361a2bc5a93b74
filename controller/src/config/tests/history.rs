//! Reputation, audit, privacy.
use super::{check, config};
use crate::config::SourcePlace;
use crate::domain::http::recorded::Keep;

#[test]
fn everything_that_is_weighed_and_kept_can_be_set() {
    let set = config(
        "[reputation]\nhalf_life = \"12h\"\ndeny_at = 90\nlongest = \"2d\"\nenforce = false\nmax_sources = 1000\n\
         [[reputation.policy]]\ncountry = \"KP\"\npoints = 20\n[[reputation.policy]]\nasn = 64496\npoints = 5\n\
         [audit]\nevents = \"all\"\nretention = \"90d\"\nmax_events = 5000\n\
         [privacy]\nhash_addresses = true\ndrop_requests = true\n",
    );
    let reputation = &set.reputation;
    assert_eq!((reputation.limits.half_life_s, reputation.limits.most_sources), (43_200, 1_000));
    let policy = reputation.policy;
    assert_eq!((policy.enforce, policy.deny_at, policy.deny_for_s, policy.longest_s), (false, 90, 3_600, 172_800));
    let [country, asn] = reputation.priors.as_slice() else { panic!("{:?}", reputation.priors) };
    assert!(matches!(country.place, SourcePlace::Country(code) if code.to_string() == "KP"));
    assert!(matches!(asn.place, SourcePlace::Asn(number) if number.get() == 64_496));
    assert_eq!((set.audit.events, set.audit.retention_s, set.audit.most_events), (Keep::All, 7_776_000, 5_000));
    assert!(set.privacy.hash_addresses && set.privacy.drop_requests);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    for (text, message) in [
        (
            "[reputation]\ndeny_at = 50\n",
            "weir.toml:2:11: \"reputation.deny_at\" is \"50\": it begins before short_at (60), which is milder; give it at \
             least as many points",
        ),
        ("[reputation]\nlimit_at = 101\n", "weir.toml:2:12: \"reputation.limit_at\" is 101; it must be from 0 to 100"),
        (
            "[reputation]\nlongest = \"30m\"\n",
            "weir.toml:1:1: \"reputation.deny_for\" is \"1h\": longer than `longest` (30m)",
        ),
        (
            "[[reputation.policy]]\npoints = 5\n",
            "weir.toml:1:1: \"reputation.policy[0].country\" is missing: a [[reputation.policy]] section names a `country` \
             or an `asn`",
        ),
        (
            "[audit]\nevents = \"everything\"\n",
            "weir.toml:2:10: \"audit.events\" is \"everything\"; it must be one of nothing, security, all",
        ),
    ] {
        check(text, message);
    }
}
