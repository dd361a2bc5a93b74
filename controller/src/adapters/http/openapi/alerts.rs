//! Alerts, and users that are denied.
use super::{QueryTypes, Route, Schemas, uuid, word};
use crate::adapters::http::alerts::AlertsQuery;
use crate::adapters::http::query::Try;
use crate::domain::http::alert::{Alert, AlertUpdate, Status};
use crate::domain::http::severity::Severity;
use crate::domain::report::{
    AlertList, AlertRequest, AlertStats, AnalysisReport, AnalyzeRequest, BulkReport, BulkUpdate, DeniedUserRow,
    SwitchReport, UpdateReport,
};

impl QueryTypes for AlertsQuery {
    fn add(schemas: &mut Schemas) {
        schemas.add::<Status>();
        schemas.add::<Severity>();
    }
}

impl QueryTypes for Try {}

pub(super) fn routes() -> Vec<Route> {
    const ONE: &str = "/api/alerts/{id}";
    let alert = |route: Route| route.named("id", "The alert's id.", uuid()).problems(&[404, 500]);
    vec![
        Route::get("/api/alerts", "list_alerts", "Alerts, by score, then the newest in front")
            .query::<AlertsQuery>()
            .answers::<AlertList>()
            .problems(&[500]),
        Route::post("/api/alerts", "create_alert", "Make an alert")
            .query::<Try>()
            .says::<AlertRequest>()
            .makes::<Alert>()
            .problems(&[404, 500]),
        alert(Route::get(ONE, "show_alert", "One alert")).answers::<Alert>(),
        alert(Route::put(ONE, "update_alert", "Change an alert; as a false positive, what it caused is lifted"))
            .query::<Try>()
            .says::<AlertUpdate>()
            .answers::<UpdateReport>()
            .problems(&[409, 507]),
        alert(Route::delete(ONE, "delete_alert", "Take an alert away")).query::<Try>().answers::<SwitchReport>(),
        Route::post("/api/alerts/bulk-update", "update_alerts", "Change several alerts, all of them or none")
            .query::<Try>()
            .says::<BulkUpdate>()
            .answers::<BulkReport>()
            .problems(&[404, 409, 500, 507]),
        Route::post("/api/alerts/analyze", "analyze", "Have rules and analyzers look at a dataset or a hunt's")
            .says::<AnalyzeRequest>()
            .answers::<AnalysisReport>()
            .problems(&[404, 500]),
        Route::get("/api/alerts/stats", "alert_stats", "Alerts in figures").answers::<AlertStats>().problems(&[500]),
    ]
}

pub(super) fn of_users() -> Vec<Route> {
    vec![
        Route::get("/api/users/denied", "list_denied_users", "Users that are denied").lists::<DeniedUserRow>(),
        Route::delete("/api/users/denied/{user}", "lift_denied_user", "Let a user in again")
            .named("user", "The user.", word())
            .query::<Try>()
            .answers::<SwitchReport>()
            .problems(&[500]),
    ]
}
