//! The part of OpenAPI 3.0 that the contract needs, checked with JSON Schema draft 4.

use serde_json::{Map, Value, json};

/// X's description, made ready for a validator of JSON Schema.
pub struct Description(Value);

/// One method on one path.
pub struct Operation<'a> {
    description: &'a Description,
    template: &'a str,
    body: &'a Value,
}

impl Description {
    /// OpenAPI says `nullable` where JSON Schema says `null`, and leaves objects open: fields that
    /// X does not name are violations here, except in problems, which X extends at will.
    pub fn of(openapi: &Value) -> Self {
        let mut document = openapi.clone();
        if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
            for (name, schema) in schemas {
                let open = name.ends_with("Problem") || name == "Error";
                normalise(schema, !open);
            }
        }
        Self(document)
    }

    /// The operation behind a request line.
    pub fn operation(&self, method: &str, path: &str) -> Option<Operation<'_>> {
        let paths = self.0["paths"].as_object()?;
        let exact = paths.get_key_value(path);
        let (template, item) =
            exact.or_else(|| paths.iter().find(|(template, _)| matches(template, path)))?;
        let body = item.get(method.to_lowercase())?;
        Some(Operation { description: self, template, body })
    }

    /// Follows a `$ref`, one level.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str().and_then(|at| at.strip_prefix('#')) {
            Some(pointer) => self.0.pointer(pointer).unwrap_or(&Value::Null),
            None => value,
        }
    }

    fn check(&self, schema: &Value, instance: &Value, place: &str) -> Vec<String> {
        let whole = json!({"allOf": [schema], "components": self.0["components"]});
        let validator = jsonschema::draft4::new(&whole).expect("X's schemas are valid");
        validator
            .iter_errors(instance)
            .map(|error| format!("{place} {}: {error}", error.instance_path()))
            .collect()
    }
}

impl Operation<'_> {
    /// X's name for it.
    pub fn name(&self) -> &str {
        self.body["operationId"].as_str().unwrap_or_default()
    }

    /// Query parameters that are not described, or hold what they must not.
    pub fn query_violations(&self, query: &[(String, String)]) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value) in query {
            match self.parameter("query", name) {
                None => found.push(format!("query {name} is not described")),
                Some(parameter) => {
                    let schema = self.description.resolve(&parameter["schema"]);
                    let place = format!("query {name}");
                    let instance = decoded(schema, value);
                    found.extend(self.description.check(schema, &instance, &place));
                }
            }
        }
        for required in self.parameters("query").filter(|p| p["required"] == true) {
            let name = required["name"].as_str().unwrap_or_default();
            if !query.iter().any(|(given, _)| given == name) {
                found.push(format!("query {name} is missing"));
            }
        }
        found
    }

    /// Path parameters that hold what they must not.
    pub fn path_violations(&self, path: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (segment, value) in self.template.split('/').zip(path.split('/')) {
            let name = segment.trim_matches(['{', '}']);
            if let Some(parameter) = self.parameter("path", name).filter(|_| name != segment) {
                let place = format!("path {name}");
                let schema = &parameter["schema"];
                found.extend(self.description.check(schema, &json!(value), &place));
            }
        }
        found
    }

    /// What is wrong with the request's body.
    pub fn request_violations(&self, body: &Option<Value>) -> Vec<String> {
        let content = &self.body["requestBody"]["content"];
        match (body, content.is_null()) {
            (None, true) => Vec::new(),
            (None, false) => vec!["request has no body".to_owned()],
            (Some(_), true) => vec!["request has a body".to_owned()],
            (Some(body), false) => {
                let schema = &content["application/json"]["schema"];
                self.description.check(schema, body, "request")
            }
        }
    }

    /// What is wrong with the answer.
    pub fn answer_violations(&self, status: u16, answer: Option<&Value>) -> Vec<String> {
        let Some(answer) = answer else {
            return vec![format!("answer {status} is not JSON")];
        };
        let responses = &self.body["responses"];
        if let Some(described) = responses.get(status.to_string()) {
            let schema = &described["content"]["application/json"]["schema"];
            return self.description.check(schema, answer, "answer");
        }
        if status < 400 {
            return vec![format!("answer {status} is not described")];
        }
        let content = &responses["default"]["content"];
        let problem = &content["application/problem+json"]["schema"];
        let error = &content["application/json"]["schema"];
        let violations = self.description.check(problem, answer, "problem");
        if violations.is_empty() || self.description.check(error, answer, "error").is_empty() {
            return Vec::new();
        }
        let kind = answer["type"].as_str().unwrap_or("without a type");
        let kind = kind.rsplit('/').next().unwrap_or(kind);
        vec![format!("problem {kind}: {}", violations.join("; "))]
    }

    fn parameter(&self, place: &str, name: &str) -> Option<&Value> {
        self.parameters(place).find(|found| found["name"] == name)
    }

    fn parameters(&self, place: &str) -> impl Iterator<Item = &Value> {
        let listed = self.body["parameters"].as_array().into_iter().flatten();
        let resolved = listed.map(|parameter| self.description.resolve(parameter));
        resolved.filter(move |parameter| parameter["in"] == place)
    }
}

/// A value from a query as its schema sees it; arrays are comma-separated (`explode: false`).
fn decoded(schema: &Value, value: &str) -> Value {
    match schema["type"].as_str() {
        Some("integer") => value.parse::<i64>().map_or(json!(value), |n| json!(n)),
        Some("array") => value.split(',').map(|item| json!(item)).collect(),
        _ => json!(value),
    }
}

fn matches(template: &str, path: &str) -> bool {
    let same = |(part, given): (&str, &str)| part.starts_with('{') || part == given;
    template.split('/').count() == path.split('/').count()
        && template.split('/').zip(path.split('/')).all(same)
}

fn normalise(schema: &mut Value, close: bool) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(|one| normalise(one, close)),
        Value::Object(fields) => {
            if fields.remove("nullable") == Some(Value::Bool(true)) {
                make_nullable(fields);
            }
            if close && fields.get("properties").is_some_and(Value::is_object) {
                fields.entry("additionalProperties").or_insert(json!(false));
            }
            fields.values_mut().for_each(|one| normalise(one, close));
        }
        _ => {}
    }
}

fn make_nullable(fields: &mut Map<String, Value>) {
    if let Some(kind) = fields.get("type").cloned() {
        fields.insert("type".to_owned(), json!([kind, "null"]));
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.push(Value::Null);
    }
}
