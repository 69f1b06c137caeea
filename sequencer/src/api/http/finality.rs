//! Finality as JSON: what `mach.v1.FinalityService` answers to single questions. Bytes are `0x` and
//! hexadecimal digits, 64-bit numbers are decimal strings, failures carry their reason.

use crate::api::connections::Caller;
use crate::api::context::{Context, Shared, blocking};
use crate::api::errors::Failure;
use crate::api::finality;
use crate::api::limits::Class;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use squad_primitives::TxId;
use squad_proto::mach;
use squad_proto::mach::is_final_request::Subject;
use squad_proto::reason::Code;
use std::sync::Arc;

/// Value of a parameter in a query like `a=1&b=2`; values need no escapes here.
fn parameter<'a>(query: &'a RawQuery, name: &str) -> Option<&'a str> {
    let query = query.0.as_deref()?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// `?proof=true`
fn wants_proof(query: &RawQuery) -> Result<bool, Failure> {
    match parameter(query, "proof") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(Failure::field(
            "proof",
            format_args!("{other:?}, must be true or false"),
        )),
    }
}

fn status_of(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => StatusCode::CONFLICT,
        Code::OutOfRange => StatusCode::GONE,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn answer(result: Result<Value, Failure>) -> Response {
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
    let (status, body) = match result {
        Ok(value) => (StatusCode::OK, value),
        Err(failure) => {
            let code = failure.reason().code();
            let error = squad_proto::v1::Error::from(failure);
            let wait_s = error.retry_after_ms.div_ceil(1_000);
            if wait_s > 0 {
                headers.insert(header::RETRY_AFTER, wait_s.into());
            }
            let body = json!({
                "reason": error.reason,
                "message": error.message,
                "metadata": error.metadata,
            });
            (status_of(code), body)
        }
    };
    (status, headers, body.to_string()).into_response()
}

/// Counts against the limits of the address, then reads.
async fn read(
    ctx: Shared,
    from: Caller,
    class: Class,
    work: impl FnOnce(&Context) -> Result<Value, Failure> + Send + 'static,
) -> Response {
    if let Err(failure) = ctx.take_of(from.0, class, 1) {
        return answer(Err(failure));
    }
    answer(blocking(move || work(&ctx)).await)
}

fn hex_of(bytes: &Bytes) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn certificate_json(certificate: &mach::Certificate) -> Value {
    json!({
        "height": certificate.height.to_string(),
        "epoch": certificate.epoch.to_string(),
        "block": hex_of(&certificate.block),
        "result_root": hex_of(&certificate.result_root),
        "signed_stake": certificate.signed_stake.to_string(),
        "total_stake": certificate.total_stake.to_string(),
        "encoded": hex_of(&certificate.encoded),
    })
}

fn is_final(ctx: &Context, subject: Subject, proof: bool) -> Result<Value, Failure> {
    let request = mach::IsFinalRequest {
        subject: Some(subject),
        include_proof: proof,
    };
    let found = finality::is_final(ctx, &request)?;
    let mut body = json!({
        "final": found.r#final,
        "height": found.height.to_string(),
        "final_height": found.final_height.to_string(),
        "diverged": found.diverged,
        "certificate": found.certificate.as_ref().map(certificate_json),
    });
    for (name, proof) in [
        ("rollup_proof", &found.rollup_proof),
        ("transaction_proof", &found.transaction_proof),
    ] {
        if !proof.is_empty() {
            body[name] = hex_of(proof).into();
        }
    }
    Ok(body)
}

fn class(proof: &Result<bool, Failure>) -> Class {
    match proof {
        Ok(true) => Class::Proof,
        _ => Class::Read,
    }
}

/// `/v1/certificates/{height}`; `latest` for the last one.
pub(super) async fn certificate(
    State(ctx): State<Shared>,
    ConnectInfo(from): ConnectInfo<Caller>,
    Path(height): Path<String>,
) -> Response {
    read(ctx, from, Class::Read, move |ctx| {
        let height = match height.as_str() {
            "latest" => 0,
            digits => number("height", digits)?,
        };
        let found = finality::certificate(ctx, height)?.certificate;
        Ok(certificate_json(&found.unwrap_or_default()))
    })
    .await
}

/// `/v1/blocks/{height}/final`
pub(super) async fn block(
    State(ctx): State<Shared>,
    ConnectInfo(from): ConnectInfo<Caller>,
    Path(height): Path<String>,
) -> Response {
    read(ctx, from, Class::Read, move |ctx| {
        is_final(ctx, Subject::Height(number("height", &height)?), false)
    })
    .await
}

/// `/v1/rollups/{id}/final/{number}`
pub(super) async fn rollup(
    State(ctx): State<Shared>,
    ConnectInfo(from): ConnectInfo<Caller>,
    Path((rollup, block)): Path<(String, String)>,
    query: RawQuery,
) -> Response {
    let proof = wants_proof(&query);
    read(ctx, from, class(&proof), move |ctx| {
        let subject = Subject::RollupBlock(mach::RollupBlock {
            rollup_id: number("rollup", &rollup)?,
            number: number("number", &block)?,
        });
        is_final(ctx, subject, proof?)
    })
    .await
}

/// `/v1/tx/{id}/final`
pub(super) async fn transaction(
    State(ctx): State<Shared>,
    ConnectInfo(from): ConnectInfo<Caller>,
    Path(id): Path<String>,
    query: RawQuery,
) -> Response {
    let proof = wants_proof(&query);
    read(ctx, from, class(&proof), move |ctx| {
        let id: TxId = id.parse().map_err(|error| Failure::field("tx_id", error))?;
        let subject = Subject::TxId(Bytes::copy_from_slice(&id.0));
        is_final(ctx, subject, proof?)
    })
    .await
}

/// `/v1/handover/{epoch}`
pub(super) async fn handover(
    State(ctx): State<Shared>,
    ConnectInfo(from): ConnectInfo<Caller>,
    Path(epoch): Path<String>,
    query: RawQuery,
) -> Response {
    read(ctx, from, Class::Proof, move |ctx| {
        let request = mach::GetHandoverRequest {
            epoch: number("epoch", &epoch)?,
            to_epoch: match parameter(&query, "to") {
                Some(digits) => number("to", digits)?,
                None => 0,
            },
        };
        let found = finality::handovers(ctx, &request)?.handovers;
        Ok(json!({"handovers": found.iter().map(hex_of).collect::<Vec<_>>()}))
    })
    .await
}

/// `/v1/alerts`
pub(super) async fn alerts(
    State(ctx): State<Shared>,
    ConnectInfo(from): ConnectInfo<Caller>,
) -> Response {
    read(ctx, from, Class::Read, |ctx| {
        let records = Arc::clone(finality::of(ctx)?).alerts_since(0);
        let alerts: Vec<Value> = records
            .iter()
            .map(|record| {
                let alert = finality::alert(record);
                json!({
                    "kind": record.kind.name(),
                    "operator_id": alert.operator_id,
                    "first_height": alert.first_height.to_string(),
                    "last_height": alert.last_height.to_string(),
                    "count": alert.count.to_string(),
                    "last_ms": alert.last_ms.to_string(),
                    "evidence": (!alert.evidence.is_empty()).then(|| hex_of(&alert.evidence)),
                })
            })
            .collect();
        Ok(json!({"alerts": alerts}))
    })
    .await
}

fn number(field: &'static str, digits: &str) -> Result<u64, Failure> {
    digits
        .parse()
        .map_err(|_| Failure::field(field, format_args!("{digits:?} is no number")))
}
