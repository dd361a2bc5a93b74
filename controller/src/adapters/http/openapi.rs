//! What can be asked of the API, as a document that programs read: `OpenAPI` 3.1, made from the types themselves.
mod alerts;
mod cases;
mod rules;
mod security;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Json;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ComponentsBuilder, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{
    Content, HttpMethod, Info, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response, Schema, Server,
};
use utoipa::{IntoParams, ToSchema};

use crate::domain::report::Problem;

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(document);

/// Answers with the document.
pub(super) async fn show() -> Json<&'static OpenApi> {
    Json(&DOCUMENT)
}

/// The groups of the API that are described.
fn groups() -> Vec<(&'static str, Vec<Route>)> {
    vec![
        ("alerts", alerts::routes()),
        ("rules", rules::routes()),
        ("users", alerts::of_users()),
        ("datasets", cases::of_datasets()),
        ("hunts", cases::of_hunts()),
        ("events", cases::of_events()),
        ("audit", cases::of_audit()),
        ("privacy", cases::of_privacy()),
        ("reputation", security::of_reputation()),
        ("security", security::routes()),
    ]
}

fn document() -> OpenApi {
    let mut paths = Paths::new();
    let mut schemas = Schemas::default();
    schemas.add::<Problem>();
    for (group, routes) in groups() {
        for route in routes {
            schemas.0.extend(route.schemas.0);
            paths.add_path_operation(route.path, vec![route.method], route.operation.tag(group).build());
        }
    }
    let mut info = Info::new("weir", env!("CARGO_PKG_VERSION"));
    info.description = Some("Alerts, rules and what belongs to them. It is served on a UNIX socket.".to_owned());
    let components = ComponentsBuilder::new().schemas_from_iter(schemas.0).build();
    let servers = Some([Server::new("/")]);
    OpenApiBuilder::new().info(info).servers(servers).paths(paths).components(Some(components)).build()
}

/// Types by their names.
#[derive(Default)]
struct Schemas(BTreeMap<String, RefOr<Schema>>);

impl Schemas {
    /// A type and all that it is made of.
    fn add<T: ToSchema>(&mut self) -> Ref {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        self.0.extend(parts);
        let name = T::name();
        self.0.insert(name.to_string(), T::schema());
        Ref::from_schema_name(name)
    }
}

/// One method of one path.
struct Route {
    path: &'static str,
    method: HttpMethod,
    operation: OperationBuilder,
    schemas: Schemas,
}

impl Route {
    /// `id` names it among all, `summary` says what it does.
    fn new(method: HttpMethod, path: &'static str, id: &str, summary: &str) -> Self {
        let operation = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary));
        // All that is asked for may take too long.
        Self { path, method, operation, schemas: Schemas::default() }.problems(&[503])
    }

    fn get(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Get, path, id, summary)
    }

    fn post(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Post, path, id, summary)
    }

    fn put(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Put, path, id, summary)
    }

    fn delete(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Delete, path, id, summary)
    }

    fn with(mut self, change: impl FnOnce(OperationBuilder, &mut Schemas) -> OperationBuilder) -> Self {
        self.operation = change(self.operation, &mut self.schemas);
        self
    }

    /// What its query may say; anything else is refused.
    fn query<T: IntoParams + QueryTypes>(self) -> Self {
        self.with(|mut operation, schemas| {
            T::add(schemas);
            for parameter in T::into_params(|| Some(ParameterIn::Query)) {
                operation = operation.parameter(parameter);
            }
            operation
        })
        .problems(&[400])
    }

    /// The part of its path that is a name.
    fn named(self, name: &str, what: &str, schema: RefOr<Schema>) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(what))
            .schema(Some(schema));
        self.with(|operation, _| operation.parameter(parameter)).problems(&[400])
    }

    /// What its body says.
    fn says<T: ToSchema>(self) -> Self {
        self.says_one_of(|schemas| schemas.add::<T>().into(), true)
    }

    /// What its body says; it may be absent, where it is not `required`.
    fn says_one_of(self, schema: impl FnOnce(&mut Schemas) -> RefOr<Schema>, required: bool) -> Self {
        self.bodies(|schemas| vec![("application/json", schema(schemas))], required)
    }

    fn bodies(self, bodies: impl FnOnce(&mut Schemas) -> Vec<(&'static str, RefOr<Schema>)>, required: bool) -> Self {
        self.with(|operation, schemas| {
            let required = if required { Required::True } else { Required::False };
            let mut body = RequestBodyBuilder::new().required(Some(required));
            for (kind, schema) in bodies(schemas) {
                body = body.content(kind, Content::new(Some(schema)));
            }
            operation.request_body(Some(body.build()))
        })
        .problems(&[400, 413])
    }

    fn answer(self, status: u16, what: &str, schema: impl FnOnce(&mut Schemas) -> RefOr<Schema>) -> Self {
        self.with(|operation, schemas| {
            let mut response = Response::new(what);
            response.content.insert("application/json".to_owned(), Content::new(Some(schema(schemas))).into());
            operation.response(status.to_string(), response)
        })
    }

    /// What it answers, where all is well.
    fn answers<T: ToSchema>(self) -> Self {
        self.answer(200, "What was asked for.", |schemas| schemas.add::<T>().into())
    }

    /// Likewise, several of them.
    fn lists<T: ToSchema>(self) -> Self {
        self.answer(200, "All of them.", |schemas| list(schemas.add::<T>()))
    }

    /// What it answers once something is made; with `dry_run`, what would be.
    fn makes<T: ToSchema>(self) -> Self {
        let made = self.answer(201, "It is made.", |schemas| schemas.add::<T>().into());
        made.answer(200, "It would be made: this was a dry run.", |schemas| schemas.add::<T>().into())
    }

    /// With which statuses it may refuse or fail.
    fn problems(self, statuses: &[u16]) -> Self {
        self.with(|mut operation, _| {
            for status in statuses {
                let mut response = Response::new(why(*status));
                let problem = Content::new(Some(Ref::from_schema_name(Problem::name())));
                response.content.insert("application/problem+json".to_owned(), problem.into());
                operation = operation.response(status.to_string(), response);
            }
            operation
        })
    }
}

/// A word that is not empty.
fn word() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).into()
}

fn text_of(format: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::Custom(format.to_owned())))
}

fn uuid() -> RefOr<Schema> {
    text_of("uuid").into()
}

fn address() -> RefOr<Schema> {
    OneOfBuilder::new().item(text_of("ipv4")).item(text_of("ipv6")).into()
}

fn list(of: Ref) -> RefOr<Schema> {
    ArrayBuilder::new().items(of).into()
}

const fn why(status: u16) -> &'static str {
    match status {
        400 => "It is not understood, or makes no sense.",
        403 => "A safety rule refuses it.",
        404 => "There is none.",
        409 => "It cannot be, as things are.",
        413 => "It is too large.",
        500 => "It failed.",
        503 => "It cannot be done now: it took too long, too much is waiting, or the daemon is stopping.",
        507 => "There is no room for it.",
        _ => "It is refused.",
    }
}

/// The types that parameters of a query refer to.
trait QueryTypes {
    fn add(_schemas: &mut Schemas) {}
}
