//! Rules and analyzers.
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

use super::{QueryTypes, Route, Schemas, word};
use crate::adapters::http::query::Try;
use crate::adapters::http::rules::ListQuery;
use crate::domain::http::rules::Form;
use crate::domain::report::{AnalyzerRow, AnalyzerRule, OverrideRequest, RuleDetail, RuleReport, RuleRow};

impl QueryTypes for ListQuery {}

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/api/alerts/rules";
    const ONE: &str = "/api/alerts/rules/{id}";
    let rules = |path, id| Route::get(path, id, "All rules").query::<ListQuery>().lists::<RuleRow>();
    let rule = |route: Route| route.named("id", "The rule's id.", word()).problems(&[404]);
    vec![
        Route::get("/api/alerts/analyzers/list", "list_analyzers", "Analyzers and their settings")
            .lists::<AnalyzerRow>(),
        rules(ALL, "list_rules"),
        rules("/api/alerts/rules/list", "list_rules_too"),
        Route::post(ALL, "create_rule", "Make a rule")
            .query::<Try>()
            .bodies(|schemas| texts(schemas, OneOfBuilder::new()), true)
            .answers::<RuleReport>()
            .problems(&[409, 500, 507]),
        rule(Route::get(ONE, "show_rule", "One rule with all of its text")).answers::<RuleDetail>(),
        rule(Route::put(ONE, "update_rule", "Replace a rule of one's own, or say what any rule is to be otherwise"))
            .query::<Try>()
            .bodies(
                |schemas| {
                    let other = OneOfBuilder::new().item(schemas.add::<OverrideRequest>());
                    texts(schemas, other)
                },
                true,
            )
            .answers::<RuleReport>()
            .problems(&[409, 500, 507]),
        rule(Route::delete(ONE, "delete_rule", "Take away a rule of one's own, or what is changed about another"))
            .query::<Try>()
            .answers::<RuleReport>()
            .problems(&[409, 500, 507]),
    ]
}

/// A rule as it is sent: YAML, by itself or in JSON, a form, or an analyzer with settings.
fn texts(schemas: &mut Schemas, others: OneOfBuilder) -> Vec<(&'static str, RefOr<Schema>)> {
    let yaml = || ObjectBuilder::new().schema_type(Type::String).description(Some("A rule in Sigma's language."));
    let wrapped = ObjectBuilder::new()
        .property("yaml", yaml())
        .required("yaml")
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    let json = others.item(wrapped).item(schemas.add::<Form>()).item(schemas.add::<AnalyzerRule>());
    vec![("application/json", json.into()), ("application/yaml", yaml().into())]
}
