//! The ledger of sources, and the security view.
use super::{QueryTypes, Route, address};
use crate::adapters::http::query::Try;
use crate::adapters::http::reputation::ListQuery;
use crate::adapters::http::security::IpQuery;
use crate::domain::report::{
    ChangeReport, IpEntry, IpRequest, ReputationRow, ResetReport, SecurityStatus, SourceList, Threat,
};

impl QueryTypes for ListQuery {}
impl QueryTypes for IpQuery {}

pub(super) fn of_reputation() -> Vec<Route> {
    const ONE: &str = "/api/reputation/{address}";
    vec![
        Route::get("/api/reputation", "list_sources", "Sources with evidence against them, the worst in front")
            .query::<ListQuery>()
            .answers::<SourceList>(),
        Route::get(ONE, "show_source", "What is known of an address")
            .named("address", "An IPv4 or IPv6 address.", address())
            .answers::<ReputationRow>(),
        Route::delete(ONE, "reset_source", "Forget the evidence against an address")
            .named("address", "An IPv4 or IPv6 address.", address())
            .query::<Try>()
            .answers::<ResetReport>()
            .problems(&[500]),
    ]
}

pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::get("/api/security/status", "security_status", "How the parts do, and what was stopped")
            .answers::<SecurityStatus>(),
        Route::get("/api/security/threat/{ip}", "show_threat", "All that is known of an address")
            .named("ip", "An IPv4 or IPv6 address.", address())
            .answers::<Threat>(),
    ];
    for (path, ids, what) in [
        ("/api/security/ip/whitelist", ["list_allowed", "allow", "disallow"], "let through"),
        ("/api/security/ip/blacklist", ["list_denied", "deny", "lift"], "denied"),
    ] {
        let [list, add, remove] = ids;
        let refused = [403, 409, 500, 507];
        routes.extend([
            Route::get(path, list, &format!("Addresses and prefixes that are {what}"))
                .lists::<IpEntry>()
                .problems(&[500]),
            Route::post(path, add, &format!("Have an address or a prefix {what}"))
                .query::<IpQuery>()
                .says::<IpRequest>()
                .answers::<ChangeReport>()
                .problems(&refused),
            Route::delete(path, remove, &format!("Have an address or a prefix {what} no longer"))
                .query::<IpQuery>()
                .says_one_of(|schemas| schemas.add::<IpRequest>().into(), false)
                .answers::<ChangeReport>()
                .problems(&refused),
        ]);
    }
    routes
}
