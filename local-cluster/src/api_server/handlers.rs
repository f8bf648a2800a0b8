//! Requests for objects: finds the resource, does what the verb says, and answers in the form asked for.

mod transact;

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::decode;
use super::duplicates::duplicate_fields;
use super::error::{ApiError, ApiResult, FieldError};
use super::patch::{self, PatchKind};
use super::read::{self, Selection};
use super::registry::{Origin, ResourceType};
use super::request::{Part, ResourceRequest, Verb};
use super::respond::{Representation, add_warnings, deleted_status, json_response, list_json, object_json};
use super::router::Call;
use super::state::State;
use super::write::{
    Address, Change, DeleteOptions, Deleted, FieldValidation, Transaction, WriteOptions, Written, create, delete,
    finalize_namespace, update,
};
use super::{eviction, logs, rbac, reviews, scale, table, watch};
use crate::store::ObjectKey;
use transact::{bind_pod, patch_object, put_missing};

/// One request with its resource.
struct Context<'a> {
    state: &'a Arc<State>,
    call: &'a Call,
    request: &'a ResourceRequest,
    ty: Arc<ResourceType>,
}

/// Answers a request for objects.
pub(crate) async fn handle(state: &Arc<State>, call: &Call, request: &ResourceRequest) -> ApiResult<Response<Body>> {
    let ty = state.registry().find(&request.group, &request.version, &request.resource)?;
    let context = Context { state, call, request, ty };
    context.check_scope()?;
    if !context.ty.is_stored() {
        return context.review();
    }
    match request.subresource.as_str() {
        "" => context.whole(),
        "status" if context.ty.has_subresource("status") => context.part(Part::Status),
        "scale" if context.ty.has_subresource("scale") => context.scale(),
        other if context.ty.has_subresource(other) => context.special(other).await,
        _ => Err(ApiError::no_such_resource()),
    }
}

