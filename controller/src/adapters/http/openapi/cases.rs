//! Datasets, hunts, events, and what is kept of people.
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder};

use super::{QueryTypes, Route, Schemas, uuid};
use crate::adapters::http::audit::{AuditQuery, EventsQuery, RotateQuery};
use crate::adapters::http::query::Try;
use crate::domain::audit::Class;
use crate::domain::http::dataset::{Dataset, DatasetRequest, Hunt, HuntRequest};
use crate::domain::http::submitted::{Given, MOST_EVENTS, SubmitReport};
use crate::domain::report::{AuditReport, EraseReport, EraseRequest, EventList, RotateReport, SwitchReport};

impl QueryTypes for AuditQuery {}
impl QueryTypes for RotateQuery {}

impl QueryTypes for EventsQuery {
    fn add(schemas: &mut Schemas) {
        schemas.add::<Class>();
    }
}

pub(super) fn of_datasets() -> Vec<Route> {
    vec![
        Route::get("/api/datasets", "list_datasets", "Datasets").lists::<Dataset>().problems(&[500]),
        Route::post("/api/datasets", "create_dataset", "Name a log file or a span of events, to be analysed")
            .query::<Try>()
            .says::<DatasetRequest>()
            .makes::<Dataset>()
            .problems(&[404, 500, 507]),
        Route::delete("/api/datasets/{id}", "delete_dataset", "Take a dataset away; its alerts stay")
            .named("id", "The dataset's id.", uuid())
            .query::<Try>()
            .answers::<SwitchReport>()
            .problems(&[404, 500]),
    ]
}

pub(super) fn of_hunts() -> Vec<Route> {
    vec![
        Route::get("/api/hunts", "list_hunts", "Hunts").lists::<Hunt>().problems(&[500]),
        Route::post("/api/hunts", "create_hunt", "Make a hunt, which groups datasets and alerts")
            .query::<Try>()
            .says::<HuntRequest>()
            .makes::<Hunt>()
            .problems(&[500, 507]),
        Route::delete("/api/hunts/{id}", "delete_hunt", "Take a hunt away; its datasets and alerts stay")
            .named("id", "The hunt's id.", uuid())
            .query::<Try>()
            .answers::<SwitchReport>()
            .problems(&[404, 500]),
    ]
}

pub(super) fn of_events() -> Vec<Route> {
    vec![
        Route::get("/api/events", "list_events", "Events that are kept, the newest in front")
            .query::<EventsQuery>()
            .answers::<EventList>()
            .problems(&[500]),
        Route::post("/api/events", "submit_events", "Events of applications: one, or a list of them")
            .says_one_of(
                |schemas| {
                    let event = schemas.add::<Given>();
                    let events = ArrayBuilder::new().items(event.clone()).max_items(Some(MOST_EVENTS));
                    OneOfBuilder::new().item(event).item(events).into()
                },
                true,
            )
            .answers::<SubmitReport>()
            .problems(&[409, 500]),
    ]
}

pub(super) fn of_audit() -> Vec<Route> {
    vec![
        Route::get("/api/audit", "audit", "What happened, and who changed what")
            .query::<AuditQuery>()
            .answers::<AuditReport>()
            .problems(&[500]),
    ]
}

pub(super) fn of_privacy() -> Vec<Route> {
    vec![
        Route::post("/api/privacy/rotate", "rotate_key", "Have addresses hashed with another key")
            .query::<RotateQuery>()
            .answers::<RotateReport>()
            .problems(&[409, 500]),
        Route::post("/api/privacy/erase", "erase", "Erase what is kept of an address or a user")
            .says::<EraseRequest>()
            .answers::<EraseReport>()
            .problems(&[500]),
    ]
}