impl Context<'_> {
    fn check_scope(&self) -> ApiResult<()> {
        let is_all_namespaces = self.request.namespace.is_empty();
        let is_collection_read = matches!(self.request.verb, Verb::List | Verb::Watch) && self.request.name.is_empty();
        let is_misplaced = if self.ty.namespaced {
            is_all_namespaces && !is_collection_read && self.ty.is_stored()
        } else {
            !is_all_namespaces
        };
        match self.request.verb {
            Verb::Create if self.ty.namespaced && is_all_namespaces && self.ty.is_stored() => {
                Err(ApiError::method_not_supported())
            }
            _ if is_misplaced => Err(ApiError::no_such_resource()),
            _ => Ok(()),
        }
    }

    fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.request.namespace, &self.request.name)
    }

    fn write<T>(&self, dry_run: bool, act: impl FnOnce(&mut Transaction<'_>) -> ApiResult<T>) -> ApiResult<T> {
        self.state.write(Some(&self.call.identity), dry_run, act)
    }

    fn representation(&self) -> ApiResult<Representation> {
        Representation::from_accept(self.call.accept())
    }

    fn options(&self) -> ApiResult<WriteOptions> {
        WriteOptions::from_query(&self.call.query, self.call.user_agent())
    }

    fn selection(&self) -> ApiResult<Selection> {
        Selection::new(Arc::clone(&self.ty), &self.request.namespace, &self.request.name, &self.call.query)
    }

    fn whole(&self) -> ApiResult<Response<Body>> {
        match self.request.verb {
            Verb::Get => self.get(),
            Verb::List => self.list(),
            Verb::Watch => {
                watch::watch(Arc::clone(self.state), self.selection()?, &self.call.query, self.representation()?)
            }
            Verb::Create if self.request.name.is_empty() => self.create(),
            Verb::Create => Err(ApiError::method_not_supported()),
            Verb::Update | Verb::Patch => self.part(Part::Whole),
            Verb::Delete => self.delete(),
            Verb::DeleteCollection => self.delete_collection(),
        }
    }

    fn get(&self) -> ApiResult<Response<Body>> {
        let object = read::get(&self.state.read(), &self.ty, &self.key())?;
        Ok(json_response(StatusCode::OK, object_json(&self.ty, &object, self.representation()?)))
    }

    fn list(&self) -> ApiResult<Response<Body>> {
        let selection = self.selection()?;
        let page = read::list(&self.state.read(), &selection, &self.call.query)?;
        let rows = table::Rows::from_query(self.call.query.get("includeObject"));
        Ok(json_response(StatusCode::OK, list_json(&self.ty, &page, self.representation()?, rows)))
    }

    /// The object in the body, without fields that it has twice if the client asked for strictness.
    fn sent_object(&self, options: &WriteOptions) -> ApiResult<Value> {
        if options.field_validation == FieldValidation::Strict {
            let duplicates = duplicate_fields(&self.call.body);
            if !duplicates.is_empty() {
                return Err(decode::strict_error(&self.ty, &duplicates, "duplicate"));
            }
        }
        decode::check_encoding(&self.ty, self.call.content_type())?;
        self.call.body_value()
    }

    fn create(&self) -> ApiResult<Response<Body>> {
        let options = self.options()?;
        let body = self.sent_object(&options)?;
        rbac::check_escalation(self.state, &self.call.identity, &self.ty, &body)?;
        let written = self.write(options.dry_run, |transaction| {
            create(transaction, &self.ty, &self.request.namespace, body, &options)
        })?;
        self.written(&written)
    }

    /// `GET`, `PUT` and `PATCH` of the object or of its status.
    fn part(&self, part: Part) -> ApiResult<Response<Body>> {
        match self.request.verb {
            Verb::Get => self.get(),
            Verb::Update => self.put(part),
            Verb::Patch => self.patch(part),
            _ => Err(ApiError::method_not_supported()),
        }
    }

    fn address(&self, part: Part) -> Address {
        Address { ty: Arc::clone(&self.ty), key: self.key(), part }
    }

    fn put(&self, part: Part) -> ApiResult<Response<Body>> {
        let options = self.options()?;
        let body = self.sent_object(&options)?;
        self.check_body_address(&body)?;
        rbac::check_escalation(self.state, &self.call.identity, &self.ty, &body)?;
        let address = self.address(part);
        let written = self.write(options.dry_run, |transaction| {
            let is_missing = transaction.store.get(&self.ty.storage, &address.key).is_none();
            if is_missing && part == Part::Whole {
                return put_missing(transaction, &address, body, &options);
            }
            update(transaction, &address, &options, Change::Put, |_| Ok(body))
        })?;
        self.written(&written)
    }

    fn check_body_address(&self, body: &Value) -> ApiResult<()> {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = body["metadata"]["namespace"].as_str().unwrap_or_default();
        if name != self.request.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                self.request.name
            )));
        }
        if !namespace.is_empty() && namespace != self.request.namespace {
            return Err(ApiError::bad_request(format!(
                "the namespace of the object ({namespace}) does not match the namespace on the URL ({})",
                self.request.namespace
            )));
        }
        Ok(())
    }

    fn patch(&self, part: Part) -> ApiResult<Response<Body>> {
        let mut options = self.options()?;
        let kind = PatchKind::from_content_type(self.call.content_type(), &self.ty)?;
        let patch = self.call.body_value()?;
        if kind == PatchKind::Apply {
            if self.call.query.get("fieldManager").is_none() {
                let missing = FieldError::required("fieldManager", "is required for apply patch");
                return Err(ApiError::invalid_options("PatchOptions", missing));
            }
            options.is_apply = true;
        }
        let address = self.address(part);
        let run =
            |dry_run| self.write(dry_run, |transaction| patch_object(transaction, &address, &options, kind, &patch));
        if self.ty.group == rbac::GROUP && !self.call.identity.is_master() {
            let preview = run(true)?;
            rbac::check_escalation(self.state, &self.call.identity, &self.ty, preview.object.value())?;
        }
        self.written(&run(options.dry_run)?)
    }

    fn written(&self, written: &Written) -> ApiResult<Response<Body>> {
        let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = json_response(code, object_json(&self.ty, &written.object, self.representation()?));
        add_warnings(&mut response, &written.warnings);
        Ok(response)
    }

    fn delete_options(&self) -> ApiResult<DeleteOptions> {
        let body = self.call.body_value()?;
        if !body.is_null() && !body.is_object() {
            return Err(ApiError::bad_request("the body of a DELETE must be DeleteOptions"));
        }
        DeleteOptions::read((!body.is_null()).then_some(&body), &self.call.query)
    }

    fn delete(&self) -> ApiResult<Response<Body>> {
        let options = self.delete_options()?;
        let deleted =
            self.write(options.dry_run, |transaction| delete(transaction, &self.ty, &self.key(), &options))?;
        let json = match deleted {
            Deleted::Gone(object) if !self.returns_deleted() => deleted_status(&self.ty, &object).to_string().into(),
            Deleted::Gone(object) | Deleted::Marked(object) => object_json(&self.ty, &object, Representation::Object),
        };
        let mut response = json_response(StatusCode::OK, json);
        add_warnings(&mut response, &options.warnings(&self.ty));
        Ok(response)
    }

    fn returns_deleted(&self) -> bool {
        match &self.ty.origin {
            Origin::Builtin(row) => row.delete_returns_object,
            Origin::Custom(_) => false,
        }
    }

    fn delete_collection(&self) -> ApiResult<Response<Body>> {
        let options = self.delete_options()?;
        let selection = self.selection()?;
        let page = read::list(&self.state.read(), &selection, &self.call.query)?;
        for object in &page.objects {
            let deleted =
                self.write(options.dry_run, |transaction| delete(transaction, &self.ty, object.key(), &options));
            // Somebody else may have deleted it since it was listed.
            if let Err(error) = deleted
                && error.code() != StatusCode::NOT_FOUND
            {
                return Err(error);
            }
        }
        let rows = table::Rows::Metadata;
        Ok(json_response(StatusCode::OK, list_json(&self.ty, &page, Representation::Object, rows)))
    }

    fn scale(&self) -> ApiResult<Response<Body>> {
        let mut options = self.options()?;
        options.field_validation = FieldValidation::Ignore;
        let shown = |value: &Value| Ok(json_response(StatusCode::OK, scale::scale_of(&self.ty, value).to_string()));
        if self.request.verb == Verb::Get {
            return shown(read::get(&self.state.read(), &self.ty, &self.key())?.value());
        }
        let body = self.call.body_value()?;
        let kind = match self.request.verb {
            Verb::Update => None,
            Verb::Patch => Some(PatchKind::from_content_type(self.call.content_type(), &self.ty)?),
            _ => return Err(ApiError::method_not_supported()),
        };
        let address = self.address(Part::Scale);
        let written = self.write(options.dry_run, |transaction| {
            update(transaction, &address, &options, Change::Patch, |object| {
                let current = scale::scale_of(&self.ty, object);
                let wanted = match kind {
                    None => body,
                    Some(PatchKind::Json) => patch::json::apply(&current, &body)?,
                    Some(PatchKind::Merge | PatchKind::Strategic | PatchKind::Apply) => {
                        patch::merge::apply(&current, &body)?
                    }
                };
                scale::rescaled(&self.ty, object, &wanted)
            })
        })?;
        shown(written.object.value())
    }

    fn review(&self) -> ApiResult<Response<Body>> {
        if self.request.verb != Verb::Create {
            return Err(ApiError::method_not_supported());
        }
        let review = reviews::answer(self.state, &self.call.identity, &self.ty, self.call.body_value()?)?;
        Ok(json_response(StatusCode::CREATED, review.to_string()))
    }

    /// Subresources of one built-in kind each.
    async fn special(&self, subresource: &str) -> ApiResult<Response<Body>> {
        match (subresource, self.request.verb) {
            ("log", Verb::Get) => {
                let pod = read::get(&self.state.read(), &self.ty, &self.key())?;
                logs::serve(self.state, &pod, &self.call.query).await
            }
            ("eviction", Verb::Create) => self.evict(),
            ("binding", Verb::Create) => self.bind(),
            ("token", Verb::Create) => self.token(),
            ("finalize", Verb::Update) => self.finalize(),
            ("exec" | "attach" | "portforward", Verb::Get | Verb::Create) => Err(ApiError::not_implemented(format!(
                "{subresource} is not served by this cluster: its pods are plain processes of this machine; see SURFACE.md"
            ))),
            ("ephemeralcontainers" | "resize", Verb::Update | Verb::Patch) => {
                Err(ApiError::not_implemented(format!("{subresource} is not served by this cluster; see SURFACE.md")))
            }
            ("ephemeralcontainers" | "resize", Verb::Get) => self.get(),
            _ => Err(ApiError::method_not_supported()),
        }
    }

    fn evict(&self) -> ApiResult<Response<Body>> {
        let options = self.options()?;
        let body = self.call.body_value()?;
        let status = self.write(options.dry_run, |transaction| {
            eviction::evict(transaction, &self.ty, &self.key(), &body, &self.call.query)
        })?;
        Ok(json_response(StatusCode::CREATED, status.to_string()))
    }

    /// What a scheduler says: this pod runs on that node.
    fn bind(&self) -> ApiResult<Response<Body>> {
        let mut options = self.options()?;
        options.field_validation = FieldValidation::Ignore;
        let body = self.call.body_value()?;
        let node = body["target"]["name"].as_str().unwrap_or_default().to_owned();
        if node.is_empty() {
            let missing = FieldError::required("target.name", "");
            return Err(ApiError::invalid("", "Binding", &self.request.name, &[missing]));
        }
        self.write(options.dry_run, |transaction| bind_pod(transaction, &self.ty, &self.key(), &node))?;
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(json_response(StatusCode::CREATED, status.to_string()))
    }

    fn token(&self) -> ApiResult<Response<Body>> {
        let account = read::get(&self.state.read(), &self.ty, &self.key())?;
        let review = reviews::issue_token(self.state, &account, self.call.body_value()?)?;
        Ok(json_response(StatusCode::CREATED, review.to_string()))
    }

    fn finalize(&self) -> ApiResult<Response<Body>> {
        let options = self.options()?;
        let body = self.call.body_value()?;
        let written = self.write(options.dry_run, |transaction| {
            finalize_namespace(transaction, &self.ty, &self.request.name, &body)
        })?;
        self.written(&written)
    }
}
